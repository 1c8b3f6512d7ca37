"""BGPPeer v1beta2: a router to speak BGP with, and how."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from mercurylb.api.meta import LabelSelectors, NoFields, ObjectMeta
from mercurylb.api.schema import ATOMIC, RESERVED, Rule, Schema

_CONNECT_TIME_RULES: Final = (
    Rule(
        "duration(self).getSeconds() >= 1 && duration(self).getSeconds() <= 65535",
        "connect time should be between 1 seconds to 65535",
    ),
    Rule(
        "duration(self).getMilliseconds() % 1000 == 0",
        "connect time should contain a whole number of seconds",
    ),
)
_SET_ONCE: Final = (
    Rule("self == oldSelf", "EnableGracefulRestart cannot be changed after creation"),
)


def as_number(description: str, *, is_required: bool = False, minimum: int = 0) -> Schema:
    """Give the facts of a field that holds an AS number of four bytes."""
    return Schema(
        description, is_required=is_required, format="int64", minimum=minimum, maximum=0xFFFF_FFFF
    )


class SecretReference(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Where a password is; only the name counts, the namespace is always MetalLB's own."""

    name: Annotated[str, Schema("Name of the Secret.")] = ""
    namespace: Annotated[
        str, Schema("Not used: the Secret is looked up in the namespace of this object.")
    ] = ""


class BGPPeerSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The wish; durations are text such as `1m30s`."""

    my_asn: Annotated[int, as_number("AS number of this end.", is_required=True)] = msgspec.field(
        default=0, name="myASN"
    )
    peer_asn: Annotated[
        int,
        as_number("AS number of the router. Exactly one of peerASN and dynamicASN is needed."),
    ] = msgspec.field(default=0, name="peerASN")
    local_asn: Annotated[
        int | None, as_number("AS number shown to this router in place of myASN.", minimum=1)
    ] = msgspec.field(default=None, name="localASN")
    dynamic_asn: Annotated[
        str,
        Schema(
            "Takes the router's AS number from its first message: internal accepts only the own "
            "number, external only another one. Exactly one of peerASN and dynamicASN is needed.",
            enum=("internal", "external"),
        ),
    ] = msgspec.field(default="", name="dynamicASN")
    peer_address: Annotated[
        str,
        Schema("Address of the router. Exactly one of peerAddress and interface is needed."),
    ] = ""
    interface: Annotated[
        str,
        Schema(
            "Interface of the node over which an unnumbered session is opened. Exactly one of "
            "peerAddress and interface is needed."
        ),
    ] = ""
    source_address: Annotated[str, Schema("Source address of the session.")] = ""
    peer_port: Annotated[
        int | None, Schema("TCP port of the router.", default=179, minimum=1, maximum=16384)
    ] = None
    hold_time: Annotated[
        str | None, Schema("Hold time offered to the router, as a duration such as 90s.")
    ] = None
    keepalive_time: Annotated[
        str | None, Schema("Time between two keepalive messages, as a duration such as 30s.")
    ] = None
    connect_time: Annotated[
        str | None,
        Schema(
            "Time to wait before another attempt to connect, as a duration of whole seconds.",
            rules=_CONNECT_TIME_RULES,
        ),
    ] = None
    router_id: Annotated[str, Schema("BGP identifier of this end.")] = msgspec.field(
        default="", name="routerID"
    )
    node_selectors: Annotated[
        LabelSelectors | None,
        Schema("Selects by their labels the nodes that open the session; empty means all nodes."),
    ] = None
    password: Annotated[
        str,
        Schema(
            "TCP MD5 password of the session, in clear text; passwordSecret is the better place."
        ),
    ] = ""
    password_secret: Annotated[
        SecretReference | None,
        Schema(
            "Secret of type kubernetes.io/basic-auth, next to this object, whose key password "
            "holds the TCP MD5 password.",
            map_type=ATOMIC,
        ),
    ] = None
    bfd_profile: Annotated[str, Schema("Name of the BFDProfile that guards the session.")] = ""
    enable_graceful_restart: Annotated[
        bool | None,
        Schema(
            "Whether the router keeps the routes while a speaker restarts; cannot be changed.",
            rules=_SET_ONCE,
        ),
    ] = None
    ebgp_multi_hop: Annotated[
        bool | None, Schema("Whether the router may be more than one hop away.")
    ] = None
    vrf: Annotated[str, Schema("VRF of the node in which the session is opened.")] = ""
    disable_mp: Annotated[
        bool,
        Schema("Deprecated: whether to leave out the multiprotocol extension.", default=False),
    ] = msgspec.field(default=False, name="disableMP")
    dual_stack_address_family: Annotated[
        bool,
        Schema("Whether to exchange both IPv4 and IPv6 routes on this one session.", default=False),
    ] = False

    def __repr__(self) -> str:
        """Give everything but the password."""
        shown = (
            f"{name}={getattr(self, name)!r}"
            for name in self.__struct_fields__
            if name != "password"
        )
        return f"{type(self).__name__}({', '.join(shown)})"


class BGPPeer(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """BGPPeer is a router with which the speakers open BGP sessions."""

    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[BGPPeerSpec | None, Schema("How to reach the router and what to tell it.")] = (
        None
    )
    status: Annotated[NoFields | None, RESERVED] = None
