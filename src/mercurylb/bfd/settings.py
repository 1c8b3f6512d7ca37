"""What a BFD session is told."""

from __future__ import annotations

import msgspec

from mercurylb.bfd.auth import Authentication


class BfdSettings(msgspec.Struct, frozen=True, gc=False):
    """The timing of one session; the defaults are FRR's (spec: bgp-native §2.14)."""

    receive_interval_ms: int = 300
    transmit_interval_ms: int = 300
    detect_multiplier: int = 3
    echo_interval_ms: int = 50
    has_echo: bool = False
    is_passive: bool = False
    minimum_ttl: int = 254
    """Of packets that come over several hops."""
    authentication: Authentication | None = None
