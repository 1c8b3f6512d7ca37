"""The local copy of one kind of object, and the bell that tells a program to look.

Level triggered: the store says *which* keys need work, never what happened to them. A program
awaits a `Wakeup` (several stores may share one), then takes all dirty keys of each store at once,
so a burst of changes costs one pass.

Invariants: the copy is swapped in one step on a relist; an object whose resource version did not
change is not dirty; an object that cannot be read keeps its last good copy and has an entry in
`problems` until it can be read again or is gone. Everything runs on one event loop, without locks.
"""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic

from mercurylb.kube.reflector import Applied, Deleted, Output, Restarted, Unreadable
from mercurylb.kube.resource import T

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Wakeup:
    """A bell that stays rung until somebody comes."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake whoever waits, or the next who does."""
        self._rung.set()

    async def wait(self) -> None:
        """Wait until the bell was rung since the last wait."""
        await self._rung.wait()
        self._rung.clear()


class Store(Generic[T]):
    """All objects of one kind and selection, by key."""

    def __init__(self, wakeup: Wakeup | None = None) -> None:
        self.wakeup = wakeup or Wakeup()
        self.revision = 0
        """Grows with every change of the copy."""
        self._objects: dict[str, T] = {}
        self._problems: dict[str, str] = {}
        self._dirty: dict[str, None] = {}
        self._synced = asyncio.Event()

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: str) -> bool:
        return key in self._objects

    @property
    def objects(self) -> Mapping[str, T]:
        """Show the current copy; it changes under you at the next await, so copy to keep."""
        return MappingProxyType(self._objects)

    @property
    def problems(self) -> Mapping[str, str]:
        """Show why which objects could not be read."""
        return MappingProxyType(self._problems)

    @property
    def has_synced(self) -> bool:
        """Tell whether a complete list was seen once."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Wait for the first complete list."""
        await self._synced.wait()

    def get(self, key: str) -> T | None:
        """Give the object, if it exists."""
        return self._objects.get(key)

    def snapshot(self) -> dict[str, T]:
        """Give a copy that nobody changes."""
        return dict(self._objects)

    def take_dirty(self) -> tuple[str, ...]:
        """Give the keys that changed since the last call, oldest first, and forget them."""
        keys = tuple(self._dirty)
        self._dirty.clear()
        return keys

    def mark_dirty(self, keys: Iterable[str]) -> None:
        """Have these looked at again: their work could not be finished."""
        self._dirty.update(dict.fromkeys(keys))
        if self._dirty:
            self.wakeup.ring()

    def apply(self, output: Output[T]) -> None:
        """Take what a reflector said."""
        if isinstance(output, Applied):
            self._put(output.key, output.object)
        elif isinstance(output, Deleted):
            self._remove(output.key)
        elif isinstance(output, Restarted):
            self._swap(output)
        elif isinstance(output, Unreadable):
            self._note_problem(output)

    def _put(self, key: str, item: T) -> None:
        had_problem = self._problems.pop(key, None) is not None
        if not had_problem and _is_same(self._objects.get(key), item):
            return
        self._objects[key] = item
        self._touch(key)

    def _remove(self, key: str) -> None:
        had_problem = self._problems.pop(key, None) is not None
        if self._objects.pop(key, None) is not None or had_problem:
            self._touch(key)

    def _swap(self, restarted: Restarted[T]) -> None:
        before, problems_before = self._objects, self._problems
        after = dict(restarted.objects)
        problems = {bad.key: bad.message for bad in restarted.unreadable}
        for key in problems:
            if key in before:
                after[key] = before[key]
        self._objects, self._problems = after, problems
        for key in (before.keys() | problems_before.keys()) - after.keys() - problems.keys():
            self._dirty[key] = None
        for key, item in after.items():
            if not _is_same(before.get(key), item) or (key in problems_before) != (key in problems):
                self._dirty[key] = None
        self._dirty.update(dict.fromkeys(problems.keys() - problems_before.keys()))
        if self._dirty or not self.has_synced:
            self.revision += 1
            self.wakeup.ring()
        self._synced.set()

    def _note_problem(self, bad: Unreadable) -> None:
        if self._problems.get(bad.key) != bad.message:
            self._problems[bad.key] = bad.message
            self._touch(bad.key)

    def _touch(self, key: str) -> None:
        self.revision += 1
        self._dirty[key] = None
        self.wakeup.ring()


def _is_same(before: T | None, after: T) -> bool:
    if before is None:
        return False
    version = after.metadata.resource_version
    return bool(version) and before.metadata.resource_version == version
