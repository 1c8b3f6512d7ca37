"""News on their way: each is sent a number of times, and the newest go first.

At most one news per key waits; a newer one takes its place. In a datagram go those sent least
often, among them the longest that still fits, among those the newest. Nothing is sent more often
than `retransmit_limit` says.
"""

from __future__ import annotations

import bisect
import math

QUEUE_MAX = 8192
"""More keys than members: those who were dropped from the table may still be in the news."""
_ID_MAX = 1 << 62


def retransmit_limit(mult: int, count: int) -> int:
    """Return how often one news is sent among so many members."""
    return mult * math.ceil(math.log10(count + 1))


class Broadcast:
    """A message on its way to everybody, and how often it was sent."""

    __slots__ = ("is_done", "key", "message", "rank")

    def __init__(self, key: str, message: bytes, rank: tuple[int, int, int]) -> None:
        self.key = key
        self.message = message
        self.rank = rank
        """Times it was sent, its size and its number, the latter two negative."""
        self.is_done = False
        """It was sent often enough, or something newer took its place."""


class BroadcastQueue:
    """The news that wait, in the order in which they are sent."""

    def __init__(self) -> None:
        self._by_key: dict[str, Broadcast] = {}
        self._ranked: list[tuple[tuple[int, int, int], str]] = []
        self._last_id = 0

    def __len__(self) -> int:
        """Count the news that wait."""
        return len(self._ranked)

    def queue(self, key: str, message: bytes) -> Broadcast:
        """Add news, in the place of those with the same key."""
        former = self._by_key.get(key)
        if former is not None:
            self._remove(former)
        elif len(self._ranked) >= QUEUE_MAX:
            self._remove(self._by_key[self._ranked[-1][1]])
        self._last_id += 1
        broadcast = Broadcast(key, message, (0, -len(message), -self._last_id))
        self._insert(broadcast)
        return broadcast

    def take(self, room: int, *, overhead: int, limit: int, count_max: int) -> list[bytes]:
        """Return the news for one datagram with so much room, each costing `overhead` more."""
        taken: list[Broadcast] = []
        transmit_count = 0
        while self._ranked and len(taken) < count_max:
            free = room - overhead
            if free <= 0:
                break
            index = bisect.bisect_left(self._ranked, ((transmit_count, -free, -_ID_MAX), ""))
            if index == len(self._ranked):
                break
            rank, key = self._ranked[index]
            if rank[0] != transmit_count:
                transmit_count = rank[0]
                continue
            del self._ranked[index]
            taken.append(self._by_key[key])
            room -= overhead + len(self._by_key[key].message)
        for broadcast in taken:
            self._return(broadcast, limit)
        return [broadcast.message for broadcast in taken]

    def _return(self, broadcast: Broadcast, limit: int) -> None:
        transmit_count, size, number = broadcast.rank
        if transmit_count + 1 >= limit:
            del self._by_key[broadcast.key]
            broadcast.is_done = True
        else:
            broadcast.rank = (transmit_count + 1, size, number)
            self._insert(broadcast)

    def _insert(self, broadcast: Broadcast) -> None:
        self._by_key[broadcast.key] = broadcast
        bisect.insort(self._ranked, (broadcast.rank, broadcast.key))

    def _remove(self, broadcast: Broadcast) -> None:
        del self._by_key[broadcast.key]
        del self._ranked[bisect.bisect_left(self._ranked, (broadcast.rank, broadcast.key))]
        broadcast.is_done = True

    def validate(self) -> None:
        """Assert the invariants."""
        assert len(self._by_key) == len(self._ranked) <= QUEUE_MAX
        assert self._ranked == sorted(self._ranked)
        for rank, key in self._ranked:
            assert self._by_key[key].rank == rank
            assert not self._by_key[key].is_done
