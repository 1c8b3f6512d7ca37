"""When to join listed peers that are no members, again and again.

Quickly at first, then every `PAUSE_MAX_S`; every change of the list, and every start, begins anew.
Our own announcers come back by themselves; MetalLB's speakers never knock.
"""

from __future__ import annotations

PAUSE_MIN_S = 0.5
PAUSE_MAX_S = 10.0


class Rejoin:
    """When to try next; the pause grows with every try that was in vain."""

    def __init__(self) -> None:
        self._at: float | None = None
        self._pause_s = PAUSE_MIN_S

    def begin(self, now: float) -> None:
        """Be quick again."""
        self._pause_s = PAUSE_MIN_S
        self._at = now + self._pause_s

    def end(self) -> None:
        """Join nobody any more."""
        self._at = None

    def next_deadline(self) -> float | None:
        """Return when to try next."""
        return self._at

    def take_due(self, now: float) -> bool:
        """Return whether to try now."""
        if self._at is None or now < self._at:
            return False
        self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)
        self._at = now + self._pause_s
        return True
