"""Adj-RIB-out: what the peer of an established session should have, has, and is still to get.

A session pulls as much as its connection takes; between two pulls anything may change. The order is
always the same: first the difference to what the peer should have now (announcements, then
withdrawals), then End-of-RIB where it is due, then the families that the peer asked for again.
What changes before it was pulled is never sent.

    wanted table --delta--> runs --pull--> messages           has: the table when the delta is done

A refresh goes through the table that the peer has, by the place it has come to (attributes, prefix)
and not by its content. So a change in between goes out as a change, and the refresh goes on behind.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.bgp import attribute, pack, refresh
from mercurylb.bgp.attribute import Encoding, RouteAttributes
from mercurylb.bgp.prefix import decode_address
from mercurylb.bgp.refresh import Refresh, RefreshType
from mercurylb.bgp.table import EMPTY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mercurylb.bgp.book import RouteBook
    from mercurylb.bgp.family import Family
    from mercurylb.bgp.pack import Packed
    from mercurylb.bgp.table import Delta, Prefixes, Run, Table


_IPV6_OCTETS: Final = 16


class Pulled(msgspec.Struct, frozen=True, gc=False):
    """Messages to be written."""

    octets: bytes = b""
    updates: int = 0
    """How many of them are UPDATEs."""
    refreshes: int = 0
    """How many of them are ROUTE-REFRESHes (RFC 7313)."""


class _Refresh:
    """A family that is on its way once more."""

    __slots__ = ("attributes", "has_marks", "is_begun", "last")

    def __init__(self, *, has_marks: bool) -> None:
        self.has_marks = has_marks
        self.is_begun = False
        self.attributes = RouteAttributes()
        self.last = ""


class AdjRibOut:
    """The routes of one session."""

    def __init__(self, book: RouteBook, peer: str, encoding: Encoding) -> None:
        self._book = book
        self._peer = peer
        self._encoding = encoding
        self._has = EMPTY
        self._aim = EMPTY
        self._delta: Delta | None = None
        self._run_index = 0
        self._offset = 0
        self._gained_count = 0
        self._ends: list[Family] = []
        self._ended: set[Family] = set()
        self._refreshes: dict[Family, _Refresh] = {}
        self._packings = book.packings(encoding)
        book.join(self)

    @property
    def encoding(self) -> Encoding:
        """Give what decides the octets."""
        return self._encoding

    def close(self) -> None:
        """Leave the book; the session is over."""
        self._book.leave(self)

    @property
    def is_pending(self) -> bool:
        """Tell whether there may be something to pull."""
        return (
            self._delta is not None
            or bool(self._ends)
            or bool(self._refreshes)
            or self._wanted() is not self._aim
        )

    @property
    def sent_count(self) -> int:
        """Count the prefixes that the peer has."""
        return self._packings.covered_count(self._has) + self._gained_count

    @property
    def pending_count(self) -> int:
        """Count the prefixes still to be sent, withdrawn, or sent again."""
        self._retarget()
        count = -self._offset
        for run in self._delta.runs[self._run_index :] if self._delta else ():
            count += len(run.prefixes) if self._encoding.next_hop(run.family) else 0
        return max(count, 0) + sum(map(self._refresh_count, self._refreshes))

    @property
    def skipped_count(self) -> int:
        """Count the prefixes that the session cannot carry: of another family, or too large."""
        wanted = self._wanted()
        return len(wanted) - self._packings.covered_count(wanted)

    def end_of_rib(self, families: Iterable[Family]) -> None:
        """Say that the table is complete as soon as the peer has everything."""
        self._ends = [*self._ends, *(family for family in families if family not in self._ends)]

    def refresh(self, family: Family, *, is_enhanced: bool = False) -> None:
        """Send a family once more, between its marks if `is_enhanced` (RFC 7313).

        There are no marks before the family's End-of-RIB, since the first table is not complete.
        """
        self._refreshes[family] = _Refresh(has_marks=is_enhanced and family in self._ended)

    def pull(self, size_bytes: int) -> Pulled:
        """Give the next messages, until there are so many octets or nothing is left."""
        self._retarget()
        pieces: list[bytes] = []
        size = updates = refreshes = 0
        while size < size_bytes:
            step = self._next()
            if step is None:
                break
            pieces.append(step.octets)
            size += len(step.octets)
            updates += step.updates
            refreshes += step.refreshes
        if not self.is_pending:
            self._book.settle()
        return Pulled(b"".join(pieces), updates, refreshes)

    def sent(self, start: int = 0) -> Iterator[tuple[str, str]]:
        """Give what the peer has from a place on: prefix, and attributes in words."""
        table = self._has
        if self._delta is not None:
            table = self._delta.stopped_at(self._run_index, self._offset)
        for family, next_hop in self._encoding.next_hops:
            hop = decode_address(next_hop[:_IPV6_OCTETS])
            for attributes, prefixes in table.ordered(family):
                if self._packings.of(attributes, family) is None:
                    continue
                words = f"next hop {hop}, {attribute.describe(attributes, self._encoding)}"
                for prefix in prefixes[start:]:
                    yield prefix, words
                start = max(start - len(prefixes), 0)

    def _wanted(self) -> Table:
        return self._book.wanted(self._peer, is_internal=self._encoding.is_internal)

    def _retarget(self) -> None:
        """Aim at what is wanted now; what was pulled before stays true."""
        wanted = self._wanted()
        if wanted is self._aim:
            return
        if self._delta is not None:
            self._has = self._delta.stopped_at(self._run_index, self._offset)
        self._delta = self._book.delta(self._has, wanted)
        self._aim = wanted
        self._run_index = self._offset = self._gained_count = 0
        self._skip_finished(self._delta)

    def _next(self) -> Pulled | None:
        while self._delta is not None:
            step = self._next_change(self._delta)
            if step is not None:
                return step
        if self._ends:
            family = self._ends.pop(0)
            self._ended.add(family)
            return Pulled(pack.end_of_rib(family), 1)
        while self._refreshes:
            family, state = next(iter(self._refreshes.items()))
            step = self._next_again(family, state)
            if step is not None:
                return step
        return None

    def _next_change(self, delta: Delta) -> Pulled | None:
        """Give the next message of the delta; None if it had none for this session."""
        run = delta.runs[self._run_index]
        packing = self._packings.of(run.attributes, run.family)
        if packing is None:
            step = self._withdraw_misfits(delta, run)
            self._offset = len(run.prefixes)
        else:
            packed = self._book.packer.pack(run.prefixes, self._offset, packing)
            self._count(delta, run, packed)
            self._offset = packed.end
            step = Pulled(packed.octets, 1)
        self._skip_finished(delta)
        return step

    def _skip_finished(self, delta: Delta) -> None:
        if self._run_index < len(delta.runs):
            if self._offset < len(delta.runs[self._run_index].prefixes):
                return
            self._run_index, self._offset = self._run_index + 1, 0
        if self._run_index == len(delta.runs):
            self._has, self._delta = delta.reached, None
            self._run_index = self._offset = self._gained_count = 0

    def _count(self, delta: Delta, run: Run, packed: Packed) -> None:
        count = packed.end - self._offset
        if run.attributes is None:
            self._gained_count -= count
        elif run.is_replacing:
            return
        elif not delta.replaced:
            self._gained_count += count
        else:
            prefixes = run.prefixes[self._offset : packed.end]
            self._gained_count += count - sum(map(delta.replaced.__contains__, prefixes))

    def _withdraw_misfits(self, delta: Delta, run: Run) -> Pulled | None:
        """Withdraw what the peer has of prefixes whose new attributes fit into no message."""
        packing = pack.withdrawing(run.family, self._encoding)
        prefixes = run.prefixes
        if not run.is_replacing:
            prefixes = tuple(prefix for prefix in prefixes if prefix in delta.replaced)
        if packing is None or not prefixes:
            return None
        messages = []
        start = 0
        while start < len(prefixes):
            packed = pack.pack(prefixes, start, packing)
            messages.append(packed.octets)
            start = packed.end
        return Pulled(b"".join(messages), len(messages))

    def _next_again(self, family: Family, state: _Refresh) -> Pulled | None:
        """Give the next message of a refresh; None if it ended without one."""
        if not state.is_begun:
            state.is_begun = True
            if state.has_marks:
                return Pulled(refresh.encode(Refresh(family, RefreshType.BEGIN)), refreshes=1)
        ordered = self._has.ordered(family)
        for index in range(bisect_left(ordered, (state.attributes,)), len(ordered)):
            attributes, prefixes = ordered[index]
            packing = self._packings.of(attributes, family)
            start = _after(prefixes, attributes, state)
            if packing is not None and start < len(prefixes):
                packed = self._book.packer.pack(prefixes, start, packing)
                state.attributes, state.last = attributes, prefixes[packed.end - 1]
                return Pulled(packed.octets, 1)
        del self._refreshes[family]
        if not state.has_marks:
            return None
        return Pulled(refresh.encode(Refresh(family, RefreshType.END)), refreshes=1)

    def _refresh_count(self, family: Family) -> int:
        state = self._refreshes[family]
        return sum(
            len(prefixes) - _after(prefixes, attributes, state)
            for attributes, prefixes in self._has.ordered(family)
            if attributes >= state.attributes
        )


def _after(prefixes: Prefixes, attributes: RouteAttributes, state: _Refresh) -> int:
    return bisect_right(prefixes, state.last) if attributes == state.attributes else 0
