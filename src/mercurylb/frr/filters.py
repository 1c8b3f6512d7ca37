"""The prefix lists and route maps of a neighbour (spec: bgp-frr A4).

Inbound everything is refused. Outbound the entries that set something come first, each of them
going on to the next one, and then the two that let the neighbour's own prefixes pass; what no entry
permits is refused by the end of the map.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from mercurylb.frr.session import FAMILIES, neighbor_id
from mercurylb.values.address import IPV4, Family

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.config.community import Community
    from mercurylb.frr.router import Neighbor


class _List(NamedTuple):
    """A prefix list and what is set on the routes that it matches."""

    name: str
    family: Family
    statement: str
    prefixes: set[str]


class FilterWriter:
    """Writes filters; numbers go on where neighbours of two instances have the same name."""

    def __init__(self) -> None:
        self._numbers: Counter[str] = Counter()

    def lines(self, neighbor: Neighbor) -> Iterator[str]:
        """Give everything that stands before the instances for one neighbour."""
        name = neighbor_id(neighbor.peer)
        yield f"route-map {name}-in deny 20"
        for lists in (_by_preference(neighbor), _by_community(neighbor)):
            for key in sorted(lists):
                yield from self._setting(name, lists[key])
        for family in FAMILIES:
            yield from self._allowed(f"{name}-allowed-ipv{family}", neighbor, family)
        for family in FAMILIES:
            yield from self._entry(name, f"{name}-allowed-ipv{family}", family)

    def _setting(self, name: str, item: _List) -> Iterator[str]:
        for prefix in sorted(item.prefixes):
            yield self._item(item.name, item.family, f"permit {prefix}")
        yield from self._entry(name, item.name, item.family)
        yield f"  {item.statement}"
        yield "  on-match next"

    def _allowed(self, name: str, neighbor: Neighbor, family: Family) -> Iterator[str]:
        for rule in [f"permit {text}" for text in neighbor.prefixes(family)] or ["deny any"]:
            yield self._item(name, family, rule)

    def _item(self, name: str, family: Family, rule: str) -> str:
        return f"{_word(family)} prefix-list {name} seq {self._next(name)} {rule}"

    def _entry(self, name: str, list_name: str, family: Family) -> Iterator[str]:
        yield f"route-map {name}-out permit {self._next(name)}"
        yield f"  match {_word(family)} address prefix-list {list_name}"

    def _next(self, name: str) -> int:
        self._numbers[name] += 1
        return self._numbers[name]


def _word(family: Family) -> str:
    return "ip" if family == IPV4 else "ipv6"


def _by_preference(neighbor: Neighbor) -> dict[str, _List]:
    lists: dict[str, _List] = {}
    for item in neighbor.advertisements:
        if item.local_pref:
            word = _word(item.family)
            name = f"{neighbor_id(neighbor.peer)}-{item.local_pref}-{word}-localpref-prefixes"
            statement = f"set local-preference {item.local_pref}"
            lists.setdefault(name, _List(name, item.family, statement, set()))
            lists[name].prefixes.add(item.prefix)
    return lists


def _by_community(neighbor: Neighbor) -> dict[str, _List]:
    lists: dict[str, _List] = {}
    for item in neighbor.advertisements:
        for community in item.communities:
            word, text = _word(item.family), community_text(community)
            name = f"{neighbor_id(neighbor.peer)}-{text}-{word}-community-prefixes"
            kind = "large-community" if community.is_large else "community"
            statement = f"set {kind} {community} additive"
            lists.setdefault(name, _List(name, item.family, statement, set()))
            lists[name].prefixes.add(item.prefix)
    return lists


def community_text(community: Community) -> str:
    """Give `A:B` or `large:A:B:C`."""
    return f"large:{community}" if community.is_large else str(community)
