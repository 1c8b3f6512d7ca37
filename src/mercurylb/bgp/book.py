"""What is to be announced to all peers of a node, and what their sessions share.

The groups of routes come as a whole each time something changes. A group that says the same as
before stays the object it was, so that everything after it can tell by identity that there is
nothing to do. Peers with the same groups share tables, the deltas between tables, and packed
messages; an external peer sees no preference, so it has a table of its own kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.bgp.attribute import RouteAttributes
from mercurylb.bgp.family import IPV4, IPV6, Family, family_of
from mercurylb.bgp.pack import Packer, Packings
from mercurylb.bgp.table import EMPTY, Delta, Table, merge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.bgp.attribute import Encoding
    from mercurylb.bgp.rib import AdjRibOut
    from mercurylb.bgp.route import RouteGroup
    from mercurylb.bgp.table import Key, Prefixes

_COLON: Final = ":"
_DOT: Final = "."


class _Group:
    """A group with its prefixes by family."""

    __slots__ = ("attributes", "group", "parts")

    def __init__(self, group: RouteGroup) -> None:
        self.group = group
        self.attributes = _attributes(group)
        self.parts = _by_family(group.prefixes)


def _by_family(prefixes: Prefixes) -> dict[Family, Prefixes]:
    """Split by family; a tuple of one family stays itself."""
    text = "".join(prefixes)
    if _COLON not in text:
        return {IPV4: prefixes}
    if _DOT not in text:
        return {IPV6: prefixes}
    parts: dict[Family, list[str]] = {IPV4: [], IPV6: []}
    for prefix in prefixes:
        parts[family_of(prefix)].append(prefix)
    return {family: tuple(part) for family, part in parts.items()}


class RouteBook:
    """The routes of all peers, and what their sessions have in common."""

    def __init__(self) -> None:
        self.packer = Packer()
        self._groups: dict[tuple[object, ...], _Group] = {}
        self._by_peer: dict[str, tuple[_Group, ...]] = {}
        self._tables: dict[tuple[str, bool], Table] = {}
        self._shared: _Shared = {}
        self._shared_before: _Shared = {}
        self._deltas: dict[tuple[int, int], tuple[Table, Table, Delta]] = {}
        self._ribs: set[AdjRibOut] = set()
        self._packings: dict[Encoding, Packings] = {}

    def replace(self, groups: Sequence[RouteGroup]) -> bool:
        """Take what is to be announced; False if it is what was said before."""
        held: dict[tuple[object, ...], _Group] = {}
        for group in groups:
            name: tuple[object, ...] = group.peers, _attributes(group)
            while name in held:
                name = (*name, "again")
            known = self._groups.get(name)
            is_same = known is not None and known.group.prefixes == group.prefixes
            held[name] = known if known is not None and is_same else _Group(group)
        is_changed = len(held) != len(self._groups) or any(
            group is not self._groups.get(name) for name, group in held.items()
        )
        if is_changed:
            self._adopt(held)
        return is_changed

    def _adopt(self, held: dict[tuple[object, ...], _Group]) -> None:
        by_peer: dict[str, list[_Group]] = {}
        for group in held.values():
            for peer in group.group.peers:
                by_peer.setdefault(peer, []).append(group)
        self._groups = held
        self._by_peer = {peer: tuple(groups) for peer, groups in by_peer.items()}
        self._tables = {}
        self._shared_before, self._shared = self._shared, {}
        self._deltas.clear()
        self.packer.clear()

    def wanted(self, peer: str, *, is_internal: bool) -> Table:
        """Give what a peer should have; the same object as long as that is the same."""
        table = self._tables.get((peer, is_internal))
        if table is None:
            groups = self._by_peer.get(peer, ())
            table = self._share(groups, is_internal=is_internal) if groups else EMPTY
            self._tables[peer, is_internal] = table
        return table

    def _share(self, groups: tuple[_Group, ...], *, is_internal: bool) -> Table:
        key = tuple(map(id, groups)), is_internal
        entry = self._shared.get(key) or self._shared_before.get(key)
        if entry is None:
            entry = groups, _table(groups, is_internal=is_internal)
        self._shared[key] = entry
        return entry[1]

    def delta(self, before: Table, wanted: Table) -> Delta:
        """Give what leads from one table to another; computed once for all who need it."""
        key = id(before), id(wanted)
        if key not in self._deltas:
            self._deltas[key] = before, wanted, Delta(before, wanted)
        return self._deltas[key][2]

    def packings(self, encoding: Encoding) -> Packings:
        """Give what the sessions with one encoding share."""
        return self._packings.setdefault(encoding, Packings(encoding))

    def join(self, rib: AdjRibOut) -> None:
        """Know of a session."""
        self._ribs.add(rib)

    def leave(self, rib: AdjRibOut) -> None:
        """Forget a session."""
        self._ribs.discard(rib)
        if rib.encoding not in {other.encoding for other in self._ribs}:
            self._packings.pop(rib.encoding, None)
        self.settle()

    def settle(self) -> None:
        """Forget what was shared once nobody needs it any more."""
        if not any(rib.is_pending for rib in self._ribs):
            self._deltas.clear()
            self._shared_before = {}
            self.packer.clear()


_Shared = dict[tuple[tuple[int, ...], bool], tuple[tuple[_Group, ...], Table]]
"""Tables by the identities of their groups, which are held so that these stay theirs."""


def _attributes(group: RouteGroup) -> RouteAttributes:
    return RouteAttributes(
        group.local_pref,
        group.as_path_prepend,
        group.communities,
        group.large_communities,
        group.is_leaving,
    )


def _table(groups: Sequence[_Group], *, is_internal: bool) -> Table:
    pieces: dict[Key, list[Prefixes]] = {}
    for group in groups:
        attributes = group.attributes.shown(is_internal=is_internal)
        for family, prefixes in group.parts.items():
            pieces.setdefault((attributes, family), []).append(prefixes)
    return Table({key: merge(several) for key, several in pieces.items()})
