"""What the nodes do about a service by BGP, and why no router hears of it: one cause.

The questions come in the order in which things have to be put right: advertisements, endpoints,
nodes, peers, sessions. Where layer 2 has the pool as well, its cause goes first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.api.node import EXCLUDE_LABEL
from mercurylb.api.service import LOCAL
from mercurylb.config.problem import clip
from mercurylb.plan.bgp import BgpSite
from mercurylb.plan.bgp_decision import BgpDecision, BgpReason, PeerReason
from mercurylb.plan.cause import Cause, CauseCode
from mercurylb.plan.request import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mercurylb.api.service import Service
    from mercurylb.config.model import Config, Pool
    from mercurylb.plan.snapshot import Snapshot

ESTABLISHED: Final = "Established"


class NodeBgp(msgspec.Struct, frozen=True):
    """What one node does about the service."""

    node: str
    decision: BgpDecision
    has_speaker: bool = True


def plan_nodes(
    service: Service, config: Config, snapshot: Snapshot, speakers: Collection[str]
) -> tuple[NodeBgp, ...]:
    """Decide for every node, by name; `speakers` are the nodes that have one."""
    nodes = {node.metadata.name: node for node in snapshot.nodes}
    slices = [each for each in snapshot.endpoint_slices if each.service_key == service.metadata.key]
    found = []
    for name in sorted(nodes.keys() | speakers):
        known = nodes.get(name)
        ignores = snapshot.settings.ignore_exclude_lb
        site = BgpSite(config, name, known, ignore_exclude_lb=ignores)
        found.append(NodeBgp(name, site.decide(service, slices), name in speakers))
    return tuple(found)


def announcing(nodes: Iterable[NodeBgp]) -> tuple[str, ...]:
    """Give the nodes that are to tell some peer."""
    return tuple(each.node for each in nodes if each.has_speaker and each.decision.peers)


def why_unheard(
    service: Service, nodes: Sequence[NodeBgp], pool: Pool, snapshot: Snapshot
) -> Cause | None:
    """Tell why no node is to tell a peer; None if one is."""
    if announcing(nodes):
        return None
    names = listed(sorted({item.name for item in pool.bgp_advertisements}))
    home = snapshot.settings.namespace
    by_reason: dict[BgpReason | None, list[str]] = {}
    for each in nodes:
        by_reason.setdefault(each.decision.reason, []).append(each.node)
    if set(by_reason) <= {BgpReason.NOT_OWNER}:
        return Cause(
            CauseCode.ADVERTISED_ON_NO_NODE,
            f"the nodeSelectors of BGPAdvertisement {names} match no node",
            "correct them, or label a node so that they match it",
        )
    if set(by_reason) <= {BgpReason.NOT_OWNER, BgpReason.NO_MATCHING_ADVERTISEMENT}:
        return Cause(
            CauseCode.ADVERTISED_FOR_OTHER_SERVICES,
            f"the BGPAdvertisements of pool {pool.name} ({names}) select other services by their"
            " serviceSelectors",
            "give the service labels that they match, or widen them",
        )
    if snapshot.are_pods_known and not snapshot.speakers:
        return Cause(
            CauseCode.SPEAKERS_NOT_RUNNING,
            f"no speaker runs in namespace {home}",
            "look at the speaker's DaemonSet and its pods",
        )
    return (
        _why_no_advertisement(nodes)
        or _why_no_endpoint(service, by_reason)
        or _why_no_node(by_reason, names)
        or _why_no_speaker(nodes, names)
        or _why_no_peer(nodes, names, snapshot)
    )


def why_down(nodes: Sequence[NodeBgp], snapshot: Snapshot) -> Cause | None:
    """Tell why no session is up over which the service is to be told; None if one is.

    None as well where nobody says how sessions stand.
    """
    wanted = {
        (each.node, peer) for each in nodes if each.has_speaker for peer in each.decision.peers
    }
    told = {
        (item.status.node, item.status.peer): item.status
        for item in snapshot.bgp_sessions
        if item.status is not None
    }
    if not wanted or not wanted <= told.keys():
        return None
    down = [told[key] for key in sorted(wanted) if told[key].state != ESTABLISHED]
    if len(down) < len(wanted):
        return None
    first = down[0]
    reason = f", {first.reason}" if first.reason else ""
    more = f"; and {len(down) - 1} more" if len(down) > 1 else ""
    return Cause(
        CauseCode.SESSIONS_DOWN,
        f"no BGP session is up over which it is to be told: {first.node} with {first.peer}"
        f" ({first.address}) is {first.state}{reason}{more}",
        f"look at the router, and at `mercurylb bgp session {first.peer}` on node {first.node}",
    )


def tell_down(nodes: Sequence[NodeBgp], snapshot: Snapshot) -> Iterator[str]:
    """Tell of the sessions that are not up, of those over which the service is to be told."""
    wanted = {
        (each.node, peer) for each in nodes if each.has_speaker for peer in each.decision.peers
    }
    alike: dict[tuple[str, str, str], list[str]] = {}
    for item in snapshot.bgp_sessions:
        status = item.status
        if status is None or status.state == ESTABLISHED:
            continue
        if (status.node, status.peer) in wanted:
            key = status.peer, status.address, clip(status.reason or status.state, 256)
            alike.setdefault(key, []).append(status.node)
    for (peer, address, reason), names in sorted(alike.items()):
        where = listed(sorted(names))
        yield f"the BGP session with {peer} ({address}) is not up on {where}: {reason}"


def _why_no_advertisement(nodes: Sequence[NodeBgp]) -> Cause | None:
    for reason, code, advice in (
        (
            BgpReason.CONFLICTING_ADVERTISEMENTS,
            CauseCode.ADVERTISEMENTS_CONFLICT,
            "give both the same values, or other peers, nodes or aggregation lengths",
        ),
        (
            BgpReason.TOO_MANY_COMMUNITIES,
            CauseCode.TOO_MANY_COMMUNITIES,
            "take communities out of the BGPAdvertisement",
        ),
    ):
        found = [each for each in nodes if each.decision.reason is reason]
        if found:
            names = listed([each.node for each in found])
            return Cause(code, f"{found[0].decision.detail} ({names})", advice)
    return None


def _why_no_endpoint(
    service: Service, by_reason: Mapping[BgpReason | None, list[str]]
) -> Cause | None:
    if BgpReason.NO_ENDPOINTS in by_reason:
        selector = ",".join(f"{k}={v}" for k, v in sorted((service.wish.selector or {}).items()))
        return Cause(
            CauseCode.NO_ENDPOINTS,
            "no endpoint of the service takes traffic, so nobody announces its address",
            f"look for ready pods with labels {selector}" if selector else "add endpoints",
        )
    if BgpReason.NO_LOCAL_ENDPOINTS in by_reason and None not in by_reason:
        assert service.wish.external_traffic_policy == LOCAL
        return Cause(
            CauseCode.NO_LOCAL_ENDPOINTS,
            "externalTrafficPolicy is Local, and no node that may announce it has a ready endpoint"
            f" ({listed(by_reason[BgpReason.NO_LOCAL_ENDPOINTS])})",
            "run a ready pod of the service on one of the nodes, or use externalTrafficPolicy"
            " Cluster",
        )
    return None


def _why_no_node(by_reason: Mapping[BgpReason | None, list[str]], names: str) -> Cause | None:
    if None in by_reason:
        return None
    if BgpReason.NODE_LABELED_EXCLUDE_BALANCERS in by_reason:
        nodes = listed(by_reason[BgpReason.NODE_LABELED_EXCLUDE_BALANCERS])
        return Cause(
            CauseCode.NODES_EXCLUDED,
            f"the nodes that may announce it are labelled {EXCLUDE_LABEL}"
            f" (BGPAdvertisement {names}; {nodes})",
            "remove the label from a node, or start the speakers with --ignore-exclude-lb",
        )
    nodes = listed(by_reason.get(BgpReason.NODE_NETWORK_UNAVAILABLE, []))
    return Cause(
        CauseCode.NODES_WITHOUT_NETWORK,
        "the nodes that may announce it have the condition NetworkUnavailable"
        f" (BGPAdvertisement {names}; {nodes})",
        "look at the network plugin on these nodes",
    )


def _why_no_speaker(nodes: Sequence[NodeBgp], names: str) -> Cause | None:
    able = [each for each in nodes if each.decision.reason is None]
    if any(each.has_speaker for each in able):
        return None
    where = listed([each.node for each in able])
    return Cause(
        CauseCode.NODES_WITHOUT_SPEAKER,
        f"no speaker runs on the nodes that may announce it (BGPAdvertisement {names}; {where})",
        "look at the speaker's DaemonSet: its node selector and tolerations",
    )


def _why_no_peer(nodes: Sequence[NodeBgp], names: str, snapshot: Snapshot) -> Cause:
    """Tell why nodes that announce it have nobody to tell."""
    home = snapshot.settings.namespace
    if not any(item.metadata.namespace == home for item in snapshot.bgp_peers):
        return Cause(
            CauseCode.BGP_ONLY,
            f"BGPAdvertisement {names} has the pool, and there is no BGPPeer in namespace {home}",
            "create a BGPPeer for each router, or an L2Advertisement for the pool if ARP and NDP"
            " are to announce it",
        )
    able = [each for each in nodes if each.decision.reason is None and each.has_speaker]
    told = {
        verdict.reason: verdict.peer
        for each in able
        for route in each.decision.routes
        for verdict in route.unsent
    }
    where = listed([each.node for each in able])
    if PeerReason.OTHER_FAMILY in told:
        family = "IPv6" if ":" in able[0].decision.addresses[0] else "IPv4"
        return Cause(
            CauseCode.PEERS_LACK_FAMILY,
            f"no session of {where} carries {family} routes: BGPPeer"
            f" {told[PeerReason.OTHER_FAMILY]} has an address of the other family",
            "set spec.dualStackAddressFamily of the peer, or create one with an address of that"
            " family",
        )
    if PeerReason.OTHER_NODES in told:
        return Cause(
            CauseCode.PEERS_ON_OTHER_NODES,
            f"the peers that are to be told have no session with {where}: the nodeSelectors of"
            f" BGPPeer {told[PeerReason.OTHER_NODES]} match other nodes",
            "correct the nodeSelectors of the peer or of the advertisement",
        )
    missing = told.get(PeerReason.UNKNOWN)
    which = f"BGPPeer {missing}, which does not exist" if missing else "no peer of these nodes"
    return Cause(
        CauseCode.PEERS_UNKNOWN,
        f"BGPAdvertisement {names} is for {which} ({where})",
        "correct spec.peers of the advertisement, or create the peer",
    )
