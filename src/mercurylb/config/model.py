"""The compiled configuration: checked, resolved, and comparable by value."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from mercurylb.config.community import Community
from mercurylb.values.address import Address
from mercurylb.values.prefix import Prefix, is_buggy
from mercurylb.values.prefix_index import PrefixIndex
from mercurylb.values.selector import Selector, matches_any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mercurylb.values.address import Family


class Pinning(msgspec.Struct, frozen=True):
    """Whom a pool is pinned to; namespaces and selectors must both agree where both are given.

    Both empty means that the namespace selectors matched no namespace: such a pool is never chosen
    automatically, but whoever asks for it by name gets it, as in MetalLB 0.16.
    """

    priority: int = 0
    """Lower wins; 0 and below are "unset" and come after all positive ones."""
    namespaces: frozenset[str] = frozenset()
    service_selectors: tuple[Selector, ...] = ()

    @property
    def rank(self) -> tuple[bool, int]:
        """Give a sort key for the order of priority."""
        return (True, 0) if self.priority <= 0 else (False, self.priority)

    def admits(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Tell whether a service of that namespace with those labels may use the pool."""
        return self.admits_namespace(namespace) and self.admits_labels(labels)

    def admits_namespace(self, namespace: str) -> bool:
        """Tell whether the namespace alone is no obstacle."""
        return not self.namespaces or namespace in self.namespaces

    def admits_labels(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels alone are no obstacle."""
        return not self.service_selectors or matches_any(self.service_selectors, labels)

    @property
    def is_void(self) -> bool:
        """Tell whether it pins to nobody."""
        return not self.namespaces and not self.service_selectors


class L2Advertisement(msgspec.Struct, frozen=True):
    """An L2Advertisement as far as it concerns one pool."""

    name: str
    nodes: frozenset[str]
    interfaces: tuple[str, ...] | None
    """Sorted; None means all."""
    service_selectors: tuple[Selector, ...] = ()
    """Sorted by text; empty means every service."""
    preferences: tuple[tuple[str, int], ...] = ()
    """Nodes with the sum of their weights, sorted by name; nodes without any are absent."""

    def admits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether it is for services with those labels."""
        return not self.service_selectors or matches_any(self.service_selectors, labels)


class BGPAdvertisement(msgspec.Struct, frozen=True):
    """A BGPAdvertisement as far as it concerns one pool."""

    name: str
    aggregation_length: int = 32
    aggregation_length_v6: int = 128
    local_pref: int = 0
    """0 means that none is set."""
    as_path_prepend: int = 0
    communities: tuple[Community, ...] = ()
    """Ascending."""
    nodes: frozenset[str] = frozenset()
    peers: tuple[str, ...] = ()
    """Names, as written; empty means all."""
    service_selectors: tuple[Selector, ...] = ()
    """Sorted by text; empty means every service."""

    def admits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether it is for services with those labels."""
        return not self.service_selectors or matches_any(self.service_selectors, labels)


class Password(msgspec.Struct, frozen=True):
    """A password, which nobody prints by accident."""

    secret: bytes

    def __repr__(self) -> str:
        """Give nothing away."""
        return "Password(<redacted>)"


class Peer(msgspec.Struct, frozen=True):
    """A BGPPeer; times are nanoseconds."""

    name: str
    my_asn: int
    peer_asn: int = 0
    """0 if it is dynamic."""
    dynamic_asn: str = ""
    """`internal` or `external`; empty if the number is given."""
    local_asn: int = 0
    """0 means that none is set."""
    address: Address | None = None
    interface: str = ""
    """Of an unnumbered peer, which has no address."""
    source_address: Address | None = None
    port: int = 179
    hold_time_ns: int | None = None
    keepalive_time_ns: int | None = None
    connect_time_ns: int | None = None
    router_id: Address | None = None
    node_selectors: tuple[Selector, ...] = ()
    """Empty means every node."""
    password: Password | None = None
    """As written, or out of the secret."""
    password_secret: str = ""
    """Name of the secret."""
    password_secret_namespace: str = ""
    """As written; only whom the reference is handed on to looks at it."""
    bfd_profile: str = ""
    enable_graceful_restart: bool = False
    ebgp_multi_hop: bool = False
    vrf: str = ""
    disable_mp: bool = False
    dual_stack_address_family: bool = False
    gtsm_hops: int = 0
    """How far away the router may be (RFC 5082), by annotation; 0 does not look."""
    has_tcp_ao: bool = False
    """Whether the password is a key of TCP-AO rather than of TCP MD5, by annotation."""


class BFDProfile(msgspec.Struct, frozen=True):
    """A BFDProfile; intervals are milliseconds, None leaves it to the implementation."""

    name: str
    detect_multiplier: int | None = None
    receive_interval_ms: int | None = None
    transmit_interval_ms: int | None = None
    echo_interval_ms: int | None = None
    minimum_ttl: int | None = None
    has_echo: bool = False
    is_passive: bool = False


class Pool(msgspec.Struct, frozen=True):
    """An IPAddressPool; no two of its prefixes, nor of any two pools, overlap."""

    name: str
    prefixes: tuple[Prefix, ...]
    """In the order in which addresses are given away."""
    auto_assign: bool = True
    avoid_buggy_ips: bool = False
    pinning: Pinning | None = None
    l2_advertisements: tuple[L2Advertisement, ...] = ()
    bgp_advertisements: tuple[BGPAdvertisement, ...] = ()

    def contains(self, address: Address) -> bool:
        """Tell whether it may give out an address: it has it, and need not avoid it as buggy."""
        return any(prefix.contains(address) for prefix in self.prefixes) and not (
            self.avoid_buggy_ips and is_buggy(address.family, address.number)
        )

    def has_family(self, family: Family) -> bool:
        """Tell whether it has any addresses of that family."""
        return any(prefix.family == family for prefix in self.prefixes)

    def admits(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Tell whether its pinning lets a service have addresses from it."""
        return self.pinning is None or self.pinning.admits(namespace, labels)


class Config(msgspec.Struct, frozen=True, dict=True):
    """Everything that is configured; equal configurations need no work."""

    pools: tuple[Pool, ...] = ()
    """Sorted by name, as peers and profiles are."""
    peers: tuple[Peer, ...] = ()
    bfd_profiles: tuple[BFDProfile, ...] = ()
    bgp_extras: str = ""
    """Text that is handed to an FRR backend as it is."""

    @cached_property
    def index(self) -> PrefixIndex[Pool]:
        """Give the index that finds the pool of an address."""
        return PrefixIndex((prefix, pool) for pool in self.pools for prefix in pool.prefixes)
