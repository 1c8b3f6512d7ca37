"""BGPAdvertisement: how the addresses of which pools are told to which peers."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from mercurylb.api.meta import LabelSelectors, NoFields, ObjectMeta
from mercurylb.api.schema import RESERVED, Rule, Schema

_WHOLE_ADDRESSES: Final = Rule(
    "!has(self.serviceSelectors) || self.serviceSelectors.size() == 0 || "
    "((!has(self.aggregationLength) || self.aggregationLength == 32) && "
    "(!has(self.aggregationLengthV6) || self.aggregationLengthV6 == 128))",
    "serviceSelectors and aggregationLength are mutually exclusive, can only be used together "
    "with default aggregationLength (32) and aggregationLengthV6 (128)",
)
"""An aggregate would also announce the addresses of services that are not selected."""


class BGPAdvertisementSpec(
    msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False
):
    """The wish."""

    aggregation_length: Annotated[
        int | None,
        Schema("Prefix length of announced IPv4 routes.", format="int32", default=32, minimum=1),
    ] = None
    aggregation_length_v6: Annotated[
        int | None,
        Schema("Prefix length of announced IPv6 routes.", format="int32", default=128),
    ] = msgspec.field(default=None, name="aggregationLengthV6")
    local_pref: Annotated[
        int,
        Schema("LOCAL_PREF attribute, sent to routers of the own AS only.", format="int32"),
    ] = 0
    as_path_prepend: Annotated[
        int | None,
        Schema(
            "How often the own AS number is added in front of the AS path.", minimum=1, maximum=10
        ),
    ] = None
    communities: Annotated[
        tuple[str, ...] | None,
        Schema("BGP communities to attach, as values or as names defined by Community objects."),
    ] = None
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
        Schema("Selects by their labels the nodes that announce; empty means all nodes."),
    ] = None
    peers: Annotated[
        tuple[str, ...] | None,
        Schema("Names of the BGPPeers to announce to; empty means all peers."),
    ] = None
    service_selectors: Annotated[
        LabelSelectors | None,
        Schema(
            "Selects by their labels the Services whose addresses are announced; empty means all "
            "Services."
        ),
    ] = None


class BGPAdvertisement(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """BGPAdvertisement says which addresses are announced over BGP, to whom and how."""

    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[
        BGPAdvertisementSpec | None,
        Schema("What is announced, by which nodes, to which routers.", rules=(_WHOLE_ADDRESSES,)),
    ] = None
    status: Annotated[NoFields | None, RESERVED] = None
