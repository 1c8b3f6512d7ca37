"""How long services wait for their addresses, as far as that is up to the controller.

The clock of a service starts when a pass is to decide about it, and stops when the API server has
its addresses; who gets none for whatever reason is not measured.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mercurylb.telemetry.metrics import Histogram

BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Stopwatch:
    """Measures services that get addresses."""

    def __init__(
        self, histogram: Histogram, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._histogram = histogram
        self._clock = clock
        self._began_at: dict[str, float] = {}

    def begin(self, keys: Iterable[str]) -> None:
        """Start the clocks of some services; those that run already go on."""
        now = self._clock()
        for key in keys:
            self._began_at.setdefault(key, now)

    def drop(self, key: str) -> None:
        """Take it that a service gets nothing now."""
        self._began_at.pop(key, None)

    def end(self, key: str) -> None:
        """Take it that a service has its addresses."""
        began_at = self._began_at.pop(key, None)
        if began_at is not None:
            self._histogram.observe(self._clock() - began_at)

    def clear(self) -> None:
        """Forget every service that is being timed."""
        self._began_at.clear()
