"""How a BFD session looks from here."""

from __future__ import annotations

import msgspec


class BfdReport(msgspec.Struct, frozen=True, gc=False):
    """One BFD session."""

    peer: str
    """Address of the other side, canonical text."""
    vrf: str = ""
    interface: str = ""
    local_address: str = ""
    is_multi_hop: bool = False
    state: str = "Down"
    """`AdminDown`, `Down`, `Init` or `Up`."""
    since_s: float = 0.0
    diagnostic: str = ""
    """Why it went down last, in RFC 5880's words."""
    remote_diagnostic: str = ""
    transmit_interval_ms: float = 0.0
    """In force now."""
    detection_time_ms: float = 0.0
    packets_received: int = 0
    packets_sent: int = 0
    up_count: int = 0
    down_count: int = 0
    dropped_count: int = 0


class BfdDetail(msgspec.Struct, frozen=True, gc=False):
    """What else is known of one BFD session, for somebody who looks for a fault."""

    discriminator: int
    remote_discriminator: int = 0
    remote_state: str = ""
    remote_transmit_interval_ms: float = 0.0
    """The least it wishes to send at."""
    remote_receive_interval_ms: float = 0.0
    """The least it is ready to receive at; 0 asks for no packets."""
    remote_multiplier: int = 0
    is_polling: bool = False
    is_passive: bool = False
    authentication: str = ""
    silent_s: float | None = None
    """Since its latest packet; None before the first."""
    dropped: dict[str, int] = {}
    """Packets for it that were not believed, by reason."""
    send_error: str = ""
    """Why the latest packet could not be sent; empty if it could."""
