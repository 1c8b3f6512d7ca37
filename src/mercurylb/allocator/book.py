"""The allocation book: who holds which address, and the one gate into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.allocator.claim import (
    Allocation,
    Claim,
    Refusal,
    RefusalReason,
    bracketed,
    format_port,
)
from mercurylb.allocator.usage import Block, PoolCounters, PoolUsage, list_names
from mercurylb.values.address import quoted
from mercurylb.values.prefix import is_buggy
from mercurylb.values.prefix_index import PrefixIndex

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mercurylb.config.model import Pool
    from mercurylb.values.address import Address

ADDRESSES_MAX: Final = 2
"""A service has at most one address per family."""


class Book:
    """What every service holds.

    It starts without pools; `is_loaded` tells whether `set_pools` was ever called. Methods that
    fail return a `Refusal` and change nothing.
    """

    def __init__(self) -> None:
        self.is_loaded = False
        self._usages: dict[str, PoolUsage] = {}
        self._index: PrefixIndex[tuple[PoolUsage, Block]] = PrefixIndex(())
        self._holdings: dict[str, Allocation] = {}
        self._changed: set[str] = set()
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
        found = self._index.find(address)
        use = found[0].uses.get(address) if found else None
        return tuple(use.holders) if use else ()

    def counters(self) -> list[PoolCounters]:
        """Give the counters of each pool, by name."""
        return [usage.counters() for usage in self._usages.values()]

    def take_changed_pools(self) -> frozenset[str]:
        """Give the names of pools whose counters may have changed since the last call.

        A name that is no longer a pool is one that was removed.
        """
        changed, self._changed = frozenset(self._changed), set()
        return changed

    def set_pools(self, pools: Iterable[Pool]) -> tuple[str, ...]:
        """Replace all pools; gives the services that lost their addresses by it.

        A holding survives if one of the new pools has all its addresses, whatever that pool's name,
        pinning and `auto_assign`.
        """
        ordered = sorted(pools, key=lambda pool: pool.name)
        self._changed.update(self._usages)
        self._usages = {pool.name: PoolUsage(pool) for pool in ordered}
        self._changed.update(self._usages)
        usages = self._usages.values()
        self._index = PrefixIndex(
            (block.prefix, (usage, block)) for usage in usages for block in usage.blocks
        )
        automatic = [usage for usage in usages if usage.pool.auto_assign]
        self.open_usages = tuple(usage for usage in automatic if usage.pool.pinning is None)
        pinned = [
            (usage.pool.pinning.rank, usage.pool.name, usage)
            for usage in automatic
            if usage.pool.pinning is not None and not usage.pool.pinning.is_void
        ]
        self.pinned_usages = tuple(usage for *_, usage in sorted(pinned, key=lambda e: e[:2]))
        self.is_loaded = True
        return self._rehome()

    def _rehome(self) -> tuple[str, ...]:
        holdings, self._holdings = self._holdings, {}
        lost = []
        for service, allocation in holdings.items():
            places = self._locate(allocation.addresses)
            if isinstance(places, Refusal):
                lost.append(service)
            else:
                self._record(service, allocation, places)
        return tuple(lost)

    def assign(self, claim: Claim, addresses: Sequence[Address]) -> Allocation | Refusal:
        """Give a service exactly these addresses in this order, instead of what it holds."""
        places = self._locate(addresses)
        if isinstance(places, Refusal):
            return places
        refusal = _check_pinning(places, claim) or _check_families(addresses)
        if refusal is not None:
            return refusal
        for address in addresses:
            refusal = self._check_sharing(claim, address, places[0])
            if refusal is not None:
                return refusal
        allocation = Allocation(places[0].pool.name, tuple(addresses), claim.ports, claim.share_key)
        if self._holdings.get(claim.service) != allocation:
            self.release(claim.service)
            self._record(claim.service, allocation, places)
        return allocation

    def release(self, service: str) -> Allocation | None:
        """Take everything from a service; gives what it held. Doing so twice is harmless."""
        allocation = self._holdings.pop(service, None)
        if allocation is None:
            return None
        for address in allocation.addresses:
            found = self._index.find(address)
            assert found is not None, f"{address} of {service} is in no pool"
            usage, block = found
            usage.remove(address, block, service=service, ports=allocation.ports)
            self._changed.add(usage.pool.name)
        return allocation

    def is_in_a_pool(self, addresses: Sequence[Address]) -> bool:
        """Tell whether one pool has all these addresses."""
        return not isinstance(self._locate(addresses), Refusal)

    def _record(
        self, service: str, allocation: Allocation, places: tuple[PoolUsage, list[Block]]
    ) -> None:
        usage, blocks = places
        for address, block in zip(allocation.addresses, blocks, strict=True):
            usage.add(
                address,
                block,
                service=service,
                ports=allocation.ports,
                share_key=allocation.share_key,
            )
        name = usage.pool.name
        if allocation.pool != name:
            allocation = Allocation(
                name, allocation.addresses, allocation.ports, allocation.share_key
            )
        self._holdings[service] = allocation
        self._changed.add(name)

    def _locate(self, addresses: Sequence[Address]) -> tuple[PoolUsage, list[Block]] | Refusal:
        """Find the one pool that may give out all the addresses, and their blocks."""
        common: PoolUsage | None = None
        blocks = []
        for address in addresses:
            found = self._index.find(address)
            if found is None:
                return _not_allowed(addresses, f"{address} is in no pool")
            usage, block = found
            if block.avoid_buggy and is_buggy(address.family, address.number):
                cause = f"{address} ends in .0 or .255 and pool {usage.pool.name} avoids those"
                return _not_allowed(addresses, cause)
            if common is not None and usage is not common:
                cause = f"pool {common.pool.name} does not have {address}, that is in pool"
                return _not_allowed(addresses, f"{cause} {usage.pool.name}")
            common = usage
            blocks.append(block)
        if common is None:
            return _not_allowed(addresses, "no address is named")
        return common, blocks

    def _check_sharing(self, claim: Claim, address: Address, usage: PoolUsage) -> Refusal | None:
        use = usage.uses.get(address)
        if use is None:
            return None
        service = claim.service
        if not claim.share_key[0] or use.share_key != claim.share_key:
            others = [holder for holder in use.holders if holder != service]
            if others:
                message = (
                    f"can't change sharing key for {quoted(service)}, address also in use by"
                    f" {list_names(others)}"
                )
                return Refusal(RefusalReason.SHARING_CONFLICT, message)
        taken = sorted(port for port in claim.ports if use.ports.get(port, service) != service)
        if taken:
            message = (
                f"port {format_port(taken[0])} is already in use on {quoted(str(address))}"
                f" by {use.ports[taken[0]]}"
            )
            return Refusal(RefusalReason.PORT_CONFLICT, message)
        return None

    def validate(self) -> None:
        """Assert all invariants; for tests and simulation."""
        seen: dict[Address, set[str]] = {}
        for service, allocation in self._holdings.items():
            usage = self._usages[allocation.pool]
            for address in allocation.addresses:
                assert usage.pool.contains(address), (service, address)
                use = usage.uses[address]
                assert use.share_key == allocation.share_key, (service, address)
                for port in allocation.ports:
                    assert use.ports[port] == service, (service, address, port)
                seen.setdefault(address, set()).add(service)
        for usage in self._usages.values():
            for address, use in usage.uses.items():
                assert set(use.holders) == seen.pop(address), address
                assert len(use.holders) == 1 or use.share_key[0], address
                found = self._index.find(address)
                assert found is not None and address.number in found[1].used  # noqa: PT018
            counters = usage.counters()
            assert counters.in_use == len(usage.uses), usage.pool.name
        assert not seen, seen


def _not_allowed(addresses: Sequence[Address], cause: str) -> Refusal:
    message = f"{bracketed(addresses)} is not allowed in config: {cause}"
    return Refusal(RefusalReason.NOT_IN_POOL, message)


def _check_pinning(places: tuple[PoolUsage, list[Block]], claim: Claim) -> Refusal | None:
    pool = places[0].pool
    if pool.pinning is None or pool.pinning.admits(claim.namespace, claim.labels):
        return None
    message = f"pool {pool.name} not compatible for ip assignment"
    cause = describe_pinning(pool, claim)
    return Refusal(RefusalReason.POOL_INCOMPATIBLE, f"{message}: {cause}")


def describe_pinning(pool: Pool, claim: Claim) -> str:
    """Say which half of a pool's pinning keeps a service out."""
    if pool.pinning is None or pool.pinning.is_void:
        return "its serviceAllocation selects no namespace"
    if not pool.pinning.admits_namespace(claim.namespace):
        return f"its serviceAllocation does not include namespace {quoted(claim.namespace)}"
    return "the service's labels match none of its serviceSelectors"


def _check_families(addresses: Sequence[Address]) -> Refusal | None:
    if len(addresses) > ADDRESSES_MAX:
        message = f"more than two addresses {bracketed(addresses)}"
        return Refusal(RefusalReason.TOO_MANY, message)
    if len(addresses) == ADDRESSES_MAX and addresses[0].family == addresses[1].family:
        first, second = (quoted(str(address)) for address in addresses)
        return Refusal(RefusalReason.SAME_FAMILY, f"{first} {second} has the same family")
    return None
