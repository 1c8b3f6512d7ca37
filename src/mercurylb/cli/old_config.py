"""The file by which MetalLB was configured before 0.13, as it was written.

Keys that nobody knows are ignored, as they always were.
"""

from __future__ import annotations

import msgspec


class Part(msgspec.Struct, frozen=True, rename="kebab"):
    """What all parts of the old file have in common: unknown keys are ignored."""


class Expression(Part, frozen=True):
    """A requirement on labels."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] | None = None


class NodeSelector(Part, frozen=True, rename="kebab"):
    """Nodes by their labels."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[Expression, ...] | None = None


class Peer(Part, frozen=True, rename="kebab"):
    """A router, as BGPPeer has it now."""

    my_asn: int = 0
    peer_asn: int = 0
    peer_address: str = ""
    source_address: str = ""
    peer_port: int = 0
    hold_time: str = ""
    keepalive_time: str = ""
    router_id: str = ""
    node_selectors: tuple[NodeSelector, ...] | None = None
    password: str = ""
    bfd_profile: str = ""
    ebgp_multihop: bool = False


class Advertisement(Part, frozen=True, rename="kebab"):
    """How addresses of a pool are told."""

    aggregation_length: int | None = None
    aggregation_length_v6: int | None = None
    localpref: int = 0
    communities: tuple[str, ...] | None = None


class AddressPool(Part, frozen=True, rename="kebab"):
    """Addresses and how they are announced."""

    protocol: str = ""
    name: str = ""
    addresses: tuple[str, ...] | None = None
    auto_assign: bool | None = None
    avoid_buggy_ips: bool | None = None
    bgp_advertisements: tuple[Advertisement, ...] | None = None


class BfdProfile(Part, frozen=True, rename="kebab"):
    """How quickly the loss of a router is noticed."""

    name: str = ""
    receive_interval: int | None = None
    transmit_interval: int | None = None
    detect_multiplier: int | None = None
    echo_interval: int | None = None
    echo_mode: bool = False
    passive_mode: bool = False
    minimum_ttl: int | None = None


class OldConfig(Part, frozen=True, rename="kebab"):
    """The whole file."""

    peers: tuple[Peer, ...] | None = None
    bgp_communities: dict[str, str] | None = None
    address_pools: tuple[AddressPool, ...] | None = None
    bfd_profiles: tuple[BfdProfile, ...] | None = None
