"""FRRConfiguration as structs and out of an intent (spec: bgp-frr B1, B2).

One object per node holds everything; what is empty is left out of it.

`sourceaddress` and `localASN` are said where a peer has them; MetalLB 0.16 drops both without a
word.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from mercurylb.errors import ConfigError, Problem
from mercurylb.frr.filters import community_text
from mercurylb.frr.router import Neighbor as Told
from mercurylb.frr.router import Router as Instance
from mercurylb.frr.router import routers_of, sorted_prefixes
from mercurylb.frr.session import FAMILIES, Intent, check, password_text, session_key
from mercurylb.values.duration import format_duration

HOSTNAME_LABEL: Final = "kubernetes.io/hostname"
API_VERSION: Final = "frrk8s.metallb.io/v1beta1"
KIND: Final = "FRRConfiguration"
RETRACTED: Final = "<retracted>"


class _Spec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What all parts have in common: nothing that is empty is said."""


class Reference(_Spec, frozen=True):
    """Names a secret."""

    name: str = ""
    namespace: str = ""


class Allowed(_Spec, frozen=True):
    """Prefixes that may be exchanged."""

    prefixes: tuple[str, ...] = ()


class WithLocalPref(_Spec, frozen=True):
    """Prefixes with a local preference."""

    local_pref: int
    prefixes: tuple[str, ...]


class WithCommunity(_Spec, frozen=True):
    """Prefixes with a community."""

    community: str
    prefixes: tuple[str, ...]


class WithAsPathPrepend(_Spec, frozen=True):
    """Prefixes with a longer path."""

    as_path_prepend: int
    prefixes: tuple[str, ...]


class NextHop(_Spec, frozen=True):
    """Never changed here."""


class Advertise(_Spec, frozen=True):
    """What a neighbour is told."""

    allowed: Allowed
    next_hop: NextHop
    with_local_pref: tuple[WithLocalPref, ...] = ()
    with_community: tuple[WithCommunity, ...] = ()
    with_as_path_prepend: tuple[WithAsPathPrepend, ...] = ()


class Receive(_Spec, frozen=True):
    """What is taken from a neighbour: nothing."""

    allowed: Allowed


class Neighbor(_Spec, frozen=True):
    """One neighbour of a router."""

    port: int
    password_secret: Reference
    to_advertise: Advertise
    to_receive: Receive
    asn: int = 0
    dynamic_asn: str = msgspec.field(default="", name="dynamicASN")
    local_asn: int = msgspec.field(default=0, name="localASN")
    source_address: str = msgspec.field(default="", name="sourceaddress")
    address: str = ""
    interface: str = ""
    password: str = ""
    hold_time: str = ""
    keepalive_time: str = ""
    connect_time: str = ""
    ebgp_multi_hop: bool = False
    bfd_profile: str = ""
    enable_graceful_restart: bool = False
    disable_mp: bool = msgspec.field(default=False, name="disableMP")
    dual_stack_address_family: bool = False


class Router(_Spec, frozen=True):
    """One BGP instance."""

    asn: int
    id: str = ""
    vrf: str = ""
    neighbors: tuple[Neighbor, ...] = ()
    prefixes: tuple[str, ...] = ()


class Profile(_Spec, frozen=True):
    """A BFD profile; what is None is left to frr-k8s."""

    name: str
    echo_mode: bool
    passive_mode: bool
    receive_interval: int | None = None
    transmit_interval: int | None = None
    detect_multiplier: int | None = None
    echo_interval: int | None = None
    minimum_ttl: int | None = None


class Bgp(_Spec, frozen=True):
    """Instances and profiles."""

    routers: tuple[Router, ...] = ()
    bfd_profiles: tuple[Profile, ...] = ()


class Raw(_Spec, frozen=True):
    """Text for frr.conf; never used here."""


class LabelSelector(_Spec, frozen=True):
    """Selects the node."""

    match_labels: dict[str, str] = {}


class ConfigurationSpec(_Spec, frozen=True):
    """Everything that is wanted of a node's FRR."""

    bgp: Bgp
    raw: Raw
    node_selector: LabelSelector


def configuration_name(node: str) -> str:
    """Give the name of a node's object."""
    return f"metallb-{node}"


def frr_configuration(intent: Intent, *, node: str, passes_secrets: bool) -> ConfigurationSpec:
    """Give the spec of a node's object; raises ConfigError for what cannot be said there.

    With `passes_secrets` a peer's secret is named, and frr-k8s looks into it; otherwise the
    password itself is in the object.
    """
    if intent.extras:
        message = "extra info not supported in frr-k8s mode"
        hint = "write an FRRConfiguration with spec.raw of your own"
        raise ConfigError((Problem("ConfigMap bgpextras", "data.extras", "", message, hint),))
    check(intent)
    routers = routers_of(intent.sessions, key=session_key)
    profiles = sorted(intent.profiles, key=lambda profile: profile.name)
    return ConfigurationSpec(
        bgp=Bgp(
            routers=tuple(_router(item, passes_secrets=passes_secrets) for item in routers),
            bfd_profiles=tuple(
                Profile(
                    name=item.name,
                    echo_mode=item.has_echo,
                    passive_mode=item.is_passive,
                    receive_interval=item.receive_interval_ms,
                    transmit_interval=item.transmit_interval_ms,
                    detect_multiplier=item.detect_multiplier,
                    echo_interval=item.echo_interval_ms,
                    minimum_ttl=item.minimum_ttl,
                )
                for item in profiles
            ),
        ),
        raw=Raw(),
        node_selector=LabelSelector({HOSTNAME_LABEL: node}),
    )


def _router(instance: Instance, *, passes_secrets: bool) -> Router:
    prefixes = {text for family in FAMILIES for text in instance.prefixes(family)}
    return Router(
        asn=instance.my_asn,
        id=instance.router_id,
        vrf=instance.vrf,
        neighbors=tuple(
            _neighbor(item, passes_secrets=passes_secrets) for item in instance.neighbors
        ),
        prefixes=tuple(sorted(prefixes)),
    )


def _neighbor(told: Told, *, passes_secrets: bool) -> Neighbor:
    peer = told.peer
    is_passed = passes_secrets and bool(peer.password_secret)
    return Neighbor(
        asn=peer.peer_asn,
        dynamic_asn=peer.dynamic_asn,
        local_asn=peer.local_asn,
        source_address=str(peer.source_address) if peer.source_address else "",
        address="" if peer.interface or peer.address is None else str(peer.address),
        interface=peer.interface,
        port=peer.port,
        password="" if is_passed else password_text(peer),
        password_secret=(
            Reference(peer.password_secret, peer.password_secret_namespace)
            if is_passed
            else Reference()
        ),
        hold_time=_duration(peer.hold_time_ns),
        keepalive_time=_duration(peer.keepalive_time_ns),
        connect_time=_duration(peer.connect_time_ns),
        ebgp_multi_hop=peer.ebgp_multi_hop,
        bfd_profile=peer.bfd_profile,
        enable_graceful_restart=peer.enable_graceful_restart,
        disable_mp=peer.disable_mp,
        dual_stack_address_family=peer.dual_stack_address_family,
        to_advertise=_advertise(told),
        to_receive=Receive(Allowed()),
    )


def _duration(nanoseconds: int | None) -> str:
    return "" if nanoseconds is None else format_duration(nanoseconds)


def _advertise(told: Told) -> Advertise:
    preferences: dict[int, set[str]] = {}
    communities: dict[str, set[str]] = {}
    prepends: dict[int, set[str]] = {}
    for item in told.advertisements:
        if item.local_pref:
            preferences.setdefault(item.local_pref, set()).add(item.prefix)
        if item.as_path_prepend:
            prepends.setdefault(item.as_path_prepend, set()).add(item.prefix)
        for community in item.communities:
            communities.setdefault(community_text(community), set()).add(item.prefix)
    return Advertise(
        allowed=Allowed(sorted_prefixes(told.advertisements)),
        next_hop=NextHop(),
        with_local_pref=tuple(
            WithLocalPref(value, tuple(sorted(preferences[value]))) for value in sorted(preferences)
        ),
        with_community=tuple(
            WithCommunity(text, tuple(sorted(communities[text]))) for text in sorted(communities)
        ),
        with_as_path_prepend=tuple(
            WithAsPathPrepend(value, tuple(sorted(prepends[value]))) for value in sorted(prepends)
        ),
    )


def retracted(spec: ConfigurationSpec) -> ConfigurationSpec:
    """Give it with every password replaced, for people to read."""
    routers = tuple(
        msgspec.structs.replace(
            router,
            neighbors=tuple(
                msgspec.structs.replace(item, password=RETRACTED) for item in router.neighbors
            ),
        )
        for router in spec.bgp.routers
    )
    return msgspec.structs.replace(spec, bgp=msgspec.structs.replace(spec.bgp, routers=routers))


def plain(spec: ConfigurationSpec) -> dict[str, Any]:
    """Give it as JSON values."""
    found: dict[str, Any] = msgspec.to_builtins(spec)
    return found
