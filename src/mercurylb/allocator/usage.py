"""Which addresses of a pool are in use, and which is the next one to give away.

An address is found without walking the pool: each block (one prefix) has a cursor below which
everything was given out at least once, and a heap of what came back since. The lowest free address
is the top of the heap or else the cursor. The cursor only moves up, so all searches together pass
each address of a block at most once, and an IPv6 /64 costs what is used of it.

Shared addresses are found per sharing key: a sorted list of the addresses with that key, and per
set of ports a mark below which none of them can take those ports.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heappop, heappush, nsmallest
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.values.address import BITS, IPV4, IPV6, Address, Family
from mercurylb.values.prefix import Prefix, is_buggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.allocator.claim import Port, ShareKey
    from mercurylb.config.model import Pool

COUNTER_MAX: Final = (1 << 63) - 1
"""What the API can hold: capacities saturate here."""

_SATURATING_HOST_BITS: Final = 62
_CLASS_C: Final = 24
_MARKS_MAX: Final = 256

Position = tuple[int, int]
"""Where an address stands in a pool's order: index of its block, number."""


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


class AddressUse:
    """Who is on one address."""

    __slots__ = ("holders", "ports", "share_key")

    def __init__(self, share_key: ShareKey) -> None:
        self.holders: dict[str, None] = {}
        self.ports: dict[Port, str] = {}
        self.share_key = share_key

    def fits(self, ports: Iterable[Port]) -> bool:
        """Tell whether nobody has any of the ports yet."""
        return not any(port in self.ports for port in ports)


class Block:
    """One prefix of a pool: what is used of it, and its lowest free address."""

    __slots__ = ("_cursor", "_returned", "_returned_heap", "avoid_buggy", "order", "prefix", "used")

    def __init__(self, prefix: Prefix, *, order: int, avoid_buggy: bool) -> None:
        self.prefix = prefix
        self.order = order
        self.avoid_buggy = avoid_buggy
        self.used: set[int] = set()
        self._cursor = prefix.first
        self._returned: set[int] = set()
        self._returned_heap: list[int] = []

    def take(self, number: int) -> None:
        """Note that an address is in use now."""
        self.used.add(number)

    def give_back(self, number: int) -> None:
        """Note that an address is free again."""
        self.used.discard(number)
        if number < self._cursor and number not in self._returned:
            self._returned.add(number)
            heappush(self._returned_heap, number)

    def lowest_free(self) -> int | None:
        """Give the lowest address that may be given out and is not in use."""
        heap = self._returned_heap
        while heap and heap[0] in self.used:
            self._returned.discard(heappop(heap))
        if heap:
            return heap[0]
        last, family = self.prefix.last, self.prefix.family
        while self._cursor <= last and (
            self._cursor in self.used or (self.avoid_buggy and is_buggy(family, self._cursor))
        ):
            self._cursor += 1
        return self._cursor if self._cursor <= last else None


class SharedAddresses:
    """The addresses of one pool and family whose holders have the same sharing and backend key."""

    __slots__ = ("_marks", "_positions")

    def __init__(self) -> None:
        self._positions: list[Position] = []
        self._marks: dict[frozenset[Port], Position] = {}

    def __len__(self) -> int:
        return len(self._positions)

    def join(self, position: Position) -> None:
        """Add an address."""
        insort(self._positions, position)
        for ports, mark in self._marks.items():
            self._marks[ports] = min(mark, position)

    def leave(self, position: Position) -> None:
        """Remove an address."""
        index = bisect_left(self._positions, position)
        del self._positions[index]

    def loosen(self) -> None:
        """Forget what was found to be full: ports came free."""
        self._marks.clear()

    def lowest_fitting(self, ports: frozenset[Port], usage: PoolUsage) -> Position | None:
        """Give the first address, in the pool's order, on which none of the ports is taken."""
        mark = self._marks.get(ports)
        index = 0 if mark is None else bisect_left(self._positions, mark)
        while index < len(self._positions):
            position = self._positions[index]
            if usage.use_at(position).fits(ports):
                break
            index += 1
        if len(self._marks) >= _MARKS_MAX:
            self._marks.clear()
        if index == len(self._positions):
            self._marks[ports] = (len(usage.blocks), 0)
            return None
        self._marks[ports] = self._positions[index]
        return self._positions[index]


class PoolUsage:
    """One pool with everything that is in use of it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.blocks = [
            Block(prefix, order=order, avoid_buggy=pool.avoid_buggy_ips)
            for order, prefix in enumerate(pool.prefixes)
        ]
        self.uses: dict[Address, AddressUse] = {}
        self._blocks_of: dict[Family, list[Block]] = {
            family: [block for block in self.blocks if block.prefix.family == family]
            for family in (IPV4, IPV6)
        }
        self._shared: dict[tuple[Family, ShareKey], SharedAddresses] = {}
        self._described: dict[Family, str] = {}
        self.capacity = {
            family: _capacity(self._blocks_of[family], avoid_buggy=pool.avoid_buggy_ips)
            for family in (IPV4, IPV6)
        }

    def use_at(self, position: Position) -> AddressUse:
        """Give the use of an address by its position."""
        order, number = position
        return self.uses[Address(self.blocks[order].prefix.family, number)]

    def find(
        self, family: Family, *, share_key: ShareKey, ports: frozenset[Port]
    ) -> Address | None:
        """Give the first address in the pool's order that a newcomer may have."""
        position = self._first_free(family)
        if share_key[0]:
            group = self._shared.get((family, share_key))
            shared = group.lowest_fitting(ports, self) if group else None
            if shared is not None and (position is None or shared < position):
                position = shared
        return None if position is None else Address(family, position[1])

    def _first_free(self, family: Family) -> Position | None:
        for block in self._blocks_of[family]:
            number = block.lowest_free()
            if number is not None:
                return (block.order, number)
        return None

    def add(
        self,
        address: Address,
        block: Block,
        *,
        service: str,
        ports: frozenset[Port],
        share_key: ShareKey,
    ) -> None:
        """Put a service on an address."""
        use = self.uses.get(address)
        if use is None:
            use = self.uses[address] = AddressUse(share_key)
            block.take(address.number)
            self._join(address.family, share_key, (block.order, address.number))
        use.holders[service] = None
        for port in ports:
            use.ports[port] = service
        self._described.clear()

    def remove(
        self, address: Address, block: Block, *, service: str, ports: frozenset[Port]
    ) -> None:
        """Take a service off an address; the last one to leave frees it."""
        use = self.uses[address]
        del use.holders[service]
        for port in ports:
            del use.ports[port]
        group = self._shared.get((address.family, use.share_key))
        if group is not None:
            group.loosen()
        if not use.holders:
            self._leave(address.family, use.share_key, (block.order, address.number))
            del self.uses[address]
            block.give_back(address.number)
        self._described.clear()

    def _join(self, family: Family, share_key: ShareKey, position: Position) -> None:
        if share_key[0]:
            self._shared.setdefault((family, share_key), SharedAddresses()).join(position)

    def _leave(self, family: Family, share_key: ShareKey, position: Position) -> None:
        group = self._shared.get((family, share_key))
        if group is not None:
            group.leave(position)
            if not group:
                del self._shared[(family, share_key)]

    def in_use(self, family: Family) -> int:
        """Count the distinct addresses of a family in use."""
        return sum(len(block.used) for block in self._blocks_of[family])

    def counters(self) -> PoolCounters:
        """Count."""
        ipv4, ipv6 = self.capacity[IPV4], self.capacity[IPV6]
        return PoolCounters(
            pool=self.pool.name,
            total=min(ipv4 + ipv6, COUNTER_MAX),
            ipv4=ipv4,
            ipv6=ipv6,
            ipv4_in_use=self.in_use(IPV4),
            ipv6_in_use=self.in_use(IPV6),
        )

    def describe_lack(self, family: Family) -> str:
        """Say why there is no address of a family: none at all, or who has them."""
        text = self._described.get(family)
        if text is None:
            text = self._described[family] = self._describe_lack(family)
        return text

    def _describe_lack(self, family: Family) -> str:
        label = f"IPv{family}"
        if not self._blocks_of[family]:
            return f"it has no {label} addresses"
        count = self.capacity[family]
        if not count:
            return f"it has no {label} address that does not end in .0 or .255 (avoidBuggyIPs)"
        addresses = [address for address in self.uses if address.family == family]
        shown = [
            f"{address} by {list_names(self.uses[address].holders)}"
            for address in nsmallest(_SHOWN_MAX, addresses)
        ]
        if len(addresses) > len(shown):
            shown.append(f"{len(addresses) - len(shown)} more")
        holders = ", ".join(shown)
        if count == 1:
            return f"all 1 {label} addresses are in use ({holders})"
        return f"all {count} {label} addresses are in use ({holders})"


_SHOWN_MAX: Final = 3


def list_names(names: Iterable[str]) -> str:
    """Give a few names joined by commas, and how many more there are."""
    every = list(names)
    text = ",".join(every[:_SHOWN_MAX])
    return f"{text} and {len(every) - _SHOWN_MAX} more" if len(every) > _SHOWN_MAX else text


def _capacity(blocks: list[Block], *, avoid_buggy: bool) -> int:
    total = 0
    for block in blocks:
        prefix = block.prefix
        if BITS[prefix.family] - prefix.length >= _SATURATING_HOST_BITS:
            return COUNTER_MAX
        total += prefix.size - (_count_buggy(prefix) if avoid_buggy else 0)
    return min(total, COUNTER_MAX)


def _count_buggy(prefix: Prefix) -> int:
    if prefix.family == IPV6:
        return 0
    if prefix.length <= _CLASS_C:
        return 2 << _CLASS_C - prefix.length
    return sum(is_buggy(IPV4, number) for number in {prefix.first, prefix.last})
