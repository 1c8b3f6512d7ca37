"""L2Advertisement: which nodes may answer for the addresses of which pools, and where."""

from __future__ import annotations

from typing import Annotated

import msgspec

from mercurylb.api.meta import LabelSelector, LabelSelectors, NoFields, ObjectMeta
from mercurylb.api.schema import ATOMIC, RESERVED, Schema


class PreferredNodeSelector(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One preference for nodes with certain labels."""

    weight: Annotated[
        int,
        Schema(
            "How much this term counts.", is_required=True, format="int32", minimum=1, maximum=100
        ),
    ] = 0
    preference: Annotated[
        LabelSelector | None,
        Schema(
            "The nodes that are preferred; an empty selector matches all nodes.",
            is_required=True,
            map_type=ATOMIC,
        ),
    ] = None


class L2AdvertisementSpec(
    msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False
):
    """The wish."""

    ip_address_pools: Annotated[
        tuple[str, ...] | None,
        Schema("Names of the IPAddressPools this applies to; unknown names are ignored."),
    ] = None
    ip_address_pool_selectors: Annotated[
        LabelSelectors | None,
        Schema(
            "Selects IPAddressPools by their labels; a pool that matches any of them is included."
        ),
    ] = None
    node_selectors: Annotated[
        LabelSelectors | None,
        Schema("Selects by their labels the nodes that may answer; empty means all nodes."),
    ] = None
    interfaces: Annotated[
        tuple[str, ...] | None, Schema("Interfaces that answer; empty means all interfaces.")
    ] = None
    service_selectors: Annotated[
        LabelSelectors | None,
        Schema(
            "Selects by their labels the Services whose addresses are announced; empty means all "
            "Services."
        ),
    ] = None
    preferred_node_selectors: Annotated[
        tuple[PreferredNodeSelector, ...] | None,
        Schema(
            "Prefers some of the eligible nodes: the weights of all matching terms are added up "
            "per node."
        ),
    ] = None


class L2Advertisement(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """L2Advertisement says which addresses the nodes answer for by ARP and NDP."""

    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[
        L2AdvertisementSpec | None,
        Schema("What is announced, and by which nodes and interfaces."),
    ] = None
    status: Annotated[NoFields | None, RESERVED] = None
