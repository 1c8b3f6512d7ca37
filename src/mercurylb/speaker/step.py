"""What one step of the view found, and which refusals in it are news."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from mercurylb.plan.bgp_decision import BgpDecision, BgpReason
from mercurylb.plan.layer2 import Layer2Decision, Layer2Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LAYER2_REFUSALS = frozenset(
    {
        Layer2Reason.INVALID_IP.value,
        Layer2Reason.IP_NOT_ALLOWED.value,
        Layer2Reason.SHARED_IP_WITH_SERVICE_SELECTOR.value,
    }
)
BGP_REFUSALS = frozenset(
    {BgpReason.CONFLICTING_ADVERTISEMENTS.value, BgpReason.TOO_MANY_COMMUNITIES.value}
)
"""Beside those that layer 2 tells as well."""
_Decision = TypeVar("_Decision", Layer2Decision, BgpDecision)


class Step(msgspec.Struct, frozen=True):
    """What a step found."""

    has_changed: bool
    """Whether the desired state is another one."""
    was_compiled: bool
    """Whether the configuration was looked at."""
    error: str = ""
    """Why the newest configuration is not in force; empty when it is."""
    is_loaded: bool = False
    """Whether another configuration is in force now."""
    is_in_use: bool = False
    """Whether it is refused only because an announced address has no pool in it."""
    looked_at: int = 0
    """Configurations, nodes and services that were looked at because they changed."""
    refusals: tuple[Layer2Decision | BgpDecision, ...] = ()
    """Services that are not announced for a reason that somebody has to correct, and were
    announced, or not for another reason, at the last look."""
    planned: frozenset[str] = frozenset()
    """Services that were planned again, those that are gone included."""
    published: frozenset[str] = frozenset()
    """Services of which other peers may be told than before."""
    has_bgp_changed: bool = False
    """Whether other peers, routes, profiles or extras are wanted."""


def compiled_step(error: str, *, is_loaded: bool = False, is_in_use: bool = False) -> Step:
    """Give a step in which the configuration was looked at, and what came of that."""
    return Step(
        has_changed=False,
        was_compiled=True,
        error=error,
        is_loaded=is_loaded,
        is_in_use=is_in_use,
    )


NOT_COMPILED = Step(has_changed=False, was_compiled=False)


def new_refusals(
    before: Mapping[str, _Decision | None],
    after: Mapping[str, _Decision],
    reasons: frozenset[str],
) -> Iterator[_Decision]:
    """Give the decisions for one of the reasons that were not so at the last look."""
    for service in sorted(before):
        decision, known = after.get(service), before[service]
        if decision is None or decision.reason is None or decision.reason.value not in reasons:
            continue
        if known is None or known.reason is not decision.reason:
            yield decision
