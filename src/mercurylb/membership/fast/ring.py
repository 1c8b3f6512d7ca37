"""Who watches whom: a pure function of the set of names, with a constant number per node.

Few nodes watch each other all. More than `MESH_MAX` stand in `RING_COUNT` circles, each ordered by
another hash of the names, and a node and its two neighbours in each circle watch one another. So
everybody has up to `2 * RING_COUNT` observers, which change only next to where somebody comes or
goes, and which are not the same few for nodes that are alike in name (or stand in one rack).
"""

from __future__ import annotations

import bisect
import functools
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MESH_MAX = 5
RING_COUNT = 2

_HASHES_MAX = 4096


@functools.lru_cache(maxsize=_HASHES_MAX)
def _places(name: str) -> tuple[bytes, ...]:
    """Return where a name stands on each ring; the name itself breaks ties."""
    return tuple(
        hashlib.blake2b(name.encode(), digest_size=8, salt=bytes((ring,))).digest() + name.encode()
        for ring in range(RING_COUNT)
    )


class Rings:
    """A set of names and who of them are neighbours."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names: set[str] = set()
        self._rings: tuple[list[tuple[bytes, str]], ...] = tuple([] for _ in range(RING_COUNT))
        for name in names:
            self.add(name)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str) -> None:
        """Let a node stand on the rings."""
        if name not in self._names:
            self._names.add(name)
            for ring, place in zip(self._rings, _places(name), strict=True):
                bisect.insort(ring, (place, name))

    def remove(self, name: str) -> None:
        """Take a node off the rings."""
        if name in self._names:
            self._names.remove(name)
            for ring, place in zip(self._rings, _places(name), strict=True):
                del ring[bisect.bisect_left(ring, (place, name))]

    def neighbours(self, name: str) -> tuple[str, ...]:
        """Return who watches a name, sorted: of one that is not in the set, who would."""
        others = len(self._names) - (name in self._names)
        if others < MESH_MAX:
            return tuple(sorted(self._names - {name}))
        found: set[str] = set()
        for ring, place in zip(self._rings, _places(name), strict=True):
            index = bisect.bisect_left(ring, (place, name))
            after = index + 1 if name in self._names else index
            found.add(ring[index - 1][1])
            found.add(ring[after % len(ring)][1])
        return tuple(sorted(found))
