"""Router advertisements and solicitations (RFC 4861), as routers without addresses need them.

::

    advertisement                                solicitation
      0  type 134, code 0, checksum    4           0  type 133, code 0, checksum  4
      4  current hop limit             1           4  reserved                    4
      5  flags                         1           8  options
      6  router lifetime in seconds    2
      8  reachable time, retransmission timer  8
     16  options: type, length in units of 8, value

The kernel makes and checks the checksum of such messages. Both are only to be believed with a hop
limit of 255, which says that they come from this link; that is for the receiver to check, with
`HOP_LIMIT`. Our own advertisement says nothing about prefixes, and by its preference (RFC 4191)
that hosts should choose any other router first.
"""

from __future__ import annotations

import struct

import msgspec

from mercurylb.errors import WireError

ALL_NODES = "ff02::1"
ALL_ROUTERS = "ff02::2"
HOP_LIMIT = 255
SOLICITATION = 133
ADVERTISEMENT = 134
CURRENT_HOP_LIMIT = 64

_ADVERTISEMENT = struct.Struct("!BBHBBHII")
_SOLICITATION = struct.Struct("!BBHI")
_OPTION_UNIT = 8
_SOURCE_LINK_LAYER = 1
_LOW_PREFERENCE = 0b11 << 3
_MAC_SIZE = 6
_PROTOCOL = "router discovery"


class Advertisement(msgspec.Struct, frozen=True):
    """Somebody is a router on this link, for so long."""

    lifetime_s: int
    """0: not any more."""


class Solicitation(msgspec.Struct, frozen=True):
    """Somebody wants to know which routers there are."""


RouterMessage = Advertisement | Solicitation


def encode_advertisement(lifetime_s: int, mac: bytes = b"") -> bytes:
    """Return an advertisement, without checksum; the MAC address spares the others a question."""
    fixed = _ADVERTISEMENT.pack(
        ADVERTISEMENT, 0, 0, CURRENT_HOP_LIMIT, _LOW_PREFERENCE, lifetime_s, 0, 0
    )
    return fixed + _source_option(mac)


def encode_solicitation(mac: bytes = b"") -> bytes:
    """Return a solicitation, without checksum."""
    return _SOLICITATION.pack(SOLICITATION, 0, 0, 0) + _source_option(mac)


def decode(octets: bytes) -> RouterMessage:
    """Return what a message says; raise WireError when it is none of the two, or malformed."""
    if len(octets) < _OPTION_UNIT:
        raise WireError(_PROTOCOL, f"{len(octets)} bytes are too few", offset=len(octets))
    kind, code = octets[0], octets[1]
    if code:
        raise WireError(_PROTOCOL, f"code {code} is unknown", offset=1)
    if kind == SOLICITATION:
        _check_options(octets, _SOLICITATION.size)
        return Solicitation()
    if kind != ADVERTISEMENT:
        raise WireError(_PROTOCOL, f"type {kind} is none of ours", offset=0)
    if len(octets) < _ADVERTISEMENT.size:
        raise WireError(_PROTOCOL, f"{len(octets)} bytes are too few", offset=len(octets))
    _check_options(octets, _ADVERTISEMENT.size)
    return Advertisement(lifetime_s=_ADVERTISEMENT.unpack_from(octets)[5])


def _check_options(octets: bytes, at: int) -> None:
    """RFC 4861 sections 6.1.1 and 6.1.2: an option of no length makes the whole invalid."""
    while at < len(octets):
        if at + 2 > len(octets) or not octets[at + 1]:
            raise WireError(_PROTOCOL, "an option without length", offset=at)
        size = octets[at + 1] * _OPTION_UNIT
        if at + size > len(octets):
            raise WireError(_PROTOCOL, "an option beyond the end", offset=at)
        at += size


def _source_option(mac: bytes) -> bytes:
    return bytes((_SOURCE_LINK_LAYER, 1)) + mac if len(mac) == _MAC_SIZE else b""
