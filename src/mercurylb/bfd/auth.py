"""Authentication of control packets (RFC 5880 sections 4.2 to 4.4 and 6.7).

::

    simple password   01 | length | key id | password (1 to 16 octets)
    MD5               02 or 03 (meticulous) | 18 | key id | 00 | sequence (4) | digest (16)
    SHA1              04 or 05 (meticulous) | 1c | key id | 00 | sequence (4) | hash (20)

A digest is taken over the whole packet with the key, filled up with zeros, in the digest's place.
The sequence that we send grows with every packet, meticulous or not.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import struct
from typing import TYPE_CHECKING

import msgspec

from mercurylb.bfd import packet as wire

if TYPE_CHECKING:
    from mercurylb.bfd.packet import Packet

_HEAD = struct.Struct("!BBBBI")
_SEQUENCE_END = 1 << 32
_SEQUENCE_AT = 4
_DIGEST_AT = 8
_SECTION_SIZE_MIN = 4
"""A password has an octet."""
_WINDOW_MULTIPLIERS = 3


class AuthenticationType(enum.IntEnum):
    """How a packet proves who sent it."""

    SIMPLE = 1
    MD5 = 2
    METICULOUS_MD5 = 3
    SHA1 = 4
    METICULOUS_SHA1 = 5


_METICULOUS = (AuthenticationType.METICULOUS_MD5, AuthenticationType.METICULOUS_SHA1)
_HASHES = {
    AuthenticationType.MD5: ("md5", 16),
    AuthenticationType.METICULOUS_MD5: ("md5", 16),
    AuthenticationType.SHA1: ("sha1", 20),
    AuthenticationType.METICULOUS_SHA1: ("sha1", 20),
}
TYPE_NAMES = {
    AuthenticationType.SIMPLE: "simple password",
    AuthenticationType.MD5: "keyed MD5",
    AuthenticationType.METICULOUS_MD5: "meticulous keyed MD5",
    AuthenticationType.SHA1: "keyed SHA1",
    AuthenticationType.METICULOUS_SHA1: "meticulous keyed SHA1",
}


class Authentication(msgspec.Struct, frozen=True, gc=False):
    """What both sides of a session know."""

    type: AuthenticationType
    key_id: int
    """0 to 255."""
    key: bytes
    """1 to 16 octets; to 20 for SHA1."""

    def __repr__(self) -> str:
        """Give nothing away."""
        return f"Authentication({TYPE_NAMES[self.type]}, key {self.key_id})"


class Signer:
    """One side's sequences of a session."""

    def __init__(self, authentication: Authentication, sequence: int) -> None:
        """`sequence` is where to begin; any number will do (section 6.8.1)."""
        self._authentication = authentication
        self._sequence = sequence % _SEQUENCE_END
        self._received: int | None = None

    def forget(self) -> None:
        """Accept any sequence next: nothing was heard for twice the detection time."""
        self._received = None

    def sign(self, packet: Packet) -> bytes:
        """Encode a packet with its authentication section."""
        its = self._authentication
        if its.type is AuthenticationType.SIMPLE:
            section = bytes((its.type, len(its.key) + 3, its.key_id)) + its.key
            return wire.encode(msgspec.structs.replace(packet, authentication=section))
        self._sequence = (self._sequence + 1) % _SEQUENCE_END
        name, size = _HASHES[its.type]
        head = _HEAD.pack(its.type, _DIGEST_AT + size, its.key_id, 0, self._sequence)
        section = head + its.key.ljust(size, b"\x00")
        octets = wire.encode(msgspec.structs.replace(packet, authentication=section))
        return octets[:-size] + _digest(name, octets)

    def verify(self, packet: Packet, octets: bytes) -> bool:
        """Return whether a packet is the other side's; its sequence is taken over then.

        `octets` is what the packet was decoded from.
        """
        its, section = self._authentication, packet.authentication
        if len(section) < _SECTION_SIZE_MIN or section[:2] != bytes((its.type, len(section))):
            return False
        if its.type is AuthenticationType.SIMPLE:
            return section[2] == its.key_id and hmac.compare_digest(section[3:], its.key)
        name, size = _HASHES[its.type]
        if len(section) != _DIGEST_AT + size or section[2] != its.key_id:
            return False
        (sequence,) = struct.unpack_from("!I", section, _SEQUENCE_AT)
        if not self._is_next(sequence, packet.multiplier):
            return False
        digest_at = wire.SIZE + _DIGEST_AT
        signed = octets[:digest_at] + its.key.ljust(size, b"\x00")
        if not hmac.compare_digest(_digest(name, signed), section[_DIGEST_AT:]):
            return False
        self._received = sequence
        return True

    def _is_next(self, sequence: int, multiplier: int) -> bool:
        if self._received is None:
            return True
        ahead = (sequence - self._received) % _SEQUENCE_END
        least = 1 if self._authentication.type in _METICULOUS else 0
        return least <= ahead <= _WINDOW_MULTIPLIERS * multiplier


def _digest(name: str, octets: bytes) -> bytes:
    return hashlib.new(name, octets, usedforsecurity=False).digest()
