"""What the brain is told about membership and layer 2 (pure); every list is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.member import MemberDown
from mercurylb.plan.desired import AddressCounters, Conflict, Count, MemberState, OwnedService

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mercurylb.layer2.effect import ConflictFound
    from mercurylb.layer2.responder import Responder
    from mercurylb.membership.member import Membership, MembershipEffect

MEMBERS_MAX = 1024
CONFLICTS_MAX = 64
DROPS_MAX = 128


def owned_services(responder: Responder) -> tuple[OwnedService, ...]:
    """Return what this node announces."""
    return tuple(
        OwnedService(owned.service, owned.addresses, owned.skipped) for owned in responder.owned
    )


def address_counters(responder: Responder) -> tuple[AddressCounters, ...]:
    """Return the frames per address."""
    return tuple(
        AddressCounters(
            address=count.address,
            requests_received=count.requests_received,
            responses_sent=count.responses_sent,
            gratuitous_sent=count.gratuitous_sent,
        )
        for count in responder.counts()
    )


def member_states(membership: Membership, now: float) -> tuple[MemberState, ...]:
    """Return how the other members look."""
    return tuple(
        MemberState(
            node=view.node,
            address=view.address,
            state=view.state,
            reason=view.reason,
            is_ours=view.is_ours,
            silent_s=view.silent_s,
        )
        for view in membership.views(now)[:MEMBERS_MAX]
    )


def silences(
    membership: Membership, effects: Iterable[MembershipEffect], now: float
) -> dict[str, float]:
    """Return for how long the nodes that just went down had been silent, as far as it is known."""
    down = {effect.node for effect in effects if isinstance(effect, MemberDown)}
    return {
        view.node: view.silent_s
        for view in (membership.views(now) if down else ())
        if view.node in down and view.silent_s is not None
    }


def conflicts(responder: Responder, now: float) -> tuple[Conflict, ...]:
    """Return who else claims our addresses."""
    return tuple(
        Conflict(
            address=seen.address,
            interface=seen.interface,
            mac=seen.mac,
            node=seen.node,
            count=seen.count,
            age_s=seen.age_s,
            defended=seen.defended,
        )
        for seen in responder.conflicts(now)[:CONFLICTS_MAX]
    )


def conflict_fields(found: ConflictFound) -> dict[str, object]:
    """Return what people are told of a conflict."""
    seen = found.conflict
    return {
        "ip": seen.address,
        "interface": seen.interface,
        "mac": seen.mac,
        "node": seen.node,
        "count": seen.count,
    }


def drops(
    responder: Responder, membership: Membership, others: Mapping[str, int]
) -> tuple[Count, ...]:
    """Return what was not answered or believed, by reason, sorted by it."""
    counts = {drop.value: count for drop, count in responder.drops.items()}
    counts |= {f"membership {name}": count for name, count in membership.counts().items()}
    counts |= others
    told = sorted((name, count) for name, count in counts.items() if count)
    return tuple(Count(name, count) for name, count in told[:DROPS_MAX])
