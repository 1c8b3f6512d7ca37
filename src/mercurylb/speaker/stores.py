"""What a speaker plans with: the local copies of the cluster's objects, and who it is itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from mercurylb.config.resources import BGP_EXTRAS_NAME, NATIVE
from mercurylb.kube.kinds import (
    BFD_PROFILES,
    BGP_ADVERTISEMENTS,
    BGP_PEERS,
    COMMUNITIES,
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    IP_ADDRESS_POOLS,
    L2_ADVERTISEMENTS,
    NAMESPACES,
    NODES,
    PASSWORD_SECRETS,
    PODS,
    SERVICES,
)
from mercurylb.kube.watch import Selection

if TYPE_CHECKING:
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
    from mercurylb.kube.informers import Informers
    from mercurylb.kube.store import Store

RELEASE_TYPE = "helm.sh/release.v1"
"""Secrets in which Helm keeps whole charts; nobody wants to read megabytes of them."""


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


def watched_stores(informers: Informers, *, namespace: str, speakers: str) -> Stores:
    """Have everything watched that a speaker plans with; `speakers` selects their pods."""
    add, here = informers.add, Selection(namespace=namespace)
    secrets = Selection(namespace=namespace, fields=f"type!={RELEASE_TYPE}")
    extras = Selection(namespace=namespace, fields=f"metadata.name={BGP_EXTRAS_NAME}")
    return Stores(
        services=add(SERVICES),
        endpoint_slices=add(ENDPOINT_SLICES),
        nodes=add(NODES),
        namespaces=add(NAMESPACES),
        pools=add(IP_ADDRESS_POOLS, here),
        l2_advertisements=add(L2_ADVERTISEMENTS, here),
        communities=add(COMMUNITIES, here),
        pods=add(PODS, Selection(namespace=namespace, labels=speakers)),
        bgp_peers=add(BGP_PEERS, here),
        bgp_advertisements=add(BGP_ADVERTISEMENTS, here),
        bfd_profiles=add(BFD_PROFILES, here),
        secrets=add(PASSWORD_SECRETS, secrets),
        config_maps=add(CONFIG_MAPS, extras),
    )
