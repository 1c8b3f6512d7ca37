"""What the members have said about themselves, and what this node said last (pure).

Bounded: beyond `NOTES_MAX` members the one that spoke first is forgotten first. A member keeps its
MAC addresses when it goes down, because its frames may still be on the way, or its process alive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mercurylb.announcer.note import Note, decode, encode, note_of
from mercurylb.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.layer2.ability import Unable

NOTES_MAX = 2048


class Change(msgspec.Struct, frozen=True):
    """What a member's word changed."""

    has_unable: bool
    has_macs: bool


class Notebook:
    """The notes of all members."""

    def __init__(self) -> None:
        self._notes: dict[str, Note] = {}
        self._own: tuple[tuple[bytes, ...], Unable] | None = None
        self.malformed_count = 0

    def tell(self, macs: tuple[bytes, ...], unable: Unable) -> bytes | None:
        """Return the bytes to tell all members, None when they are told already."""
        if self._own == (macs, unable):
            return None
        self._own = macs, unable
        return encode(note_of(macs, unable))

    def take(self, node: str, received: bytes) -> Change:
        """Believe what a member says; what does not decode says nothing."""
        try:
            note = decode(received) if received else Note()
        except WireError:
            self.malformed_count += 1
            note = Note()
        known = self._notes.pop(node, Note())
        if received:
            self._notes[node] = note
        if len(self._notes) > NOTES_MAX:
            del self._notes[next(iter(self._notes))]
        return Change(has_unable=note.unable != known.unable, has_macs=note.macs != known.macs)

    def unable(self) -> dict[str, Unable]:
        """Return what each member cannot carry."""
        return {node: note.unable for node, note in self._notes.items()}

    def macs(self) -> dict[bytes, str]:
        """Return whose a MAC address is; one that several claim is the last one's by name."""
        return {mac: node for node in sorted(self._notes) for mac in self._notes[node].macs}

    def has_all(self, nodes: Iterable[str]) -> bool:
        """Tell whether each of these has told its MAC addresses."""
        return all(node in self._notes and self._notes[node].macs for node in nodes)

    def validate(self) -> None:
        """Assert the bound."""
        assert len(self._notes) <= NOTES_MAX
