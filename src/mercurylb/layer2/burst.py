"""When gratuitous rounds are sent (the timing of MetalLB 0.16).

A trigger of an address sends one round at once unless a burst of that address is running, and lets
the burst run until 5 s after the latest trigger. All bursts share one ticker of 1.1 s, so that an
isolated trigger gives 1 + 4 rounds. The optional periodic mode adds one round of every announced
address each N seconds.

Rounds that are due wait in line and are handed out `SLICE_MAX` at a time, so that requests are
answered in between also when a node takes over thousands of addresses.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

TICK_S = 1.1
BURST_S = 5.0
SLICE_MAX = 100
"""Rounds in one go: about 3 ms on two interfaces."""

Round = tuple[str, int | None]
"""An address, and the index of the only interface to announce it on; None for all."""


class BurstSchedule:
    """Decide which addresses get a gratuitous round, and when."""

    def __init__(self, periodic_interval_s: float, now: float) -> None:
        self._interval_s = periodic_interval_s
        self._until: dict[str, float] = {}
        self._tick_at: float | None = None
        self._periodic_at = now + periodic_interval_s if periodic_interval_s > 0 else None
        self._waiting: dict[Round, float] = {}
        """Rounds in line, with the time since when."""

    def trigger(self, address: str, now: float) -> None:
        """Start or extend the burst of an address; a new one begins with a round."""
        if address not in self._until:
            self._waiting.setdefault((address, None), now)
        self._extend(address, now)

    def announce(self, address: str, now: float, interface: int | None = None) -> None:
        """Begin or extend the burst of an address with a round, on one interface or all."""
        self._waiting.setdefault((address, interface), now)
        self._extend(address, now)

    def keep(self, announced: Container[str]) -> None:
        """End the bursts of addresses that are withdrawn."""
        self._until = {text: until for text, until in self._until.items() if text in announced}
        self._waiting = {what: at for what, at in self._waiting.items() if what[0] in announced}
        if not self._until:
            self._tick_at = None

    def next_deadline(self) -> float | None:
        """Return when `due` wants to be called next."""
        waiting = next(iter(self._waiting.values()), None)
        deadlines = [at for at in (waiting, self._tick_at, self._periodic_at) if at is not None]
        return min(deadlines, default=None)

    def due(self, announced: Iterable[str], now: float) -> list[Round]:
        """Return the rounds to send now, oldest trigger first, at most `SLICE_MAX`."""
        if self._tick_at is not None and now >= self._tick_at:
            self._until = {ip: until for ip, until in self._until.items() if until >= now}
            self._queue(self._until, now)
            self._tick_at = _next(self._tick_at, TICK_S, now) if self._until else None
        if self._periodic_at is not None and now >= self._periodic_at:
            self._queue(announced, now)
            self._periodic_at = _next(self._periodic_at, self._interval_s, now)
        rounds = list(itertools.islice(self._waiting, SLICE_MAX))
        for what in rounds:
            del self._waiting[what]
        return rounds

    def _extend(self, address: str, now: float) -> None:
        self._until[address] = now + BURST_S
        if self._tick_at is None:
            self._tick_at = now + TICK_S

    def _queue(self, addresses: Iterable[str], now: float) -> None:
        for address in addresses:
            self._waiting.setdefault((address, None), now)


def _next(at: float, interval_s: float, now: float) -> float:
    """Keep the rhythm, unless it was lost by more than one interval."""
    following = at + interval_s
    return following if following > now else now + interval_s
