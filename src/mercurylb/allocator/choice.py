"""Choosing addresses for a service that did not ask for particular ones."""

from __future__ import annotations

from functools import partial
from itertools import takewhile
from operator import is_not
from typing import TYPE_CHECKING, Final

from mercurylb.allocator.book import Book, describe_pinning
from mercurylb.allocator.claim import (
    Allocation,
    Claim,
    Refusal,
    RefusalReason,
    ServiceFamily,
    Stacking,
)
from mercurylb.allocator.verdict import PoolReason, PoolVerdict
from mercurylb.values.address import IPV4, IPV6, Address, Family, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.allocator.usage import PoolUsage
    from mercurylb.config.model import Pinning

Candidates = dict[Family, Address]

VERDICTS_SHOWN_MAX: Final = 6
"""Pools named in a message; the API bounds messages of events to 1024 characters."""


def allocate_from(book: Book, claim: Claim, pool_name: str) -> Allocation | Refusal:
    """Give a service addresses from the pool it names; `autoAssign` does not matter."""
    usage = book.usages.get(pool_name)
    if usage is None:
        return Refusal(RefusalReason.UNKNOWN_POOL, f"unknown pool {quoted(pool_name)}")
    candidates = _candidates(usage, claim)
    addresses = _select(candidates, claim)
    if addresses is None:
        message = f"no available IPs in pool {pool_name}"
        if candidates:
            message = f"{message} for {claim.family} IPFamily"
        return Refusal(RefusalReason.EXHAUSTED, f"{message}: {_describe_lack(usage, claim)}")
    return book.assign(claim, addresses)


def allocate_automatically(
    book: Book, claim: Claim
) -> tuple[Allocation | Refusal, tuple[PoolVerdict, ...]]:
    """Give a service addresses from the best pool, and say of the pools why or why not.

    First the pools pinned to the service, by priority; if none of them can, the pools pinned to
    nobody. With success there are verdicts on the pools tried before, with failure on all.
    """
    tried: list[PoolUsage] = []
    admitted = [
        usage for usage in book.pinned_usages if usage.pool.admits(claim.namespace, claim.labels)
    ]
    for group in (admitted, book.open_usages):
        picked = _pick(group, claim)
        if picked is not None:
            usage, addresses = picked
            result = book.assign(claim, addresses)
            chosen = PoolVerdict(usage.pool.name, PoolReason.CHOSEN)
            tried += takewhile(partial(is_not, usage), group)
            return result, (chosen, *(_verdict(each, claim) for each in tried))
        tried += group
    verdicts = tuple(_verdict(usage, claim) for usage in book.usages.values())
    causes = _join(verdicts)
    message = f"no available IPs: {causes}" if causes else "no available IPs"
    return Refusal(RefusalReason.EXHAUSTED, message), verdicts


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
        return Refusal(RefusalReason.EXHAUSTED, f"{message}: {usage.describe_lack(other)}")
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


def _candidates(usage: PoolUsage, claim: Claim) -> Candidates:
    found: Candidates = {}
    for family in claim.family.families:
        address = usage.find(family, share_key=claim.share_key, ports=claim.ports)
        if address is not None:
            found[family] = address
    return found


def _select(candidates: Candidates, claim: Claim) -> tuple[Address, ...] | None:
    """Choose from the candidates what the service's families and policy ask for."""
    if claim.family is ServiceFamily.DUAL:
        if claim.stacking is Stacking.SINGLE:
            return None
        if claim.stacking is Stacking.REQUIRE_DUAL and len(candidates) < 2:  # noqa: PLR2004 (two families)
            return None
    return tuple(candidates.values()) or None


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


def _verdict(usage: PoolUsage, claim: Claim) -> PoolVerdict:
    pool = usage.pool
    if not pool.auto_assign:
        detail = "autoAssign is false and it was not asked for"
        return PoolVerdict(pool.name, PoolReason.NOT_AUTO_ASSIGNED, detail)
    if pool.pinning is not None:
        reason = _pinning_reason(pool.pinning, claim)
        if reason is not None:
            return PoolVerdict(pool.name, reason, describe_pinning(pool, claim))
    if _select(_candidates(usage, claim), claim) is not None:
        return PoolVerdict(pool.name, PoolReason.NOT_FIRST, "another pool comes first")
    reason = PoolReason.FAMILY_MISSING
    if any(pool.has_family(family) for family in claim.family.families):
        reason = PoolReason.EXHAUSTED
    return PoolVerdict(pool.name, reason, _describe_lack(usage, claim))


def _pinning_reason(pinning: Pinning, claim: Claim) -> PoolReason | None:
    if pinning.is_void:
        return PoolReason.PINNED_TO_NOBODY
    if not pinning.admits_namespace(claim.namespace):
        return PoolReason.NAMESPACE_NOT_ADMITTED
    if not pinning.admits_labels(claim.labels):
        return PoolReason.LABELS_NOT_ADMITTED
    return None


def _describe_lack(usage: PoolUsage, claim: Claim) -> str:
    if claim.family is ServiceFamily.DUAL and claim.stacking is Stacking.SINGLE:
        return "a dual-stack service needs ipFamilyPolicy PreferDualStack or RequireDualStack"
    candidates = _candidates(usage, claim)
    lacking = [family for family in claim.family.families if family not in candidates]
    return " and ".join(usage.describe_lack(family) for family in lacking)


def _join(verdicts: tuple[PoolVerdict, ...]) -> str:
    shown = [str(verdict) for verdict in verdicts[:VERDICTS_SHOWN_MAX]]
    if len(verdicts) > len(shown):
        shown.append(f"and {len(verdicts) - len(shown)} more pools")
    return "; ".join(shown)
