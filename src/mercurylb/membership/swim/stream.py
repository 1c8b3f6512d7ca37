"""Connections: one request and one reply, each compressed and encrypted on its own.

::

    [f4 | size | label]  0a | size (4) | 01 | nonce (12) | ciphertext | tag (16)
     └ of the request     └ or in clear

    in it, or in clear:  09 | map of Algo and Buf, which holds one of

    00 | ping      02 | ack      0d | error      08 | header | user message
    06 | header | as many maps as the header has members | user state

The associated data of the encryption are its first five bytes and the label. Nothing of a message
tells its size beforehand unless it is encrypted; so whatever comes is read once, as it comes.

Who is on the other side of a connection is known only when all has been read and decrypted. So the
bounds are tighter than those of memberlist, which takes 20 MiB and a million members: a peer makes
us hold `BODY_SIZE_MAX` bytes and unpack `PLAIN_SIZE_MAX`, enough for ten thousand members.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from mercurylb.membership.swim import message
from mercurylb.membership.swim.message import (
    Ack,
    ErrorMessage,
    Header,
    NodeState,
    Ping,
    PushPull,
    Type,
    User,
    UserHeader,
)
from mercurylb.membership.swim.msgpack_codec import MapReader, unpack_map
from mercurylb.membership.swim.packet import (
    LABEL_OVERHEAD,
    SEAL_OVERHEAD,
    check_label,
    decode_compressed,
    encode_compressed,
    label_header,
    unseal,
)
from mercurylb.membership.swim.reason import Reason, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mercurylb.membership.swim.message import Message
    from mercurylb.membership.swim.packet import PacketCodec

BODY_SIZE_MAX = 1 << 20
"""Bytes of one message as they come."""
PACKED_SIZE_MAX = 256 << 10
"""Bytes to decompress: it takes 0.1 s, in which nothing else is done."""
PLAIN_SIZE_MAX = 2 << 20
"""Bytes of one message, decrypted and decompressed."""
NODES_MAX = 16384
_HEAD_SIZE = 5
"""Type and size of an encrypted message."""

_MAPS: Final[Mapping[int, type[Ping | Ack | ErrorMessage]]] = {
    Type.PING: Ping,
    Type.ACK: Ack,
    Type.ERROR: ErrorMessage,
}


def encode_stream(said: Message, codec: PacketCodec, *, is_reply: bool = False) -> bytes:
    """Encode for a connection; only who opened it sends the label."""
    plain = _encode_user(said) if isinstance(said, User) else message.encode(said)
    if codec.is_compressed:
        plain = encode_compressed(plain)
    if codec.seal is not None and codec.encrypts_outgoing:
        head = struct.pack("!BI", Type.ENCRYPT, SEAL_OVERHEAD + len(plain))
        plain = head + codec.seal_up(plain, head + codec.label)
    return plain if is_reply else label_header(codec.label) + plain


class StreamDecoder:
    """Reads the one message that a side of a connection sends; what comes after it is ignored.

    Its stages follow one another: label, type, then the encrypted body, the compressed map, or the
    message itself.
    """

    def __init__(self, codec: PacketCodec, *, is_reply: bool = False) -> None:
        self._codec = codec
        # Not bound to this object, which would keep itself alive by it, and megabytes with it.
        self._stage: Callable[[StreamDecoder, bytes], Message | None] = (
            StreamDecoder._read_type if is_reply else StreamDecoder._read_label
        )
        self._held = bytearray()
        """What is not enough yet for the label or for the encrypted body."""
        self._compressed: MapReader | None = None
        self._body: _Body | None = None
        self._is_answerable = False

    def feed(self, data: bytes) -> Message | None:
        """Return the message once it is whole; raise WireError when it can be none."""
        found = self._stage(self, data)
        if found is not None:
            self._stage = StreamDecoder._ignore
        return found

    def refusal(self) -> bytes:
        """Return what the peer is told before closing, after `feed` raised; empty for nothing.

        As memberlist does, only failures to decrypt and to decompress are told.
        """
        if not self._is_answerable:
            return b""
        return encode_stream(ErrorMessage("message refused"), self._codec, is_reply=True)

    def _read_label(self, data: bytes) -> Message | None:
        self._held += data
        held, expected = self._held, self._codec.label
        if not held:
            return None
        size = 0
        if held[0] != Type.HAS_LABEL:
            check_label(b"", expected)
        else:
            if len(held) < LABEL_OVERHEAD:
                return None
            if held[1] == 0:
                raise refusal(Reason.LABEL, "an empty label", offset=1)
            size = LABEL_OVERHEAD + held[1]
            if len(held) < size:
                return None
            check_label(bytes(held[LABEL_OVERHEAD:size]), expected)
        rest = bytes(held[size:])
        held.clear()
        self._stage = StreamDecoder._read_type
        return self._read_type(rest)

    def _read_type(self, data: bytes) -> Message | None:
        if not data:
            return None
        kind, codec = data[0], self._codec
        self._is_answerable = True
        if kind == Type.ENCRYPT:
            if codec.seal is None:
                raise refusal(Reason.SEALED, "encrypted, and we have no key")
            self._stage = StreamDecoder._read_sealed
            return self._read_sealed(data)
        if codec.seal is not None and codec.verifies_incoming:
            raise refusal(Reason.PLAIN, "not encrypted, and we have a key")
        if kind == Type.COMPRESS:
            self._compressed = MapReader(BODY_SIZE_MAX)
            self._stage = StreamDecoder._read_compressed
            return self._read_compressed(data[1:])
        return self._begin_body(kind, data[1:], BODY_SIZE_MAX)

    def _read_sealed(self, data: bytes) -> Message | None:
        self._held += data
        held, seal = self._held, self._codec.seal
        if len(held) < _HEAD_SIZE:
            return None
        end = _HEAD_SIZE + int.from_bytes(held[1:_HEAD_SIZE], "big")
        if end > BODY_SIZE_MAX:
            raise refusal(Reason.OVERSIZED, f"{end} encrypted bytes", offset=1)
        if len(held) < end:
            return None
        assert seal is not None
        associated = bytes(held[:_HEAD_SIZE]) + self._codec.label
        plain = unseal(seal, bytes(held[_HEAD_SIZE:end]), associated)
        held.clear()
        if not plain:
            raise refusal(Reason.EMPTY, "encrypted nothing")
        if plain[0] == Type.COMPRESS:
            return self._read_whole(_decompressed(unpack_map(plain[1:])))
        return self._read_whole(plain)

    def _read_compressed(self, data: bytes) -> Message | None:
        assert self._compressed is not None
        self._compressed.feed(data)
        found = self._compressed.next_map()
        if found is None:
            return None
        return self._read_whole(_decompressed(found))

    def _read_whole(self, plain: bytes) -> Message:
        found = self._begin_body(plain[0], plain[1:], PLAIN_SIZE_MAX)
        if found is None:
            raise refusal(Reason.TRUNCATED, "the message inside does not end", offset=len(plain))
        return found

    def _begin_body(self, kind: int, data: bytes, size_max: int) -> Message | None:
        self._is_answerable = False
        if kind == Type.PUSH_PULL:
            self._body = _PushPullBody(size_max)
        elif kind == Type.USER:
            self._body = _UserBody(size_max)
        elif kind in _MAPS:
            self._body = _MapBody(_MAPS[kind], size_max)
        else:
            raise refusal(Reason.TYPE, f"type {kind} in a connection")
        self._stage = StreamDecoder._read_body
        return self._read_body(data)

    def _read_body(self, data: bytes) -> Message | None:
        assert self._body is not None
        return self._body.feed(data)

    def _ignore(self, _data: bytes) -> None:
        return None


class _MapBody:
    """A message that is one map."""

    def __init__(self, kind: type[Ping | Ack | ErrorMessage], size_max: int) -> None:
        self._kind = kind
        self._reader = MapReader(size_max)

    def feed(self, data: bytes) -> Message | None:
        self._reader.feed(data)
        found = self._reader.next_map()
        return None if found is None else message.decode_map(self._kind, found)


class _PushPullBody:
    """Header, members, user state."""

    def __init__(self, size_max: int) -> None:
        self._reader = MapReader(size_max)
        self._size_max = size_max
        self._header: Header | None = None
        self._nodes: list[NodeState] = []
        self._user_state = b""

    def feed(self, data: bytes) -> Message | None:
        self._reader.feed(data)
        header = self._header or self._read_header()
        if header is None:
            return None
        while len(self._nodes) < header.node_count:
            found = self._reader.next_map()
            if found is None:
                return None
            self._nodes.append(message.decode_map(NodeState, found))
        self._user_state += self._reader.next_bytes(header.user_state_size - len(self._user_state))
        if len(self._user_state) < header.user_state_size:
            return None
        return PushPull(tuple(self._nodes), header.is_join, self._user_state)

    def _read_header(self) -> Header | None:
        found = self._reader.next_map()
        if found is None:
            return None
        header = message.decode_map(Header, found)
        if header.node_count > NODES_MAX or header.user_state_size > self._size_max:
            raise refusal(Reason.OVERSIZED, f"{header.node_count} members")
        self._header = header
        return header


class _UserBody:
    """Header and whatever the user message is."""

    def __init__(self, size_max: int) -> None:
        self._reader = MapReader(size_max)
        self._size_max = size_max
        self._header: UserHeader | None = None
        self._payload = b""

    def feed(self, data: bytes) -> Message | None:
        self._reader.feed(data)
        if self._header is None:
            found = self._reader.next_map()
            if found is None:
                return None
            self._header = message.decode_map(UserHeader, found)
        size = self._header.size
        if size > self._size_max:
            raise refusal(Reason.OVERSIZED, f"{size} bytes of a user message")
        self._payload += self._reader.next_bytes(size - len(self._payload))
        return User(self._payload) if len(self._payload) == size else None


_Body = _MapBody | _PushPullBody | _UserBody


def _decompressed(found: Mapping[bytes, object]) -> bytes:
    return decode_compressed(found, PLAIN_SIZE_MAX, packed_size_max=PACKED_SIZE_MAX)


def _encode_user(said: User) -> bytes:
    header = message.encode_map(UserHeader(len(said.payload)))
    return bytes((Type.USER,)) + header + said.payload
