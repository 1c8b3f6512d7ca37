"""When a configuration is written: soon, not once per change, and again until it succeeds.

::

    idle --on_configuration--> armed --the time comes--> applying --on_applied--> idle
      ^                          ^                          |
      |                          +------on_failed (5 s)-----+
      +--on_reused (armed with the last configuration, if there is one)

A configuration equal to the last one taken is ignored, even if that one is not applied yet. The
first one arms the timer, later ones only replace what will be applied. Time is monotonic seconds
and always an argument.
"""

from __future__ import annotations

from typing import Final

RETRY_S: Final = 5.0
"""After a write or a signal that failed; for ever, always with the newest configuration."""


class Debounce:
    """Decides what is applied, and when."""

    def __init__(self, interval_s: float, *, retry_s: float = RETRY_S) -> None:
        self._interval_s = interval_s
        self._retry_s = retry_s
        self._latest: str | None = None
        self._deadline: float | None = None

    def on_configuration(self, text: str, now: float) -> bool:
        """Take a configuration; tell whether it is another one than the last."""
        if text == self._latest:
            return False
        self._latest = text
        self._arm(now)
        return True

    def on_reused(self, now: float) -> bool:
        """Apply the last configuration once more; tell whether there is one."""
        if self._latest is None:
            return False
        self._arm(now)
        return True

    def on_failed(self, now: float) -> None:
        """Take that the last attempt came to nothing."""
        self._deadline = now + self._retry_s

    def next_deadline(self) -> float | None:
        """Give the time at which something is to be applied."""
        return self._deadline

    def on_deadline(self, now: float) -> str | None:
        """Give what is to be applied now, if anything is."""
        if self._deadline is None or now < self._deadline:
            return None
        self._deadline = None
        return self._latest

    def _arm(self, now: float) -> None:
        if self._deadline is None:
            self._deadline = now + self._interval_s
