"""When gratuitous rounds are sent (the timing of MetalLB 0.16).

A trigger of an address sends one round at once unless a burst of that address is running, and lets
the burst run until 5 s after the latest trigger. All bursts share one ticker of 1.1 s, so that an
isolated trigger gives 1 + 4 rounds. The optional periodic mode adds one round of every announced
address each N seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

TICK_S = 1.1
BURST_S = 5.0


class BurstSchedule:
    """Decide which addresses get a gratuitous round, and when."""

    def __init__(self, periodic_interval_s: float, now: float) -> None:
        self._interval_s = periodic_interval_s
        self._until: dict[str, float] = {}
        self._tick_at: float | None = None
        self._periodic_at = now + periodic_interval_s if periodic_interval_s > 0 else None

    def trigger(self, address: str, now: float) -> bool:
        """Start or extend the burst of an address; return whether a round is due at once."""
        is_new = address not in self._until
        self._until[address] = now + BURST_S
        if self._tick_at is None:
            self._tick_at = now + TICK_S
        return is_new

    def keep(self, announced: Container[str]) -> None:
        """End the bursts of addresses that are withdrawn."""
        self._until = {text: until for text, until in self._until.items() if text in announced}
        if not self._until:
            self._tick_at = None

    def next_deadline(self) -> float | None:
        """Return when `due` wants to be called next."""
        deadlines = [at for at in (self._tick_at, self._periodic_at) if at is not None]
        return min(deadlines, default=None)

    def due(self, announced: Iterable[str], now: float) -> list[str]:
        """Return the addresses whose round is due now, each once, oldest trigger first."""
        rounds: dict[str, None] = {}
        if self._tick_at is not None and now >= self._tick_at:
            self._until = {ip: until for ip, until in self._until.items() if until >= now}
            rounds |= dict.fromkeys(self._until)
            self._tick_at = _next(self._tick_at, TICK_S, now) if self._until else None
        if self._periodic_at is not None and now >= self._periodic_at:
            rounds |= dict.fromkeys(announced)
            self._periodic_at = _next(self._periodic_at, self._interval_s, now)
        return list(rounds)


def _next(at: float, interval_s: float, now: float) -> float:
    """Keep the rhythm, unless it was lost by more than one interval."""
    following = at + interval_s
    return following if following > now else now + interval_s
