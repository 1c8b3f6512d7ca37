"""How a session looks from here; what operators, status objects and metrics are told."""

from __future__ import annotations

import msgspec


class MessageCounts(msgspec.Struct, frozen=True, gc=False):
    """BGP messages since the peer was configured."""

    opens_sent: int = 0
    opens_received: int = 0
    updates_sent: int = 0
    updates_received: int = 0
    keepalives_sent: int = 0
    keepalives_received: int = 0
    notifications_sent: int = 0
    notifications_received: int = 0
    refreshes_sent: int = 0
    refreshes_received: int = 0


class SessionReport(msgspec.Struct, frozen=True):
    """One configured peer."""

    name: str
    """Of the BGPPeer object."""
    peer: str
    """`address:port` or `interface:port`."""
    state: str
    """`Idle`, `Connect`, `Active`, `OpenSent`, `OpenConfirm` or `Established` (RFC 4271 8.2.2)."""
    since_s: float
    """How long it has been in that state."""
    vrf: str = ""
    asn: int = 0
    """The number shown to the peer."""
    peer_asn: int = 0
    """As the peer's OPEN says; before that as configured, 0 if dynamic."""
    local_address: str = ""
    remote_address: str = ""
    router_id: str = ""
    peer_router_id: str = ""
    hold_time_s: int = 0
    """Negotiated; 0 is none."""
    keepalive_time_s: float = 0.0
    families: tuple[str, ...] = ()
    """Of the established session: `ipv4`, `ipv6`."""
    capabilities: tuple[str, ...] = ()
    """What both sides have, such as `route refresh`."""
    capabilities_offered: tuple[str, ...] = ()
    """In our latest OPEN."""
    capabilities_received: tuple[str, ...] = ()
    """In the peer's latest OPEN."""
    prefixes_sent: int = 0
    """In the peer's hands now."""
    prefixes_pending: int = 0
    """Still to be sent or withdrawn."""
    last_error: str = ""
    """Why there is no session, or why the last one ended."""
    flap_count: int = 0
    """Established sessions that ended."""
    next_attempt_s: float | None = None
    counts: MessageCounts = MessageCounts()
    bfd: str = ""
    """`Up`, `Down`, `Init` or `AdminDown`; empty without BFD."""
