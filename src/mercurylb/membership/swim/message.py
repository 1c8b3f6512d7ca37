"""The messages of memberlist 0.6: one type byte, then a MessagePack map.

::

     0      1
    | type | map of fields, keys ascending |       (push/pull and user messages: see `stream`)

Names are texts: what is not UTF-8, empty, too long or not printable is refused.
Addresses are 4 or 16 bytes; an IPv4 address in 16 bytes is left as it is.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from mercurylb.membership.swim.field import (
    Field,
    bytes_up_to,
    number_up_to,
    read_address,
    read_bytes,
    read_flag,
    read_name,
    read_optional_address,
    read_optional_name,
    read_text,
)
from mercurylb.membership.swim.msgpack_codec import Signed, pack_map, unpack_map
from mercurylb.membership.swim.reason import Reason, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mercurylb.membership.swim.msgpack_codec import Value

VSN = bytes((1, 5, 2, 0, 0, 0))
"""Protocol understood from 1 to 5, spoken 2; the same of the delegate: 0, 0, 0."""
META_SIZE_MAX = 512
VSN_SIZE_MAX = 16
"""Six are known."""


class Type(enum.IntEnum):
    """The first byte."""

    PING = 0
    INDIRECT_PING = 1
    ACK = 2
    SUSPECT = 3
    ALIVE = 4
    DEAD = 5
    PUSH_PULL = 6
    COMPOUND = 7
    USER = 8
    COMPRESS = 9
    ENCRYPT = 10
    NACK = 11
    HAS_CRC = 12
    ERROR = 13
    HAS_LABEL = 244


class State(enum.IntEnum):
    """What a member is held for, as push/pull says it."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


class Ping(msgspec.Struct, frozen=True):
    """Ask for an ack, by datagram or connection."""

    seq: int
    node: str
    """Whom it is for; others do not answer. Empty: whoever gets it."""
    source_addr: bytes = b""
    """Where the ack goes; empty: where the ping came from."""
    source_port: int = 0
    source_node: str = ""


class IndirectPing(msgspec.Struct, frozen=True):
    """Ask somebody to ping a third member."""

    seq: int
    target: bytes
    port: int
    node: str
    nack: bool
    """Whether to be told when the third one does not answer."""
    source_addr: bytes = b""
    source_port: int = 0
    source_node: str = ""


class Ack(msgspec.Struct, frozen=True):
    """Answer a ping."""

    seq: int
    payload: bytes = b""


class Nack(msgspec.Struct, frozen=True):
    """Answer an indirect ping: its target does not answer."""

    seq: int


class ErrorMessage(msgspec.Struct, frozen=True):
    """Say why a connection is closed."""

    text: str


class Suspect(msgspec.Struct, frozen=True):
    """Somebody does not answer `origin`."""

    incarnation: int
    node: str
    origin: str


class Alive(msgspec.Struct, frozen=True):
    """A member is there, with these attributes."""

    incarnation: int
    node: str
    addr: bytes
    port: int
    meta: bytes = b""
    vsn: bytes = VSN


class Dead(msgspec.Struct, frozen=True):
    """A member is dead as `origin` finds; when that is the member itself, it has left."""

    incarnation: int
    node: str
    origin: str


class NodeState(msgspec.Struct, frozen=True):
    """One member as push/pull tells it."""

    name: str
    addr: bytes
    port: int
    meta: bytes
    incarnation: int
    state: State
    vsn: bytes


class PushPull(msgspec.Struct, frozen=True):
    """Everything one side knows; by connection only."""

    nodes: tuple[NodeState, ...]
    is_join: bool
    user_state: bytes = b""


class User(msgspec.Struct, frozen=True):
    """Whatever the program above memberlist has to say; MetalLB says nothing."""

    payload: bytes


Message = Ping | IndirectPing | Ack | Nack | ErrorMessage | Suspect | Alive | Dead | PushPull | User


class Header(msgspec.Struct, frozen=True):
    """What comes before the members of a push/pull."""

    node_count: int
    user_state_size: int
    is_join: bool


class UserHeader(msgspec.Struct, frozen=True):
    """What comes before a user message in a connection."""

    size: int


class Envelope(msgspec.Struct, frozen=True):
    """What a compressed message is packed in."""

    algorithm: int
    packed: bytes


T = TypeVar("T", bound=msgspec.Struct)


def encode(message: Message) -> bytes:
    """Encode with the type byte; a user message as datagrams carry it."""
    if isinstance(message, PushPull):
        return bytes((Type.PUSH_PULL,)) + b"".join(
            (
                encode_map(Header(len(message.nodes), len(message.user_state), message.is_join)),
                *(encode_map(node) for node in message.nodes),
                message.user_state,
            )
        )
    if isinstance(message, User):
        return bytes((Type.USER,)) + message.payload
    return bytes((_TYPES[type(message)],)) + encode_map(message)


def decode(packed: bytes) -> Message:
    """Decode what a datagram may carry, apart from envelopes; raise WireError.

    What follows the message's map is ignored, as memberlist does.
    """
    if not packed:
        raise refusal(Reason.EMPTY, "no type byte")
    if packed[0] == Type.USER:
        return User(packed[1:])
    kind = _DATAGRAMS.get(packed[0])
    if kind is None:
        raise refusal(Reason.TYPE, f"type {packed[0]} in a datagram")
    return decode_map(kind, unpack_map(packed[1:]))


def encode_map(message: msgspec.Struct) -> bytes:
    """Encode the map of a message, a member or a header, without type byte."""
    return pack_map(_written(message))


def decode_map(kind: type[T], found: Mapping[bytes, object]) -> T:
    """Make a message, a member or a header of a map; raise WireError when a field is wrong."""
    return kind(
        **{
            field.attribute: field.read(found.get(field.wire_key), field.key)
            for field in _LAYOUTS[kind]
        }
    )


def _written(message: msgspec.Struct) -> Iterator[tuple[str, Value]]:
    for field in _LAYOUTS[type(message)]:
        value = getattr(message, field.attribute)
        if value or not field.is_omitted:
            yield field.key, Signed(value) if field.is_signed else value


def _read_state(value: object, key: str) -> State:
    number = number_up_to(State.LEFT)(value, key)
    return State(number)


_u8 = number_up_to(0xFF)
_u16 = number_up_to(0xFFFF)
_u32 = number_up_to(0xFFFFFFFF)
_size = number_up_to(0x7FFFFFFF)
_meta = bytes_up_to(META_SIZE_MAX)
_vsn = bytes_up_to(VSN_SIZE_MAX)

_SOURCE = (
    Field("SourceAddr", "source_addr", read_optional_address, is_omitted=True),
    Field("SourceNode", "source_node", read_optional_name, is_omitted=True),
    Field("SourcePort", "source_port", _u16, is_omitted=True),
)
_ACCUSATION = (
    Field("From", "origin", read_optional_name),
    Field("Incarnation", "incarnation", _u32),
    Field("Node", "node", read_name),
)
_LAYOUTS: Final[Mapping[type, tuple[Field, ...]]] = {
    Ping: (Field("Node", "node", read_optional_name), Field("SeqNo", "seq", _u32), *_SOURCE),
    IndirectPing: (
        Field("Nack", "nack", read_flag),
        Field("Node", "node", read_optional_name),
        Field("Port", "port", _u16),
        Field("SeqNo", "seq", _u32),
        *_SOURCE,
        Field("Target", "target", read_address),
    ),
    Ack: (Field("Payload", "payload", read_bytes), Field("SeqNo", "seq", _u32)),
    Nack: (Field("SeqNo", "seq", _u32),),
    ErrorMessage: (Field("Error", "text", read_text),),
    Suspect: _ACCUSATION,
    Dead: _ACCUSATION,
    Alive: (
        Field("Addr", "addr", read_address),
        Field("Incarnation", "incarnation", _u32),
        Field("Meta", "meta", _meta),
        Field("Node", "node", read_name),
        Field("Port", "port", _u16),
        Field("Vsn", "vsn", _vsn),
    ),
    NodeState: (
        Field("Addr", "addr", read_address),
        Field("Incarnation", "incarnation", _u32),
        Field("Meta", "meta", _meta),
        Field("Name", "name", read_name),
        Field("Port", "port", _u16),
        Field("State", "state", _read_state, is_signed=True),
        Field("Vsn", "vsn", _vsn),
    ),
    Header: (
        Field("Join", "is_join", read_flag),
        Field("Nodes", "node_count", _size, is_signed=True),
        Field("UserStateLen", "user_state_size", _size, is_signed=True),
    ),
    UserHeader: (Field("UserMsgLen", "size", _size, is_signed=True),),
    Envelope: (Field("Algo", "algorithm", _u8), Field("Buf", "packed", read_bytes)),
}
_DATAGRAMS: Final[Mapping[int, type[Ping | IndirectPing | Ack | Nack | Suspect | Alive | Dead]]] = {
    Type.PING: Ping,
    Type.INDIRECT_PING: IndirectPing,
    Type.ACK: Ack,
    Type.SUSPECT: Suspect,
    Type.ALIVE: Alive,
    Type.DEAD: Dead,
    Type.NACK: Nack,
}
_TYPES: Final[Mapping[type, Type]] = {
    ErrorMessage: Type.ERROR,
    **{kind: Type(number) for number, kind in _DATAGRAMS.items()},
}
