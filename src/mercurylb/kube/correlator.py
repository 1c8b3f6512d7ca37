"""Which event becomes a new object, which one more count of an old one, and which is dropped.

Pure. The rules are client-go's: the same object, type, reason and message counts up one Event; an
object may cause a burst of 25 and then one Event write per five minutes, so that a service that
flaps for a week does not fill etcd. What is dropped here is still counted by the next one that
gets through.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

import msgspec

BURST = 25
REFILL_S = 300.0
ENTRY_MAX = 4096
"""Remembered objects and events; the least recently used is forgotten: a second Event then."""


class Reference(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The object an event is about."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Give what makes it the same object whatever its version."""
        return self.kind, self.namespace, self.name, self.uid


class Note(msgspec.Struct, frozen=True):
    """What somebody wants to say about an object."""

    about: Reference
    type: str
    """`Normal` or `Warning`."""
    reason: str
    message: str

    @property
    def identity(self) -> tuple[str, ...]:
        """Give what makes it the same event again."""
        return (*self.about.identity, self.type, self.reason, self.message)


V = TypeVar("V")


@dataclass(slots=True)
class Entry:
    """An event that was told before."""

    first_at: str
    """RFC 3339."""
    count: int = 0
    name: str = ""
    """Of the Event object; empty until it is asked for."""
    is_created: bool = False


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class Correlator:
    """Remembers what was told."""

    def __init__(
        self, *, burst: int = BURST, refill_s: float = REFILL_S, entry_max: int = ENTRY_MAX
    ) -> None:
        self._burst = burst
        self._refill_s = refill_s
        self._entry_max = entry_max
        self._entries: OrderedDict[tuple[str, ...], Entry] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()

    def on_note(self, note: Note, now: float, *, timestamp: str) -> Entry | None:
        """Count a note and give its entry, or None when the object has told too much lately."""
        entry = self._entries.get(note.identity)
        if entry is None:
            entry = self._entries[note.identity] = Entry(first_at=timestamp)
            _trim(self._entries, self._entry_max)
        self._entries.move_to_end(note.identity)
        entry.count += 1
        return entry if self._has_token(note, now) else None

    def forget(self, note: Note) -> None:
        """Make the next one a new Event: the old object is gone."""
        self._entries.pop(note.identity, None)

    def _has_token(self, note: Note, now: float) -> bool:
        key = note.about.identity
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(float(self._burst), now)
            _trim(self._buckets, self._entry_max)
        self._buckets.move_to_end(key)
        gained = max(now - bucket.filled_at, 0.0) / self._refill_s
        bucket.tokens = min(bucket.tokens + gained, float(self._burst))
        bucket.filled_at = now
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True


def _trim(entries: OrderedDict[tuple[str, ...], V], limit: int) -> None:
    while len(entries) > limit:
        entries.popitem(last=False)
