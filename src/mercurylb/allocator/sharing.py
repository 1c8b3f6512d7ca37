"""Which of the addresses that share a key a newcomer may join.

A group is the addresses of one pool and family whose holders have the same sharing key and backend
key. A newcomer joins the lowest on which none of its ports is taken. Walking the group for that is
what must not happen: a thousand services that all want port 80 would look at each other's addresses
a million times. So the group remembers, for each set of ports that was asked for, how far it looked
(everything below did not fit), and in a heap which addresses below may have come to fit since:
those that joined, and those on which one of the ports came free.

All searches for one set of ports together pass each address once, plus once for each time it became
worth another look. What is remembered is bounded; a set that was forgotten starts anew, but not
below the mark of its scarcest port alone.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.allocator.claim import Port, ShareKey

SEARCHES_MAX: Final = 64
"""Sets of ports per group whose searches are remembered."""


class SharedUse:
    """Who is on one address, all with the same key."""

    __slots__ = ("holders", "ports", "share_key")

    def __init__(self, share_key: ShareKey) -> None:
        self.holders: dict[str, None] = {}
        self.ports: dict[Port, str] = {}
        self.share_key = share_key

    def fits(self, ports: Iterable[Port]) -> bool:
        """Tell whether nobody has any of the ports yet."""
        return self.ports.keys().isdisjoint(ports)


class Uses(Protocol):
    """Where a group looks its addresses up."""

    def shared_at(self, position: int) -> SharedUse | None:
        """Give the use of an address, if it is shared at all."""


class _Search:
    """How far one set of ports was looked for."""

    __slots__ = ("again", "mark", "queued")

    def __init__(self, mark: int) -> None:
        self.mark = mark
        """No address below fits, but for those in `again`."""
        self.again: list[int] = []
        self.queued: set[int] = set()

    def look_again(self, position: int) -> None:
        if position < self.mark and position not in self.queued:
            self.queued.add(position)
            heappush(self.again, position)


class SharedGroup:
    """The addresses with one key, by their position in the pool's order."""

    __slots__ = ("_positions", "_searches", "_taken", "share_key")

    def __init__(self, share_key: ShareKey) -> None:
        self.share_key = share_key
        self._positions: list[int] = []
        self._taken: dict[Port, int] = {}
        """On how many addresses each port is taken."""
        self._searches: dict[frozenset[Port], _Search] = {}

    def __len__(self) -> int:
        return len(self._positions)

    def join(self, position: int) -> None:
        """Add an address; its ports are added by `take`."""
        insort(self._positions, position)
        for search in self._searches.values():
            search.look_again(position)

    def leave(self, position: int) -> None:
        """Remove an address, after its ports were given back."""
        del self._positions[bisect_left(self._positions, position)]

    def take(self, ports: frozenset[Port]) -> None:
        """Note that ports are taken on one of the addresses."""
        for port in ports:
            self._taken[port] = self._taken.get(port, 0) + 1

    def give_back(self, position: int, ports: frozenset[Port]) -> None:
        """Note that ports came free on an address."""
        for port in ports:
            count = self._taken[port] - 1
            if count:
                self._taken[port] = count
            else:
                del self._taken[port]
        for wanted, search in self._searches.items():
            if not wanted.isdisjoint(ports):
                search.look_again(position)

    def lowest_fitting(
        self, ports: frozenset[Port], uses: Uses, *, below: int | None = None
    ) -> int | None:
        """Give the first address on which none of the ports is taken.

        Addresses at `below` and above are of no interest: there is a free one.
        """
        search = self._search_for(ports, uses, below)
        again = search.again
        while again:
            if self._fits(again[0], ports, uses):
                return again[0]
            search.queued.discard(heappop(again))
        positions = self._positions
        index = bisect_left(positions, search.mark)
        while index < len(positions) and (below is None or positions[index] < below):
            position = search.mark = positions[index]
            if self._fits(position, ports, uses):
                return position
            search.mark = position + 1
            index += 1
        return None

    def _fits(self, position: int, ports: frozenset[Port], uses: Uses) -> bool:
        use = uses.shared_at(position)
        return use is not None and use.share_key == self.share_key and use.fits(ports)

    def _search_for(self, ports: frozenset[Port], uses: Uses, below: int | None) -> _Search:
        """Give what is remembered of a search, as the one that is forgotten last."""
        search = self._searches.pop(ports, None)
        if search is None:
            search = _Search(self._first_worth_a_look(ports, uses, below))
        while len(self._searches) >= SEARCHES_MAX:
            del self._searches[next(iter(self._searches))]
        self._searches[ports] = search
        return search

    def _first_worth_a_look(self, ports: frozenset[Port], uses: Uses, below: int | None) -> int:
        """Give where to begin: where the scarcest of several ports alone would be found."""
        if len(ports) > 1:
            scarcest = max(sorted(ports), key=lambda port: self._taken.get(port, 0))
            single = frozenset((scarcest,))
            alone = self.lowest_fitting(single, uses, below=below)
            return self._searches[single].mark if alone is None else alone
        return 0
