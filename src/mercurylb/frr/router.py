"""From sessions to BGP instances and neighbours, in the order in which they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mercurylb.config.model import Peer
from mercurylb.frr.session import (
    Advertisement,
    Session,
    accepted,
    neighbor_key,
    router_key,
    session_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mercurylb.values.address import Family


class Neighbor(msgspec.Struct, frozen=True):
    """One neighbour of a BGP instance, with what it is told in a family that it has."""

    peer: Peer
    advertisements: tuple[Advertisement, ...]

    def prefixes(self, family: Family) -> tuple[str, ...]:
        """Give its prefixes of a family, sorted as text."""
        return sorted_prefixes(item for item in self.advertisements if item.family == family)


class Router(msgspec.Struct, frozen=True):
    """One BGP instance: a number, a router ID and a VRF."""

    my_asn: int
    router_id: str
    vrf: str
    neighbors: tuple[Neighbor, ...]

    def prefixes(self, family: Family) -> tuple[str, ...]:
        """Give what any neighbour is told in a family, sorted as text."""
        return tuple(sorted({text for item in self.neighbors for text in item.prefixes(family)}))


def sorted_prefixes(items: Iterable[Advertisement]) -> tuple[str, ...]:
    """Give the prefixes of advertisements, each once, sorted as text."""
    return tuple(sorted({item.prefix for item in items}))


def routers_of(
    sessions: Iterable[Session], *, key: Callable[[Peer], str] = neighbor_key
) -> tuple[Router, ...]:
    """Group sessions into instances and, by `key`, into neighbours; both sorted by their keys."""
    instances: dict[str, dict[str, list[Session]]] = {}
    for session in sorted(sessions, key=_order):
        neighbors = instances.setdefault(router_key(session.peer), {})
        neighbors.setdefault(key(session.peer), []).append(session)
    return tuple(
        _router([_united(neighbors[name]) for name in sorted(neighbors)])
        for _, neighbors in sorted(instances.items())
    )


def _order(session: Session) -> tuple[str, str]:
    return session_key(session.peer), session.peer.name


def _united(sessions: list[Session]) -> Neighbor:
    return Neighbor(
        sessions[0].peer,
        tuple(item for session in sessions for item in accepted(session)),
    )


def _router(neighbors: list[Neighbor]) -> Router:
    peer = neighbors[0].peer
    router_id = str(peer.router_id) if peer.router_id else ""
    return Router(peer.my_asn, router_id, peer.vrf, tuple(neighbors))
