"""What the session machine is told about a peer."""

from __future__ import annotations

import msgspec

HOLD_TIME_S = 90
"""As MetalLB's native backend where a BGPPeer says nothing (spec: bgp-native §1.1)."""
PORT = 179


class Key(msgspec.Struct, frozen=True, gc=False):
    """A password or key that nobody prints by accident."""

    octets: bytes

    def __repr__(self) -> str:
        """Give nothing away."""
        return "Key(<redacted>)"


class PeerSettings(msgspec.Struct, frozen=True, gc=False):
    """One neighbour; exactly one of `address` and `interface` is given.

    Equal settings mean that nothing has to be done; any difference begins the session anew.
    """

    name: str
    """Of the BGPPeer object; unique."""
    my_asn: int
    peer_asn: int = 0
    """0 if `dynamic_asn` says what is accepted."""
    dynamic_asn: str = ""
    """`internal` or `external`; empty if the number is given."""
    local_asn: int = 0
    """The number shown to an external peer instead of `my_asn`; 0 is none."""
    address: str = ""
    """Canonical text."""
    interface: str = ""
    """Of an unnumbered peer."""
    port: int = PORT
    source_address: str = ""
    router_id: str = ""
    """Dotted quad; empty if it is to be derived."""
    hold_time_s: int = HOLD_TIME_S
    """0 switches both timers off."""
    keepalive_time_s: int | None = None
    """None is a third of the negotiated hold time."""
    connect_time_s: int | None = None
    """Between two attempts; None is the growing delay of MetalLB (spec: bgp-native §1.3)."""
    password: Key | None = None
    """For TCP MD5 (RFC 2385), at most 80 octets."""
    authentication: Key | None = None
    """For TCP-AO (RFC 5925), where the kernel has it; in place of `password`."""
    has_graceful_restart: bool = False
    is_multi_hop: bool = False
    gtsm_hops: int = 0
    """How far the peer may be away (RFC 5082); 0 does not look at the TTL of what comes in."""
    vrf: str = ""
    """Name of the device that the sockets are bound to."""
    has_both_families: bool = False

    @property
    def label(self) -> str:
        """Give the name of its time series, as MetalLB's native backend has it."""
        return f"{self.address or self.interface}:{self.port}"

    @property
    def asn(self) -> int:
        """Give the number that the peer sees."""
        return self.local_asn or self.my_asn
