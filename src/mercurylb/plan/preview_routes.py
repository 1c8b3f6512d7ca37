"""What another configuration would change about the routes that nodes tell their peers.

The speakers' own decisions are made twice. Endpoints are as they are now; nodes that would decide
alike are asked once.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mercurylb.api.service import LOCAL
from mercurylb.plan.bgp import BgpSite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mercurylb.api.endpoint_slice import EndpointSlice
    from mercurylb.api.node import Node
    from mercurylb.api.service import Service
    from mercurylb.config.community import Community
    from mercurylb.config.model import Config


class RouteChangeKind(StrEnum):
    """What becomes of a route."""

    TOLD = "told"
    WITHDRAWN = "withdrawn"
    CHANGED = "changed"
    """It goes to the same peers with other attributes."""


class RouteChange(msgspec.Struct, frozen=True, order=True):
    """One route of a service, at nodes and peers for which the same changes."""

    service: str
    """`namespace/name`."""
    prefix: str
    kind: RouteChangeKind
    peers: tuple[str, ...]
    nodes: tuple[str, ...]
    attributes: str = ""
    """Those it would have; empty without any, and of one that is withdrawn."""


class Placement(NamedTuple):
    """Services as they would be under a configuration."""

    config: Config
    services: Iterable[Service]


class _Attributes(NamedTuple):
    local_pref: int
    as_path_prepend: int
    communities: tuple[Community, ...]


_Routes = dict[tuple[str, str, str], _Attributes]
"""By service, prefix and peer."""


def plan_route_changes(
    before: Placement,
    after: Placement,
    *,
    nodes: Iterable[Node],
    endpoint_slices: Iterable[EndpointSlice],
    ignore_exclude_lb: bool = False,
) -> tuple[RouteChange, ...]:
    """Compare what each node tells its peers now with what it would tell them."""
    slices: dict[str, list[EndpointSlice]] = {}
    for item in endpoint_slices:
        slices.setdefault(item.service_key, []).append(item)
    known = sorted(nodes, key=lambda node: node.metadata.name)
    old = _routes(before, known, slices, ignore_exclude_lb=ignore_exclude_lb)
    new = _routes(after, known, slices, ignore_exclude_lb=ignore_exclude_lb)
    found: dict[tuple[str, str, RouteChangeKind, str], dict[str, set[str]]] = {}
    for name in sorted(old.keys() | new.keys()):
        for key, kind, attributes in _compare(old.get(name, {}), new.get(name, {})):
            service, prefix, peer = key
            by_node = found.setdefault((service, prefix, kind, attributes), {})
            by_node.setdefault(name, set()).add(peer)
    return tuple(sorted(_gathered(found)))


def _gathered(
    found: Mapping[tuple[str, str, RouteChangeKind, str], Mapping[str, set[str]]],
) -> Iterable[RouteChange]:
    """Put nodes together that tell the same peers."""
    for (service, prefix, kind, attributes), by_node in found.items():
        alike: dict[tuple[str, ...], list[str]] = {}
        for node, peers in by_node.items():
            alike.setdefault(tuple(sorted(peers)), []).append(node)
        for names, nodes in alike.items():
            yield RouteChange(service, prefix, kind, names, tuple(sorted(nodes)), attributes)


def _routes(
    placement: Placement,
    nodes: Iterable[Node],
    slices: Mapping[str, list[EndpointSlice]],
    *,
    ignore_exclude_lb: bool,
) -> dict[str, _Routes]:
    """Give what each node tells; those with the same peers and advertisements share the work."""
    config = placement.config
    advertisements = [item for pool in config.pools for item in pool.bgp_advertisements]
    services = list(placement.services)
    shared: dict[object, _Routes] = {}
    found: dict[str, _Routes] = {}
    if not advertisements or not config.peers:
        return found
    for node in nodes:
        name = node.metadata.name
        site = BgpSite(config, name, node, ignore_exclude_lb=ignore_exclude_lb)
        if site.obstacle is not None or not site.peers:
            continue
        likeness = (
            tuple(peer.name for peer in site.peers),
            tuple(name in item.nodes for item in advertisements),
        )
        if likeness not in shared:
            shared[likeness] = _told(site, (s for s in services if not _is_local(s)), slices)
        local = _told(site, (service for service in services if _is_local(service)), slices)
        found[name] = shared[likeness] | local
    return found


def _is_local(service: Service) -> bool:
    return service.wish.external_traffic_policy == LOCAL


def _told(
    site: BgpSite, services: Iterable[Service], slices: Mapping[str, list[EndpointSlice]]
) -> _Routes:
    return {
        (decision.service, route.prefix, peer): _Attributes(
            route.local_pref, route.as_path_prepend, route.communities
        )
        for service in services
        for decision in [site.decide(service, slices.get(service.metadata.key, ()))]
        for route in decision.routes
        for peer in route.peers
    }


def _compare(
    old: _Routes, new: _Routes
) -> Iterable[tuple[tuple[str, str, str], RouteChangeKind, str]]:
    for key in old.keys() - new.keys():
        yield key, RouteChangeKind.WITHDRAWN, ""
    for key, attributes in new.items():
        before = old.get(key)
        if before != attributes:
            kind = RouteChangeKind.TOLD if before is None else RouteChangeKind.CHANGED
            yield key, kind, describe(*attributes)


def describe(local_pref: int, as_path_prepend: int, communities: Iterable[Community]) -> str:
    """Give the attributes of a route in words."""
    words = [f"localPref {local_pref}"] if local_pref else []
    words += [f"asPathPrepend {as_path_prepend}"] if as_path_prepend else []
    values = " ".join(map(str, communities))
    words += [f"communities {values}"] if values else []
    return ", ".join(words)
