"""What another configuration would do to the services, before it is in force.

The controller's own decisions are made twice in a book of our own: with the pools of today, from
what the statuses say, and then with the new ones. Nothing here is an estimate.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from mercurylb.allocator.book import Book
from mercurylb.allocator.usage import PoolCounters
from mercurylb.api.service import LoadBalancerIngress, LoadBalancerStatus, ServiceStatus
from mercurylb.plan.claim import read_ingress
from mercurylb.plan.condition import ConditionReason
from mercurylb.plan.decision import Outcome, ServiceDecision
from mercurylb.plan.service import is_ours, plan_all, still_waits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.api.service import Service
    from mercurylb.config.model import Pool


class ChangeKind(StrEnum):
    """What becomes of a service."""

    UNCHANGED = "unchanged"
    POOL_RENAMED = "poolRenamed"
    """Same addresses, of a pool with another name."""
    EXTENDED = "extended"
    """It keeps its address and gets one of the other family."""
    REDUCED = "reduced"
    """It keeps one of its two addresses."""
    MOVED = "moved"
    ASSIGNED = "assigned"
    """It waited and gets addresses."""
    LOST = "lost"
    """It has addresses and will have to wait."""
    STILL_PENDING = "stillPending"


class ServiceChange(msgspec.Struct, frozen=True):
    """One service before and after."""

    service: str
    """`namespace/name`."""
    kind: ChangeKind
    addresses_before: tuple[str, ...] = ()
    addresses_after: tuple[str, ...] = ()
    pool_before: str = ""
    pool_after: str = ""
    reason: str = ""
    """Why it waits, or why it does not keep what it has."""
    condition_reason: ConditionReason | None = None
    """The same in one word, of a service that waits then."""


class PoolChange(msgspec.Struct, frozen=True):
    """One pool before and after; None where it does not exist."""

    pool: str
    before: PoolCounters | None
    after: PoolCounters | None


class Preview(msgspec.Struct, frozen=True):
    """Everything that another configuration would do."""

    services: tuple[ServiceChange, ...]
    """All that are ours, sorted by key."""
    pools: tuple[PoolChange, ...]
    """Of both configurations, sorted by name."""

    @property
    def changed(self) -> tuple[ServiceChange, ...]:
        """Give the services for which something would change."""
        same = (ChangeKind.UNCHANGED, ChangeKind.STILL_PENDING)
        return tuple(change for change in self.services if change.kind not in same)


def plan_changes(
    services: Iterable[Service],
    *,
    before: Iterable[Pool] | None,
    after: Iterable[Pool],
    lb_class: str = "",
) -> Preview:
    """Compare what services have under the pools of now with what they would get under others.

    Without `before` (the configuration of today is unknown or invalid) services have what their
    statuses say. Services that are not ours are left out.
    """
    ours = [service for service in services if is_ours(service, lb_class)]
    book = Book()
    if before is None:
        old = {service.metadata.key: _as_it_stands(service) for service in ours}
        counters_before: dict[str, PoolCounters] = {}
    else:
        book.set_pools(before)
        old = _settle(ours, book)
        counters_before = {entry.pool: entry for entry in book.counters()}
        ours = [with_addresses(service, old[service.metadata.key].addresses) for service in ours]
    book.set_pools(after)
    new = _settle(ours, book)
    counters_after = {entry.pool: entry for entry in book.counters()}
    return Preview(
        tuple(_compare(old[key], new[key]) for key in sorted(new)),
        tuple(
            PoolChange(name, counters_before.get(name), counters_after.get(name))
            for name in sorted(counters_before.keys() | counters_after.keys())
        ),
    )


def _settle(services: list[Service], book: Book) -> dict[str, ServiceDecision]:
    """Decide as the controller does: who waits is looked at again when something came free."""
    decided: dict[str, ServiceDecision] = {}
    told: dict[str, str] = {}
    dirty = services
    for _ in range(len(services) + 2):
        decisions = plan_all(dirty, book=book)
        decided |= {decision.service: decision for decision in decisions}
        for decision in decisions:
            for event in decision.events:
                if event.reason == "ClearAssignment":
                    told[decision.service] = event.message
        if not any(decision.reprocess_all for decision in decisions):
            break
        dirty = [each for each in services if still_waits(each, decided[each.metadata.key])]
    return {
        key: msgspec.structs.replace(decision, pending_reason=told[key])
        if key in told and decision.converged
        else decision
        for key, decision in decided.items()
    }


def _as_it_stands(service: Service) -> ServiceDecision:
    addresses = read_ingress(service)
    return ServiceDecision(
        service=service.metadata.key,
        outcome=Outcome.KEPT if addresses else Outcome.PENDING,
        addresses=addresses,
    )


def with_addresses(service: Service, addresses: tuple[str, ...]) -> Service:
    """Give a service whose status says that it has these addresses."""
    if read_ingress(service) == addresses:
        return service
    ingress = tuple(LoadBalancerIngress(ip=address) for address in addresses)
    status = ServiceStatus(LoadBalancerStatus(ingress or None), service.conditions or None)
    return msgspec.structs.replace(service, status=status)


def _compare(old: ServiceDecision, new: ServiceDecision) -> ServiceChange:
    kind = _kind_of(old, new)
    explains = kind in (ChangeKind.MOVED, ChangeKind.LOST, ChangeKind.REDUCED)
    return ServiceChange(
        service=new.service,
        kind=kind,
        addresses_before=old.addresses,
        addresses_after=new.addresses,
        pool_before=old.pool,
        pool_after=new.pool,
        reason=new.pending_reason if explains or not new.converged else "",
        condition_reason=None if new.converged else new.condition_reason,
    )


def _kind_of(old: ServiceDecision, new: ServiceDecision) -> ChangeKind:
    if not new.addresses:
        if old.addresses:
            return ChangeKind.LOST
        return ChangeKind.UNCHANGED if new.converged else ChangeKind.STILL_PENDING
    if not old.addresses:
        return ChangeKind.ASSIGNED
    if old.addresses == new.addresses:
        is_renamed = old.pool and old.pool != new.pool
        return ChangeKind.POOL_RENAMED if is_renamed else ChangeKind.UNCHANGED
    if set(old.addresses) < set(new.addresses):
        return ChangeKind.EXTENDED
    return ChangeKind.REDUCED if set(new.addresses) < set(old.addresses) else ChangeKind.MOVED
