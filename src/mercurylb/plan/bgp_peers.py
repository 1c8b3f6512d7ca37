"""What the session machine is told about the peers of a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.bfd.settings import BfdSettings
from mercurylb.bgp.settings import HOLD_TIME_S, Key, PeerSettings
from mercurylb.plan.desired import BgpPeer
from mercurylb.values.duration import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.config.model import BFDProfile, Config, Peer

HOLD_TIME_MAX_S: Final = 0xFFFF
"""An OPEN has no room for more."""


def peers_for(config: Config, peers: Iterable[Peer]) -> tuple[BgpPeer, ...]:
    """Give the settings for peers of a configuration, by name."""
    profiles = {profile.name: profile for profile in config.bfd_profiles}
    return tuple(
        BgpPeer(peer_settings(peer), bfd_settings(profiles.get(peer.bfd_profile)))
        for peer in sorted(peers, key=lambda each: each.name)
    )


def peer_settings(peer: Peer) -> PeerSettings:
    """Resolve what a BGPPeer leaves open, as MetalLB's native backend does."""
    hold = _seconds(peer.hold_time_ns)
    key = Key(peer.password.secret) if peer.password and peer.password.secret else None
    return PeerSettings(
        name=peer.name,
        my_asn=peer.my_asn,
        peer_asn=peer.peer_asn,
        dynamic_asn=peer.dynamic_asn,
        local_asn=peer.local_asn,
        address=str(peer.address) if peer.address else "",
        interface=peer.interface,
        port=peer.port,
        source_address=str(peer.source_address) if peer.source_address else "",
        router_id=str(peer.router_id) if peer.router_id else "",
        hold_time_s=HOLD_TIME_S if hold is None else min(hold, HOLD_TIME_MAX_S),
        keepalive_time_s=_seconds(peer.keepalive_time_ns) or None,
        connect_time_s=_seconds(peer.connect_time_ns) or None,
        password=None if peer.has_tcp_ao else key,
        authentication=key if peer.has_tcp_ao else None,
        has_graceful_restart=peer.enable_graceful_restart,
        is_multi_hop=peer.ebgp_multi_hop,
        gtsm_hops=peer.gtsm_hops,
        vrf=peer.vrf,
        has_both_families=peer.dual_stack_address_family or bool(peer.interface),
    )


def bfd_settings(profile: BFDProfile | None) -> BfdSettings | None:
    """Resolve what a BFDProfile leaves open; the defaults are FRR's."""
    if profile is None:
        return None
    default = BfdSettings()
    return BfdSettings(
        receive_interval_ms=profile.receive_interval_ms or default.receive_interval_ms,
        transmit_interval_ms=profile.transmit_interval_ms or default.transmit_interval_ms,
        detect_multiplier=profile.detect_multiplier or default.detect_multiplier,
        echo_interval_ms=profile.echo_interval_ms or default.echo_interval_ms,
        has_echo=profile.has_echo,
        is_passive=profile.is_passive,
        minimum_ttl=profile.minimum_ttl or default.minimum_ttl,
    )


def _seconds(duration_ns: int | None) -> int | None:
    """Give whole seconds, as they are cut for the wire; None stays None."""
    return None if duration_ns is None else max(duration_ns // SECOND_NS, 0)
