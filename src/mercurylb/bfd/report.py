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
