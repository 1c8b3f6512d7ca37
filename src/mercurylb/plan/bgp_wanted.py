"""What a node wants of BGP, for a backend outside the speaker."""

from __future__ import annotations

import msgspec

from mercurylb.bgp.route import RouteGroup
from mercurylb.config.model import BFDProfile, Peer


class BgpWanted(msgspec.Struct, frozen=True):
    """Everything that is wanted; replaces whatever was wanted before."""

    peers: tuple[Peer, ...] = ()
    """Those of the node, by name."""
    routes: tuple[RouteGroup, ...] = ()
    """Once per peer and prefix; only of families that the peer's session carries."""
    profiles: tuple[BFDProfile, ...] = ()
    extras: str = ""
    """Text in the language of FRR."""
