"""What a speaker's brain knows and wants: from the stores to the desired state of its announcer.

Level triggered: `step` takes every dirty key of every store at once, plans again what they touch,
and says whether the desired state changed. It awaits nothing and writes nothing.

Invariant: a configuration with problems, or one in which an address that this node announces has
no pool any more, leaves the last good one in force (spec: speaker §5.2). Peers are chosen by the
node's labels of now, also under a configuration that is not the newest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mercurylb.config.compilation import compile_config
from mercurylb.config.problem import Code, Problem, summarize
from mercurylb.config.resources import NATIVE, Resources, extras_of, for_speaker
from mercurylb.errors import ParseError
from mercurylb.plan.bgp import BgpSite
from mercurylb.plan.bgp_peers import peers_for
from mercurylb.plan.bgp_routes import RouteTable
from mercurylb.plan.bgp_wanted import BgpWanted
from mercurylb.plan.desired import BgpPeer, DesiredState, Layer2Service, Member
from mercurylb.plan.layer2 import Layer2Decision, plan_layer2
from mercurylb.plan.service import is_ours
from mercurylb.speaker.step import (
    BGP_REFUSALS,
    LAYER2_REFUSALS,
    NOT_COMPILED,
    compiled_step,
    new_refusals,
)
from mercurylb.values.address import Address, parse_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mercurylb.api.endpoint_slice import EndpointSlice
    from mercurylb.api.node import Node
    from mercurylb.api.pod import Pod
    from mercurylb.api.service import Service
    from mercurylb.config.model import Config
    from mercurylb.plan.bgp_decision import BgpDecision, BgpReason
    from mercurylb.speaker.step import Step
    from mercurylb.speaker.stores import Identity, Stores

_ENDED_PHASES = frozenset({"Succeeded", "Failed"})


class View:
    """The brain's picture of the cluster, kept up to date step by step."""

    def __init__(self, stores: Stores, identity: Identity) -> None:
        self.decisions: dict[str, Layer2Decision] = {}
        """By service; the reasons are in here."""
        self.bgp_decisions: dict[str, BgpDecision] = {}
        self.routes = RouteTable()
        self.config: Config | None = None
        self._stores = stores
        self._identity = identity
        self._slices: dict[str, dict[str, EndpointSlice]] = {}
        self._service_of_slice: dict[str, str] = {}
        self._revision = 0
        self._members: tuple[Member, ...] = ()
        self._speakers: frozenset[str] = frozenset()
        self._nodes: dict[str, Node] = {}
        self._wanted: dict[str, Layer2Service] = {}
        self._is_stale = True
        self._site = BgpSite(None, identity.node, None)
        self._bgp_peers: tuple[BgpPeer, ...] = ()
        self._bgp_parts: tuple[object, ...] = ()
        self._has_bgp_changed = False

    @property
    def desired(self) -> DesiredState:
        """Give the desired state of the last step."""
        return DesiredState(
            revision=self._revision,
            members=self._members,
            layer2=tuple(self._wanted[service] for service in sorted(self._wanted)),
            bgp_peers=self._bgp_peers if self._is_native else (),
            bgp_routes=self.routes.groups() if self._is_native else (),
        )

    @property
    def wanted_bgp(self) -> BgpWanted:
        """Give what is wanted of a BGP backend outside this speaker."""
        if self.config is None:
            return BgpWanted()
        return BgpWanted(
            peers=self._site.peers,
            routes=self.routes.groups(),
            profiles=self.config.bfd_profiles,
            extras=self.config.bgp_extras,
        )

    @property
    def peer_names(self) -> tuple[str, ...]:
        """Give the peers that this node has sessions with, sorted."""
        return tuple(peer.name for peer in self._site.peers)

    @property
    def bgp_obstacle(self) -> BgpReason | None:
        """Give what this node has against announcing anything, if it has anybody to tell."""
        return self._site.obstacle if self._site.peers else None

    @property
    def _is_native(self) -> bool:
        return self._identity.backend == NATIVE

    def service(self, key: str) -> Service | None:
        """Give a service as it is known now."""
        return self._stores.services.get(key)

    def step(self, announced: Iterable[str]) -> Step:
        """Take in what changed; `announced` are the services this node owns at the moment."""
        stores = self._stores
        touched = set(stores.services.take_dirty())
        touched |= self._take_slices(stores.endpoint_slices.take_dirty())
        changed_nodes = self._take_nodes(stores.nodes.take_dirty())
        members_changed = self._take_members(stores.pods.take_dirty(), changed_nodes)
        self._is_stale |= (changed_nodes > 0) | self._has_dirty_configuration()
        own_node = self._nodes.get(self._identity.node)
        compiled = NOT_COMPILED
        if self._is_stale and own_node is not None:
            compiled = self._compile(own_node, announced)
        looked_at = changed_nodes + compiled.was_compiled + len(touched)
        if self.config is None:
            return msgspec.structs.replace(compiled, looked_at=looked_at)
        if compiled.is_loaded or changed_nodes:
            self._settle_site(own_node)
        if compiled.is_loaded or changed_nodes or members_changed:
            touched = set(stores.services.objects) | self.decisions.keys()
        before = {service: self.decisions.get(service) for service in touched}
        bgp_before = {service: self.bgp_decisions.get(service) for service in touched}
        has_changed = self._plan_all(touched) or members_changed or self._has_bgp_changed
        routes_before = self.routes.revision
        published = self._publish(touched)
        is_bgp_changed = self._has_bgp_changed or self.routes.revision != routes_before
        self._has_bgp_changed = False
        has_changed |= (self._revision == 0) | (is_bgp_changed and self._is_native)
        self._revision += has_changed
        refused = (
            new_refusals(before, self.decisions, LAYER2_REFUSALS),
            new_refusals(bgp_before, self.bgp_decisions, BGP_REFUSALS),
        )
        return msgspec.structs.replace(
            compiled,
            has_changed=has_changed,
            looked_at=looked_at,
            refusals=tuple(each for found in refused for each in found),
            planned=frozenset(touched),
            published=published,
            has_bgp_changed=is_bgp_changed,
        )

    def _settle_site(self, own_node: Node | None) -> None:
        """Take over what concerns this node's BGP before services are planned again."""
        config, identity = self.config, self._identity
        if config is None:
            return
        before = self._site.peers, self._bgp_peers, self._bgp_parts
        self._site = BgpSite(
            config, identity.node, own_node, ignore_exclude_lb=identity.ignore_exclude_lb
        )
        self._bgp_peers = peers_for(config, self._site.peers)
        self._bgp_parts = config.bfd_profiles, config.bgp_extras
        self._has_bgp_changed |= before != (self._site.peers, self._bgp_peers, self._bgp_parts)

    def _plan_all(self, services: Iterable[str]) -> bool:
        changed = [self._plan(service) for service in sorted(services)]
        return any(changed)

    def _publish(self, services: Iterable[str]) -> frozenset[str]:
        """Bring the routes in line with the decisions; give whom that concerns."""
        return frozenset().union(
            *(
                self.routes.put(service, self.bgp_decisions.get(service))
                for service in sorted(services)
            )
        )

    def _has_dirty_configuration(self) -> bool:
        dirty = [store.take_dirty() for store in self._stores.configuration.values()]
        return any(dirty)

    def _resources(self) -> Resources:
        stores = self._stores
        return Resources(
            pools=tuple(stores.pools.objects.values()),
            l2_advertisements=tuple(stores.l2_advertisements.objects.values()),
            communities=tuple(stores.communities.objects.values()),
            namespaces=tuple(stores.namespaces.objects.values()),
            nodes=tuple(self._nodes.values()),
            backend=self._identity.backend,
            bgp_peers=tuple(stores.bgp_peers.objects.values()),
            bgp_advertisements=tuple(stores.bgp_advertisements.objects.values()),
            bfd_profiles=tuple(stores.bfd_profiles.objects.values()),
            secrets=tuple(secret.widened() for secret in stores.secrets.objects.values()),
            bgp_extras="".join(map(extras_of, stores.config_maps.objects.values())),
            passes_secrets=self._identity.passes_secrets,
        )

    def _compile(self, own_node: Node, announced: Iterable[str]) -> Step:
        """Give whether another configuration is in force now, and why the newest one is not."""
        unreadable = [
            Problem(f"{kind} {key}", "", "", reason, code=Code.UNREADABLE)
            for kind, store in self._stores.configuration.items()
            for key, reason in sorted(store.problems.items())
        ]
        config, problems = compile_config(for_speaker(self._resources(), own_node))
        if config is None or unreadable:
            self._is_stale = False
            return compiled_step(summarize([*unreadable, *problems]))
        orphan = self._orphan(config, announced)
        if orphan:
            return compiled_step(orphan, is_in_use=True)
        self._is_stale = False
        if config == self.config:
            return compiled_step("")
        self.config = config
        return compiled_step("", is_loaded=True)

    def _orphan(self, config: Config, announced: Iterable[str]) -> str:
        """Name a service we announce whose addresses have no pool in a configuration."""
        for service in sorted(announced):
            texts = self._announced_addresses(service)
            addresses = _parsed(texts)
            if addresses and config.index.find_common(addresses) is None:
                return (
                    f"Service {service}: its addresses {', '.join(texts)} are announced "
                    "here and belong to no pool of the new configuration; it comes into force when "
                    "the controller has moved them"
                )
        return ""

    def _announced_addresses(self, key: str) -> tuple[str, ...]:
        """Give what is announced of a service and is still its own: of the rest it lets go now."""
        wanted, decision = self._wanted.get(key), self.bgp_decisions.get(key)
        service = self._stores.services.get(key)
        if wanted is not None:
            addresses = wanted.addresses
        else:
            addresses = decision.addresses if decision and not decision.reason else ()
        has = (entry.ip for entry in service.ingress) if service else ()
        return addresses if set(_parsed(has)) == set(_parsed(addresses)) else ()

    def _plan(self, key: str) -> bool:
        """Plan one service again; tell whether what is wanted for it changed."""
        service = self._stores.services.get(key)
        before = self._wanted.pop(key, None)
        self.decisions.pop(key, None)
        self.bgp_decisions.pop(key, None)
        if service is None or self.config is None or not is_ours(service, self._identity.lb_class):
            return before is not None
        endpoint_slices = tuple(self._slices.get(key, {}).values())
        self.bgp_decisions[key] = self._site.decide(service, endpoint_slices)
        decision = plan_layer2(
            service,
            config=self.config,
            nodes=self._nodes,
            endpoint_slices=endpoint_slices,
            speakers=self._speakers,
            node=self._identity.node,
            ignore_exclude_lb=self._identity.ignore_exclude_lb,
        )
        self.decisions[key] = decision
        wanted = decision.desired()
        if wanted is not None:
            self._wanted[key] = wanted
        return wanted != before

    def _take_slices(self, keys: Iterable[str]) -> set[str]:
        """Sort endpoint slices to their services; give the services that are touched."""
        touched: set[str] = set()
        for key in keys:
            previous = self._service_of_slice.pop(key, None)
            if previous is not None:
                touched.add(previous)
                slices = self._slices[previous]
                slices.pop(key, None)
                if not slices:
                    del self._slices[previous]
            item = self._stores.endpoint_slices.get(key)
            if item is not None and item.service_key:
                self._service_of_slice[key] = item.service_key
                self._slices.setdefault(item.service_key, {})[key] = item
                touched.add(item.service_key)
        return touched

    def _take_nodes(self, keys: Iterable[str]) -> int:
        """Take over nodes; count those of which anything changed that matters to a decision."""
        changed = 0
        for key in keys:
            node = self._stores.nodes.get(key)
            before = self._nodes.get(key)
            if node is None:
                changed += self._nodes.pop(key, None) is not None
            else:
                changed += before is None or _essence(before) != _essence(node)
                self._nodes[key] = node
        if changed and not self._identity.has_membership:
            self._speakers = frozenset(self._nodes)
        return changed

    def _take_members(self, keys: Iterable[str], changed_nodes: int) -> bool:
        """Take over the speakers' pods; tell whether the members or their addresses changed."""
        if not (keys or changed_nodes) or not self._identity.has_membership:
            return False
        members = _members(self._stores.pods.objects, self._nodes, node=self._identity.node)
        speakers = frozenset(member.node for member in members) | {self._identity.node}
        changed = members != self._members or speakers != self._speakers
        self._members, self._speakers = members, speakers
        return changed


def _members(
    pods: Mapping[str, Pod], nodes: Mapping[str, Node], *, node: str
) -> tuple[Member, ...]:
    """Give the other nodes' speakers; of two pods on one node (an update) the younger counts."""
    by_node: dict[str, Member] = {}
    ordered = sorted(
        pods.values(), key=lambda pod: (pod.metadata.creation_timestamp or "", pod.metadata.name)
    )
    for pod in ordered:
        has_ended = pod.status is not None and pod.status.phase in _ENDED_PHASES
        if pod.node and pod.address and pod.node != node and not has_ended:
            carries_on = pod.node in nodes and not nodes[pod.node].is_going
            by_node[pod.node] = Member(pod.node, pod.address, carries_on)
    return tuple(by_node[name] for name in sorted(by_node))


def _essence(node: Node) -> tuple[object, ...]:
    """Give what decisions depend on; a node's status changes every few seconds otherwise."""
    return node.metadata.labels or {}, node.is_network_unavailable, node.is_going


def _parsed(texts: Iterable[str]) -> list[Address]:
    try:
        return [parse_address(text) for text in texts]
    except ParseError:
        return []
