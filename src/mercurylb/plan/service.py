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

from typing import TYPE_CHECKING, Final

from mercurylb.allocator.choice import (
    add_missing_family,
    allocate_automatically,
    allocate_from,
    explain_pools,
)
from mercurylb.allocator.claim import (
    Allocation,
    Claim,
    Refusal,
    RefusalReason,
    ServiceFamily,
    Stacking,
    bracketed,
)
from mercurylb.allocator.verdict import PoolReason, PoolVerdict
from mercurylb.api.annotation import ALLOCATED_FROM_POOL, DEPRECATED_PREFIX, read_annotation
from mercurylb.api.service import LOAD_BALANCER
from mercurylb.errors import ParseError
from mercurylb.plan.claim import (
    cluster_ips,
    family_of,
    read_claim,
    read_family,
    read_ingress,
    read_requested,
    read_requested_pool,
    read_stacking,
)
from mercurylb.plan.condition import (
    EPOCH,
    ConditionReason,
    Wait,
    bounded,
    find_condition,
    wait_for,
)
from mercurylb.plan.decision import EventNote, EventType, Outcome, ServiceDecision
from mercurylb.plan.patch import patch_decided, patch_undecided
from mercurylb.values.address import Address, parse_address, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.allocator.book import Book
    from mercurylb.api.service import Service

_DUAL_COUNT: Final = 2

_REQUEST_REASONS: Final = {
    RefusalReason.ADDRESS_AVOIDED: PoolReason.ADDRESS_AVOIDED,
    RefusalReason.POOLS_DIFFER: PoolReason.ADDRESS_ELSEWHERE,
    RefusalReason.NOT_IN_POOL: PoolReason.ADDRESS_ELSEWHERE,
    RefusalReason.POOL_MISMATCH: PoolReason.ADDRESS_ELSEWHERE,
    RefusalReason.SHARING_CONFLICT: PoolReason.ADDRESS_IN_USE,
    RefusalReason.PORT_CONFLICT: PoolReason.ADDRESS_IN_USE,
    RefusalReason.EXHAUSTED: PoolReason.EXHAUSTED,
    RefusalReason.FAMILY_MISSING: PoolReason.FAMILY_MISSING,
    RefusalReason.POLICY: PoolReason.POLICY_NOT_DUAL_STACK,
}
"""What a refused request means for the pool it was made of; otherwise it is just refused."""


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
    it gives away what is free; then the older, then by name. Before anybody gets anything new, all
    who may keep what they have are noted in the book: who has to move must not be given what a
    later one has. `now` is as for `plan_service`.
    """
    ordered = sorted(services, key=_entitlement)
    if book.is_loaded:
        for service in ordered:
            if service.ingress and book.holding(service.metadata.key) is None:
                _adopt(service, book)
    return [plan_service(service, book=book, now=now, explain=explain) for service in ordered]


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
    if is_other or not _suits(current_family, claim):
        return
    result = book.assign(claim, current)
    if isinstance(result, Allocation) and read_requested_pool(service) not in ("", result.pool):
        book.release(claim.service)


def still_waits(service: Service, decision: ServiceDecision) -> bool:
    """Tell whether to decide again when something came free.

    That is who has no address, and who would like one of the other family too.
    """
    if not decision.converged:
        return True
    return len(decision.addresses) == 1 and (
        read_stacking(service.wish) is Stacking.PREFER_DUAL
        and len(cluster_ips(service.wish)) == _DUAL_COUNT
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
    convergence = _Convergence(service, book)
    outcome = convergence.run()
    after = book.holding(key)
    wait = convergence.wait
    is_undecidable = outcome is Outcome.HELD and convergence.claim is None
    if is_undecidable and wait is not None:
        patch = patch_undecided(service, wait=wait, now=now)
    else:
        patch = patch_decided(service, after, wait=wait, now=now)
    events = convergence.events
    if patch is not None:
        events += _deprecation_events(service)
    verdicts = convergence.verdicts
    if explain and convergence.claim is not None and after is not None:
        verdicts = explain_pools(book, convergence.claim, after)
    is_allocated = wait is None and after is not None
    return ServiceDecision(
        service=key,
        outcome=outcome,
        addresses=read_ingress(service) if is_undecidable else _texts(after),
        pool=after.pool if after else "",
        events=tuple(events),
        verdicts=verdicts,
        pending_reason=bounded(convergence.pending_reason),
        condition_reason=wait.reason
        if wait
        else ConditionReason.ALLOCATED
        if is_allocated
        else None,
        condition_message=wait.sentence if wait else "",
        reprocess_all=before is not None and _gave_up(before, after),
        patch=patch,
    )


def _texts(holding: Allocation | None) -> tuple[str, ...]:
    return tuple(map(str, holding.addresses)) if holding else ()


def _gave_up(before: Allocation, after: Allocation | None) -> bool:
    """Tell whether somebody else could use what a service no longer has."""
    if after is None or before.share_key != after.share_key:
        return True
    return not (set(before.addresses) <= set(after.addresses) and before.ports <= after.ports)


class _Convergence:
    """One service on its way through the steps.

    Each step returns an outcome to stop with, or None to go on.
    """

    def __init__(self, service: Service, book: Book) -> None:
        self.service = service
        self.key = service.metadata.key
        self.book = book
        self.events: list[EventNote] = []
        self.verdicts: tuple[PoolVerdict, ...] = ()
        self.pending_reason = ""
        self.wait: Wait | None = None
        self.claim: Claim | None = None

    def run(self) -> Outcome:
        """Go through all steps."""
        refused = self._refuse_at_once()
        if refused is not None:
            self.book.release(self.key)
            return refused
        addresses, current_family = self._current()
        try:
            family = read_family(cluster_ips(self.service.wish))
        except ParseError as error:
            return self._fail_without_family(str(error))
        claim = self.claim = read_claim(self.service, family)
        if _suits(current_family, claim):
            held_outcome = self._keep(claim, addresses)
            if held_outcome is not None:
                return held_outcome
        else:
            self.book.release(self.key)
        return self._complete(claim)

    def _refuse_at_once(self) -> Outcome | None:
        """Say what can be said without looking at addresses (steps 1 to 5)."""
        spec = self.service.wish
        if spec.type != LOAD_BALANCER:
            return Outcome.NOT_WANTED
        if not self.book.usages:
            reason = ConditionReason.CONFIGURATION_MISSING
            return self._pend(reason, "no IPAddressPool is configured")
        cluster = cluster_ips(spec)
        if not cluster:
            reason = ConditionReason.CLUSTER_IP_MISSING
            return self._pend(reason, "the service has no cluster IP yet")
        if read_stacking(spec) is Stacking.REQUIRE_DUAL and len(cluster) < _DUAL_COUNT:
            message = (
                "Service requires dual stack but not enough clusterips"
                f" [{' '.join(spec.cluster_ips or ())}]"
            )
            self._note(EventType.WARNING, "not enough clusterips", message)
            return self._pend(ConditionReason.NOT_ENOUGH_CLUSTER_IPS, message)
        return None

    def _current(self) -> tuple[tuple[Address, ...], ServiceFamily | None]:
        """Give what it holds or its status says, and the family; nothing if that makes no sense."""
        held = self.book.holding(self.key)
        if held is not None:
            return held.addresses, family_of(held.addresses)
        current = read_ingress(self.service)
        if not current:
            return (), None
        try:
            family = read_family(current)
            return tuple(parse_address(text) for text in current), family
        except ParseError as error:
            message = f"Failed to retrieve LBIPs IPFamily for {bracketed(current)}: {error}"
            self._note(EventType.WARNING, "nolbIPsIPFamily", message)
            return (), None

    def _fail_without_family(self, cause: str) -> Outcome:
        """Stop: nothing can be decided without the service's own family (step 6)."""
        spec = self.service.wish
        current = _texts(self.book.holding(self.key)) or read_ingress(self.service)
        if current:
            message = (
                f"Failed to retrieve ClusterIPs IPFamily for {bracketed(spec.cluster_ips or ())}"
                f" {spec.cluster_ip}: {cause}"
            )
            self._note(EventType.WARNING, "noclusterIPsIPFamily", message)
            return self._hold(ConditionReason.CLUSTER_IPS_INVALID, message, current)
        self.book.release(self.key)
        return self._fail_allocation(Refusal(RefusalReason.INVALID_CLUSTER_IPS, cause))

    def _keep(self, claim: Claim, addresses: tuple[Address, ...]) -> Outcome | None:
        """Keep the current addresses if the rules and the wishes still allow it (step 7)."""
        result = self.book.assign(claim, addresses)
        if isinstance(result, Refusal):
            message = (
                f"current IP for {quoted(self.key)} not allowed by config, will attempt for new IP"
                f" assignment: {result.message}"
            )
            self._note(EventType.NORMAL, "ClearAssignment", message)
            self.book.release(self.key)
        elif read_requested_pool(self.service) not in ("", result.pool):
            self.book.release(self.key)
        requested = read_requested(self.service)
        if isinstance(requested, Refusal):
            message = f"invalid requested loadbalancer IPs: {requested.message}"
            self._note(EventType.WARNING, "LoadBalancerFailed", message)
            held = self.book.holding(self.key)
            if held is None:
                return self._pend(ConditionReason.REQUEST_INVALID, message)
            return self._hold(ConditionReason.REQUEST_INVALID, message, _texts(held))
        if requested and set(requested) != set(addresses):
            self.book.release(self.key)
        return None

    def _complete(self, claim: Claim) -> Outcome:
        """Add a family that is missing, or allocate (steps 8 to 10)."""
        held = self.book.holding(self.key)
        if held is None:
            return self._allocate(claim)
        self.verdicts = (self.book.usages[held.pool].kept,)
        wants_other = (
            len(held.addresses) == 1
            and claim.stacking is Stacking.PREFER_DUAL
            and claim.family is ServiceFamily.DUAL
        )
        if not wants_other:
            return Outcome.KEPT
        extended = add_missing_family(self.book, claim)
        if isinstance(extended, Refusal):
            message = f"cannot assign additional IP in PreferDualStack: {extended.message}"
            self._note(EventType.NORMAL, "AdditionalAssignFailed", message)
            return Outcome.KEPT
        message = f"Assigned additional IP {quoted(str(extended.addresses[1]))}"
        self._note(EventType.NORMAL, "IPAllocated", message)
        return Outcome.ASSIGNED

    def _allocate(self, claim: Claim) -> Outcome:
        result = self._find_addresses(claim)
        if isinstance(result, Refusal):
            return self._fail_allocation(result)
        message = f"Assigned IP {bracketed(result.addresses)}"
        self._note(EventType.NORMAL, "IPAllocated", message)
        return Outcome.ASSIGNED

    def _find_addresses(self, claim: Claim) -> Allocation | Refusal:
        requested = read_requested(self.service)
        if isinstance(requested, Refusal):
            return requested
        pool = read_requested_pool(self.service)
        if not requested and not pool:
            result, self.verdicts = allocate_automatically(self.book, claim)
            return result
        if requested:
            result = self._take_requested(claim, requested, pool)
        else:
            result = allocate_from(self.book, claim, pool)
        self.verdicts = self._request_verdicts(result, requested, pool)
        return result

    def _take_requested(
        self, claim: Claim, requested: tuple[Address, ...], pool: str
    ) -> Allocation | Refusal:
        texts = bracketed(requested)
        if read_family([str(address) for address in requested]) is not claim.family:
            message = (
                f"requested loadBalancer IP(s) {texts} does not match the ipFamily of the service"
            )
            return Refusal(RefusalReason.WRONG_FAMILY, message)
        result = self.book.assign(claim, requested)
        if isinstance(result, Allocation) and pool and result.pool != pool:
            self.book.release(self.key)
            message = (
                f"requested loadBalancer IP(s) {texts} is not compatible with requested address"
                f" pool {pool}"
            )
            return Refusal(RefusalReason.POOL_MISMATCH, message)
        return result

    def _request_verdicts(
        self, result: Allocation | Refusal, requested: tuple[Address, ...], pool: str
    ) -> tuple[PoolVerdict, ...]:
        if isinstance(result, Allocation):
            return (PoolVerdict(result.pool, PoolReason.CHOSEN, "the service asks for it"),)
        verdicts = []
        for name, usage in self.book.usages.items():
            prefixes = usage.pool.prefixes
            has_one = any(prefix.contains(each) for prefix in prefixes for each in requested)
            if has_one or name == pool:
                reason = _REQUEST_REASONS.get(result.reason, PoolReason.REQUEST_REFUSED)
                verdicts.append(PoolVerdict(name, reason, result.message))
            else:
                detail = "the service asks for another pool or address"
                verdicts.append(PoolVerdict(name, PoolReason.NOT_REQUESTED, detail))
        return tuple(verdicts)

    def _fail_allocation(self, refusal: Refusal) -> Outcome:
        message = f"Failed to allocate IP for {quoted(self.key)}: {refusal.message}"
        self._note(EventType.WARNING, "AllocationFailed", message)
        self.pending_reason = refusal.message
        self.wait = wait_for(refusal)
        return Outcome.PENDING

    def _pend(self, reason: ConditionReason, sentence: str) -> Outcome:
        self.pending_reason = sentence
        self.wait = Wait(reason, bounded(sentence))
        return Outcome.PENDING

    def _hold(self, reason: ConditionReason, sentence: str, current: tuple[str, ...]) -> Outcome:
        self.pending_reason = sentence
        self.wait = Wait(
            reason, bounded(f"{sentence}; until that is corrected it keeps {', '.join(current)}")
        )
        return Outcome.HELD

    def _note(self, event_type: EventType, reason: str, message: str) -> None:
        self.events.append(EventNote(event_type, reason, bounded(message)))


def _suits(current: ServiceFamily | None, claim: Claim) -> bool:
    """Tell whether the family of the current addresses suits the service (step 6)."""
    if current is None or current is claim.family:
        return current is not None
    return claim.family is ServiceFamily.DUAL and claim.stacking is Stacking.PREFER_DUAL


def _deprecation_events(service: Service) -> list[EventNote]:
    return [
        EventNote(
            EventType.WARNING, "deprecatedAnnotation", f"Service uses deprecated annotation {key}"
        )
        for key in sorted(service.metadata.annotations or ())
        if key.startswith(DEPRECATED_PREFIX)
    ]
