"""The objects that make a configuration, and who looks at which of them (spec: config §1).

What is left out is not checked, so this is where it is said that a wrong BGPPeer does not keep the
controller from giving away addresses, and that one speaker does not care for another one's peers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.api.bfd_profile import BFDProfile
from mercurylb.api.bgp_advertisement import BGPAdvertisement
from mercurylb.api.bgp_peer import BGPPeer
from mercurylb.api.community import Community
from mercurylb.api.config_map import ConfigMap
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.l2_advertisement import L2Advertisement
from mercurylb.api.namespace import Namespace
from mercurylb.api.node import Node
from mercurylb.api.secret import Secret
from mercurylb.config.selection import may_select

if TYPE_CHECKING:
    from collections.abc import Iterable

NATIVE: Final = "native"
FRR: Final = "frr"
FRR_K8S: Final = "frr-k8s"
"""The known values of METALLB_BGP_TYPE."""

BGP_EXTRAS_NAME: Final = "bgpextras"
"""The ConfigMap with configuration that is handed to an FRR backend as it is."""
BGP_EXTRAS_KEY: Final = "extras"


class Resources(msgspec.Struct, frozen=True):
    """Every object that takes part, in any order; leave out the kinds you do not care about."""

    pools: tuple[IPAddressPool, ...] = ()
    l2_advertisements: tuple[L2Advertisement, ...] = ()
    communities: tuple[Community, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    nodes: tuple[Node, ...] = ()
    """Empty means that the nodes are not known, rather than that there are none."""
    backend: str = NATIVE
    """Value of METALLB_BGP_TYPE: native, frr or frr-k8s; anything else switches its checks off."""
    bgp_peers: tuple[BGPPeer, ...] = ()
    bgp_advertisements: tuple[BGPAdvertisement, ...] = ()
    bfd_profiles: tuple[BFDProfile, ...] = ()
    secrets: tuple[Secret, ...] = ()
    """Of the namespace that the peers are in; found by name."""
    bgp_extras: str = ""
    passes_secrets: bool = False
    """Whether secrets of peers are left to somebody else, and only referred to."""


def for_controller(resources: Resources) -> Resources:
    """Give what decides about allocation: nothing that has to do with announcing."""
    return Resources(
        pools=resources.pools,
        communities=resources.communities,
        namespaces=resources.namespaces,
        backend=resources.backend,
    )


def for_speaker(resources: Resources, node: Node) -> Resources:
    """Give what concerns the speaker of one node: its own peers and BGP advertisements.

    Those with a node selector that cannot be understood concern everybody.
    """
    here = (node.metadata.labels,)
    return msgspec.structs.replace(
        resources,
        bgp_peers=tuple(
            peer
            for peer in resources.bgp_peers
            if may_select(peer.spec.node_selectors if peer.spec else None, here)
        ),
        bgp_advertisements=tuple(
            item
            for item in resources.bgp_advertisements
            if may_select(item.spec.node_selectors if item.spec else None, here)
        ),
    )


FIELDS: Final = {
    "IPAddressPool": "pools",
    "L2Advertisement": "l2_advertisements",
    "Community": "communities",
    "Namespace": "namespaces",
    "Node": "nodes",
    "BGPPeer": "bgp_peers",
    "BGPAdvertisement": "bgp_advertisements",
    "BFDProfile": "bfd_profiles",
    "Secret": "secrets",
}
"""Where the objects of a kind go."""


def gather(
    objects: Iterable[object], *, backend: str = NATIVE, passes_secrets: bool = False
) -> Resources:
    """Sort objects of any kinds into place; those of kinds that take no part are left out."""
    found: dict[str, list[object]] = {field: [] for field in FIELDS.values()}
    extras = ""
    for item in objects:
        field = FIELDS.get(type(item).__name__)
        if field is not None:
            found[field].append(item)
        elif isinstance(item, ConfigMap):
            extras = extras_of(item) or extras
    lists = {field: tuple(items) for field, items in found.items()}
    resources = Resources(backend=backend, bgp_extras=extras, passes_secrets=passes_secrets)
    return msgspec.structs.replace(resources, **lists)


def extras_of(item: ConfigMap) -> str:
    """Give the extra configuration in a ConfigMap; empty if it is another one or has none."""
    if item.metadata.name != BGP_EXTRAS_NAME:
        return ""
    return (item.data or {}).get(BGP_EXTRAS_KEY) or ""
