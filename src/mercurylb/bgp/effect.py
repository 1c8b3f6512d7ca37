"""What the session machine wants done; carried out in the order given.

A connection has a number that is never used twice. The transport reports to the machine what became
of it, and reports nothing more of a connection once it was told to close it.
"""

from __future__ import annotations

import msgspec

from mercurylb.bgp.settings import PeerSettings


class Connect(msgspec.Struct, frozen=True, gc=False):
    """Dial a peer: `on_connected` or `on_connect_failed` follows."""

    peer: str
    connection: int
    settings: PeerSettings
    remote: str
    """Address to dial; with `%interface` where it is link-local."""


class Send(msgspec.Struct, frozen=True, gc=False):
    """Write whole messages; `on_drained` follows when nothing of the connection waits any more."""

    connection: int
    octets: bytes


class Close(msgspec.Struct, frozen=True, gc=False):
    """End a connection, after what was sent before has left (for a bounded time)."""

    connection: int
    is_silent: bool = False
    """At once and without waiting for anything."""


class SessionChanged(msgspec.Struct, frozen=True, gc=False):
    """A peer is in another state."""

    peer: str
    state: str
    """As in `SessionReport.state`."""
    reason: str = ""
    """Why it is not established (any more)."""


class Discover(msgspec.Struct, frozen=True, gc=False):
    """Look for the router behind an interface by router advertisements, and be found by it."""

    interface: str
    is_wanted: bool
    """False ends it."""


class Stopped(msgspec.Struct, frozen=True, gc=False):
    """The planned stop is complete: every session is closed."""


BgpEffect = Connect | Send | Close | SessionChanged | Discover | Stopped


class Ends(msgspec.Struct, frozen=True, gc=False):
    """The two ends of an open connection, and what the transport knows of this side."""

    local: str
    """Canonical text, without a zone."""
    remote: str
    interface: str = ""
    """That carries the connection."""
    local_ipv4: str = ""
    """The first IPv4 address of that interface; empty if it has none."""
    local_ipv6: str = ""
    """A global IPv6 address of that interface."""
    link_local: str = ""
    """Its link-local IPv6 address."""
    is_on_link: bool = True
    """Whether the peer is in a subnet of that interface."""
