"""LZW as Go's compress/lzw writes it: least significant bit first, literals of 8 bits.

Codes are 9 to 12 bits wide. 256 clears the table, 257 ends; the first code of a string is 258. The
writer begins with a clear code. Its counter of codes runs one ahead of the reader's table: the
width grows when it reaches 512, 1024 and 2048, and at 4095 the table is cleared by a code of 12
bits. The counter also moves after the last string, before the end code is written.

The reader is ready for anybody's codes: one that is not in the table yet is refused, a full table
takes no more until it is cleared, and the output has a bound. As a string in the table is a piece
of the output and one byte more, the table holds no more than the output and its own length.
"""

from __future__ import annotations

from mercurylb.membership.swim.reason import Reason, refusal

_CLEAR = 256
_END = 257
_WIDTH_MIN = 9
_TABLE_SIZE = 1 << 12
_FLUSH_BITS = 256
_FLUSH_MASK = (1 << _FLUSH_BITS) - 1
_PIECE_SIZE = 32
_LITERALS = [bytes((literal,)) for literal in range(_CLEAR)] + [b"", b""]


def compress(plain: bytes) -> bytes:
    """Return the bytes as memberlist compresses them: LZW, least significant bit first, 8 bits."""
    writer = _Writer()
    codes: dict[int, int] = {}
    prefix = -1
    for literal in plain:
        if prefix < 0:
            prefix = literal
            continue
        key = prefix << 8 | literal
        code = codes.get(key)
        if code is not None:
            prefix = code
            continue
        counter = writer.write_string(prefix)
        if counter == _END:
            codes.clear()
        else:
            codes[key] = counter
        prefix = literal
    if prefix >= 0:
        writer.write_string(prefix)
    return writer.finish()


def decompress(packed: bytes, size_max: int) -> bytes:
    """Decompress; raise WireError when it is broken, has no end, or holds more than `size_max`."""
    reader = _Reader(packed)
    strings = _LITERALS.copy()
    found: list[bytes] = []
    room = size_max
    width, last = _WIDTH_MIN, b""
    while (code := reader.read(width)) != _END:
        if code == _CLEAR:
            strings = _LITERALS.copy()
            width, last = _WIDTH_MIN, b""
            continue
        if code < len(strings):
            string = strings[code]
        elif code == len(strings) and last:
            string = last + last[:1]
        else:
            raise refusal(Reason.COMPRESSION, f"code {code} is not known", offset=reader.offset)
        room -= len(string)
        if room < 0:
            raise refusal(Reason.BOMB, f"more than {size_max} bytes", offset=reader.offset)
        found.append(string)
        if last:
            strings.append(last + string[:1])
        last = string
        if len(strings) == _TABLE_SIZE:
            last = b""
        elif len(strings) == 1 << width:
            width += 1
    return b"".join(found)


class _Writer:
    """Puts codes into bytes and keeps the counter that their width follows from."""

    __slots__ = ("_bit_count", "_bits", "_counter", "_packed", "_width")

    def __init__(self) -> None:
        self._packed = bytearray()
        self._counter, self._width = _END, _WIDTH_MIN
        self._bits, self._bit_count = _CLEAR, _WIDTH_MIN

    def write_string(self, code: int) -> int:
        """Write the code of a string; return the counter, `_END` when the table is to be empty."""
        self._bits |= code << self._bit_count
        self._bit_count += self._width
        self._counter += 1
        if self._counter == 1 << self._width:
            self._width += 1
        if self._counter == _TABLE_SIZE - 1:
            self._bits |= _CLEAR << self._bit_count
            self._bit_count += self._width
            self._counter, self._width = _END, _WIDTH_MIN
        if self._bit_count >= _FLUSH_BITS:
            self._packed += (self._bits & _FLUSH_MASK).to_bytes(_FLUSH_BITS >> 3, "little")
            self._bits >>= _FLUSH_BITS
            self._bit_count -= _FLUSH_BITS
        return self._counter

    def finish(self) -> bytes:
        """Write the end and return everything."""
        self._bits |= _END << self._bit_count
        self._bit_count += self._width
        self._packed += self._bits.to_bytes((self._bit_count + 7) >> 3, "little")
        return bytes(self._packed)


class _Reader:
    """Takes codes out of bytes."""

    __slots__ = ("_bit_count", "_bits", "_packed", "offset")

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._bits = self._bit_count = 0
        self.offset = 0

    def read(self, width: int) -> int:
        """Return the next code; raise WireError when the bytes end."""
        while self._bit_count < width:
            piece = self._packed[self.offset : self.offset + _PIECE_SIZE]
            if not piece:
                raise refusal(Reason.TRUNCATED, "compressed bytes end", offset=self.offset)
            self._bits |= int.from_bytes(piece, "little") << self._bit_count
            self._bit_count += len(piece) << 3
            self.offset += len(piece)
        code = self._bits & ((1 << width) - 1)
        self._bits >>= width
        self._bit_count -= width
        return code
