"""The routes of all services together: what each peer gets, once per prefix.

Several advertisements or services may make the same prefix: by aggregation, by a shared address,
by two advertisements of one pool. A peer gets it once: with the communities of all of them, the
highest preference and the longest prepending. It stays until the last of them is gone; one that is
leaving counts only where nobody stays.

Kept up to date service by service, so that one change among ten thousand costs little: `put`
touches the prefixes of one service, `groups` gathers again only the groups that changed.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Final, NamedTuple

from mercurylb.bgp.route import RouteGroup

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.config.community import Community
    from mercurylb.plan.bgp_decision import BgpDecision, BgpRoute

UNION_MAX: Final = 255
"""Communities of one prefix, the lowest ones."""
_FEW: Final = 64
"""Changes that are put into a sorted list one by one."""


class _Attributes(NamedTuple):
    """With what a prefix goes to a peer; ordered for the sake of a stable order of groups."""

    is_leaving: bool
    local_pref: int
    as_path_prepend: int
    communities: tuple[Community, ...]


class _Key(NamedTuple):
    """What makes a group."""

    peers: tuple[str, ...]
    attributes: _Attributes


class _Group:
    """The prefixes of a group, sorted when somebody asks."""

    def __init__(self, key: _Key) -> None:
        self._key = key
        self._sorted: list[str] = []
        self._added: set[str] = set()
        self._removed: set[str] = set()
        self._made: RouteGroup | None = None

    def add(self, prefix: str) -> None:
        self._added.add(prefix)
        self._made = None

    def remove(self, prefix: str) -> None:
        if prefix in self._added:
            self._added.discard(prefix)
        else:
            self._removed.add(prefix)
        self._made = None

    @property
    def is_empty(self) -> bool:
        return len(self._sorted) + len(self._added) == len(self._removed)

    def make(self) -> RouteGroup:
        if self._made is None:
            self._settle()
            attributes = self._key.attributes
            communities = attributes.communities
            self._made = RouteGroup(
                peers=self._key.peers,
                prefixes=tuple(self._sorted),
                local_pref=attributes.local_pref,
                as_path_prepend=attributes.as_path_prepend,
                communities=tuple(each.parts[0] for each in communities if not each.is_large),
                large_communities=tuple(each.parts for each in communities if each.is_large),
                is_leaving=attributes.is_leaving,
            )
        return self._made

    def _settle(self) -> None:
        if len(self._added) + len(self._removed) > _FEW:
            kept = (prefix for prefix in self._sorted if prefix not in self._removed)
            self._sorted = sorted([*kept, *self._added])
        else:
            for prefix in self._removed:
                del self._sorted[bisect_left(self._sorted, prefix)]
            for prefix in self._added:
                insort(self._sorted, prefix)
        self._added.clear()
        self._removed.clear()


class RouteTable:
    """The routes that are wanted."""

    def __init__(self) -> None:
        self.revision = 0
        """Grows when any peer is to have anything else."""
        self._routes: dict[str, tuple[tuple[BgpRoute, ...], bool]] = {}
        self._services: dict[str, set[str]] = {}
        """Who makes a prefix."""
        self._keys: dict[str, frozenset[_Key]] = {}
        """The groups that a prefix is in."""
        self._groups: dict[_Key, _Group] = {}
        self._order: list[_Key] | None = None
        """The keys of the groups, sorted; None if they have to be sorted anew."""

    def put(self, service: str, decision: BgpDecision | None) -> frozenset[str]:
        """Take what was decided about a service, None if it is gone.

        Gives the services for which anything is another than before, because they share a prefix;
        empty if nothing changed.
        """
        routes = tuple(route for route in decision.routes if route.peers) if decision else ()
        after = (routes, decision is not None and decision.is_leaving)
        before = self._routes.get(service, ((), False))
        if before == after or not (before[0] or routes):
            return frozenset()
        prefixes = {route.prefix for route in (*before[0], *routes)}
        if routes:
            self._routes[service] = after
        else:
            del self._routes[service]
        touched: set[str] = set()
        for prefix in sorted(prefixes):
            touched |= self._place(prefix, service)
        return frozenset(touched)

    def groups(self) -> tuple[RouteGroup, ...]:
        """Give all routes, in an order that depends on nothing but them."""
        if self._order is None:
            self._order = sorted(self._groups)
        return tuple(self._groups[key].make() for key in self._order)

    def peers_of(self, service: str) -> tuple[str, ...]:
        """Give the peers that have a prefix of a service, by whomever it is made, sorted."""
        routes, is_leaving = self._routes.get(service, ((), True))
        if is_leaving:
            return ()
        return tuple(
            sorted(
                {
                    peer
                    for route in routes
                    for key in self._keys.get(route.prefix, ())
                    if not key.attributes.is_leaving
                    for peer in key.peers
                }
            )
        )

    def _place(self, prefix: str, service: str) -> set[str]:
        """Put a prefix into the groups where it belongs now; give whom that concerns."""
        makers = self._services.setdefault(prefix, set())
        touched = makers | {service}
        routes, _ = self._routes.get(service, ((), False))
        if any(route.prefix == prefix for route in routes):
            makers.add(service)
        else:
            makers.discard(service)
            if not makers:
                del self._services[prefix]
        before = self._keys.get(prefix, frozenset())
        after = frozenset(self._merge(prefix, makers))
        for key in before - after:
            group = self._groups[key]
            group.remove(prefix)
            if group.is_empty:
                del self._groups[key]
                self._order = None
        for key in after - before:
            if key not in self._groups:
                self._groups[key] = _Group(key)
                self._order = None
            self._groups[key].add(prefix)
        if after:
            self._keys[prefix] = after
        else:
            self._keys.pop(prefix, None)
        if after == before:
            return {service}
        self.revision += 1
        return touched

    def _merge(self, prefix: str, makers: Iterable[str]) -> list[_Key]:
        """Give the groups of a prefix: the peers that get it with the same attributes together."""
        by_peer: dict[str, list[tuple[BgpRoute, bool]]] = {}
        for service in makers:
            routes, is_leaving = self._routes[service]
            for route in routes:
                if route.prefix == prefix:
                    for peer in route.peers:
                        by_peer.setdefault(peer, []).append((route, is_leaving))
        found: dict[_Attributes, list[str]] = {}
        for peer in sorted(by_peer):
            found.setdefault(_united(by_peer[peer]), []).append(peer)
        return [_Key(tuple(peers), attributes) for attributes, peers in found.items()]


def _united(routes: list[tuple[BgpRoute, bool]]) -> _Attributes:
    """Make one route of several for the same prefix and peer."""
    staying = [route for route, is_leaving in routes if not is_leaving]
    made = staying or [route for route, _ in routes]
    if len(made) == 1:
        communities = made[0].communities
    else:
        communities = tuple(sorted({each for route in made for each in route.communities}))
    return _Attributes(
        is_leaving=not staying,
        local_pref=max(route.local_pref for route in made),
        as_path_prepend=max(route.as_path_prepend for route in made),
        communities=communities[:UNION_MAX],
    )
