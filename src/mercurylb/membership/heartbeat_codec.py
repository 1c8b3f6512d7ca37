"""The datagram of the heartbeat.

::

     0      4         5       6             14         22                 30              38
    | MLHB | version | flags | incarnation | sequence | echo incarnation | echo sequence | …

     38            39     39+n
    | name length | name | tag |            tag: 32 bytes, or none

All numbers unsigned, big endian. *Echo* is the highest incarnation and sequence the sender has
heard from the receiver, 0/0 for nothing: it tells the receiver that it is heard, and up to when.
`tag` is HMAC-SHA256 over everything before it, under SHA-256 of the shared secret; it is present if
and only if there is a secret.
"""

from __future__ import annotations

import hashlib
import hmac
import struct

import msgspec

from mercurylb.errors import WireError

MAGIC = b"MLHB"
VERSION = 1
FLAG_READY = 0x01
FLAG_LEAVING = 0x02
TAG_SIZE = 32
NAME_SIZE_MAX = 253
"""Kubernetes names are DNS subdomains."""

_HEAD = struct.Struct("!4sBBQQQQB")


class Heartbeat(msgspec.Struct, frozen=True):
    """One sign of life."""

    node: str
    incarnation: int
    sequence: int
    is_ready: bool
    """The sender may own addresses."""
    is_leaving: bool
    """The sender goes away on purpose and wants to be replaced now."""
    echo_incarnation: int = 0
    echo_sequence: int = 0


def derive_key(secret: bytes) -> bytes:
    """Return the key of a secret; empty for none."""
    return hashlib.sha256(b"mercurylb heartbeat 1\x00" + secret).digest() if secret else b""


def encode(heartbeat: Heartbeat, key: bytes) -> bytes:
    """Encode and, given a key, sign."""
    name = heartbeat.node.encode()
    flags = FLAG_READY * heartbeat.is_ready | FLAG_LEAVING * heartbeat.is_leaving
    body = (
        _HEAD.pack(
            MAGIC,
            VERSION,
            flags,
            heartbeat.incarnation,
            heartbeat.sequence,
            heartbeat.echo_incarnation,
            heartbeat.echo_sequence,
            len(name),
        )
        + name
    )
    return body + hmac.digest(key, body, "sha256") if key else body


def decode(payload: bytes, key: bytes) -> Heartbeat:
    """Decode a datagram; raise WireError when it is not whole, not ours or not signed rightly.

    Unknown flags are ignored; another version is refused.
    """
    if len(payload) < _HEAD.size:
        raise WireError("heartbeat", f"{len(payload)} bytes are too few", offset=len(payload))
    magic, version, flags, incarnation, sequence, echo_incarnation, echo_sequence, size = (
        _HEAD.unpack_from(payload)
    )
    if magic != MAGIC or version != VERSION:
        raise WireError("heartbeat", "magic or version")
    end = _HEAD.size + size
    if size == 0 or size > NAME_SIZE_MAX or len(payload) != end + (TAG_SIZE if key else 0):
        raise WireError("heartbeat", "length", offset=_HEAD.size - 1)
    if key and not hmac.compare_digest(hmac.digest(key, payload[:end], "sha256"), payload[end:]):
        raise WireError("heartbeat", "signature", offset=end)
    try:
        node = payload[_HEAD.size : end].decode()
    except UnicodeDecodeError as error:
        raise WireError("heartbeat", "name", offset=_HEAD.size) from error
    return Heartbeat(
        node=node,
        incarnation=incarnation,
        sequence=sequence,
        is_ready=bool(flags & FLAG_READY),
        is_leaving=bool(flags & FLAG_LEAVING),
        echo_incarnation=echo_incarnation,
        echo_sequence=echo_sequence,
    )
