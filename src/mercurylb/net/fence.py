"""Nobody may answer a question that waited while the process stood still.

A process that is continued after a stop finds old questions in its sockets before it finds out that
it stood still, and others may have taken over meanwhile. So a timer of the loop says again and
again that the loop runs; whoever answers asks `is_stale` first and throws away what has waited.
"""

from __future__ import annotations

import asyncio
import time

PERIOD_S = 0.1
VALID_S = 0.5
"""Nobody takes over within a stop that is shorter: its questions are still worth an answer."""


class Fence:
    """Runs on the loop it is made on, until it is closed."""

    def __init__(self) -> None:
        self.until = 0.0
        """On the monotonic clock: when the loop's last sign of life ends."""
        self.dropped_count = 0
        """Questions thrown away."""
        self._loop = asyncio.get_running_loop()
        self._renew()

    @property
    def is_stale(self) -> bool:
        """Whether the loop stood still until just now."""
        return time.monotonic() > self.until

    def close(self) -> None:
        """Stop the timer; everything is stale soon."""
        self._timer.cancel()

    def _renew(self) -> None:
        self.until = time.monotonic() + VALID_S
        self._timer = self._loop.call_later(PERIOD_S, self._renew)
