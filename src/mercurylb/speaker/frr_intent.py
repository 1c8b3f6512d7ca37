"""From what a node wants of BGP to what its FRR is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.config.community import Community
from mercurylb.frr.session import Advertisement, Intent, Session, sound
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.bgp.route import RouteGroup
    from mercurylb.plan.bgp_wanted import BgpWanted


def intent_of(wanted: BgpWanted) -> Intent:
    """Give it; routes that are on their way out are left out, as are those of unknown peers."""
    told: dict[str, list[Advertisement]] = {peer.name: [] for peer in wanted.peers}
    for group in wanted.routes:
        if group.is_leaving:
            continue
        items = tuple(_advertisements(group))
        for name in group.peers:
            if name in told:
                told[name] += items
    sessions = tuple(Session(peer, tuple(told[peer.name])) for peer in wanted.peers)
    return Intent(sessions, wanted.profiles, wanted.extras)


def sound_intent(wanted: BgpWanted) -> Intent:
    """Give what of it FRR can be told; what is left out is logged with its reason."""
    intent, problems = sound(intent_of(wanted))
    for problem in problems:
        log.error("frr.peer_left_out", object=problem.object, reason=str(problem))
    return intent


def _advertisements(group: RouteGroup) -> Iterator[Advertisement]:
    communities = (
        *(Community((value, 0, 0)) for value in group.communities),
        *(Community(parts, is_large=True) for parts in group.large_communities),
    )
    for prefix in group.prefixes:
        yield Advertisement(
            prefix,
            local_pref=group.local_pref,
            as_path_prepend=group.as_path_prepend,
            communities=communities,
        )
