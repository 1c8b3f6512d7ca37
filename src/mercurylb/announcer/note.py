"""What a node says about itself to all members: its MAC addresses, and what it cannot carry.

It travels as the `note` of `membership.member`, which is opaque there and holds `NOTE_SIZE_MAX`
bytes::

    0         1           2            2 + 6 n          3 + 6 n
    | version | n of MACs | n * 6 bytes | m, or 255 = all | m * 4 bytes digests |

Bytes behind the last field are ignored, so that a later version can say more; another version, and
anything cut short, is a WireError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mercurylb.errors import WireError
from mercurylb.layer2.ability import ABLE, DIGEST_SIZE, DIGESTS_MAX, Unable

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION = 1
MACS_MAX = 32
"""Each MAC takes 6 bytes; a claim by one that is not told passes for a stranger's."""

_MAC_SIZE = 6
_ALL = 255
_HEAD_SIZE = 2


class Note(msgspec.Struct, frozen=True):
    """A node's word about itself."""

    macs: tuple[bytes, ...] = ()
    """Of the interfaces it announces on, sorted."""
    unable: Unable = ABLE


def note_of(macs: Iterable[bytes], unable: Unable) -> Note:
    """Return the note of a node with these interfaces."""
    return Note(tuple(sorted(set(macs))[:MACS_MAX]), unable)


def encode(note: Note) -> bytes:
    """Return the bytes of a note."""
    count = _ALL if note.unable.is_all else len(note.unable.digests)
    digests = b"" if note.unable.is_all else b"".join(sorted(note.unable.digests))
    return bytes((VERSION, len(note.macs), *b"".join(note.macs), count)) + digests


def decode(received: bytes) -> Note:
    """Return the note that bytes are; raise WireError when they are none."""
    if received[:1] != bytes((VERSION,)):
        raise WireError("note", f"version {received[:1].hex() or 'missing'}")
    end = _HEAD_SIZE + _MAC_SIZE * int.from_bytes(received[1:_HEAD_SIZE], "big")
    if len(received) <= end:
        raise WireError("note", "cut off in the MAC addresses", offset=len(received))
    macs = tuple(received[at : at + _MAC_SIZE] for at in range(_HEAD_SIZE, end, _MAC_SIZE))
    return Note(macs, _decode_unable(received, end))


def _decode_unable(received: bytes, at: int) -> Unable:
    count, start = received[at], at + 1
    if count == _ALL:
        return Unable(is_all=True)
    if count > DIGESTS_MAX:
        raise WireError("note", f"{count} digests are too many", offset=at)
    end = start + DIGEST_SIZE * count
    if len(received) < end:
        raise WireError("note", "cut off in the digests", offset=len(received))
    return Unable(
        digests=frozenset(
            received[place : place + DIGEST_SIZE] for place in range(start, end, DIGEST_SIZE)
        )
    )
