"""What is to be announced."""

from __future__ import annotations

import msgspec


class RouteGroup(msgspec.Struct, frozen=True, gc=False):
    """Prefixes that go to the same peers with the same attributes.

    Within one desired state a peer gets each prefix from one group only.
    """

    peers: tuple[str, ...]
    """Names of BGPPeers, sorted."""
    prefixes: tuple[str, ...]
    """Canonical text with length, sorted as text; both families may be mixed."""
    local_pref: int = 0
    """Sent to internal peers."""
    as_path_prepend: int = 0
    """How often the own number is put before the path in addition."""
    communities: tuple[int, ...] = ()
    """RFC 1997, ascending."""
    large_communities: tuple[tuple[int, int, int], ...] = ()
    """RFC 8092, ascending."""
    is_leaving: bool = False
    """Sent with GRACEFUL_SHUTDOWN (RFC 8326) and lowest preference, and withdrawn soon after."""
