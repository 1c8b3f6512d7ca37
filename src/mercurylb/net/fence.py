"""Nobody may answer a question that waited while the process stood still.

A process that is continued after a stop finds old questions in its sockets, and others may have
taken over meanwhile. A timer of the loop says again and again that the loop runs. After a stop
either frames or timers come first, and it is not ours to choose:

* frames first: whoever answers asks `is_stale`, and throws away what has waited;
* the timer first: it sees how late it is, and has everybody who watches throw away what has waited
  before anything is read.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD_S = 0.1
VALID_S = 0.5
"""Nobody takes over within a stop that is shorter: its questions are still worth an answer."""


class Fence:
    """Runs on the loop it is made on, until it is closed."""

    def __init__(self) -> None:
        self.until = time.monotonic() + VALID_S
        """On the monotonic clock: when the loop's last sign of life ends."""
        self.dropped_count = 0
        """Questions thrown away."""
        self._loop = asyncio.get_running_loop()
        self._watchers: dict[object, Callable[[], int]] = {}
        self._timer = self._loop.call_later(PERIOD_S, self._renew)

    @property
    def is_stale(self) -> bool:
        """Whether the loop stood still until just now."""
        return time.monotonic() > self.until

    def watch(self, who: object, throw_away: Callable[[], int]) -> None:
        """Have what waits thrown away after a stop; it returns how much that was."""
        self._watchers[who] = throw_away

    def unwatch(self, who: object) -> None:
        """Take somebody off the list."""
        self._watchers.pop(who, None)

    def close(self) -> None:
        """Stop the timer; everything is stale soon."""
        self._timer.cancel()

    def _renew(self) -> None:
        if self.is_stale:
            for throw_away in self._watchers.values():
                self.dropped_count += throw_away()
        self.until = time.monotonic() + VALID_S
        self._timer = self._loop.call_later(PERIOD_S, self._renew)
