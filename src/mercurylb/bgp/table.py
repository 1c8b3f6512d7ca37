"""Tables of routes as whole values, and what leads from one to another.

What a peer has, and what it should have, are each a table: for a set of attributes and a family
the prefixes in text order, in the very tuples that the plan made. Nothing is kept per prefix and
peer, so that many peers with the same routes cost as much memory as one, and a comparison of two
tables skips what is equal in them at the speed of comparing tuples.

A `Delta` is worked off run by run: announcements first, then withdrawals, so that no traffic is
lost where a service moves from one prefix to another (make before break). Stopped in its middle it
tells exactly which table the peer has by then.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.bgp.attribute import RouteAttributes
from mercurylb.bgp.family import Family

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Key = tuple[RouteAttributes, Family]
Prefixes = tuple[str, ...]

_RUN_MAX: Final = 4096
"""Prefixes compared at once; the more, the longer the search for the one that differs."""
_SCATTERED: Final = 16
"""When more than one of so many prefixes differs, sets are faster."""


class Table:
    """Routes by attributes and family; never changed once made."""

    __slots__ = ("_count", "_ordered", "parts")

    def __init__(self, parts: Mapping[Key, Prefixes]) -> None:
        self.parts = {key: prefixes for key, prefixes in parts.items() if prefixes}
        self._ordered: dict[Family, tuple[tuple[RouteAttributes, Prefixes], ...]] = {}
        self._count = sum(map(len, self.parts.values()))

    def __len__(self) -> int:
        """Count the prefixes."""
        return self._count

    def ordered(self, family: Family) -> tuple[tuple[RouteAttributes, Prefixes], ...]:
        """Give the prefixes of a family, ascending by attributes."""
        if family not in self._ordered:
            found = [(key[0], part) for key, part in self.parts.items() if key[1] == family]
            self._ordered[family] = tuple(sorted(found))
        return self._ordered[family]


EMPTY: Final = Table({})


class Run(msgspec.Struct, frozen=True, gc=False):
    """Prefixes that are announced or withdrawn alike."""

    family: Family
    prefixes: Prefixes
    attributes: RouteAttributes | None = None
    """None withdraws."""
    is_replacing: bool = False
    """Whether all prefixes were there before with other attributes."""


class Delta:
    """What leads from one table to another.

    A prefix that is leaving and that the first table lacks is left out: nobody is told of it.
    """

    def __init__(self, before: Table, wanted: Table) -> None:
        self._before = before
        self._removed, added = _compare(before, wanted)
        moved = _match(self._removed, added)
        rest = {key: lost for key, lost in self._removed.items() if key not in moved.values()}
        others = {key: got for key, got in added.items() if key not in moved}
        left_out = _leave_out(rest, others)
        self.reached = _without(wanted, left_out) if left_out else wanted
        self.replaced, withdrawn = _sort_out(rest, others)
        added.update(others)
        announcements = [
            Run(family, prefixes, attributes, is_replacing=(attributes, family) in moved)
            for (attributes, family), prefixes in sorted(added.items())
            if prefixes
        ]
        withdrawals = [Run(family, prefixes) for family, prefixes in sorted(withdrawn.items())]
        self.runs = (*announcements, *withdrawals)
        self._stops: dict[tuple[int, int], Table] = {}

    def stopped_at(self, run_index: int, offset: int) -> Table:
        """Give the table of a peer that has got so many runs, and so much of the next one."""
        if (run_index, offset) == (0, 0):
            return self._before
        stop = self._stops.get((run_index, offset))
        if stop is None:
            stop = self._stops[run_index, offset] = self._stop(run_index, offset)
        return stop

    def _stop(self, run_index: int, offset: int) -> Table:
        done = [(run, run.prefixes) for run in self.runs[:run_index]]
        if offset:
            run = self.runs[run_index]
            done.append((run, run.prefixes[:offset]))
        parts = dict(self._before.parts)
        if self._removed:
            gone = {prefix for _, prefixes in done for prefix in prefixes}
            for key in self._removed:
                parts[key] = tuple(prefix for prefix in parts[key] if prefix not in gone)
        for run, prefixes in done:
            if run.attributes is not None:
                key = run.attributes, run.family
                parts[key] = merge((parts[key], prefixes)) if parts.get(key) else prefixes
        return Table(parts)


def merge(several: Sequence[Prefixes]) -> Prefixes:
    """Put sorted tuples together; a single one stays itself."""
    if len(several) == 1:
        return several[0]
    return tuple(sorted(chain.from_iterable(several)))


def diff(old: Prefixes, new: Prefixes) -> tuple[list[str], list[str]]:
    """Give what only the first and what only the second of two sorted tuples has, in order."""
    removed: list[str] = []
    added: list[str] = []
    i = j = 0
    bound = (len(old) + len(new)) // _SCATTERED + _SCATTERED
    while i < len(old) and j < len(new):
        equal = _common(old, i, new, j)
        i, j = i + equal, j + equal
        if i == len(old) or j == len(new):
            break
        if len(removed) + len(added) > bound:
            return _diff_sets(removed, added, old[i:], new[j:])
        if old[i] < new[j]:
            removed.append(old[i])
            i += 1
        else:
            added.append(new[j])
            j += 1
    removed.extend(old[i:])
    added.extend(new[j:])
    return removed, added


def _common(old: Prefixes, i: int, new: Prefixes, j: int) -> int:
    """Count how many prefixes from here on are the same; in growing steps, then in halves."""
    count, step = 0, 1
    most = min(len(old) - i, len(new) - j)
    while count < most:
        step = min(step, most - count)
        first, second = i + count, j + count
        if old[first : first + step] == new[second : second + step]:
            count += step
            step = min(step * 2, _RUN_MAX)
        elif step == 1:
            break
        else:
            return count + _common_within(old, first, new, second, step)
    return count


def _common_within(old: Prefixes, i: int, new: Prefixes, j: int, length: int) -> int:
    """Find the first difference in a stretch that has one."""
    low, high = 0, length
    while high - low > 1:
        middle = (low + high) // 2
        if old[i + low : i + middle] == new[j + low : j + middle]:
            low = middle
        else:
            high = middle
    return low


def _diff_sets(
    removed: list[str], added: list[str], old: Prefixes, new: Prefixes
) -> tuple[list[str], list[str]]:
    before, after = set(old), set(new)
    removed += [prefix for prefix in old if prefix not in after]
    added += [prefix for prefix in new if prefix not in before]
    return removed, added


def _compare(before: Table, wanted: Table) -> tuple[dict[Key, Prefixes], dict[Key, Prefixes]]:
    """Give what each part of the tables loses and gets."""
    removed: dict[Key, Prefixes] = {}
    added: dict[Key, Prefixes] = {}
    for key, old in before.parts.items():
        new = wanted.parts.get(key, ())
        if old is new:
            continue
        if not new:
            removed[key] = old
            continue
        lost, got = diff(old, new)
        if lost:
            removed[key] = tuple(lost)
        if got:
            added[key] = tuple(got)
    added |= {key: new for key, new in wanted.parts.items() if key not in before.parts}
    return removed, added


def _leave_out(removed: Mapping[Key, Prefixes], added: dict[Key, Prefixes]) -> dict[Key, set[str]]:
    """Take what is leaving and was not there out of `added`, and give it."""
    left_out: dict[Key, set[str]] = {}
    leaving = [key for key in added if key[0].is_leaving]
    there = set(chain.from_iterable(removed.values())) if leaving else set()
    for key in leaving:
        new = [prefix for prefix in added[key] if prefix not in there]
        if new:
            left_out[key] = set(new)
            added[key] = tuple(prefix for prefix in added[key] if prefix in there)
    return left_out


def _without(table: Table, left_out: Mapping[Key, set[str]]) -> Table:
    parts = dict(table.parts)
    for key, prefixes in left_out.items():
        parts[key] = tuple(prefix for prefix in parts[key] if prefix not in prefixes)
    return Table(parts)


def _match(removed: Mapping[Key, Prefixes], added: Mapping[Key, Prefixes]) -> dict[Key, Key]:
    """Find the parts that lose all their prefixes to one other part, which has no other new ones.

    That is what a change of the attributes of a whole group looks like; nothing needs to be looked
    at prefix by prefix then.
    """
    there = {(key[1], len(lost), lost[0]): key for key, lost in removed.items()}
    sources = {key: there.get((key[1], len(got), got[0])) for key, got in added.items()}
    return {
        key: source
        for key, source in sources.items()
        if source is not None and removed[source] == added[key]
    }


def _sort_out(
    removed: Mapping[Key, Prefixes], added: Mapping[Key, Prefixes]
) -> tuple[frozenset[str], dict[Family, Prefixes]]:
    """Tell what only changes its attributes, and what goes for good by family."""
    if not removed:
        return frozenset(), {}
    there = frozenset(chain.from_iterable(added.values()))
    replaced = there.intersection(chain.from_iterable(removed.values())) if there else there
    withdrawn: dict[Family, list[Prefixes]] = {}
    for (_, family), prefixes in removed.items():
        kept = prefixes
        if replaced:
            kept = tuple(prefix for prefix in prefixes if prefix not in replaced)
        if kept:
            withdrawn.setdefault(family, []).append(kept)
    return replaced, {family: merge(several) for family, several in withdrawn.items()}
