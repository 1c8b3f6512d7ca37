"""Which addresses of a pool are in use, and which is the next one to give away.

An address is found without walking the pool. For each family there is a cursor, below which
everything was given out at least once or must be avoided, and a heap of what came back since. The
lowest free address is the top of the heap or else the cursor. The cursor only moves up, so all
searches together pass each address at most once, and an IPv6 /64 costs what is used of it.

Addresses are ordered by position: first the index of their prefix in the pool, as written, then
their number. Both stand in one integer. How an address to share is found is in `sharing`.

Most addresses have one holder that shares with nobody: for those only its name is kept.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from mercurylb.allocator.capacity import COUNTER_MAX, capacity_of
from mercurylb.allocator.sharing import SharedGroup, SharedUse
from mercurylb.allocator.verdict import PoolReason, PoolVerdict
from mercurylb.values.address import BITS, IPV4, IPV6, Address, Family
from mercurylb.values.prefix import Prefix, is_buggy

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from mercurylb.allocator.claim import Port, ShareKey
    from mercurylb.config.model import Pool


class PoolCounters(msgspec.Struct, frozen=True, gc=False):
    """How big a pool is and how full; a shared address counts once."""

    pool: str
    total: int
    ipv4: int
    ipv6: int
    ipv4_in_use: int
    ipv6_in_use: int

    @property
    def in_use(self) -> int:
        """Count the addresses in use, of both families."""
        return self.ipv4_in_use + self.ipv6_in_use

    @property
    def ipv4_available(self) -> int:
        """Count what is left."""
        return self.ipv4 - self.ipv4_in_use

    @property
    def ipv6_available(self) -> int:
        """Count what is left; saturated capacities make this a lower bound."""
        return self.ipv6 - self.ipv6_in_use


class FamilyUsage:
    """The addresses of one family in one pool."""

    __slots__ = (
        "_avoid_buggy",
        "_bits",
        "_block",
        "_cursor",
        "_groups",
        "_returned",
        "_returned_heap",
        "capacity",
        "family",
        "is_full",
        "prefixes",
        "uses",
    )

    def __init__(
        self, family: Family, prefixes: tuple[tuple[int, Prefix], ...], *, avoid_buggy: bool
    ) -> None:
        self.family = family
        self.prefixes = prefixes
        """With their indexes in the pool."""
        self.capacity = capacity_of((each for _, each in prefixes), avoid_buggy=avoid_buggy)
        self.uses: dict[int, str | SharedUse] = {}
        """By number: the holder if it shares with nobody, else everybody on the address."""
        self.is_full = not prefixes
        """Nothing is free: it was looked for in vain, and nothing came back since."""
        self._avoid_buggy = avoid_buggy
        self._bits = BITS[family]
        self._block = 0
        self._cursor = prefixes[0][1].first if prefixes else 0
        self._returned: set[int] = set()
        self._returned_heap: list[int] = []
        self._groups: dict[ShareKey, SharedGroup] = {}

    # --- who is where ------------------------------------------------------------------------

    def add(
        self, order: int, number: int, service: str, ports: frozenset[Port], share_key: ShareKey
    ) -> None:
        """Put a service on an address of the prefix with that index."""
        use = self.uses.get(number)
        if use is None:
            if not share_key[0]:
                self.uses[number] = service
                return
            use = self.uses[number] = SharedUse(share_key)
            group = self._groups.get(share_key)
            if group is None:
                group = self._groups[share_key] = SharedGroup(share_key)
            group.join(order << self._bits | number)
        assert isinstance(use, SharedUse), f"{service} joins {use}, which does not share"
        use.holders[service] = None
        for port in ports:
            use.ports[port] = service
        self._groups[share_key].take(ports)

    def remove(self, order: int, number: int, service: str, ports: frozenset[Port]) -> None:
        """Take a service off an address; the last one to leave frees it."""
        position = order << self._bits | number
        use = self.uses[number]
        if isinstance(use, SharedUse):
            del use.holders[service]
            for port in ports:
                del use.ports[port]
            group = self._groups[use.share_key]
            group.give_back(position, ports)
            if use.holders:
                return
            group.leave(position)
            if not group:
                del self._groups[use.share_key]
        else:
            assert use == service, f"{service} leaves what {use} has"
        del self.uses[number]
        self.is_full = False
        if position < self._cursor_position() and position not in self._returned:
            self._returned.add(position)
            heappush(self._returned_heap, position)

    def shared_at(self, position: int) -> SharedUse | None:
        """Give the use of an address, if it is shared at all."""
        use = self.uses.get(position & (1 << self._bits) - 1)
        return use if isinstance(use, SharedUse) else None

    def holders(self, number: int) -> tuple[str, ...]:
        """Give the services on an address."""
        use = self.uses.get(number)
        if use is None:
            return ()
        return tuple(use.holders) if isinstance(use, SharedUse) else (use,)

    def services(self) -> Iterator[str]:
        """Give everybody; who has two addresses may come twice."""
        for use in self.uses.values():
            if isinstance(use, SharedUse):
                yield from use.holders
            else:
                yield use

    def group_size(self, share_key: ShareKey) -> int:
        """Count the addresses whose holders have that key."""
        group = self._groups.get(share_key)
        return len(group) if group else 0

    def validate(self, held: dict[Address, set[str]]) -> None:
        """Assert that this agrees with what is held of it, which is taken out of `held`."""
        groups: dict[ShareKey, int] = {}
        for number, use in self.uses.items():
            address = Address(self.family, number)
            assert set(self.holders(number)) == held.pop(address), address
            if isinstance(use, SharedUse):
                assert use.share_key[0], address
                groups[use.share_key] = groups.get(use.share_key, 0) + 1
        assert groups == {key: len(group) for key, group in self._groups.items()}

    # --- what is next ------------------------------------------------------------------------

    def find(self, *, share_key: ShareKey, ports: frozenset[Port]) -> Address | None:
        """Give the first address in the pool's order that a newcomer may have."""
        position = self._first_free()
        group = self._groups.get(share_key) if share_key[0] else None
        if group is not None:
            shared = group.lowest_fitting(ports, self, below=position)
            if shared is not None and (position is None or shared < position):
                position = shared
        if position is None:
            return None
        return Address(self.family, position & (1 << self._bits) - 1)

    def _first_free(self) -> int | None:
        heap, mask = self._returned_heap, (1 << self._bits) - 1
        while heap:
            if heap[0] & mask not in self.uses:
                return heap[0]
            self._returned.discard(heappop(heap))
        while self._block < len(self.prefixes):
            order, prefix = self.prefixes[self._block]
            self._advance(prefix.last)
            if self._cursor <= prefix.last:
                return order << self._bits | self._cursor
            self._block += 1
            if self._block < len(self.prefixes):
                self._cursor = self.prefixes[self._block][1].first
        self.is_full = True
        return None

    def _advance(self, last: int) -> None:
        """Move the cursor to the next address that may be given out, or beyond `last`."""
        number, uses = self._cursor, self.uses
        while number <= last and (
            number in uses or (self._avoid_buggy and is_buggy(self.family, number))
        ):
            number += 1
        self._cursor = number

    def _cursor_position(self) -> int:
        """Give the position of the cursor; beyond everything when all was given out once."""
        if self._block == len(self.prefixes):
            return 1 << 2 * self._bits
        return self.prefixes[self._block][0] << self._bits | self._cursor

    def first_used(self, count_max: int) -> list[int]:
        """Give the lowest addresses in use of a pool that is full."""
        numbers = (
            number
            for _, prefix in self.prefixes
            for number in range(prefix.first, prefix.last + 1)
            if not (self._avoid_buggy and is_buggy(self.family, number))
        )
        return [number for number in islice(numbers, count_max) if number in self.uses]


class PoolUsage:
    """One pool with everything that is in use of it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.families: dict[Family, FamilyUsage] = {
            family: FamilyUsage(
                family,
                tuple(
                    (order, prefix)
                    for order, prefix in enumerate(pool.prefixes)
                    if prefix.family == family
                ),
                avoid_buggy=pool.avoid_buggy_ips,
            )
            for family in (IPV4, IPV6)
        }
        self.chosen = PoolVerdict(pool.name, PoolReason.CHOSEN)
        self.kept = PoolVerdict(pool.name, PoolReason.KEPT)
        self.remembered: dict[Hashable, PoolVerdict] = {}
        """Verdicts on kinds of claims; forgotten when anything about the pool changes."""

    def is_of(self, pool: Pool) -> bool:
        """Tell whether a pool gives out the same addresses in the same order."""
        mine = self.pool
        return mine.prefixes == pool.prefixes and mine.avoid_buggy_ips == pool.avoid_buggy_ips

    def become(self, pool: Pool) -> None:
        """Stand for a pool with the same addresses, whatever else changed."""
        self.pool = pool
        self.remembered.clear()

    def find(
        self, family: Family, *, share_key: ShareKey, ports: frozenset[Port]
    ) -> Address | None:
        """Give the first address in the pool's order that a newcomer may have."""
        return self.families[family].find(share_key=share_key, ports=ports)

    def counters(self) -> PoolCounters:
        """Count; takes no longer for a full pool than for an empty one."""
        ipv4, ipv6 = self.families[IPV4], self.families[IPV6]
        return PoolCounters(
            pool=self.pool.name,
            total=min(ipv4.capacity + ipv6.capacity, COUNTER_MAX),
            ipv4=ipv4.capacity,
            ipv6=ipv6.capacity,
            ipv4_in_use=len(ipv4.uses),
            ipv6_in_use=len(ipv6.uses),
        )
