"""The dialect of MessagePack that memberlist writes, and a reader of every dialect.

Written: maps with keys in ascending order, byte strings and texts both in the old *raw* family
(fixraw, raw16, raw32), nil for an empty byte string, unsigned numbers in their smallest form.
`Signed` marks Go's `int`, which takes the signed forms beyond 127.

Read: any order, any family, any width; unknown keys are ignored, missing ones and nil are zero.
Lengths are bounded before anything is allocated for them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgpack

from mercurylb.membership.swim.reason import Reason, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Value = str | bytes | int | bool

MAP_SIZE_MAX = 64
"""Keys of one map: seven are known, the rest is for versions to come."""
ARRAY_SIZE_MAX = 64
"""Elements of one array; no known field is one."""

_READ_SIZE = 16384
_NIL = b"\xc0"
_FALSE = b"\xc2"
_TRUE = b"\xc3"
_FIX_SIZE = 128
_FIX_RAW_SIZE = 32

_U8 = struct.Struct("!BB")
_U16 = struct.Struct("!BH")
_U32 = struct.Struct("!BI")
_I16 = struct.Struct("!Bh")
_I32 = struct.Struct("!Bi")


class Signed(int):
    """A number that Go holds in an `int`."""


def pack_map(fields: Iterable[tuple[str, Value]]) -> bytes:
    """Encode a map of up to 15 fields that are in ascending order of their keys."""
    parts = [b""]
    count = 0
    for key, value in fields:
        parts.append(_pack_raw(key.encode()))
        parts.append(_pack(value))
        count += 1
    assert count <= 15, count  # noqa: PLR2004 (what a fixmap holds)
    parts[0] = bytes((0x80 | count,))
    return b"".join(parts)


def unpack_map(packed: bytes) -> Mapping[bytes, object]:
    """Decode the map at the start of the bytes; what follows it is ignored, as memberlist does."""
    reader = MapReader(len(packed))
    reader.feed(packed)
    found = reader.next_map()
    if found is None:
        raise refusal(Reason.TRUNCATED, "the map does not end", offset=len(packed))
    return found


class MapReader:
    """Reads maps and raw bytes one after the other from bytes that come in pieces.

    Every byte is looked at once, however small the pieces are.
    """

    def __init__(self, size_max: int) -> None:
        self._room = size_max
        self._unpacker = msgpack.Unpacker(
            raw=True,
            strict_map_key=True,
            max_buffer_size=max(size_max, 1),
            read_size=min(max(size_max, 1), _READ_SIZE),
            max_str_len=size_max,
            max_bin_len=size_max,
            max_ext_len=size_max,
            max_map_len=MAP_SIZE_MAX,
            max_array_len=ARRAY_SIZE_MAX,
        )

    def feed(self, piece: bytes) -> None:
        """Take more bytes in; raise WireError when they are more than agreed in all."""
        self._room -= len(piece)
        if self._room < 0:
            raise refusal(Reason.OVERSIZED, "more bytes than we are willing to hold")
        self._unpacker.feed(piece)

    def next_map(self) -> Mapping[bytes, object] | None:
        """Return the next map, None when it is not whole yet; raise WireError when it is none."""
        try:
            found = self._unpacker.unpack()
        except msgpack.OutOfData:
            return None
        except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
            raise refusal(Reason.MALFORMED, f"{error}", offset=self._unpacker.tell()) from error
        if not isinstance(found, dict):
            raise refusal(Reason.MALFORMED, "not a map", offset=self._unpacker.tell())
        return found

    def next_bytes(self, size: int) -> bytes:
        """Return the next bytes, fewer than asked for when they have not come yet."""
        found: bytes = self._unpacker.read_bytes(size)
        return found


def _pack(value: Value) -> bytes:
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, Signed):
        return _pack_signed(value)
    if isinstance(value, int):
        return _pack_unsigned(value)
    if isinstance(value, str):
        return _pack_raw(value.encode())
    return _pack_raw(value) if value else _NIL


def _pack_raw(value: bytes) -> bytes:
    size = len(value)
    if size < _FIX_RAW_SIZE:
        return bytes((0xA0 | size,)) + value
    if size <= 0xFFFF:  # noqa: PLR2004 (16 bits)
        return _U16.pack(0xDA, size) + value
    return _U32.pack(0xDB, size) + value


def _pack_unsigned(value: int) -> bytes:
    if value < _FIX_SIZE:
        return bytes((value,))
    if value <= 0xFF:  # noqa: PLR2004 (8 bits)
        return _U8.pack(0xCC, value)
    if value <= 0xFFFF:  # noqa: PLR2004 (16 bits)
        return _U16.pack(0xCD, value)
    return _U32.pack(0xCE, value)


def _pack_signed(value: int) -> bytes:
    if value < _FIX_SIZE:
        return bytes((value,))
    if value <= 0x7FFF:  # noqa: PLR2004 (15 bits)
        return _I16.pack(0xD1, value)
    return _I32.pack(0xD2, value)
