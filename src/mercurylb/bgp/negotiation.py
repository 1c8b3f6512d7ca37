"""What we offer a peer in our OPEN, and what its OPEN makes of it.

A peer that refuses an OPEN for what it does not know (2/4, 2/7) is offered less with the next
attempt, and everything again after the least (RFC 5492 section 3).
"""

from __future__ import annotations

import zlib
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.bgp.capability import Capabilities, GracefulRestart
from mercurylb.bgp.family import AFI_IPV6, IPV4, UNICAST, Family, family_of
from mercurylb.bgp.opening import Open
from mercurylb.bgp.prefix import decode_address

if TYPE_CHECKING:
    from mercurylb.bgp.effect import Ends
    from mercurylb.bgp.settings import PeerSettings

RESTART_TIME_S: Final = 120
"""How long the peer is to keep our routes while we restart; as FRR."""
KEEPALIVE_MIN_S: Final = 1.0
_EXTENDED_NEXT_HOP: Final = (IPV4, AFI_IPV6)


class Offer(IntEnum):
    """How much of what we can do is said."""

    FULL = 0
    PLAIN = 1
    """Families and the number of four octets."""
    BARE = 2
    """No capabilities at all, as of 1995."""

    @property
    def next(self) -> Offer:
        """Give what to try next."""
        return Offer((self + 1) % len(Offer))


class Agreement(msgspec.Struct, frozen=True):
    """What holds in a session."""

    families: tuple[Family, ...]
    """None if the two sides have none in common."""
    is_internal: bool
    hold_time_s: int
    """0 is none."""
    keepalive_time_s: float
    has_four_octet_asn: bool
    has_extended_message: bool
    has_extended_next_hop: bool
    """IPv4 prefixes may have an IPv6 next hop."""
    has_route_refresh: bool
    has_enhanced_refresh: bool
    has_graceful_restart: bool
    """The peer keeps our routes while we are away."""
    has_restart_notification: bool
    """Also after a NOTIFICATION, unless it is a hard reset (RFC 8538)."""
    capabilities: tuple[str, ...]
    """What both have, in words."""


def router_id(settings: PeerSettings, ends: Ends, node: str) -> str:
    """Give our BGP identifier: as configured, else an IPv4 address, else made of the node's name.

    The latter is what MetalLB's native backend does (spec: bgp-native 1.2).
    """
    if settings.router_id:
        return settings.router_id
    if family_of(ends.local) == IPV4:
        return ends.local
    if ends.local_ipv4:
        return ends.local_ipv4
    octets = zlib.crc32(node.encode()).to_bytes(4, "little")
    return decode_address(octets if any(octets) else b"\0\0\0\1")


def families(settings: PeerSettings, ends: Ends) -> tuple[Family, ...]:
    """Give the families of a session: its own, or both."""
    if settings.has_both_families or settings.interface:
        return UNICAST
    return (family_of(ends.remote),)


def offered(
    settings: PeerSettings, ends: Ends, node: str, *, offer: Offer, is_restarting: bool
) -> Open:
    """Give our OPEN."""
    wanted = families(settings, ends)
    capabilities = Capabilities()
    if offer == Offer.PLAIN:
        capabilities = Capabilities(families=wanted, asn=settings.asn)
    elif offer == Offer.FULL:
        over_ipv6 = IPV4 in wanted and family_of(ends.remote) != IPV4
        capabilities = Capabilities(
            families=wanted,
            has_route_refresh=True,
            extended_next_hops=(_EXTENDED_NEXT_HOP,) if over_ipv6 else (),
            has_extended_message=True,
            graceful_restart=_restart(settings, wanted, is_restarting=is_restarting),
            asn=settings.asn,
            has_enhanced_refresh=True,
            host=node,
        )
    return Open(settings.asn, settings.hold_time_s, router_id(settings, ends, node), capabilities)


def _restart(
    settings: PeerSettings, wanted: tuple[Family, ...], *, is_restarting: bool
) -> GracefulRestart:
    """Without it we still say that we let the peer restart, which costs us nothing (RFC 4724)."""
    if not settings.has_graceful_restart:
        return GracefulRestart()
    return GracefulRestart(
        restart_time_s=RESTART_TIME_S,
        families=tuple((family, True) for family in wanted),
        is_restarting=is_restarting,
        has_notification=True,
    )


def agree(settings: PeerSettings, ours: Open, theirs: Open) -> Agreement:
    """Combine both OPENs."""
    mine, other = ours.capabilities, theirs.capabilities
    hold_time_s = min(ours.hold_time_s, theirs.hold_time_s)
    restart = other.graceful_restart if mine.graceful_restart else None
    keeps = settings.has_graceful_restart and restart is not None
    my_families = mine.families or (IPV4,)
    their_families = other.families or (IPV4,)
    names = set(other.names())
    return Agreement(
        families=tuple(family for family in my_families if family in their_families),
        is_internal=theirs.asn == settings.my_asn,
        hold_time_s=hold_time_s,
        keepalive_time_s=_keepalive_time_s(settings, hold_time_s),
        has_four_octet_asn=mine.asn is not None and other.asn is not None,
        has_extended_message=mine.has_extended_message and other.has_extended_message,
        has_extended_next_hop=_EXTENDED_NEXT_HOP in mine.extended_next_hops
        and _EXTENDED_NEXT_HOP in other.extended_next_hops,
        has_route_refresh=mine.has_route_refresh and other.has_route_refresh,
        has_enhanced_refresh=mine.has_enhanced_refresh and other.has_enhanced_refresh,
        has_graceful_restart=keeps,
        has_restart_notification=keeps and restart is not None and restart.has_notification,
        capabilities=tuple(name for name in mine.names() if name in names),
    )


def _keepalive_time_s(settings: PeerSettings, hold_time_s: int) -> float:
    if not hold_time_s:
        return 0.0
    third = hold_time_s / 3
    return max(KEEPALIVE_MIN_S, min(settings.keepalive_time_s or third, third))
