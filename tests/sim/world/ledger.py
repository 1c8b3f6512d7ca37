"""Who answers on the wire, for whom, and since when: the truth that promises are measured against.

An observer on the LAN hears a node if the node runs, is not stopped, has its link, and is on the
observer's side of a partition. For each service the ledger keeps how many nodes the observer of
side 0 hears answering, and all answering nodes on any side, as intervals of the world's time.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class Entry(msgspec.Struct, frozen=True):
    """From this time on, until the next entry."""

    at: float
    owners: tuple[str, ...]
    """Nodes that answer, on whichever side, sorted."""
    heard: int
    """How many of them the observer hears."""


class Ledger:
    """The history of every service."""

    def __init__(self, services: Iterable[str], is_heard: Callable[[str], bool]) -> None:
        self.entries: dict[str, list[Entry]] = {
            service: [Entry(float("-inf"), (), 0)] for service in services
        }
        self._is_heard = is_heard
        self._owners: dict[str, set[str]] = {service: set() for service in self.entries}
        self._of_node: dict[str, frozenset[str]] = {}

    def owners(self, service: str) -> tuple[str, ...]:
        """Return who answers now."""
        return self.entries[service][-1].owners

    def note(self, node: str, services: frozenset[str], now: float) -> list[str]:
        """Take over what a node answers for from now on, and return what changed."""
        before = self._of_node.get(node, frozenset())
        changed = sorted(before ^ services)
        if not changed:
            return changed
        self._of_node[node] = services
        for service in changed:
            owners = self._owners[service]
            (owners.add if service in services else owners.discard)(node)
            self._enter(service, now)
        return changed

    def network_changed(self, now: float) -> None:
        """Take over that the observer may hear others than before."""
        for service in self.entries:
            self._enter(service, now)

    def _enter(self, service: str, now: float) -> None:
        owners = tuple(sorted(self._owners[service]))
        heard = sum(1 for owner in owners if self._is_heard(owner))
        entries = self.entries[service]
        if (entries[-1].owners, entries[-1].heard) == (owners, heard):
            return
        if entries[-1].at == now:
            entries.pop()
        entries.append(Entry(now, owners, heard))

    # --- measures ----------------------------------------------------------------------------

    def longest_gap(self, service: str, since: float, until: float) -> float:
        """Return for how long at a stretch nobody was heard."""
        return _longest(self.entries[service], since, until, lambda entry: entry.heard == 0)

    def longest_double(self, service: str, since: float, until: float) -> float:
        """Return for how long at a stretch more than one node was heard."""
        return _longest(self.entries[service], since, until, lambda entry: entry.heard > 1)

    def last_double(self, since: float, until: float) -> float:
        """Return when, counted from `since`, any service had more than one heard owner last."""
        last = 0.0
        for entries in self.entries.values():
            ends = [entry.at for entry in entries[1:]] + [until]
            for entry, end in zip(entries, ends, strict=True):
                if entry.heard > 1 and end > since:
                    last = max(last, min(end, until) - since)
        return last

    def changes(self, since: float) -> list[tuple[str, Entry]]:
        """Return every change of any service's owners after a time."""
        found: list[tuple[str, Entry]] = []
        for service, entries in self.entries.items():
            for before, entry in itertools.pairwise(entries):
                if entry.at > since and entry.owners != before.owners:
                    found.append((service, entry))
        return sorted(found, key=lambda change: change[1].at)


def _longest(
    entries: Sequence[Entry], since: float, until: float, is_bad: Callable[[Entry], bool]
) -> float:
    longest = 0.0
    began: float | None = None
    for index, entry in enumerate(entries):
        end = entries[index + 1].at if index + 1 < len(entries) else until
        if end <= since or entry.at >= until or not is_bad(entry):
            began = None
            continue
        if began is None:
            began = max(entry.at, since)
        longest = max(longest, min(end, until) - began)
    return longest
