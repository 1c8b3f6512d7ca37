"""Where the lab keeps things: caches that survive, and the state of running labs.

The cache root is ``MERCURYLB_CACHE``, else ``$XDG_CACHE_HOME/mercurylb``, else
``~/.cache/mercurylb``.  The state root is ``MERCURYLB_LAB_STATE``, else ``/run/mercurylb-lab``; it
holds one folder per lab name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent


def cache_root() -> Path:
    """Return the folder of everything built or downloaded once."""
    if given := os.environ.get("MERCURYLB_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mercurylb"


def state_root() -> Path:
    """Return the folder that holds one folder per running lab."""
    return Path(os.environ.get("MERCURYLB_LAB_STATE") or "/run/mercurylb-lab")


def lab_dir(name: str) -> Path:
    """Return the state folder of the lab called ``name``."""
    return state_root() / name
