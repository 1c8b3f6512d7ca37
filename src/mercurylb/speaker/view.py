"""What a speaker's brain knows and wants: from the stores to the desired state of its announcer.

Level triggered: `step` takes every dirty key of every store at once, plans again what they touch,
and says whether the desired state changed. It awaits nothing and writes nothing.

Invariant: a configuration with problems, or one in which an address that this node announces has
no pool any more, leaves the last good one in force (spec: speaker §5.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from mercurylb.config.compilation import compile_config
from mercurylb.config.problem import Code, Problem, summarize
from mercurylb.config.resources import NATIVE, Resources, extras_of, for_speaker
from mercurylb.errors import ParseError
from mercurylb.plan.desired import DesiredState, Layer2Service, Member
from mercurylb.plan.layer2 import Layer2Decision, plan_layer2
from mercurylb.plan.service import is_ours
from mercurylb.values.address import Address, parse_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mercurylb.api.bfd_profile import BFDProfile
    from mercurylb.api.bgp_advertisement import BGPAdvertisement
    from mercurylb.api.bgp_peer import BGPPeer
    from mercurylb.api.community import Community
    from mercurylb.api.config_map import ConfigMap
    from mercurylb.api.endpoint_slice import EndpointSlice
    from mercurylb.api.ip_address_pool import IPAddressPool
    from mercurylb.api.l2_advertisement import L2Advertisement
    from mercurylb.api.namespace import Namespace
    from mercurylb.api.node import Node
    from mercurylb.api.password_secret import PasswordSecret
    from mercurylb.api.pod import Pod
    from mercurylb.api.service import Service
    from mercurylb.config.model import Config
    from mercurylb.kube.store import Store

_ENDED_PHASES = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Stores:
    """The local copies a speaker plans with; all ring one bell."""

    services: Store[Service]
    endpoint_slices: Store[EndpointSlice]
    nodes: Store[Node]
    namespaces: Store[Namespace]
    pools: Store[IPAddressPool]
    l2_advertisements: Store[L2Advertisement]
    communities: Store[Community]
    pods: Store[Pod]
    bgp_peers: Store[BGPPeer]
    bgp_advertisements: Store[BGPAdvertisement]
    bfd_profiles: Store[BFDProfile]
    secrets: Store[PasswordSecret]
    config_maps: Store[ConfigMap]

    @property
    def configuration(self) -> dict[str, Store[Any]]:
        """Give what the configuration is made of, nodes aside, by the name of the kind."""
        return {
            "IPAddressPool": self.pools,
            "L2Advertisement": self.l2_advertisements,
            "Community": self.communities,
            "BGPPeer": self.bgp_peers,
            "BGPAdvertisement": self.bgp_advertisements,
            "BFDProfile": self.bfd_profiles,
            "Namespace": self.namespaces,
            "Secret": self.secrets,
            "ConfigMap": self.config_maps,
        }


class Identity(msgspec.Struct, frozen=True):
    """Who this speaker is, and how it was told to behave."""

    node: str
    lb_class: str = ""
    ignore_exclude_lb: bool = False
    has_membership: bool = True
    backend: str = NATIVE
    """Value of METALLB_BGP_TYPE."""
    passes_secrets: bool = False
    """Whether the secrets of peers are left to frr-k8s."""


class Step(msgspec.Struct, frozen=True):
    """What a step found."""

    has_changed: bool
    """Whether the desired state is another one."""
    was_compiled: bool
    """Whether the configuration was looked at."""
    error: str = ""
    """Why the newest configuration is not in force; empty when it is."""


class View:
    """The brain's picture of the cluster, kept up to date step by step."""

    def __init__(self, stores: Stores, identity: Identity) -> None:
        self.decisions: dict[str, Layer2Decision] = {}
        """By service; the reasons are in here."""
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

    @property
    def desired(self) -> DesiredState:
        """Give the desired state of the last step."""
        return DesiredState(
            revision=self._revision,
            members=self._members,
            layer2=tuple(self._wanted[service] for service in sorted(self._wanted)),
        )

    def service(self, key: str) -> Service | None:
        """Give a service as it is known now."""
        return self._stores.services.get(key)

    def step(self, announced: Iterable[str]) -> Step:
        """Take in what changed; `announced` are the services this node owns at the moment."""
        stores = self._stores
        touched = set(stores.services.take_dirty())
        touched |= self._take_slices(stores.endpoint_slices.take_dirty())
        nodes_changed = self._take_nodes(stores.nodes.take_dirty())
        members_changed = self._take_members(stores.pods.take_dirty())
        self._is_stale |= nodes_changed | self._has_dirty_configuration()
        own_node = self._nodes.get(self._identity.node)
        was_compiled, error, config_changed = False, "", False
        if self._is_stale and own_node is not None:
            was_compiled = True
            config_changed, error = self._compile(own_node, announced)
        if self.config is None:
            return Step(has_changed=False, was_compiled=was_compiled, error=error)
        if config_changed or nodes_changed or members_changed:
            touched = set(stores.services.objects) | self.decisions.keys()
        changed = [self._plan(service) for service in sorted(touched)]
        has_changed = any(changed) or members_changed or self._revision == 0
        self._revision += has_changed
        return Step(has_changed=has_changed, was_compiled=was_compiled, error=error)

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

    def _compile(self, own_node: Node, announced: Iterable[str]) -> tuple[bool, str]:
        """Give whether another configuration is in force now, and why the newest one is not."""
        unreadable = [
            Problem(f"{kind} {key}", "", "", reason, code=Code.UNREADABLE)
            for kind, store in self._stores.configuration.items()
            for key, reason in sorted(store.problems.items())
        ]
        config, problems = compile_config(for_speaker(self._resources(), own_node))
        if config is None or unreadable:
            self._is_stale = False
            return False, summarize([*unreadable, *problems])
        orphan = self._orphan(config, announced)
        if orphan:
            return False, orphan
        self._is_stale = False
        if config == self.config:
            return False, ""
        self.config = config
        return True, ""

    def _orphan(self, config: Config, announced: Iterable[str]) -> str:
        """Name a service we announce whose addresses have no pool in a configuration."""
        for service in sorted(announced):
            wanted = self._wanted.get(service)
            if wanted is None:
                continue
            addresses = _parsed(wanted.addresses)
            if addresses and config.index.find_common(addresses) is None:
                return (
                    f"Service {service}: its addresses {', '.join(wanted.addresses)} are announced "
                    "here and belong to no pool of the new configuration; it comes into force when "
                    "the controller has moved them"
                )
        return ""

    def _plan(self, key: str) -> bool:
        """Plan one service again; tell whether what is wanted for it changed."""
        service = self._stores.services.get(key)
        before = self._wanted.pop(key, None)
        self.decisions.pop(key, None)
        if service is None or self.config is None or not is_ours(service, self._identity.lb_class):
            return before is not None
        decision = plan_layer2(
            service,
            config=self.config,
            nodes=self._nodes,
            endpoint_slices=tuple(self._slices.get(key, {}).values()),
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

    def _take_nodes(self, keys: Iterable[str]) -> bool:
        """Take over nodes; tell whether anything that matters to a decision changed."""
        changed = False
        for key in keys:
            node = self._stores.nodes.get(key)
            before = self._nodes.get(key)
            if node is None:
                changed |= self._nodes.pop(key, None) is not None
            else:
                changed |= before is None or _essence(before) != _essence(node)
                self._nodes[key] = node
        if changed and not self._identity.has_membership:
            self._speakers = frozenset(self._nodes)
        return changed

    def _take_members(self, keys: Iterable[str]) -> bool:
        """Take over the speakers' pods; tell whether the members or their addresses changed."""
        if not keys or not self._identity.has_membership:
            return False
        members = _members(self._stores.pods.objects, node=self._identity.node)
        speakers = frozenset(member.node for member in members) | {self._identity.node}
        changed = members != self._members or speakers != self._speakers
        self._members, self._speakers = members, speakers
        return changed


def _members(pods: Mapping[str, Pod], *, node: str) -> tuple[Member, ...]:
    """Give the other nodes' speakers; of two pods on one node (an update) the younger counts."""
    by_node: dict[str, Member] = {}
    ordered = sorted(
        pods.values(), key=lambda pod: (pod.metadata.creation_timestamp or "", pod.metadata.name)
    )
    for pod in ordered:
        has_ended = pod.status is not None and pod.status.phase in _ENDED_PHASES
        if pod.node and pod.address and pod.node != node and not has_ended:
            by_node[pod.node] = Member(node=pod.node, address=pod.address)
    return tuple(by_node[name] for name in sorted(by_node))


def _essence(node: Node) -> tuple[object, ...]:
    """Give what decisions depend on; a node's status changes every few seconds otherwise."""
    return node.metadata.labels or {}, node.is_network_unavailable


def _parsed(texts: Iterable[str]) -> list[Address]:
    try:
        return [parse_address(text) for text in texts]
    except ParseError:
        return []
