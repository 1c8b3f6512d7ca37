"""Virtual time: what will happen, in order, and clocks that run fast or slow."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Timeline:
    """Everything that will happen; what is due at the same moment happens in the order planned."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.step_count = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call something at a time, or now if that is past."""
        heapq.heappush(self._events, (when, next(self._order), call))

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something later."""
        self.at(self.now + seconds, call)

    def run(self, seconds: float) -> None:
        """Let the time pass and everything happen that falls into it."""
        ends_at = self.now + seconds
        events = self._events
        while events and events[0][0] <= ends_at:
            when, _, call = heapq.heappop(events)
            self.now = max(self.now, when)
            self.step_count += 1
            call()
        self.now = ends_at


class Clock:
    """A node's own clock, which shows `rate` seconds per second of the world."""

    def __init__(self, timeline: Timeline, *, rate: float, offset: float) -> None:
        self._timeline = timeline
        self._rate = rate
        self._offset = offset

    def now(self) -> float:
        """Return what the clock shows."""
        return self._timeline.now * self._rate + self._offset

    def when(self, shown: float) -> float:
        """Return the world's time at which the clock will show this."""
        return (shown - self._offset) / self._rate
