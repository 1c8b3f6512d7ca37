"""Processes that do nothing but use CPU time, for a bounded time.

``python -m lab.hogs COUNT SECONDS`` forks them, waits for their end, and takes them along when it
is ended itself.  They are pinned to nothing and have no priority of their own.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lab import binaries
from lab.errors import LabError
from lab.process import ProcessSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.site import Site

COUNT_MAX: Final = 200
SECONDS_MAX: Final = 1200.0
_PR_SET_PDEATHSIG: Final = 1
_NAME: Final = "hogs"


@contextmanager
def hogs(site: Site, count: int, seconds: float) -> Iterator[None]:
    """Keep the machine busy inside the block, at most for the given time."""
    start(site, count, seconds)
    try:
        yield
    finally:
        stop(site)


def start(site: Site, count: int, seconds: float) -> None:
    """Start hogs that end by themselves."""
    if not 0 < count <= COUNT_MAX or not 0 < seconds <= SECONDS_MAX:
        raise LabError(f"hogs: at most {COUNT_MAX} for at most {SECONDS_MAX:g} s")
    argv = binaries.helper_argv("lab.hogs", str(count), str(seconds))
    site.processes.start(ProcessSpec(_NAME, tuple(argv), env=binaries.helper_env()))


def stop(site: Site) -> None:
    """End the hogs."""
    process = site.processes.get(_NAME)
    if process is not None:
        process.kill()
        site.processes.forget(_NAME)


def burn(seconds: float, parent: int) -> None:
    """Use CPU time until the time is over or the parent is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    end = time.monotonic() + seconds
    while time.monotonic() < end and os.getppid() == parent:
        for _ in range(100_000):
            pass


def main() -> None:
    """Fork the hogs and wait for them."""
    count, seconds = int(sys.argv[1]), float(sys.argv[2])
    me = os.getpid()
    for _ in range(min(count, COUNT_MAX)):
        if os.fork() == 0:
            burn(min(seconds, SECONDS_MAX), me)
            os._exit(0)
    for _ in range(min(count, COUNT_MAX)):
        os.wait()


if __name__ == "__main__":
    main()
