"""To which peers a node announces a service by BGP, as which routes, and why not the others.

The questions come in MetalLB 0.16's order (spec: bgp §4); the first that is answered with no is the
reason. There is no election: every node that may announce a service does. Which peers a node has is
settled before; whether a session is up does not matter here.

A node that was labelled to be left out goes on announcing what nothing else speaks against, as
*leaving*: the routes lose their preference before they vanish (RFC 8326), while the reason says
already that the node does not announce the service.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

from mercurylb.api.service import LOAD_BALANCER, LOCAL
from mercurylb.errors import ParseError
from mercurylb.plan.bgp_decision import (
    AdvertisementReason,
    AdvertisementVerdict,
    BgpDecision,
    BgpReason,
    BgpRoute,
    PeerReason,
    PeerVerdict,
)
from mercurylb.values.address import BITS, IPV4, IPV6, parse_address
from mercurylb.values.prefix import Prefix
from mercurylb.values.selector import matches_any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mercurylb.api.endpoint_slice import EndpointSlice
    from mercurylb.api.node import Node
    from mercurylb.api.service import Service
    from mercurylb.config.model import BGPAdvertisement, Config, Peer, Pool
    from mercurylb.values.address import Address, Family

COMMUNITIES_MAX: Final = 63
"""Of one advertisement, as in MetalLB 0.16."""


def plan_bgp(  # noqa: PLR0913 (all facts the decision rests on, by keyword)
    service: Service,
    *,
    config: Config | None,
    nodes: Mapping[str, Node],
    endpoint_slices: Iterable[EndpointSlice],
    node: str,
    ignore_exclude_lb: bool = False,
) -> BgpDecision:
    """Decide about one service on one node; whoever has many services keeps a `BgpSite`."""
    site = BgpSite(config, node, nodes.get(node), ignore_exclude_lb=ignore_exclude_lb)
    return site.decide(service, endpoint_slices)


class _Choice(NamedTuple):
    """What the advertisements of a pool come to."""

    reason: BgpReason | None
    detail: str
    chosen: tuple[BGPAdvertisement, ...]
    verdicts: tuple[AdvertisementVerdict, ...]


class BgpSite:
    """One node under one configuration: decides about any number of services.

    A node without a Node object counts as available and without labels.
    """

    def __init__(
        self,
        config: Config | None,
        node: str,
        known: Node | None,
        *,
        ignore_exclude_lb: bool = False,
    ) -> None:
        self.peers: tuple[Peer, ...] = peers_on(config, known) if config else ()
        """Those that the node has a session with, by name."""
        self._config = config
        self._node = node
        self._obstacle = _obstacle(known, ignore_exclude_lb=ignore_exclude_lb)
        self._names = {peer.name for peer in self.peers}
        self._choices: dict[str, _Choice] = {}
        self._targets: dict[
            tuple[tuple[str, ...], Family], tuple[tuple[str, ...], tuple[PeerVerdict, ...]]
        ] = {}

    @property
    def obstacle(self) -> BgpReason | None:
        """Give what the node itself has against announcing anything."""
        return self._obstacle[0]

    def decide(self, service: Service, endpoint_slices: Iterable[EndpointSlice]) -> BgpDecision:
        """Decide about one service; those of other classes are not for this function."""
        key, config = service.metadata.key, self._config
        if service.wish.type != LOAD_BALANCER:
            return BgpDecision(key, BgpReason.NOT_LOAD_BALANCER)
        if config is None:
            return BgpDecision(key, BgpReason.NO_CONFIG)
        if not service.ingress:
            return BgpDecision(key, BgpReason.NO_IP_ALLOCATED)
        try:
            addresses = [parse_address(entry.ip) for entry in service.ingress]
        except ParseError as error:
            return BgpDecision(key, BgpReason.INVALID_IP, str(error))
        texts = tuple(map(str, addresses))
        pool = config.index.find_common(addresses)
        if pool is None:
            detail = f"no pool has {', '.join(texts)}"
            return BgpDecision(key, BgpReason.IP_NOT_ALLOWED, detail, texts)
        choice = self._choose(pool, service.metadata.labels or {})
        reason, detail, is_leaving = self._judge(service, choice, endpoint_slices)
        routes: tuple[BgpRoute, ...] = ()
        if reason is None or is_leaving:
            routes = tuple(self._routes(addresses, texts, choice.chosen))
        return BgpDecision(
            key, reason, detail, texts, pool.name, routes, is_leaving, choice.verdicts
        )

    def _judge(
        self, service: Service, choice: _Choice, endpoint_slices: Iterable[EndpointSlice]
    ) -> tuple[BgpReason | None, str, bool]:
        """Give the first reason against it, and whether it is the only one and can be gentle."""
        if choice.reason is not None:
            return choice.reason, choice.detail, False
        reason, detail = self._obstacle
        if reason is BgpReason.NODE_NETWORK_UNAVAILABLE:
            return reason, detail, False
        absence = self._absence(service, endpoint_slices)
        if reason is not None:
            return reason, detail, absence is None
        if absence is BgpReason.NO_LOCAL_ENDPOINTS:
            return absence, "externalTrafficPolicy is Local, and no endpoint here is ready", False
        if absence is not None:
            return absence, "no endpoint of the service takes traffic", False
        return None, "", False

    def _absence(
        self, service: Service, endpoint_slices: Iterable[EndpointSlice]
    ) -> BgpReason | None:
        servable = {
            endpoint.node_name
            for endpoint_slice in endpoint_slices
            for endpoint in endpoint_slice.endpoints or ()
            if endpoint.addresses and endpoint.is_servable
        }
        if service.wish.external_traffic_policy == LOCAL and self._node not in servable:
            return BgpReason.NO_LOCAL_ENDPOINTS
        return None if servable else BgpReason.NO_ENDPOINTS

    # --- the advertisements ------------------------------------------------------------------

    def _choose(self, pool: Pool, labels: Mapping[str, str]) -> _Choice:
        known = self._choices.get(pool.name)
        if known is not None:
            return known
        choice = _choose(pool, labels, self._node)
        if not any(item.service_selectors for item in pool.bgp_advertisements):
            self._choices[pool.name] = choice
        return choice

    def _routes(
        self,
        addresses: Sequence[Address],
        texts: Sequence[str],
        advertisements: Iterable[BGPAdvertisement],
    ) -> Iterator[BgpRoute]:
        for address, text in zip(addresses, texts, strict=True):
            for item in advertisements:
                peers, unsent = self._reach(item.peers, address.family)
                yield BgpRoute(
                    item.name,
                    text,
                    aggregate(address, item),
                    peers,
                    item.local_pref,
                    item.as_path_prepend,
                    item.communities,
                    unsent,
                )

    def _reach(
        self, names: tuple[str, ...], family: Family
    ) -> tuple[tuple[str, ...], tuple[PeerVerdict, ...]]:
        """Give which peers a route gets to, and why not to the others."""
        known = self._targets.get((names, family))
        if known is None:
            known = self._targets[names, family] = self._find_reach(names, family)
        return known

    def _find_reach(
        self, names: tuple[str, ...], family: Family
    ) -> tuple[tuple[str, ...], tuple[PeerVerdict, ...]]:
        reached, unsent = [], []
        peers = self._config.peers if self._config else ()
        for peer in peers:
            reason = None
            if names and peer.name not in names:
                reason = PeerReason.NOT_NAMED
            elif peer.name not in self._names:
                reason = PeerReason.OTHER_NODES
            elif not takes(peer, family):
                reason = PeerReason.OTHER_FAMILY
            if reason is None:
                reached.append(peer.name)
            else:
                unsent.append(PeerVerdict(peer.name, reason))
        missing = set(names) - {peer.name for peer in peers}
        unsent += [PeerVerdict(name, PeerReason.UNKNOWN) for name in missing]
        return tuple(sorted(reached)), tuple(sorted(unsent, key=lambda verdict: verdict.peer))


def peers_on(config: Config, node: Node | None) -> tuple[Peer, ...]:
    """Give the peers that a node is to have a session with, by name."""
    labels = (node.metadata.labels if node else None) or {}
    return tuple(
        peer
        for peer in sorted(config.peers, key=lambda each: each.name)
        if not peer.node_selectors or matches_any(peer.node_selectors, labels)
    )


def takes(peer: Peer, family: Family) -> bool:
    """Tell whether routes of a family go over the session with a peer."""
    if peer.interface or peer.dual_stack_address_family or peer.address is None:
        return True
    return peer.address.family == family


def aggregate(address: Address, advertisement: BGPAdvertisement) -> str:
    """Give the route to an address, in canonical text."""
    length = (
        advertisement.aggregation_length
        if address.family == IPV4
        else advertisement.aggregation_length_v6
    )
    host_bits = BITS[address.family] - length
    return str(Prefix(address.family, address.number >> host_bits << host_bits, length))


def do_conflict(one: BGPAdvertisement, other: BGPAdvertisement, pool: Pool) -> bool:
    """Tell whether two advertisements of a node make one route for one peer in different ways."""
    if (one.local_pref, one.as_path_prepend) == (other.local_pref, other.as_path_prepend):
        return False
    if one.peers and other.peers and set(one.peers).isdisjoint(other.peers):
        return False
    is_v4_equal = one.aggregation_length == other.aggregation_length
    is_v6_equal = one.aggregation_length_v6 == other.aggregation_length_v6
    return (is_v4_equal and pool.has_family(IPV4)) or (is_v6_equal and pool.has_family(IPV6))


def _choose(pool: Pool, labels: Mapping[str, str], node: str) -> _Choice:
    """Sort the advertisements of a pool into those that are for a service here and the others."""
    verdicts: dict[int, AdvertisementVerdict] = {}
    here, chosen = 0, []
    for index, item in enumerate(pool.bgp_advertisements):
        reason = detail = None
        if node not in item.nodes:
            reason, detail = AdvertisementReason.OTHER_NODES, "its nodeSelectors"
        elif not item.admits(labels):
            reason, detail = AdvertisementReason.OTHER_SERVICES, "its serviceSelectors"
        here += node in item.nodes
        if reason is None:
            chosen.append((index, item))
        verdicts[index] = AdvertisementVerdict(item.name, reason, detail or "")
    refusal = _refuse(here, [item for _, item in chosen], pool)
    if refusal is not None:
        return _Choice(*refusal, (), tuple(verdicts.values()))
    reason, detail = None, ""
    for index, item in chosen:
        detail = _too_many(item)
        if detail:
            code = AdvertisementReason.TOO_MANY_COMMUNITIES
            verdicts[index] = AdvertisementVerdict(item.name, code, detail)
    kept = tuple(item for index, item in chosen if verdicts[index].reason is None)
    return _Choice(
        None if kept else BgpReason.TOO_MANY_COMMUNITIES,
        "" if kept else verdicts[chosen[0][0]].detail,
        kept,
        tuple(verdicts.values()),
    )


def _refuse(here: int, chosen: list[BGPAdvertisement], pool: Pool) -> tuple[BgpReason, str] | None:
    """Give why no advertisement counts, in the original's order."""
    if not here:
        kind = "BGPAdvertisement of the pool includes this node"
        detail = f"no {kind}" if pool.bgp_advertisements else "no BGPAdvertisement has the pool"
        return BgpReason.NOT_OWNER, detail
    if not chosen:
        detail = "no BGPAdvertisement for this node selects the service"
        return BgpReason.NO_MATCHING_ADVERTISEMENT, detail
    for one, other in combinations(chosen, 2):
        if do_conflict(one, other, pool):
            detail = (
                f"BGPAdvertisements {one.name} and {other.name} make the same route with different"
                " localPref or asPathPrepend"
            )
            return BgpReason.CONFLICTING_ADVERTISEMENTS, detail
    return None


def _too_many(item: BGPAdvertisement) -> str:
    count = len(item.communities)
    if count <= COMMUNITIES_MAX:
        return ""
    return f"max supported communities is {COMMUNITIES_MAX}, got {count}"


def _obstacle(known: Node | None, *, ignore_exclude_lb: bool) -> tuple[BgpReason | None, str]:
    """Give what the node itself has against announcing anything."""
    if known is None:
        return None, ""
    if known.is_network_unavailable:
        detail = "the node has the condition NetworkUnavailable"
        return BgpReason.NODE_NETWORK_UNAVAILABLE, detail
    if known.is_excluded and not ignore_exclude_lb:
        return BgpReason.NODE_LABELED_EXCLUDE_BALANCERS, "the node is excluded by its label"
    return None, ""
