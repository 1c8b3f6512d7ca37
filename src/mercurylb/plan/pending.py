"""Why a service has no address, or why a wish of it is not carried out: one cause.

`plan.service` decides and says why in the words of its events. Here the same rules are asked in
the same order for the one that failed, so that each failure has a code, names what stands in the
way, and says what to do about it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from mercurylb.allocator.claim import Claim, Refusal, ServiceFamily, Stacking
from mercurylb.allocator.verdict import PoolReason
from mercurylb.api.annotation import ADDRESS_POOL
from mercurylb.errors import ParseError
from mercurylb.plan.cause import Cause, CauseCode
from mercurylb.plan.claim import (
    cluster_ips,
    read_claim,
    read_family,
    read_requested,
    read_requested_pool,
    read_stacking,
)
from mercurylb.plan.request import (
    FAMILY_NAMES,
    Offer,
    listed,
    outsider,
    why_not_these,
    why_request_fails,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.allocator.verdict import PoolVerdict
    from mercurylb.api.service import Service
    from mercurylb.config.model import Pool
    from mercurylb.plan.decision import ServiceDecision

_DUAL_COUNT: Final = 2
_NEAREST: Final = (PoolReason.EXHAUSTED, PoolReason.ALL_AVOIDED, PoolReason.FAMILY_MISSING)
"""What pools say that are for the service; the others are not and never were."""
_KINDS: Final = {
    PoolReason.NOT_AUTO_ASSIGNED: (
        CauseCode.POOL_NOT_AUTOMATIC,
        "give{s} addresses only to services that ask for {them} (autoAssign is false)",
        f"ask for a pool with the annotation {ADDRESS_POOL}, or set its autoAssign to true",
    ),
    PoolReason.NAMESPACE_NOT_ADMITTED: (
        CauseCode.POOL_FOR_OTHER_NAMESPACES,
        "{are} for other namespaces than {namespace}",
        "add the namespace to a pool's serviceAllocation.namespaces, or create a pool for it",
    ),
    PoolReason.LABELS_NOT_ADMITTED: (
        CauseCode.POOL_FOR_OTHER_SERVICES,
        "{are} for services with other labels",
        "give the service labels that a pool's serviceSelectors match, or create a pool for it",
    ),
    PoolReason.PINNED_TO_NOBODY: (
        CauseCode.POOL_FOR_NOBODY,
        "{are} for nobody: the namespaceSelectors match no namespace",
        "label a namespace so that they match it, or correct them",
    ),
    PoolReason.EXHAUSTED: (
        CauseCode.POOL_EXHAUSTED,
        "{have} no free {family} address left",
        "add addresses to the pool, or delete services that need theirs no longer",
    ),
    PoolReason.ALL_AVOIDED: (
        CauseCode.POOL_ALL_AVOIDED,
        "{have} only addresses ending in .0 or .255 left, and avoid{s} those (avoidBuggyIPs)",
        "add addresses to the pool, or set its avoidBuggyIPs to false",
    ),
    PoolReason.FAMILY_MISSING: (
        CauseCode.POOL_LACKS_FAMILY,
        "lack{s} addresses of a family, and the service needs {family}",
        "add a range of that family to the pool",
    ),
}


def why_wish_fails(service: Service) -> Cause | None:
    """Tell what is wrong with a service whatever the configuration is; None if nothing is."""
    spec = service.wish
    cluster = cluster_ips(spec)
    if not cluster:
        return Cause(
            CauseCode.CLUSTER_IP_MISSING,
            "the service has no cluster IP yet, and an address is chosen by the family of that",
            "wait for the API server to give it one; create it anew if that does not happen",
        )
    if cluster[0] == "None":
        return Cause(
            CauseCode.HEADLESS,
            "the service is headless (clusterIP None), so it has no address family",
            "create it without clusterIP: None",
        )
    if read_stacking(spec) is Stacking.REQUIRE_DUAL and len(cluster) < _DUAL_COUNT:
        return Cause(
            CauseCode.NOT_ENOUGH_CLUSTER_IPS,
            f"the service requires dual stack, but has one cluster IP only ({cluster[0]})",
            "use ipFamilyPolicy PreferDualStack or SingleStack, or a dual-stack cluster",
        )
    try:
        family = read_family(cluster)
    except ParseError as error:
        return Cause(
            CauseCode.CLUSTER_IPS_INVALID,
            f"the service's cluster IPs make no family: {error}",
            "create the service anew",
        )
    return why_request_fails(service, family)


def why_pending(service: Service, decision: ServiceDecision, offer: Offer) -> Cause:
    """Tell why a service that is all right by itself gets nothing from this configuration."""
    if not offer.pools:
        return _no_pools(offer)
    claim = read_claim(service, read_family(cluster_ips(service.wish)))
    requested, wanted = read_requested(service), read_requested_pool(service)
    assert not isinstance(requested, Refusal), "why_wish_fails has been asked before"
    found = None
    if requested:
        found = why_not_these(claim, requested, wanted, offer)
    elif claim.family is ServiceFamily.DUAL and claim.stacking is Stacking.SINGLE:
        found = Cause(
            CauseCode.POLICY_NOT_DUAL_STACK,
            "the service has cluster IPs of both families, but its ipFamilyPolicy is SingleStack",
            "set ipFamilyPolicy to PreferDualStack or RequireDualStack",
        )
    elif wanted:
        pool = offer.pools.get(wanted)
        found = _unknown_pool(wanted, offer) if pool is None else _why_not_from(claim, pool)
    return found or _why_none(claim, decision)


def _no_pools(offer: Offer) -> Cause:
    if offer.misplaced:
        name = min(offer.misplaced)
        return Cause(
            CauseCode.POOL_IN_WRONG_NAMESPACE,
            f"there is no IPAddressPool in namespace {offer.home}; pool {name} is in namespace"
            f" {listed(offer.misplaced[name])}, where nobody looks",
            f"create the pool in namespace {offer.home}",
        )
    return Cause(
        CauseCode.NO_POOLS,
        f"there is no IPAddressPool in namespace {offer.home}",
        "create one with addresses of your network that nobody else uses",
    )


def _unknown_pool(wanted: str, offer: Offer) -> Cause:
    if wanted in offer.misplaced:
        return Cause(
            CauseCode.POOL_IN_WRONG_NAMESPACE,
            f"the service asks for pool {wanted}, which is in namespace"
            f" {listed(offer.misplaced[wanted])}, where nobody looks",
            f"create the pool in namespace {offer.home}",
        )
    return Cause(
        CauseCode.POOL_UNKNOWN,
        f"the service asks for pool {wanted}, which does not exist",
        f"correct the annotation {ADDRESS_POOL}; there are: {listed(sorted(offer.pools))}",
    )


def _why_not_from(claim: Claim, pool: Pool) -> Cause:
    found = outsider(claim, pool)
    if found is not None:
        return found
    missing = [family for family in claim.family.families if not pool.has_family(family)]
    is_enough = claim.stacking is Stacking.PREFER_DUAL and len(missing) == 1
    if missing and not (is_enough and claim.family is ServiceFamily.DUAL):
        names = " and ".join(f"IPv{family}" for family in missing)
        needed = FAMILY_NAMES[claim.family]
        return Cause(
            CauseCode.POOL_LACKS_FAMILY,
            f"pool {pool.name} has no {names} addresses, and the service needs {needed}",
            _KINDS[PoolReason.FAMILY_MISSING][2],
        )
    return Cause(
        CauseCode.POOL_EXHAUSTED,
        f"pool {pool.name} has no free {FAMILY_NAMES[claim.family]} address left",
        _KINDS[PoolReason.EXHAUSTED][2],
    )


def _why_none(claim: Claim, decision: ServiceDecision) -> Cause:
    """Tell why none of the pools is chosen for a service that leaves the choice to us."""
    by_reason: dict[PoolReason, list[str]] = {}
    for verdict in decision.verdicts:
        by_reason.setdefault(verdict.reason, []).append(verdict.pool)
    for reason in _NEAREST if len(by_reason) > 1 else tuple(by_reason):
        if reason in by_reason and reason in _KINDS:
            return _of_pools(claim, reason, by_reason[reason], decision.verdicts)
    details = listed([str(verdict) for verdict in decision.verdicts], separator="; ")
    return Cause(
        CauseCode.NO_POOL_FITS,
        f"no pool is for this service: {details or decision.pending_reason}",
        f"change one of the pools, or ask for one with the annotation {ADDRESS_POOL}",
    )


def _of_pools(
    claim: Claim, reason: PoolReason, names: Sequence[str], verdicts: Sequence[PoolVerdict]
) -> Cause:
    code, words, advice = _KINDS[reason]
    is_one = len(names) == 1
    said = words.format(
        s="s" if is_one else "",
        them="it" if is_one else "them",
        are="is" if is_one else "are",
        have="has" if is_one else "have",
        family=FAMILY_NAMES[claim.family],
        namespace=claim.namespace,
    )
    sentence = f"{'pool' if is_one else 'pools'} {listed(names)} {said}"
    others = Counter(verdict.reason.value for verdict in verdicts if verdict.reason is not reason)
    if others:
        counted = ", ".join(f"{count} {name}" for name, count in sorted(others.items()))
        sentence += f"; the other pools are not for it ({counted})"
    return Cause(code, sentence, advice)
