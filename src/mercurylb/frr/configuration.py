"""frr.conf as text (spec: bgp-frr A2, A3, A6).

The same intent gives the same text, whatever the order of its parts. AS path prepending has no
rendering here; the configuration refuses it for this backend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.frr.filters import FilterWriter
from mercurylb.frr.router import Neighbor, Router, routers_of
from mercurylb.frr.session import (
    FAMILIES,
    Intent,
    asn_of,
    check,
    families_of,
    neighbor_id,
    password_text,
    seconds,
    target_of,
)
from mercurylb.values.address import IPV6

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.config.model import BFDProfile, Peer

DEBUGGING: Final = "debugging"
INFORMATIONAL: Final = "informational"
_LEVELS: Final = {
    "all": DEBUGGING,
    "debug": DEBUGGING,
    "info": INFORMATIONAL,
    "warn": "warnings",
    "error": "error",
    "none": "emergencies",
}
_DEBUGS: Final = (
    "zebra events",
    "zebra nht",
    "zebra kernel",
    "zebra rib",
    "zebra nexthop",
    "bgp neighbor-events",
    "bgp updates",
    "bgp keepalives",
    "bgp nht",
    "bgp zebra",
    "bfd network",
    "bfd peer",
    "bfd zebra",
)


def frr_level(level: str) -> str:
    """Give FRR's word for a level of ours; what is not known counts as `info`."""
    return _LEVELS.get(level, INFORMATIONAL)


def frr_conf(intent: Intent, *, level: str, hostname: str) -> str:
    """Give the whole file; `level` is FRR's word. Raises ConfigError for what cannot be written."""
    check(intent)
    return "\n".join(_lines(intent, level=level, hostname=hostname)) + "\n"


def _lines(intent: Intent, *, level: str, hostname: str) -> Iterator[str]:
    routers = routers_of(intent.sessions)
    yield f"log stdout {level}"
    yield "log timestamp precision 3"
    if level == DEBUGGING:
        yield from (f"debug {subject}" for subject in _DEBUGS)
    yield f"hostname {hostname}"
    yield "ip nht resolve-via-default"
    yield "ipv6 nht resolve-via-default"
    filters = FilterWriter()
    for router in routers:
        for neighbor in router.neighbors:
            yield from filters.lines(neighbor)
    for router in routers:
        yield from _router(router)
    if intent.profiles:
        yield "bfd"
        for profile in sorted(intent.profiles, key=lambda profile: profile.name):
            yield from _profile(profile)
    if intent.extras:
        yield intent.extras.rstrip("\n")


def _router(router: Router) -> Iterator[str]:
    vrf = f" vrf {router.vrf}" if router.vrf else ""
    yield f"router bgp {router.my_asn}{vrf}"
    yield "  no bgp ebgp-requires-policy"
    yield "  no bgp network import-check"
    yield "  no bgp default ipv4-unicast"
    yield "  bgp graceful-restart preserve-fw-state"
    if router.router_id:
        yield f"  bgp router-id {router.router_id}"
    for neighbor in router.neighbors:
        yield from _session(neighbor.peer)
    for neighbor in router.neighbors:
        yield from _activation(neighbor)
    for family in FAMILIES:
        prefixes = router.prefixes(family)
        if prefixes:
            yield f"  address-family ipv{family} unicast"
            yield from (f"    network {prefix}" for prefix in prefixes)
            yield "  exit-address-family"


def _session(peer: Peer) -> Iterator[str]:
    name = f"  neighbor {target_of(peer)}"
    yield f"{name}{' interface' if peer.interface else ''} remote-as {asn_of(peer)}"
    yield from (f"{name} {setting}" for is_set, setting in _settings(peer) if is_set)


def _settings(peer: Peer) -> Iterator[tuple[bool, str]]:
    """Give each directive of a neighbour, in order, and whether it is wanted."""
    password = password_text(peer)
    connect_s = seconds(peer.connect_time_ns or 0)
    yield peer.ebgp_multi_hop, "ebgp-multihop"
    yield peer.local_asn != 0, f"local-as {peer.local_asn} no-prepend replace-as"
    yield peer.port != 0, f"port {peer.port}"
    if peer.keepalive_time_ns is not None and peer.hold_time_ns is not None:
        yield True, f"timers {seconds(peer.keepalive_time_ns)} {seconds(peer.hold_time_ns)}"
    yield connect_s != 0, f"timers connect {connect_s}"
    yield password != "", f"password {password}"
    yield peer.source_address is not None, f"update-source {peer.source_address}"
    yield peer.enable_graceful_restart, "graceful-restart"
    yield peer.bfd_profile != "", "bfd"
    yield peer.bfd_profile != "", f"bfd profile {peer.bfd_profile}"
    yield _needs_no_connected_check(peer), "disable-connected-check"


def _needs_no_connected_check(peer: Peer) -> bool:
    """Tell whether it is an external neighbour of IPv6 alone that is one hop away."""
    if families_of(peer) != (IPV6,) or peer.ebgp_multi_hop:
        return False
    return asn_of(peer) not in ("internal", str(peer.my_asn))


def _activation(neighbor: Neighbor) -> Iterator[str]:
    name, target = neighbor_id(neighbor.peer), target_of(neighbor.peer)
    for family in families_of(neighbor.peer):
        yield f"  address-family ipv{family} unicast"
        yield f"    neighbor {target} activate"
        yield f"    neighbor {target} route-map {name}-in in"
        yield f"    neighbor {target} route-map {name}-out out"
        yield "  exit-address-family"


def _profile(profile: BFDProfile) -> Iterator[str]:
    yield f"  profile {profile.name}"
    numbers = (
        ("receive-interval", profile.receive_interval_ms),
        ("transmit-interval", profile.transmit_interval_ms),
        ("detect-multiplier", profile.detect_multiplier),
    )
    yield from (f"    {name} {number}" for name, number in numbers if number is not None)
    if profile.has_echo:
        yield "    echo-mode"
    if profile.echo_interval_ms is not None:
        yield f"    echo receive-interval {profile.echo_interval_ms}"
        yield f"    echo transmit-interval {profile.echo_interval_ms}"
    if profile.is_passive:
        yield "    passive-mode"
    if profile.minimum_ttl is not None:
        yield f"    minimum-ttl {profile.minimum_ttl}"
