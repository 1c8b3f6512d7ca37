"""Where log lines leave the announcer, without ever making the wire wait.

Standard output is a pipe to whoever collects logs, and a pipe can be full. The announcer shares it
with the brain, so it must not be made non-blocking for both; a descriptor of our own to the same
pipe is. Lines that do not fit wait here, up to `WAITING_BYTES_MAX`; beyond that they are counted,
and the count is told once there is room again (`log.dropped`).
Regular files never make anybody wait and are written as they are.
"""

from __future__ import annotations

import collections
import contextlib
import os
import select
import stat
import time
from typing import TYPE_CHECKING

from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    import asyncio

STDOUT = 1
WAITING_BYTES_MAX = 256 * 1024
_ATOMIC_BYTES = 4096
"""PIPE_BUF: as much as a pipe that can be written to takes without blocking."""


class Outlet:
    """A stream for `telemetry.logs`."""

    def __init__(self, descriptor: int = STDOUT) -> None:
        self.dropped_count = 0
        """Lines lost since the last `log.dropped`."""
        self._waiting: collections.deque[bytes] = collections.deque()
        self._waiting_bytes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_watched = False
        self._descriptor = _own_descriptor(descriptor)
        self._is_own = self._descriptor != descriptor
        self._can_block = not self._is_own and not _is_file(descriptor)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write what waits as soon as there is room, from now on."""
        self._loop = loop
        self.flush()

    def write(self, text: str, /) -> int:
        """Take a line; it leaves with `flush`, or later, or never."""
        line = text.encode(errors="backslashreplace")
        if self._waiting_bytes + len(line) > WAITING_BYTES_MAX:
            self.dropped_count += 1
        else:
            self._waiting.append(line)
            self._waiting_bytes += len(line)
        return len(text)

    def flush(self) -> None:
        """Write what can be written now."""
        while self._waiting:
            line = self._waiting[0]
            try:
                written_count = self._write(line)
            except BlockingIOError:
                self._watch()
                return
            except OSError:  # Nobody reads any more.
                written_count = len(line)
            self._waiting_bytes -= written_count
            if written_count < len(line):
                self._waiting[0] = line[written_count:]
            else:
                self._waiting.popleft()
        self._unwatch()
        if self.dropped_count:
            count, self.dropped_count = self.dropped_count, 0
            log.warning("log.dropped", count=count)

    def close(self, timeout_s: float = 0.2) -> None:
        """Give the last lines a little time; then they are lost."""
        ends_at = time.monotonic() + timeout_s
        while self._waiting and time.monotonic() < ends_at:
            self.flush()
            if self._waiting:
                select.select([], [self._descriptor], [], 0.01)
        self._unwatch()
        if self._is_own:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)

    def _write(self, line: bytes) -> int:
        if not self._can_block:
            return os.write(self._descriptor, line)
        if not select.select([], [self._descriptor], [], 0)[1]:
            raise BlockingIOError
        return os.write(self._descriptor, line[:_ATOMIC_BYTES])

    def _watch(self) -> None:
        if self._loop is not None and not self._is_watched:
            self._is_watched = True
            self._loop.add_writer(self._descriptor, self.flush)

    def _unwatch(self) -> None:
        if self._loop is not None and self._is_watched:
            self._is_watched = False
            self._loop.remove_writer(self._descriptor)


def _own_descriptor(descriptor: int) -> int:
    """Open the same pipe or terminal once more, non-blocking for us alone, where possible."""
    if _is_file(descriptor):
        return descriptor
    try:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:
        return descriptor


def _is_file(descriptor: int) -> bool:
    """Tell whether writing never waits: a regular file, or nothing at all."""
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return True
