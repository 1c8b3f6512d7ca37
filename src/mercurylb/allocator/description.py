"""The true causes, in words: why an address is not shared, why a pool has none.

The beginnings of the sentences, which operators of MetalLB 0.16 know, are with the decisions; here
is what stands behind their colon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.allocator.claim import Claim, ServiceFamily, Stacking, format_port, list_names
from mercurylb.allocator.verdict import PoolReason
from mercurylb.api.annotation import ALLOW_SHARED_IP
from mercurylb.values.address import Address, Family, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mercurylb.allocator.claim import Port, ShareKey
    from mercurylb.allocator.usage import FamilyUsage, PoolUsage
    from mercurylb.config.model import Pool

_SHOWN_MAX: Final = 3
_NEAR_MAX: Final = 5


def describe_unshared(mine: ShareKey, theirs: ShareKey) -> str:
    """Say why two services whose keys differ, or are empty, cannot be on one address."""
    if not theirs[0]:
        who = "neither shares" if not mine[0] else "they do not share"
        return f"{who} addresses (no annotation {ALLOW_SHARED_IP})"
    if not mine[0]:
        return f"they share it by {ALLOW_SHARED_IP} {quoted(theirs[0])}, this service does not"
    if mine[0] != theirs[0]:
        return f"their {ALLOW_SHARED_IP} is {quoted(theirs[0])}, not {quoted(mine[0])}"
    return (
        "sharing takes externalTrafficPolicy Cluster on both sides or Local with equal selectors:"
        f" they have {_describe_backend(theirs[1])}, this service {_describe_backend(mine[1])}"
    )


def _describe_backend(key: str) -> str:
    return f"Local with {quoted(key)}" if key else "Cluster"


def describe_ports(taken: Sequence[Port]) -> str:
    """Give what stands behind the first of several ports that are taken."""
    if not taken:
        return ""
    shown = ", ".join(map(format_port, taken[:_SHOWN_MAX]))
    more = f" and {len(taken) - _SHOWN_MAX} more" if len(taken) > _SHOWN_MAX else ""
    return f", and so {'is' if len(taken) == 1 else 'are'} {shown}{more}"


def describe_pinning(pool: Pool, claim: Claim) -> str:
    """Say which half of a pool's pinning keeps a service out."""
    if pool.pinning is None or pool.pinning.is_void:
        return "its serviceAllocation selects no namespace"
    if not pool.pinning.admits_namespace(claim.namespace):
        return f"its serviceAllocation does not include namespace {quoted(claim.namespace)}"
    return "the service's labels match none of its serviceSelectors"


def describe_policy() -> str:
    """Say why no pool can help a dual-stack service whose policy is single-stack."""
    return "a dual-stack service needs ipFamilyPolicy PreferDualStack or RequireDualStack"


def lacking_reason(usage: PoolUsage, claim: Claim, lacking: Iterable[Family]) -> PoolReason:
    """Say in one word why a pool that is for this service has nothing for it."""
    if claim.family is ServiceFamily.DUAL and claim.stacking is Stacking.SINGLE:
        return PoolReason.POLICY_NOT_DUAL_STACK
    families = [usage.families[family] for family in lacking]
    needs_all = claim.stacking is Stacking.REQUIRE_DUAL
    is_missing = [not family.prefixes for family in families]
    if any(is_missing) if needs_all else all(is_missing):
        return PoolReason.FAMILY_MISSING
    if any(family.prefixes and not family.capacity for family in families):
        return PoolReason.ALL_AVOIDED
    return PoolReason.EXHAUSTED


def describe_lack(usage: PoolUsage, claim: Claim, lacking: Iterable[Family]) -> tuple[str, str]:
    """Say why there is no address of some families, and who has them."""
    if claim.family is ServiceFamily.DUAL and claim.stacking is Stacking.SINGLE:
        return describe_policy(), ""
    causes, holders = [], []
    families = [usage.families[family] for family in lacking]
    if claim.stacking is Stacking.REQUIRE_DUAL:
        # What can never be is the whole reason, whether the other family is full today or not.
        families = [each for each in families if not each.prefixes] or families
    for found in families:
        causes.append(_describe_family(found, claim))
        holders += _describe_holders(found)
    return " and ".join(causes), ", ".join(holders)


def _describe_family(usage: FamilyUsage, claim: Claim) -> str:
    label = f"IPv{usage.family}"
    if not usage.prefixes:
        return f"it has no {label} addresses"
    if not usage.capacity:
        return f"it has no {label} address that does not end in .0 or .255 (avoidBuggyIPs)"
    text = f"all {usage.capacity} {label} addresses are in use"
    if not claim.share_key[0]:
        return text
    if not usage.group_size(claim.share_key):
        return f"{text}, none of them with the sharing key of the service"
    return f"{text}, and its ports are taken on those that it might share"


def _describe_holders(usage: FamilyUsage) -> list[str]:
    if not usage.uses:
        return []
    shown = [
        f"{Address(usage.family, number)} by {list_names(usage.holders(number))}"
        for number in usage.first_used(_SHOWN_MAX)
    ]
    rest = len(usage.uses) - len(shown)
    return [*shown, f"{rest} more"] if rest else shown


def describe_names(wanted: str, names: Iterable[str]) -> str:
    """Give the names that are most like one that does not exist."""
    every = list(names)
    if not every:
        return "there are none"
    shown = sorted(every, key=lambda name: (-_likeness(wanted, name), name))[:_NEAR_MAX]
    more = f" and {len(every) - len(shown)} more" if len(every) > len(shown) else ""
    return f"there are {', '.join(shown)}{more}" if len(every) > 1 else f"there is {shown[0]} only"


def _likeness(one: str, other: str) -> int:
    """Count how many pairs of neighbouring characters two names have in common."""
    first, second = one.casefold(), other.casefold()
    pairs = {first[index : index + 2] for index in range(len(first) - 1)}
    return len(pairs & {second[index : index + 2] for index in range(len(second) - 1)})
