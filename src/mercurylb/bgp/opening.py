"""OPEN: who is there and what it can do (RFC 4271 sections 4.2 and 6.2, RFC 5492, 6793, 9072).

::

    0      19        20      22     24   28          29
    | header | version | AS u16 | hold | id u32 | length u8 | parameters ... |

    parameter: | type u8 | length u8 | value ... |       type 2 holds capabilities

Extended (RFC 9072): the length and the first type are 255, then the true length as u16, and
parameters whose own lengths are u16. It is written only where 255 octets do not suffice. A number
above 65535 is 23456 in the header and stands in the capability for four-octet numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.bgp import capability, message
from mercurylb.bgp.capability import Capabilities, Collected
from mercurylb.bgp.error import BgpError
from mercurylb.bgp.message import MessageType
from mercurylb.bgp.notification import Code, OpenCode
from mercurylb.bgp.prefix import decode_address, encode_address

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION: Final = 4
AS_TRANS: Final = 23456
"""Stands for a number that needs four octets (RFC 6793)."""
ASN_2_MAX: Final = 0xFFFF
HOLD_TIME_MIN_S: Final = 3

_FIXED: Final = 10
_CAPABILITIES: Final = 2
_EXTENDED: Final = 255
_ROLE_PAIRS: Final = frozenset({(0, 3), (3, 0), (1, 2), (2, 1), (4, 4)})


class Open(msgspec.Struct, frozen=True):
    """The first message of each side."""

    asn: int
    """The true number."""
    hold_time_s: int
    router_id: str
    """Dotted quad."""
    capabilities: Capabilities = Capabilities()


class Expectation(msgspec.Struct, frozen=True, gc=False):
    """What the OPEN of a peer must be like."""

    my_asn: int
    """As the peer sees it."""
    router_id: str
    peer_asn: int = 0
    """0 if `dynamic_asn` says what may be."""
    dynamic_asn: str = ""
    """`internal` or `external`, as against `my_asn`."""
    role: int | None = None
    """Our own (RFC 9234), if we have one."""


def encode(opened: Open) -> bytes:
    """Encode the whole message; all capabilities are in one parameter where they fit."""
    asn = opened.asn if opened.asn <= ASN_2_MAX else AS_TRANS
    fixed = b"".join(
        (
            bytes((VERSION,)),
            asn.to_bytes(2, "big"),
            opened.hold_time_s.to_bytes(2, "big"),
            encode_address(opened.router_id),
        )
    )
    parameters = _encode_parameters(capability.encode(opened.capabilities))
    return message.encode(MessageType.OPEN, fixed + parameters)


def _encode_parameters(capabilities: tuple[bytes, ...]) -> bytes:
    value = b"".join(capabilities)
    if not value:
        return b"\0"
    if len(value) + 2 < _EXTENDED:
        return bytes((len(value) + 2, _CAPABILITIES, len(value))) + value
    parameter = bytes((_CAPABILITIES,)) + len(value).to_bytes(2, "big") + value
    return bytes((_EXTENDED, _EXTENDED)) + len(parameter).to_bytes(2, "big") + parameter


def decode(body: bytes) -> Open:
    """Decode what follows the header; raises `BgpError` for whatever no peer may say."""
    if len(body) < _FIXED:
        length = (message.HEADER_LENGTH + len(body)).to_bytes(2, "big")
        raise BgpError(Code.HEADER, 2, "the OPEN is too short", data=length)
    if body[0] != VERSION:
        data = VERSION.to_bytes(2, "big")
        raise BgpError(Code.OPEN, OpenCode.VERSION, f"BGP version {body[0]}", data=data)
    collected = Collected()
    for type_, value in _parameters(body):
        if type_ != _CAPABILITIES:
            raise BgpError(Code.OPEN, OpenCode.PARAMETER, f"optional parameter {type_}")
        capability.decode(collected, value)
    capabilities = collected.freeze()
    asn = capabilities.asn if capabilities.asn is not None else body[1] << 8 | body[2]
    hold_time_s = body[3] << 8 | body[4]
    if asn == 0:
        raise BgpError(Code.OPEN, OpenCode.BAD_PEER_AS, "the AS number is 0")
    if 0 < hold_time_s < HOLD_TIME_MIN_S:
        raise BgpError(Code.OPEN, OpenCode.HOLD_TIME, f"a hold time of {hold_time_s} s")
    if not any(body[5:9]):
        raise BgpError(Code.OPEN, OpenCode.BAD_IDENTIFIER, "the BGP identifier is 0.0.0.0")
    return Open(asn, hold_time_s, decode_address(body[5:9]), capabilities)


def _parameters(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Take the optional parameters apart; each type with its value."""
    position, total, width = _FIXED, body[_FIXED - 1], 1
    if total == _EXTENDED and body[position : position + 1] == b"\xff":
        position, width = position + 3, 2
        total = body[position - 2] << 8 | body[position - 1] if position <= len(body) else 0
    if position + total != len(body):
        raise BgpError(
            Code.OPEN, OpenCode.UNSPECIFIC, "the length of the optional parameters is wrong"
        )
    while position < len(body):
        start = position + 1 + width
        length = int.from_bytes(body[position + 1 : start], "big")
        if start + length > len(body):
            raise BgpError(Code.OPEN, OpenCode.UNSPECIFIC, "an optional parameter is cut off")
        yield body[position], body[start : start + length]
        position = start + length


def check(opened: Open, expected: Expectation) -> None:
    """Raise `BgpError` where a peer is not the one it should be."""
    if not _is_expected_asn(opened.asn, expected):
        wanted = expected.dynamic_asn or expected.peer_asn
        words = f"unexpected peer ASN {opened.asn}, want {wanted}"
        raise BgpError(Code.OPEN, OpenCode.BAD_PEER_AS, words)
    if opened.router_id == expected.router_id and opened.asn == expected.my_asn:
        words = f"the peer has our BGP identifier {opened.router_id}"
        raise BgpError(Code.OPEN, OpenCode.BAD_IDENTIFIER, words)
    role = opened.capabilities.role
    if None not in (role, expected.role) and (expected.role, role) not in _ROLE_PAIRS:
        words = f"role {role} of the peer does not fit ours, {expected.role}"
        raise BgpError(Code.OPEN, OpenCode.ROLE_MISMATCH, words)


def _is_expected_asn(asn: int, expected: Expectation) -> bool:
    if expected.dynamic_asn == "internal":
        return asn == expected.my_asn
    if expected.dynamic_asn == "external":
        return asn != expected.my_asn
    return asn == expected.peer_asn
