"""BGPPeer v1beta1, deprecated: kept for its definition and for conversion; nothing else reads it.

`conversion` turns it into v1beta2 and back. `metadata` is not looked at there and so not declared
beyond what every object has.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from mercurylb.api.bgp_peer import as_number
from mercurylb.api.meta import NoFields, ObjectMeta
from mercurylb.api.schema import RESERVED, Schema


class MatchExpression(msgspec.Struct, frozen=True, rename="camel"):
    """One requirement on one label."""

    key: Annotated[str, Schema("Name of the label.", is_required=True)] = ""
    operator: Annotated[
        str,
        Schema("How the label is compared: In, NotIn, Exists or DoesNotExist.", is_required=True),
    ] = ""
    values: Annotated[
        tuple[str, ...] | None, Schema("Values to compare with.", is_required=True, min_items=1)
    ] = None


class NodeSelector(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A label selector; an empty one matches every node."""

    match_labels: Annotated[
        dict[str, str] | None,
        Schema("Labels with the values they must have; all of them must match."),
    ] = None
    match_expressions: Annotated[
        tuple[MatchExpression, ...] | None,
        Schema("Requirements on labels; all of them must hold."),
    ] = None


class BGPPeerV1Beta1Spec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The wish; durations are text such as `1m30s`."""

    my_asn: Annotated[
        int,
        as_number("AS number of this end.", is_required=True),
    ] = msgspec.field(default=0, name="myASN")
    peer_asn: Annotated[
        int,
        as_number("AS number of the router.", is_required=True),
    ] = msgspec.field(default=0, name="peerASN")
    peer_address: Annotated[str, Schema("Address of the router.", is_required=True)] = ""
    source_address: Annotated[str, Schema("Source address of the session.")] = ""
    peer_port: Annotated[int, Schema("TCP port of the router.", minimum=0, maximum=16384)] = 0
    hold_time: Annotated[
        str, Schema("Hold time offered to the router, as a duration such as 90s.")
    ] = ""
    keepalive_time: Annotated[
        str, Schema("Time between two keepalive messages, as a duration such as 30s.")
    ] = ""
    router_id: Annotated[str, Schema("BGP identifier of this end.")] = msgspec.field(
        default="", name="routerID"
    )
    node_selectors: Annotated[
        tuple[NodeSelector, ...] | None,
        Schema("Selects by their labels the nodes that open the session; empty means all nodes."),
    ] = None
    password: Annotated[str, Schema("TCP MD5 password of the session, in clear text.")] = ""
    bfd_profile: Annotated[str, Schema("Name of the BFDProfile that guards the session.")] = ""
    ebgp_multi_hop: Annotated[bool, Schema("Whether the router may be more than one hop away.")] = (
        False
    )

    def __repr__(self) -> str:
        """Give everything but the password."""
        shown = (
            f"{name}={getattr(self, name)!r}"
            for name in self.__struct_fields__
            if name != "password"
        )
        return f"{type(self).__name__}({', '.join(shown)})"


class BGPPeerV1Beta1(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """BGPPeer is a router with which the speakers open BGP sessions."""

    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[
        BGPPeerV1Beta1Spec | None, Schema("How to reach the router and what to tell it.")
    ] = None
    status: Annotated[NoFields | None, RESERVED] = None
