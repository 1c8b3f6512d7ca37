"""BGPSession: how a session of a node with a peer stands, as that node's speaker sees it.

A kind of ours, which MetalLB has not: with its native backend the state of a session is in the
metrics and the log only.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from mercurylb.api.meta import NoFields, ObjectMeta
from mercurylb.api.schema import Schema

NODE_LABEL: Final = "metallb.io/node"
PEER_LABEL: Final = "mercurylb.io/peer"


class BGPSessionStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """What the speaker sees."""

    node: Annotated[str, Schema("The node that has the session.")] = ""
    peer: Annotated[str, Schema("Name of the BGPPeer.")] = ""
    address: Annotated[
        str, Schema("Address or interface, and port, under which the router is dialled.")
    ] = ""
    vrf: Annotated[str, Schema("VRF of the session.")] = ""
    state: Annotated[
        str,
        Schema("Idle, Connect, Active, OpenSent, OpenConfirm or Established (RFC 4271)."),
    ] = ""
    since: Annotated[
        str | None, Schema("Since when it is established, or is not.", format="date-time")
    ] = None
    bfd: Annotated[str, Schema("State of the BFD session; empty without BFD.")] = ""
    prefixes: Annotated[int, Schema("Prefixes that the router was told.", format="int64")] = 0
    reason: Annotated[str, Schema("Why there is no session; empty while there is one.")] = ""
    flaps: Annotated[
        int, Schema("Established sessions that ended since the speaker started.", format="int64")
    ] = 0
    my_asn: Annotated[int, Schema("AS number shown to the router.", format="int64")] = (
        msgspec.field(default=0, name="myASN")
    )
    peer_asn: Annotated[int, Schema("AS number of the router.", format="int64")] = msgspec.field(
        default=0, name="peerASN"
    )
    local_address: Annotated[str, Schema("Address of this end.")] = ""
    router_id: Annotated[str, Schema("BGP identifier of this end.")] = msgspec.field(
        default="", name="routerID"
    )
    peer_router_id: Annotated[str, Schema("BGP identifier of the router.")] = msgspec.field(
        default="", name="peerRouterID"
    )
    hold_time: Annotated[
        int, Schema("Negotiated hold time in seconds; 0 is none.", format="int64")
    ] = 0
    families: Annotated[
        tuple[str, ...] | None, Schema("Address families of the session: ipv4, ipv6.")
    ] = None


class BGPSession(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """BGPSession tells how a node's session with a BGPPeer stands; written by the speakers."""

    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[NoFields | None, Schema("Empty: nothing is asked for through this kind.")] = (
        None
    )
    status: Annotated[BGPSessionStatus | None, Schema("How the session stands.")] = None
