"""How far a member trusts its own findings (Lifeguard's local health).

0 is healthy. Everything that hints at ourselves being slow or cut off raises the score, and our
probes wait for (score + 1) times as long.
"""

from __future__ import annotations


class Awareness:
    """The score, from 0 to one less than the multiplier it may lead to."""

    def __init__(self, multiplier_max: int) -> None:
        self._score_max = max(0, multiplier_max - 1)
        self.score = 0

    def add(self, delta: int) -> None:
        """Raise or lower the score within its bounds."""
        self.score = min(max(0, self.score + delta), self._score_max)

    def scale(self, interval_s: float) -> float:
        """Return an interval as long as our health asks for."""
        return interval_s * (self.score + 1)

    def validate(self) -> None:
        """Assert the invariants."""
        assert 0 <= self.score <= self._score_max
