"""Datagrams: several messages in one, compressed, checked, encrypted, labelled.

::

    [f4 | size | label]  [01 | nonce (12) | ciphertext | tag (16)]      0c | CRC-32 | message
                                          └ or in clear                 └ or without

    compound:    07 | count | as many sizes of 2 bytes | the messages
    compressed:  09 | map of Algo (0: LZW) and Buf

Compound and compressed messages may hold each other when read; written, the compound is inside.
One datagram may unpack to `PLAIN_SIZE_MAX` bytes and `MESSAGES_MAX` messages in all, through at
most `DEPTH_MAX` envelopes. A part that cannot be read does not spoil the others.
"""

from __future__ import annotations

import collections
import struct
import zlib
from typing import TYPE_CHECKING

from mercurylb.errors import WireError
from mercurylb.membership.seal import NONCE_SIZE, TAG_SIZE
from mercurylb.membership.swim import lzw, message
from mercurylb.membership.swim.message import Envelope, Type
from mercurylb.membership.swim.msgpack_codec import unpack_map
from mercurylb.membership.swim.reason import Reason, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mercurylb.membership.seal import Chance, Seal
    from mercurylb.membership.swim.message import Message

PARTS_MAX = 255
"""Messages in one compound; who has more sends more datagrams."""
PART_OVERHEAD = 2
COMPOUND_OVERHEAD = 2
LABEL_OVERHEAD = 2
LABEL_SIZE_MAX = 255
DATAGRAM_SIZE_MAX = 65536
PLAIN_SIZE_MAX = 65536
"""What the envelopes of one datagram may unpack to, all together."""
MESSAGES_MAX = 1024
DEPTH_MAX = 4
"""Envelopes inside one another; memberlist writes two."""
SEAL_OVERHEAD = 1 + NONCE_SIZE + TAG_SIZE
_LZW = 0
_VERSION_PADDED = 0
_VERSION = 1
_BLOCK_SIZE = 16

_COMPOUND = bytes((Type.COMPOUND,))
_COMPRESS = bytes((Type.COMPRESS,))
_CRC = struct.Struct("!BI")


class PacketCodec:
    """Reads and writes the datagrams of one cluster; connections take its key and label from it."""

    def __init__(  # noqa: PLR0913 (the switches of memberlist)
        self,
        seal: Seal | None,
        chance: Chance,
        *,
        is_compressed: bool = True,
        label: bytes = b"",
        verifies_incoming: bool = True,
        encrypts_outgoing: bool = True,
    ) -> None:
        assert len(label) <= LABEL_SIZE_MAX, label
        self.seal = seal
        self.label = label
        self.is_compressed = is_compressed
        self.verifies_incoming = verifies_incoming
        """Whether what is not encrypted with our key is refused."""
        self.encrypts_outgoing = encrypts_outgoing
        self.skipped: collections.Counter[str] = collections.Counter()
        """Parts of datagrams that were left out while others were read, by reason."""
        self._chance = chance

    @property
    def overhead(self) -> int:
        """Bytes that label and encryption add to a datagram."""
        seal_size = SEAL_OVERHEAD if self.seal is not None and self.encrypts_outgoing else 0
        return seal_size + len(label_header(self.label))

    def encode(self, parts: Sequence[bytes], *, has_crc: bool = False) -> bytes:
        """Wrap 1 to `PARTS_MAX` encoded messages (several as a compound) into one datagram."""
        plain = parts[0] if len(parts) == 1 else encode_compound(parts)
        if self.is_compressed:
            compressed = encode_compressed(plain)
            if len(compressed) < len(plain):
                plain = compressed
        if has_crc:
            plain = _CRC.pack(Type.HAS_CRC, zlib.crc32(plain)) + plain
        return label_header(self.label) + self.seal_up(plain, self.label)

    def decode(self, payload: bytes) -> tuple[Message, ...]:
        """Return the messages of a datagram in their order; raise WireError if there are none.

        A part that does not decode is left out and counted in `skipped`; when nothing is left, the
        error has the reason of the last one.
        """
        if len(payload) > DATAGRAM_SIZE_MAX:
            raise refusal(Reason.OVERSIZED, f"{len(payload)} bytes")
        plain = _checked(self._opened(_without_label(payload, self.label)))
        return _Unpacking(self.skipped).run(plain)

    def seal_up(self, plain: bytes, associated: bytes) -> bytes:
        """Encrypt (version 1) if this cluster does that."""
        if self.seal is None or not self.encrypts_outgoing:
            return plain
        nonce = self._chance.randbytes(NONCE_SIZE)
        return bytes((_VERSION,)) + nonce + self.seal.encrypt(nonce, plain, associated)

    def _opened(self, payload: bytes) -> bytes:
        if self.seal is None:
            return payload
        try:
            return unseal(self.seal, payload, self.label)
        except WireError:
            if self.verifies_incoming:
                raise
            return payload


def unseal(seal: Seal, sealed: bytes, associated: bytes) -> bytes:
    """Decrypt version 1 or 0; raise WireError when it is neither, or not with our key."""
    if not sealed:
        raise refusal(Reason.EMPTY, "nothing to decrypt")
    version = sealed[0]
    if version > _VERSION:
        raise refusal(Reason.KEY, f"version {version} of encryption")
    padding_min = _BLOCK_SIZE if version == _VERSION_PADDED else 0
    if len(sealed) < SEAL_OVERHEAD + padding_min:
        raise refusal(Reason.TRUNCATED, f"{len(sealed)} encrypted bytes", offset=len(sealed))
    nonce, text = sealed[1 : 1 + NONCE_SIZE], sealed[1 + NONCE_SIZE :]
    try:
        plain = seal.decrypt(nonce, text, associated)
    except WireError as error:
        raise refusal(Reason.KEY, "not encrypted with our key") from error
    return _without_padding(plain) if version == _VERSION_PADDED else plain


def label_header(label: bytes) -> bytes:
    """Return what goes before a labelled datagram or connection; empty for no label."""
    return bytes((Type.HAS_LABEL, len(label))) + label if label else b""


def check_label(found: bytes, label: bytes) -> None:
    """Raise WireError when a label is not the one expected."""
    if found != label:
        raise refusal(Reason.LABEL, f"label {found!r}")


def encode_compound(parts: Sequence[bytes]) -> bytes:
    """Put up to `PARTS_MAX` messages into one."""
    assert 0 < len(parts) <= PARTS_MAX, len(parts)
    sizes = struct.pack(f"!{len(parts)}H", *(len(part) for part in parts))
    return b"".join((bytes((Type.COMPOUND, len(parts))), sizes, *parts))


def encode_compressed(plain: bytes) -> bytes:
    """Pack a message, whatever becomes of its size."""
    envelope = Envelope(algorithm=_LZW, packed=lzw.compress(plain))
    return bytes((Type.COMPRESS,)) + message.encode_map(envelope)


def decode_compressed(
    found: Mapping[bytes, object], size_max: int, *, packed_size_max: int = DATAGRAM_SIZE_MAX
) -> bytes:
    """Unpack the map of a compressed message; raise WireError."""
    envelope = message.decode_map(Envelope, found)
    if len(envelope.packed) > packed_size_max:
        raise refusal(Reason.OVERSIZED, f"{len(envelope.packed)} compressed bytes")
    if envelope.algorithm != _LZW:
        raise refusal(Reason.COMPRESSION, f"algorithm {envelope.algorithm}")
    plain = lzw.decompress(envelope.packed, size_max)
    if not plain:
        raise refusal(Reason.EMPTY, "compressed nothing")
    return plain


class _Unpacking:
    """Takes the envelopes of one datagram off, within its bounds.

    Of what is refused only the reasons are kept: an exception keeps alive whatever its frames held.
    """

    def __init__(self, skipped: collections.Counter[str]) -> None:
        self._skipped = skipped
        self._room = PLAIN_SIZE_MAX
        self._messages: list[Message] = []
        self._reasons: list[str] = []

    def run(self, plain: bytes) -> tuple[Message, ...]:
        """Return all that can be read; raise for the last reason when that is nothing."""
        if not _is_envelope(plain):
            return (message.decode(plain),)
        self._take(plain, DEPTH_MAX)
        if not self._messages:
            reason = Reason(self._reasons[-1]) if self._reasons else Reason.EMPTY
            raise refusal(reason, "nothing in the envelope can be read")
        self._skipped.update(self._reasons)
        return tuple(self._messages)

    def _take(self, plain: bytes, depth: int) -> None:
        try:
            if _is_envelope(plain):
                self._open(plain, depth)
            else:
                self._messages.append(message.decode(plain))
        except WireError as error:
            self._reasons.append(error.reason)

    def _open(self, plain: bytes, depth: int) -> None:
        if depth == 0:
            raise refusal(Reason.NESTING, f"more than {DEPTH_MAX} envelopes")
        if plain[0] == Type.COMPRESS:
            inside = decode_compressed(unpack_map(plain[1:]), self._room)
            self._room -= len(inside)
            self._take(inside, depth - 1)
            return
        for part in _parts(plain):
            if len(self._messages) + len(self._reasons) >= MESSAGES_MAX:
                raise refusal(Reason.OVERSIZED, f"more than {MESSAGES_MAX} messages")
            self._take(part, depth - 1)


def _is_envelope(plain: bytes) -> bool:
    return plain[:1] in (_COMPOUND, _COMPRESS)


def _parts(plain: bytes) -> Iterator[bytes]:
    count = plain[1] if len(plain) > 1 else 0
    start = 2 + PART_OVERHEAD * count
    if len(plain) < max(start, 2):
        raise refusal(Reason.TRUNCATED, "the sizes of the parts end", offset=len(plain))
    for size in struct.unpack_from(f"!{count}H", plain, 2):
        if start + size > len(plain):
            raise refusal(Reason.TRUNCATED, "a part runs past the end", offset=start)
        yield plain[start : start + size]
        start += size


def _without_label(payload: bytes, label: bytes) -> bytes:
    if not payload:
        raise refusal(Reason.EMPTY, "no bytes")
    if payload[0] != Type.HAS_LABEL:
        check_label(b"", label)
        return payload
    size = payload[1] if len(payload) > 1 else 0
    if size == 0 or len(payload) < LABEL_OVERHEAD + size:
        raise refusal(Reason.LABEL, "the label is empty or ends early", offset=1)
    check_label(payload[LABEL_OVERHEAD : LABEL_OVERHEAD + size], label)
    return payload[LABEL_OVERHEAD + size :]


def _checked(plain: bytes) -> bytes:
    if not plain or plain[0] != Type.HAS_CRC:
        return plain
    if len(plain) < _CRC.size:
        raise refusal(Reason.TRUNCATED, "the checksum ends", offset=len(plain))
    _, crc = _CRC.unpack_from(plain)
    if crc != zlib.crc32(plain[_CRC.size :]):
        raise refusal(Reason.CRC, "the checksum does not fit", offset=1)
    return plain[_CRC.size :]


def _without_padding(plain: bytes) -> bytes:
    size = plain[-1] if plain else 0
    if not 0 < size <= min(_BLOCK_SIZE, len(plain)):
        raise refusal(Reason.MALFORMED, "padding", offset=len(plain))
    return plain[:-size]
