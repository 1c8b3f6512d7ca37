"""One service on its way through the steps of controller §6.4, in their order.

A step ends the way or passes the service on; what it finds is noted: events, the cause of waiting,
verdicts on pools. The differences from MetalLB 0.16 are listed in `service`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.allocator.choice import (
    add_missing_family,
    allocate_automatically,
    allocate_from,
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
from mercurylb.plan.condition import ConditionReason, Wait, bounded, wait_for
from mercurylb.plan.decision import EventNote, EventType, Outcome
from mercurylb.values.address import Address, parse_address, quoted

if TYPE_CHECKING:
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


class Convergence:
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
        if suits(current_family, claim):
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
        current = texts(self.book.holding(self.key)) or read_ingress(self.service)
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
            return self._hold(ConditionReason.REQUEST_INVALID, message, texts(held))
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


def suits(current: ServiceFamily | None, claim: Claim) -> bool:
    """Tell whether the family of the current addresses suits the service (step 6)."""
    if current is None or current is claim.family:
        return current is not None
    return claim.family is ServiceFamily.DUAL and claim.stacking is Stacking.PREFER_DUAL


def texts(holding: Allocation | None) -> tuple[str, ...]:
    """Give the addresses of what is held, as they stand in a status."""
    return tuple(map(str, holding.addresses)) if holding else ()
