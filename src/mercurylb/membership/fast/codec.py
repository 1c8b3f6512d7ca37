"""The datagrams of the fast detector.

::

     0      1         2              18 (2 without a secret)
    | 4d | version | tag (16 bytes) | body: one MessagePack array, its first element the kind |

The first byte tells them from memberlist's datagrams (0x00 to 0x0d, 0xf4) on the same port. The
tag is HMAC-SHA256, cut to 16 bytes, over the receiver's name and the body, under a key derived from
the shared secret: what was said to one node cannot be repeated to another. Sessions and sequences
inside make repetitions to the same node visible (`contact.Window`).

A body with more elements than we know is read as far as we know it; another version is refused.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from typing import Annotated

import msgspec

from mercurylb.errors import WireError

MAGIC = 0x4D
VERSION = 1
TAG_SIZE = 16
DATAGRAM_SIZE_MAX = 1200
"""None of ours comes near it."""
NAME_SIZE_MAX = 253
"""Kubernetes names are DNS subdomains."""
NEVER = -1
"""An age of what never happened."""

_HEAD = bytes((MAGIC, VERSION))

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_SIZE_MAX)]
U32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
U63 = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Age = Annotated[int, msgspec.Meta(ge=NEVER, le=2**31 - 1)]
"""In milliseconds."""


class Status(enum.IntEnum):
    """What a node believes about another."""

    UNKNOWN = 0
    ALIVE = 1
    DEAD = 2
    LEFT = 3


class Flag:
    """What a beat says besides, as bits."""

    ASKS = 1
    """Please answer with a beat at once."""
    LEAVING = 2
    """The sender goes away on purpose and wants to be replaced now."""
    IDLE = 4
    """The sender has not joined: it is a new process that is not ready yet."""


class Datagram(msgspec.Struct, frozen=True, array_like=True):
    """What all have in front."""

    sender: Name
    session: U63
    """Of the sender's process; a later process has a greater one."""
    sequence: U63
    """Grows by one with each datagram of this session to this receiver."""
    incarnation: U32
    """SWIM's, of the sender."""


class Beat(Datagram, frozen=True, array_like=True, tag=1):
    """A sign of life, and what the sender knows of the receiver."""

    flags: U32
    echo_session: U63
    """Highest session and sequence the sender has from the receiver; 0 for none."""
    echo_sequence: U63
    status: Annotated[int, msgspec.Meta(ge=0, le=Status.LEFT.value)]
    """What the sender believes about the receiver, and of which incarnation."""
    status_incarnation: U32


class Query(Datagram, frozen=True, array_like=True, tag=2):
    """Asks another observer when it heard a node last."""

    accused: Name


class Report(Datagram, frozen=True, array_like=True, tag=3):
    """Answers a query; ages in milliseconds, `NEVER` for not at all."""

    accused: Name
    heard_age_ms: Age
    kernel_age_ms: Age
    """Since its kernel answered a probe."""
    refused_age_ms: Age
    """Since its kernel said that nobody listens."""


class Verdict(Datagram, frozen=True, array_like=True, tag=4):
    """Says that a node was found dead."""

    accused: Name
    accused_incarnation: U32
    reason: Annotated[str, msgspec.Meta(max_length=16)]
    witness_count: U32
    """Other observers that did not hear it either."""


class Receipt(Datagram, frozen=True, array_like=True, tag=5):
    """Answers a verdict, after it was acted on or refused."""

    accused: Name
    accused_incarnation: U32


AnyDatagram = Beat | Query | Report | Verdict | Receipt

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[AnyDatagram] = msgspec.msgpack.Decoder(AnyDatagram)


def derive_key(secret: bytes) -> bytes:
    """Return the key of a secret; empty for none."""
    return hashlib.sha256(b"mercurylb fast 1\x00" + secret).digest() if secret else b""


def encode(datagram: AnyDatagram, key: bytes, receiver: str) -> bytes:
    """Encode for one receiver and, given a key, sign."""
    body = _ENCODER.encode(datagram)
    return _HEAD + _tag(key, receiver, body) + body


def decode(payload: bytes, key: bytes, receiver: str) -> AnyDatagram:
    """Decode what came to this receiver; raise WireError, its `reason` a word to count by."""
    if len(payload) > DATAGRAM_SIZE_MAX:
        raise _refusal("oversized", f"{len(payload)} bytes")
    if payload[:2] != _HEAD:
        raise _refusal("version", "magic or version")
    start = len(_HEAD) + (TAG_SIZE if key else 0)
    if len(payload) <= start:
        raise _refusal("truncated", f"{len(payload)} bytes are too few")
    body = payload[start:]
    if key and not hmac.compare_digest(_tag(key, receiver, body), payload[len(_HEAD) : start]):
        raise _refusal("signature", "not signed for us with our key")
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refusal("malformed", str(error)) from error


def _tag(key: bytes, receiver: str, body: bytes) -> bytes:
    if not key:
        return b""
    return hmac.digest(key, receiver.encode() + b"\x00" + _HEAD + body, "sha256")[:TAG_SIZE]


def _refusal(reason: str, message: str) -> WireError:
    return WireError("fast", message, reason=reason)
