"""BGPPeer v1beta2: a router to speak BGP with, and how."""

from __future__ import annotations

import msgspec

from mercurylb.api.meta import LabelSelector, ObjectMeta


class SecretReference(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Where a password is; only the name counts, the namespace is always MetalLB's own."""

    name: str = ""
    namespace: str = ""


class BGPPeerSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The wish; durations are text such as `1m30s`."""

    my_asn: int = msgspec.field(default=0, name="myASN")
    peer_asn: int = msgspec.field(default=0, name="peerASN")
    local_asn: int | None = msgspec.field(default=None, name="localASN")
    dynamic_asn: str = msgspec.field(default="", name="dynamicASN")
    peer_address: str = ""
    interface: str = ""
    source_address: str = ""
    peer_port: int | None = None
    """None means 179 (the API server fills it in)."""
    hold_time: str | None = None
    keepalive_time: str | None = None
    connect_time: str | None = None
    router_id: str = msgspec.field(default="", name="routerID")
    node_selectors: tuple[LabelSelector, ...] | None = None
    password: str = ""
    password_secret: SecretReference | None = None
    bfd_profile: str = ""
    enable_graceful_restart: bool | None = None
    ebgp_multi_hop: bool | None = None
    vrf: str = ""
    disable_mp: bool = msgspec.field(default=False, name="disableMP")
    dual_stack_address_family: bool = False


class BGPPeer(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A BGPPeer."""

    metadata: ObjectMeta = ObjectMeta()
    spec: BGPPeerSpec | None = None
