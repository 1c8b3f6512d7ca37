"""Which addresses a service is to have, and why (spec: controller §6).

`plan_service` takes a service through the ordered steps by which MetalLB 0.16 converges, with these
differences, none of which gives a service another address than it has or asks for:

* What a service holds in the book comes before what its status says; the status counts when the
  book holds nothing, that is after a start. A status that differs is late (a write is on its way)
  or was changed by hand; either way nothing flaps.
* Requested addresses that the service has already keep the order in which they stand.
* A missing family is added only to services that are dual-stack themselves.
* All services are looked at again when something was really given up: an address, a port on a
  shared address, or a sharing key. A first allocation frees nothing, so it triggers nothing.
* An entry that reads back with `ipMode: VIP` is what we wrote.
* A condition on the service says why it waits (see `condition`).
* At a start everybody who may keep what its status says is noted before anybody gets anything new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.allocator.choice import explain_pools
from mercurylb.allocator.claim import Allocation, Stacking
from mercurylb.api.annotation import ALLOCATED_FROM_POOL, DEPRECATED_PREFIX, read_annotation
from mercurylb.api.service import LOAD_BALANCER
from mercurylb.errors import ParseError
from mercurylb.plan.claim import (
    cluster_ips,
    read_claim,
    read_family,
    read_ingress,
    read_requested,
    read_requested_pool,
    read_stacking,
)
from mercurylb.plan.condition import EPOCH, ConditionReason, bounded, find_condition
from mercurylb.plan.convergence import Convergence, suits, texts
from mercurylb.plan.decision import EventNote, EventType, Outcome, ServiceDecision
from mercurylb.plan.patch import patch_decided, patch_undecided
from mercurylb.values.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.allocator.book import Book
    from mercurylb.api.service import Service


def is_ours(service: Service, lb_class: str, *, is_held: bool = False) -> bool:
    """Tell whether a service is for us to look at; `lb_class` is the flag, empty for none.

    A service that stopped being a load balancer loses its class by that; it is still ours to clean
    up if the book holds something for it (`is_held`) or it bears our annotation or condition.
    """
    if service.wish.type == LOAD_BALANCER:
        return (service.wish.load_balancer_class or "") == lb_class
    if not lb_class or is_held or find_condition(service) is not None:
        return True
    return read_annotation(service.metadata.annotations, ALLOCATED_FROM_POOL) is not None


def plan_all(
    services: Iterable[Service], *, book: Book, now: str = EPOCH, explain: bool = False
) -> list[ServiceDecision]:
    """Decide about all services, in the order in which they are entitled to their addresses.

    Those with more addresses in their status come first, so that a restart adopts what is before
    it gives away what is free; then the older, then by name. `now` is as for `plan_service`.
    """
    ordered = adopt_all(services, book=book)
    return [plan_service(service, book=book, now=now, explain=explain) for service in ordered]


def adopt_all(services: Iterable[Service], *, book: Book) -> list[Service]:
    """Note in the book what services have by their status and may keep; give them in their order.

    That comes before anybody gets anything new: who has to move must not be given what a later one
    has. Whoever plans in portions adopts all of them first.
    """
    ordered = sorted(services, key=_entitlement)
    if book.is_loaded:
        for service in ordered:
            if service.ingress and book.holding(service.metadata.key) is None:
                _adopt(service, book)
    return ordered


def _adopt(service: Service, book: Book) -> None:
    """Note what a service has by its status, if it is going to keep it."""
    spec = service.wish
    if spec.type != LOAD_BALANCER:
        return
    try:
        current = tuple(parse_address(text) for text in read_ingress(service))
        current_family = read_family(read_ingress(service))
        claim = read_claim(service, read_family(cluster_ips(spec)))
    except ParseError:
        return
    requested = read_requested(service)
    is_other = isinstance(requested, tuple) and requested and set(requested) != set(current)
    if is_other or not suits(current_family, claim):
        return
    result = book.assign(claim, current)
    if isinstance(result, Allocation) and read_requested_pool(service) not in ("", result.pool):
        book.release(claim.service)


def still_waits(service: Service, decision: ServiceDecision) -> bool:
    """Tell whether to decide again when something came free.

    That is who has no address, and who would like one of the other family too.
    """
    return not decision.converged or lacks_family(service, decision)


def lacks_family(service: Service, decision: ServiceDecision) -> bool:
    """Tell whether a service got an address and would like one of the other family too."""
    return len(decision.addresses) == 1 and (
        read_stacking(service.wish) is Stacking.PREFER_DUAL and len(cluster_ips(service.wish)) > 1
    )


def _entitlement(service: Service) -> tuple[int, str, str, str]:
    metadata = service.metadata
    created = metadata.creation_timestamp or ""
    return (-len(service.ingress), created, metadata.namespace, metadata.name)


def plan_deleted(service: str, *, book: Book) -> bool:
    """Release what a deleted service held; tells whether all services should be looked at again."""
    return book.release(service) is not None


def plan_service(
    service: Service, *, book: Book, now: str = EPOCH, explain: bool = False
) -> ServiceDecision:
    """Decide about one service and note the decision in the book.

    `now` (RFC 3339, UTC, whole seconds) is when the condition changes, if it does. With `explain`
    there is a verdict on every pool even for a service that keeps its addresses.
    """
    key = service.metadata.key
    if not book.is_loaded:
        return ServiceDecision(
            service=key, outcome=Outcome.NOT_LOADED, pending_reason="no pools were read yet"
        )
    before = book.holding(key)
    convergence = Convergence(service, book)
    outcome = convergence.run()
    after = book.holding(key)
    wait = convergence.wait
    is_undecidable = outcome is Outcome.HELD and convergence.claim is None
    if is_undecidable and wait is not None:
        patch = patch_undecided(service, wait=wait, now=now)
    else:
        patch = patch_decided(service, after, wait=wait, now=now)
    events = convergence.events
    if patch is not None and not patch.is_condition_only:
        events += _deprecation_events(service)
    verdicts = convergence.verdicts
    if explain and convergence.claim is not None and after is not None:
        verdicts = explain_pools(book, convergence.claim, after)
    reason = wait.reason if wait else ConditionReason.ALLOCATED if after else None
    return ServiceDecision(
        service=key,
        outcome=outcome,
        addresses=read_ingress(service) if is_undecidable else texts(after),
        pool=after.pool if after else "",
        events=tuple(events),
        verdicts=verdicts,
        pending_reason=bounded(convergence.pending_reason),
        condition_reason=reason,
        condition_message=wait.sentence if wait else "",
        reprocess_all=before is not None and _gave_up(before, after),
        patch=patch,
    )


def _gave_up(before: Allocation, after: Allocation | None) -> bool:
    """Tell whether somebody else could use what a service no longer has."""
    if after is None or before.share_key != after.share_key:
        return True
    return not (set(before.addresses) <= set(after.addresses) and before.ports <= after.ports)


def _deprecation_events(service: Service) -> list[EventNote]:
    return [
        EventNote(
            EventType.WARNING, "deprecatedAnnotation", f"Service uses deprecated annotation {key}"
        )
        for key in sorted(service.metadata.annotations or ())
        if key.startswith(DEPRECATED_PREFIX)
    ]
