"""Choosing addresses for a service that did not ask for particular ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.allocator.claim import (
    Allocation,
    Claim,
    Refusal,
    RefusalReason,
    ServiceFamily,
    Stacking,
)
from mercurylb.allocator.description import describe_lack, describe_pinning, lacking_reason
from mercurylb.allocator.verdict import PoolReason, PoolVerdict
from mercurylb.values.address import IPV4, IPV6, Address, Family, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from mercurylb.allocator.book import Book
    from mercurylb.allocator.usage import PoolUsage
    from mercurylb.config.model import Pinning

Candidates = dict[Family, Address]

VERDICTS_SHOWN_MAX: Final = 6
"""Pools named in a message; the API bounds messages of events to 1024 characters."""

_REMEMBERED_MAX: Final = 256
"""Verdicts per pool, and refusals, that are kept while nothing changes."""

_TELLING: Final = (
    PoolReason.EXHAUSTED,
    PoolReason.ALL_AVOIDED,
    PoolReason.POLICY_NOT_DUAL_STACK,
    PoolReason.FAMILY_MISSING,
    PoolReason.LABELS_NOT_ADMITTED,
    PoolReason.NAMESPACE_NOT_ADMITTED,
    PoolReason.PINNED_TO_NOBODY,
    PoolReason.NOT_AUTO_ASSIGNED,
)
"""In messages the pools come in this order: those that were nearest to helping first."""

_REFUSALS: Final = {
    PoolReason.EXHAUSTED: RefusalReason.EXHAUSTED,
    PoolReason.ALL_AVOIDED: RefusalReason.EXHAUSTED,
    PoolReason.POLICY_NOT_DUAL_STACK: RefusalReason.POLICY,
    PoolReason.FAMILY_MISSING: RefusalReason.FAMILY_MISSING,
}


def allocate_from(book: Book, claim: Claim, pool_name: str) -> Allocation | Refusal:
    """Give a service addresses from the pool it names; `autoAssign` does not matter."""
    usage = book.usages.get(pool_name)
    if usage is None:
        message = f"unknown pool {quoted(pool_name)}: {book.describe_names(pool_name)}"
        return Refusal(RefusalReason.UNKNOWN_POOL, message)
    candidates = _candidates(usage, claim)
    addresses = _select(candidates, claim)
    if addresses is not None:
        return book.assign(claim, addresses)
    message = f"no available IPs in pool {pool_name}"
    if candidates:
        message = f"{message} for {claim.family} IPFamily"
    return _refuse_for_lack(usage, claim, _lacking(candidates, claim), message)


def allocate_automatically(
    book: Book, claim: Claim
) -> tuple[Allocation | Refusal, tuple[PoolVerdict, ...]]:
    """Give a service addresses from the best pool; with failure say of every pool why not.

    First the pools pinned to the service, by priority; if none of them can, the pools pinned to
    nobody. With success there is the verdict on the pool chosen; `explain_pools` has the others.
    """
    kind = _kind_of(claim)
    known = book.refusals.get(kind)
    if known is not None:
        return known
    admitted = [
        usage for usage in book.pinned_usages if usage.pool.admits(claim.namespace, claim.labels)
    ]
    for group in (admitted, book.open_usages):
        picked = _pick(_not_full(group, claim), claim)
        if picked is not None:
            usage, addresses = picked
            return book.assign(claim, addresses), (usage.chosen,)
    verdicts = tuple(_verdict(usage, claim) for usage in book.usages.values())
    refused = _refuse_all(verdicts), verdicts
    if kind is not None:
        if len(book.refusals) >= _REMEMBERED_MAX:
            book.refusals.clear()
        book.refusals[kind] = refused
    return refused


def add_missing_family(book: Book, claim: Claim) -> Allocation | Refusal:
    """Give a service with one address the other family's address from the same pool.

    The address it has stays the first.
    """
    held = book.holding(claim.service)
    assert held is not None and len(held.addresses) == 1, claim.service  # noqa: PT018 (the caller's duty)
    other: Family = IPV6 if held.addresses[0].family == IPV4 else IPV4
    usage = book.usages[held.pool]
    address = usage.find(other, share_key=claim.share_key, ports=claim.ports)
    if address is None:
        message = f"no available IPs in pool {held.pool} for ipv{other} IPFamily"
        return _refuse_for_lack(usage, claim, (other,), message)
    return book.assign(claim, (*held.addresses, address))


def explain_pools(book: Book, claim: Claim, allocation: Allocation) -> tuple[PoolVerdict, ...]:
    """Say of every pool how it stands to a service that has its addresses already."""
    kept = f"the service keeps {', '.join(map(str, allocation.addresses))}"
    return tuple(
        PoolVerdict(name, PoolReason.KEPT, kept)
        if name == allocation.pool
        else _verdict(usage, claim)
        for name, usage in book.usages.items()
    )


def _kind_of(claim: Claim) -> Hashable:
    """Give what services have in common that are all refused if one is; None if that is unknown."""
    if claim.share_key[0]:
        return None
    return (claim.namespace, claim.family, claim.stacking, frozenset(claim.labels.items()))


# --- addresses -----------------------------------------------------------------------------------


def _candidates(usage: PoolUsage, claim: Claim) -> Candidates:
    found: Candidates = {}
    for family in claim.family.families:
        address = usage.find(family, share_key=claim.share_key, ports=claim.ports)
        if address is not None:
            found[family] = address
    return found


def _lacking(candidates: Candidates, claim: Claim) -> list[Family]:
    return [family for family in claim.family.families if family not in candidates]


def _select(candidates: Candidates, claim: Claim) -> tuple[Address, ...] | None:
    """Choose from the candidates what the service's families and policy ask for."""
    if claim.family is ServiceFamily.DUAL:
        if claim.stacking is Stacking.SINGLE:
            return None
        if claim.stacking is Stacking.REQUIRE_DUAL and len(candidates) < 2:  # noqa: PLR2004 (two families)
            return None
    return tuple(candidates.values()) or None


def _not_full(group: Sequence[PoolUsage], claim: Claim) -> Sequence[PoolUsage]:
    """Give the pools of a group worth a look; one that is full may have addresses to share."""
    if claim.share_key[0]:
        return group
    families = claim.family.families
    one, other = families[0], families[-1]
    return [
        usage
        for usage in group
        if not (usage.families[one].is_full and usage.families[other].is_full)
    ]


def _pick(group: Iterable[PoolUsage], claim: Claim) -> tuple[PoolUsage, tuple[Address, ...]] | None:
    """Choose the pool of a group: the first with all families, else one with the primary."""
    wanted = len(claim.family.families)
    incomplete: dict[Family, tuple[PoolUsage, tuple[Address, ...]]] = {}
    for usage in group:
        candidates = _candidates(usage, claim)
        addresses = _select(candidates, claim)
        if addresses is None:
            continue
        if len(candidates) == wanted:
            return usage, addresses
        incomplete.setdefault(addresses[0].family, (usage, addresses))
    secondary: Family = IPV6 if claim.primary == IPV4 else IPV4
    return incomplete.get(claim.primary) or incomplete.get(secondary)


# --- reasons -------------------------------------------------------------------------------------


def _refuse_for_lack(
    usage: PoolUsage, claim: Claim, lacking: Sequence[Family], message: str
) -> Refusal:
    detail, holders = describe_lack(usage, claim, lacking)
    brief = f"{message}: {detail}"
    return Refusal(
        _REFUSALS[lacking_reason(usage, claim, lacking)],
        f"{brief} ({holders})" if holders else brief,
        brief,
    )


def _refuse_all(verdicts: Sequence[PoolVerdict]) -> Refusal:
    """Sum the verdicts on all pools up, the most telling ones first."""
    message = "no available IPs"
    ranked = sorted(verdicts, key=lambda verdict: _TELLING.index(verdict.reason))
    if not ranked:
        return Refusal(RefusalReason.NO_POOL_MATCHES, message)
    rest = len(ranked) - VERDICTS_SHOWN_MAX
    more = [f"and {rest} more pools"] if rest > 0 else []
    shown = ranked[:VERDICTS_SHOWN_MAX]
    return Refusal(
        _REFUSALS.get(ranked[0].reason, RefusalReason.NO_POOL_MATCHES),
        f"{message}: {'; '.join([*map(str, shown), *more])}",
        f"{message}: {'; '.join([*(verdict.brief for verdict in shown), *more])}",
    )


def _verdict(usage: PoolUsage, claim: Claim) -> PoolVerdict:
    """Say why a pool does not serve a service, or would only after others."""
    pool = usage.pool
    if not pool.auto_assign:
        detail = "autoAssign is false and it was not asked for"
        reason = PoolReason.NOT_AUTO_ASSIGNED
        return _remember(usage, reason, lambda: (reason, detail, ""))
    if pool.pinning is not None:
        refused = _pinning_reason(pool.pinning, claim)
        if refused is not None:
            return _remember(
                usage,
                (refused, claim.namespace),
                lambda: (refused, describe_pinning(pool, claim), ""),
            )
    if claim.share_key[0]:
        return PoolVerdict(pool.name, *_judge_families(usage, claim))
    key = (claim.family, claim.stacking)
    return _remember(usage, key, lambda: _judge_families(usage, claim))


def _judge_families(usage: PoolUsage, claim: Claim) -> tuple[PoolReason, str, str]:
    candidates = _candidates(usage, claim)
    if _select(candidates, claim) is not None:
        return PoolReason.NOT_FIRST, "another pool comes first", ""
    lacking = _lacking(candidates, claim)
    return lacking_reason(usage, claim, lacking), *describe_lack(usage, claim, lacking)


def _remember(
    usage: PoolUsage, key: Hashable, judge: Callable[[], tuple[PoolReason, str, str]]
) -> PoolVerdict:
    """Give the verdict on a kind of claim, judged once until something about the pool changes."""
    verdict = usage.remembered.get(key)
    if verdict is None:
        if len(usage.remembered) >= _REMEMBERED_MAX:
            usage.remembered.clear()
        verdict = usage.remembered[key] = PoolVerdict(usage.pool.name, *judge())
    return verdict


def _pinning_reason(pinning: Pinning, claim: Claim) -> PoolReason | None:
    if pinning.is_void:
        return PoolReason.PINNED_TO_NOBODY
    if not pinning.admits_namespace(claim.namespace):
        return PoolReason.NAMESPACE_NOT_ADMITTED
    if not pinning.admits_labels(claim.labels):
        return PoolReason.LABELS_NOT_ADMITTED
    return None
