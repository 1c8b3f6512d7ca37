"""The allocation book: who holds which address, and the one gate into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mercurylb.allocator.claim import (
    Allocation,
    Claim,
    Refusal,
    RefusalReason,
    bracketed,
    format_port,
    list_names,
)
from mercurylb.allocator.description import (
    describe_names,
    describe_pinning,
    describe_ports,
    describe_unshared,
)
from mercurylb.allocator.sharing import SharedUse
from mercurylb.allocator.usage import FamilyUsage, PoolCounters, PoolUsage
from mercurylb.values.address import quoted
from mercurylb.values.prefix import is_buggy
from mercurylb.values.prefix_index import PrefixIndex

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from mercurylb.allocator.claim import Port
    from mercurylb.allocator.verdict import PoolVerdict
    from mercurylb.config.model import Pool
    from mercurylb.values.address import Address

ADDRESSES_MAX: Final = 2
"""A service has at most one address per family."""

_PORT_SETS_MAX: Final = 4096
"""Distinct sets of ports that are kept once for all services that have them."""

_NEAR_NAMES_MAX: Final = 256
"""Names of unknown pools whose likenesses are kept while the pools stay the same."""

_NO_SHARING: Final = ("", "")


class Place(NamedTuple):
    """Where a prefix belongs."""

    usage: PoolUsage
    family: FamilyUsage
    order: int
    """Its index in the pool."""


class Book:
    """What every service holds.

    It starts without pools; `is_loaded` tells whether `set_pools` was ever called. Methods that
    fail return a `Refusal` and change nothing.
    """

    def __init__(self) -> None:
        self.is_loaded = False
        self._usages: dict[str, PoolUsage] = {}
        self._index: PrefixIndex[Place] = PrefixIndex(())
        self._holdings: dict[str, Allocation] = {}
        self._changed: set[str] = set()
        self._port_sets: dict[frozenset[Port], frozenset[Port]] = {}
        self._near_names: dict[str, str] = {}
        self.refusals: dict[Hashable, tuple[Refusal, tuple[PoolVerdict, ...]]] = {}
        """What kinds of claims were told; forgotten when anything changes."""
        self.pinned_usages: tuple[PoolUsage, ...] = ()
        """Automatic pools pinned to somebody, by priority, then name."""
        self.open_usages: tuple[PoolUsage, ...] = ()
        """Automatic pools pinned to nobody in particular, by name."""

    @property
    def usages(self) -> Mapping[str, PoolUsage]:
        """Give the pools by name, in order of name."""
        return self._usages

    def holding(self, service: str) -> Allocation | None:
        """Give what a service holds."""
        return self._holdings.get(service)

    def holdings(self) -> Mapping[str, Allocation]:
        """Give what everybody holds, by service."""
        return self._holdings

    def holders(self, address: Address) -> tuple[str, ...]:
        """Give the services on an address."""
        place = self._index.find(address)
        return place.family.holders(address.number) if place else ()

    def counters(self) -> list[PoolCounters]:
        """Give the counters of each pool, by name."""
        return [usage.counters() for usage in self._usages.values()]

    def take_changed_pools(self) -> frozenset[str]:
        """Give the names of pools whose counters may have changed since the last call.

        A name that is no longer a pool is one that was removed.
        """
        changed, self._changed = frozenset(self._changed), set()
        return changed

    # --- pools -------------------------------------------------------------------------------

    def set_pools(self, pools: Iterable[Pool]) -> tuple[str, ...]:
        """Replace all pools; gives the services that lost their addresses by it, sorted.

        A holding survives if one of the new pools has all its addresses, whatever that pool's name,
        pinning and `auto_assign`. What is in use of pools whose addresses stay is not touched.
        """
        before = self._usages
        self._usages = {
            pool.name: _usage_for(pool, before.get(pool.name))
            for pool in sorted(pools, key=lambda pool: pool.name)
        }
        self._changed.update(before, self._usages)
        self._index = PrefixIndex(
            (prefix, Place(usage, family, order))
            for usage in self._usages.values()
            for family in usage.families.values()
            for order, prefix in family.prefixes
        )
        self._order_pools()
        self._near_names.clear()
        self.refusals.clear()
        self.is_loaded = True
        return self._rehome(
            usage for name, usage in before.items() if self._usages.get(name) is not usage
        )

    def _order_pools(self) -> None:
        automatic = [usage for usage in self._usages.values() if usage.pool.auto_assign]
        self.open_usages = tuple(usage for usage in automatic if usage.pool.pinning is None)
        pinned = [
            (usage.pool.pinning.rank, usage.pool.name, usage)
            for usage in automatic
            if usage.pool.pinning is not None and not usage.pool.pinning.is_void
        ]
        self.pinned_usages = tuple(usage for *_, usage in sorted(pinned, key=lambda e: e[:2]))

    def _rehome(self, usages: Iterable[PoolUsage]) -> tuple[str, ...]:
        """Bring everybody out of pools that are no more into those that have the addresses now."""
        services = {
            service
            for usage in usages
            for family in usage.families.values()
            for service in family.services()
        }
        lost = []
        for service in sorted(services):
            allocation = self._holdings.pop(service)
            places = self._locate(allocation.addresses)
            if isinstance(places, Refusal):
                lost.append(service)
            else:
                self._record(service, allocation, places)
        return tuple(lost)

    # --- the gate ----------------------------------------------------------------------------

    def assign(self, claim: Claim, addresses: Sequence[Address]) -> Allocation | Refusal:
        """Give a service exactly these addresses in this order, instead of what it holds."""
        places = self._locate(addresses)
        if isinstance(places, Refusal):
            return places
        refusal = _check_pinning(places[0].usage.pool, claim) or _check_families(addresses)
        if refusal is not None:
            return refusal
        for address, place in zip(addresses, places, strict=True):
            refusal = self._check_sharing(claim, address, place)
            if refusal is not None:
                return refusal
        held = self._holdings.get(claim.service)
        wanted = (tuple(addresses), claim.ports, claim.share_key)
        if held is not None and (held.addresses, held.ports, held.share_key) == wanted:
            return held
        self.release(claim.service)
        allocation = Allocation(
            places[0].usage.pool.name,
            wanted[0],
            self._only_copy(claim.ports),
            claim.share_key if any(claim.share_key) else _NO_SHARING,
        )
        self._record(claim.service, allocation, places)
        return allocation

    def _only_copy(self, ports: frozenset[Port]) -> frozenset[Port]:
        """Give the copy of a set that all who have equal ports keep."""
        if len(self._port_sets) >= _PORT_SETS_MAX:
            self._port_sets.clear()
        return self._port_sets.setdefault(ports, ports)

    def release(self, service: str) -> Allocation | None:
        """Take everything from a service; gives what it held. Doing so twice is harmless."""
        allocation = self._holdings.pop(service, None)
        if allocation is None:
            return None
        for address in allocation.addresses:
            place = self._index.find(address)
            assert place is not None, f"{address} of {service} is in no pool"
            place.family.remove(place.order, address.number, service, allocation.ports)
            self._note_change(place.usage)
        return allocation

    def describe_names(self, wanted: str) -> str:
        """Say which pools there are, for somebody who asks for one that is not."""
        text = self._near_names.get(wanted)
        if text is None:
            if len(self._near_names) >= _NEAR_NAMES_MAX:
                self._near_names.clear()
            text = self._near_names[wanted] = describe_names(wanted, self._usages)
        return text

    def _record(self, service: str, allocation: Allocation, places: Sequence[Place]) -> None:
        for address, place in zip(allocation.addresses, places, strict=True):
            place.family.add(
                place.order, address.number, service, allocation.ports, allocation.share_key
            )
        usage = places[0].usage
        if allocation.pool != usage.pool.name:
            allocation = Allocation(
                usage.pool.name, allocation.addresses, allocation.ports, allocation.share_key
            )
        self._holdings[service] = allocation
        self._note_change(usage)

    def _note_change(self, usage: PoolUsage) -> None:
        self._changed.add(usage.pool.name)
        usage.remembered.clear()
        self.refusals.clear()

    def _locate(self, addresses: Sequence[Address]) -> list[Place] | Refusal:
        """Find, in the one pool that may give out all the addresses, the place of each."""
        places: list[Place] = []
        for address in addresses:
            place = self._index.find(address)
            if place is None:
                cause = f"{address} is in no pool"
                return _not_allowed(RefusalReason.NOT_IN_POOL, addresses, cause)
            pool = place.usage.pool
            if pool.avoid_buggy_ips and is_buggy(address.family, address.number):
                cause = f"{address} ends in .0 or .255 and pool {pool.name} avoids those"
                return _not_allowed(RefusalReason.ADDRESS_AVOIDED, addresses, cause)
            if places and place.usage is not places[0].usage:
                first = places[0].usage.pool.name
                cause = f"pool {first} does not have {address}, that is in pool {pool.name}"
                return _not_allowed(RefusalReason.POOLS_DIFFER, addresses, cause)
            places.append(place)
        if not places:
            return _not_allowed(RefusalReason.NOT_IN_POOL, addresses, "no address is named")
        return places

    def _check_sharing(self, claim: Claim, address: Address, place: Place) -> Refusal | None:
        use = place.family.uses.get(address.number)
        service = claim.service
        if use is None or use == service:
            return None
        theirs = use.share_key if isinstance(use, SharedUse) else _NO_SHARING
        if not claim.share_key[0] or theirs != claim.share_key:
            others = [name for name in place.family.holders(address.number) if name != service]
            if not others:
                return None
            message = (
                f"can't change sharing key for {quoted(service)}, address also in use by"
                f" {list_names(others)}: {describe_unshared(claim.share_key, theirs)}"
            )
            return Refusal(RefusalReason.SHARING_CONFLICT, message)
        assert isinstance(use, SharedUse)
        taken = sorted(port for port in claim.ports if use.ports.get(port, service) != service)
        if not taken:
            return None
        message = (
            f"port {format_port(taken[0])} is already in use on {quoted(str(address))}"
            f" by {use.ports[taken[0]]}{describe_ports(taken[1:])}"
        )
        return Refusal(RefusalReason.PORT_CONFLICT, message)

    def validate(self) -> None:
        """Assert all invariants; for tests and simulation."""
        seen: dict[Address, set[str]] = {}
        for service, allocation in self._holdings.items():
            usage = self._usages[allocation.pool]
            for address in allocation.addresses:
                assert usage.pool.contains(address), (service, address)
                use = usage.families[address.family].uses[address.number]
                if isinstance(use, SharedUse):
                    assert use.share_key == allocation.share_key, (service, address)
                    assert all(use.ports[port] == service for port in allocation.ports), service
                else:
                    assert (use, allocation.share_key[0]) == (service, ""), (service, address)
                seen.setdefault(address, set()).add(service)
        for usage in self._usages.values():
            for family in usage.families.values():
                family.validate(seen)
        assert not seen, seen


def _usage_for(pool: Pool, before: PoolUsage | None) -> PoolUsage:
    """Give the usage of a pool: the one there is, if its addresses stay."""
    if before is None or not before.is_of(pool):
        return PoolUsage(pool)
    before.become(pool)
    return before


def _not_allowed(reason: RefusalReason, addresses: Sequence[Address], cause: str) -> Refusal:
    return Refusal(reason, f"{bracketed(addresses)} is not allowed in config: {cause}")


def _check_pinning(pool: Pool, claim: Claim) -> Refusal | None:
    if pool.pinning is None or pool.pinning.admits(claim.namespace, claim.labels):
        return None
    message = f"pool {pool.name} not compatible for ip assignment"
    cause = describe_pinning(pool, claim)
    return Refusal(RefusalReason.POOL_INCOMPATIBLE, f"{message}: {cause}")


def _check_families(addresses: Sequence[Address]) -> Refusal | None:
    if len(addresses) > ADDRESSES_MAX:
        message = f"more than two addresses {bracketed(addresses)}"
        return Refusal(RefusalReason.TOO_MANY, message)
    if len(addresses) == ADDRESSES_MAX and addresses[0].family == addresses[1].family:
        first, second = (quoted(str(address)) for address in addresses)
        return Refusal(RefusalReason.SAME_FAMILY, f"{first} {second} has the same family")
    return None
