"""How long a suspect is waited for.

A suspicion starts with the longest time and comes down to the shortest as others, who know it of
their own, confirm it (Lifeguard)::

    min = mult · max(1, log10 n) · probe interval            n: members known, the dead too
    max = min · maximal multiplier
    k   = mult - 2 confirmations are waited for, none if fewer than k others could give one
    c-th confirmation:  max - ln(c + 1) / ln(k + 1) · (max - min), in whole milliseconds

The multiplier of the logarithm is cut to three decimals.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mercurylb.membership.swim.config import SwimConfig

_STALE_MIN = 64
_OTHERS = 2
"""Ourselves and the suspect do not confirm."""


def shortest_s(mult: int, count: int, interval_s: float) -> float:
    """Return the shortest time of a suspicion among so many members."""
    scale = max(1.0, math.log10(max(1, count)))
    return mult * int(scale * 1000) * interval_s / 1000


class Suspicion:
    """The suspicion of one member."""

    __slots__ = ("_confirmation_count", "_max_s", "_min_s", "_origins", "deadline", "k", "since")

    def __init__(self, origin: str, *, count: int, config: SwimConfig, now: float) -> None:
        self.since = now
        self._min_s = shortest_s(config.suspicion_mult, count, config.probe_interval_s)
        self._max_s = config.suspicion_max_timeout_mult * self._min_s
        k = config.suspicion_mult - 2
        self.k = max(0, k) if count - _OTHERS >= k else 0
        self._origins = {origin}
        self._confirmation_count = 0
        self.deadline = now + (self._max_s if self.k else self._min_s)

    def confirm(self, origin: str) -> bool:
        """Count somebody's own finding; return whether it was news."""
        if self._confirmation_count >= self.k or origin in self._origins:
            return False
        self._origins.add(origin)
        self._confirmation_count += 1
        share = math.log(self._confirmation_count + 1) / math.log(self.k + 1)
        whole_ms = math.floor(1000 * (self._max_s - share * (self._max_s - self._min_s)))
        self.deadline = self.since + max(self._min_s, whole_ms / 1000)
        return True

    def shift(self, by_s: float) -> None:
        """Let time that nobody could use not count."""
        self.since += by_s
        self.deadline += by_s


class Suspicions:
    """All suspicions, and which of them ends first."""

    def __init__(self) -> None:
        self._suspicions: dict[str, Suspicion] = {}
        self._heap: list[tuple[float, str]] = []
        """May hold what is over or has moved; those are dropped when they come up."""

    def __contains__(self, name: str) -> bool:
        """Whether a member is suspect."""
        return name in self._suspicions

    def __len__(self) -> int:
        """Count the suspects."""
        return len(self._suspicions)

    def start(
        self, name: str, origin: str, *, count: int, config: SwimConfig, now: float
    ) -> Suspicion:
        """Begin to suspect."""
        suspicion = Suspicion(origin, count=count, config=config, now=now)
        self._suspicions[name] = suspicion
        self._push(name, suspicion.deadline)
        return suspicion

    def confirm(self, name: str, origin: str) -> bool:
        """Count a confirmation; return whether it was news."""
        suspicion = self._suspicions[name]
        is_news = suspicion.confirm(origin)
        if is_news:
            self._push(name, suspicion.deadline)
        return is_news

    def cancel(self, name: str) -> None:
        """Suspect no more, if there was a suspicion."""
        self._suspicions.pop(name, None)

    def next_deadline(self) -> float | None:
        """Return when the first one ends."""
        while self._heap:
            deadline, name = self._heap[0]
            suspicion = self._suspicions.get(name)
            if suspicion is not None and suspicion.deadline == deadline:
                return deadline
            heapq.heappop(self._heap)
        return None

    def take_due(self, now: float) -> str | None:
        """Return a suspect whose time is over, and suspect it no more."""
        deadline = self.next_deadline()
        if deadline is None or deadline > now:
            return None
        _, name = heapq.heappop(self._heap)
        del self._suspicions[name]
        return name

    def shift(self, by_s: float) -> None:
        """Let time that nobody could use not count."""
        for suspicion in self._suspicions.values():
            suspicion.shift(by_s)
        self._rebuild()

    def _push(self, name: str, deadline: float) -> None:
        heapq.heappush(self._heap, (deadline, name))
        if len(self._heap) > 2 * len(self._suspicions) + _STALE_MIN:
            self._rebuild()

    def _rebuild(self) -> None:
        self._heap = [(s.deadline, name) for name, s in self._suspicions.items()]
        heapq.heapify(self._heap)

    def validate(self) -> None:
        """Assert the invariants."""
        assert len(self._heap) <= 2 * len(self._suspicions) + _STALE_MIN
        waiting = set(self._heap)
        for name, suspicion in self._suspicions.items():
            assert (suspicion.deadline, name) in waiting, name
