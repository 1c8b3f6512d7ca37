"""Progress lines for a person: what the lab is doing, and how long it took.

Lines go to standard error so that standard output stays usable by programs.  ``MERCURYLB_QUIET=1``
silences them.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def say(text: str) -> None:
    """Print one progress line."""
    if os.environ.get("MERCURYLB_QUIET") != "1":
        print(f"lab: {text}", file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Announce a step, and its duration when it is done (or that it failed)."""
    say(f"{what} …")
    begin = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"{what}: failed after {time.monotonic() - begin:.1f} s")
        raise
    say(f"{what}: done in {time.monotonic() - begin:.1f} s")
