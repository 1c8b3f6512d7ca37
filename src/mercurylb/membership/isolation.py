"""Whether this node may be without the others' knowledge, and owns nothing therefore.

==================================  ===========================================================
it begins                           it ends
==================================  ===========================================================
our link lost its carrier           the carrier is back, and then as below
this process stood still for long   somebody shows that we count as alive, in answer to what we
everybody heard says we are dead    asked since; or for `grace_s` nobody of ours is heard
==================================  ===========================================================

A node alone in the world is not isolated for longer than the grace: then nobody else can own.
"""

from __future__ import annotations

ASK_INTERVAL_S = 0.05
DENIAL_S = 1.0


class Isolation:
    """The state of it; who asks and acts is the membership."""

    def __init__(self, *, grace_s: float) -> None:
        self._grace_s = grace_s
        self._since: float | None = None
        self._ask_at: float | None = None
        self._denied_since: float | None = None
        self.has_carrier = True

    @property
    def is_on(self) -> bool:
        """Return whether this node is isolated."""
        return self._since is not None

    @property
    def since(self) -> float | None:
        """Return since when; a carrier that comes back begins it anew."""
        return self._since

    def begin(self, now: float) -> None:
        """Be isolated, and ask at once if anybody can be asked."""
        self._since = now
        self._denied_since = None
        self._ask_at = now if self.has_carrier else None

    def on_late(self, seconds: float) -> None:
        """Take off the grace what we ourselves stood still."""
        if self._since is not None:
            self._since += seconds

    def end(self) -> None:
        """Be isolated no longer."""
        self._since = self._ask_at = self._denied_since = None

    def take_due_question(self, now: float) -> bool:
        """Return whether the others are to be asked now."""
        if self._ask_at is None or now < self._ask_at:
            return False
        self._ask_at = now + ASK_INTERVAL_S
        return True

    def next_deadline(self) -> float | None:
        """Return when to ask again, or when the grace is over."""
        return self._ask_at

    def is_alone(self, heard_at: float | None, now: float) -> bool:
        """Return whether nobody of ours has been heard for the grace."""
        if self._since is None or not self.has_carrier:
            return False
        return now - max(self._since, heard_at or self._since) >= self._grace_s

    def on_views(self, *, is_denied: bool, now: float) -> bool:
        """Return whether those who are heard have denied us for too long."""
        if not is_denied:
            self._denied_since = None
        elif self._denied_since is None:
            self._denied_since = now
        return self._denied_since is not None and now - self._denied_since >= DENIAL_S
