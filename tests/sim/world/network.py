"""One layer-2 network that loses, delays, duplicates, reorders, and keeps nodes apart.

Everything is per direction of a pair of nodes: the same state decides about datagrams, frames,
TCP segments and what kernels answer among themselves.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

SYN_RETRY_S = 1.0
SEGMENT_RETRY_S = 0.2
RETRIES_MAX = 6


class Network:
    """Who reaches whom, and how badly."""

    def __init__(self, chance: random.Random) -> None:
        self.seen: collections.Counter[str] = collections.Counter()
        """Faults that really happened to something on its way."""
        self.group_of: dict[str, int] = {}
        """Partition: nodes of different groups do not reach each other; 0 unless told."""
        self.isolated: set[str] = set()
        """Nodes that reach nobody."""
        self.one_way: set[tuple[str, str]] = set()
        """Pairs (sender, receiver) between which nothing passes in this direction."""
        self.loss_of: dict[tuple[str, str], float] = {}
        self._chance = chance
        self.become_quiet()

    def become_quiet(self) -> None:
        """Take back every fault but partitions and isolations."""
        self.loss = 0.0
        self.delay_s = 0.0002
        self.jitter_s = 0.001
        self.duplication = 0.0
        self.one_way.clear()
        self.loss_of.clear()

    def is_open(self, sender: str, receiver: str) -> bool:
        """Say whether anything can pass in this direction."""
        if sender in self.isolated or receiver in self.isolated:
            self.seen["isolation"] += 1
            return False
        if self.group_of.get(sender, 0) != self.group_of.get(receiver, 0):
            self.seen["partition"] += 1
            return False
        if (sender, receiver) in self.one_way:
            self.seen["one way"] += 1
            return False
        return True

    def flights(self, sender: str, receiver: str) -> tuple[float, ...]:
        """Return how long each copy of one packet travels; none when it does not arrive."""
        if not self.is_open(sender, receiver) or self._is_lost(sender, receiver):
            return ()
        if self.duplication and self._chance.random() < self.duplication:
            self.seen["duplicate"] += 1
            return self._flight(), self._flight()
        return (self._flight(),)

    def segment_s(self, sender: str, receiver: str, *, is_first: bool = False) -> float | None:
        """Return when TCP gets something across and acknowledged; None when it never does."""
        if not (self.is_open(sender, receiver) and self.is_open(receiver, sender)):
            return None
        taken_s = self._flight()
        retry_s = SYN_RETRY_S if is_first else SEGMENT_RETRY_S
        for _ in range(RETRIES_MAX):
            if not self._is_lost(sender, receiver):
                return taken_s
            taken_s += retry_s
            retry_s *= 2
        return None

    def _is_lost(self, sender: str, receiver: str) -> bool:
        loss = self.loss
        if self.loss_of:
            loss = max(loss, self.loss_of.get((sender, receiver), 0.0))
        if loss and self._chance.random() < loss:
            self.seen["loss"] += 1
            return True
        return False

    def _flight(self) -> float:
        flight_s = self.delay_s + self._chance.random() * self.jitter_s
        if flight_s > 0.05:
            self.seen["delay"] += 1
        return flight_s
