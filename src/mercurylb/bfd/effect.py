"""What a table of sessions is told of packets, and what it wants done; carried out in order."""

from __future__ import annotations

import msgspec


class BfdKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """Between which two systems a session runs; what is empty is left to the kernel."""

    peer: str
    """Canonical text, without a zone."""
    local_address: str = ""
    interface: str = ""
    """A session over one hop hears only what comes in there; needed for a link-local peer."""
    vrf: str = ""
    is_multi_hop: bool = False


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A datagram to port 3784, or 4784 (`is_multi_hop`), and what the kernel says of it."""

    source: str
    """Canonical text, without a zone."""
    octets: bytes
    ttl: int
    """Or the hop limit, as it came in."""
    destination: str = ""
    interface: str = ""
    """It came in by."""
    vrf: str = ""
    """Device that the receiving socket is bound to."""
    is_multi_hop: bool = False


class OpenPort(msgspec.Struct, frozen=True, gc=False):
    """A session begins: bind a source port in 49152-65535 of its own, kept until `ClosePort`."""

    key: BfdKey


class ClosePort(msgspec.Struct, frozen=True, gc=False):
    """A session has ended, and nothing more is sent for it."""

    key: BfdKey


class SendPacket(msgspec.Struct, frozen=True, gc=False):
    """Send to the peer's port 3784 or 4784 with TTL 255; what cannot be sent now is dropped."""

    key: BfdKey
    octets: bytes


class BfdChanged(msgspec.Struct, frozen=True, gc=False):
    """A session is in another state."""

    key: BfdKey
    state: str
    """As in `BfdReport.state`."""
    diagnostic: str = ""
    """Why it is not up (any more)."""
    is_failure: bool = False
    """It was up, and the path or the other side failed.

    False when somebody switched BFD off on purpose, which says nothing of the path (RFC 5882 3.2).
    """


BfdEffect = OpenPort | ClosePort | SendPacket | BfdChanged
