"""Build a thing once: a lock against a second builder, a scratch folder, an atomic rename."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab import paths
from lab.progress import say, step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY_LENGTH: Final = 16


def build_once(target: Path, what: str, build: Callable[[Path], None]) -> Path:
    """Return `target`; when it is missing, have `build` fill a scratch folder that becomes it.

    `build` gets an empty folder beside the target. Whatever it raises leaves no target behind.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with lock(target.name, what):
        if target.exists():
            return target
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            with step(what):
                build(scratch)
            scratch.chmod(0o755)
            scratch.rename(target)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    return target


def drop_older(current: Path, pattern: str, *, keep: int) -> None:
    """Remove all but the latest `keep` folders beside `current` that match `pattern`.

    For results that change with every edit of the code; `current` itself is not counted.
    """
    others = [path for path in current.parent.glob(pattern) if path != current]
    for old in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[keep:]:
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def lock(name: str, what: str) -> Iterator[None]:
    """Hold the machine-wide lock called `name`; say so when another process has it."""
    folder = paths.cache_root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{what}: another process is at it, waiting")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
