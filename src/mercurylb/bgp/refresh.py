"""ROUTE-REFRESH: a peer wants a family again (RFC 2918), with its beginning and end (RFC 7313).

::

    0        19    21        22     23
    | header | AFI | subtype | SAFI |
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from mercurylb.bgp import message
from mercurylb.bgp.error import BgpError
from mercurylb.bgp.family import Family
from mercurylb.bgp.message import MessageType
from mercurylb.bgp.notification import Code, HeaderCode, RefreshCode

_BODY: Final = 4
_SUBTYPE: Final = 2


class RefreshType(IntEnum):
    """What such a message is; others are ignored (RFC 7313 section 5)."""

    REQUEST = 0
    BEGIN = 1
    END = 2


class Refresh(msgspec.Struct, frozen=True, gc=False):
    """What a ROUTE-REFRESH says."""

    family: Family
    subtype: int = RefreshType.REQUEST


def encode(refresh: Refresh) -> bytes:
    """Encode the whole message."""
    afi = refresh.family.afi.to_bytes(2, "big")
    body = afi + bytes((refresh.subtype, refresh.family.safi))
    return message.encode(MessageType.ROUTE_REFRESH, body)


def decode(body: bytes, *, has_enhanced: bool = False) -> Refresh:
    """Decode what follows the header; raises `BgpError`.

    A beginning or an end of a wrong length has a code of its own if `has_enhanced` was agreed on.
    """
    if len(body) == _BODY:
        return Refresh(Family(body[0] << 8 | body[1], body[3]), body[_SUBTYPE])
    length = message.HEADER_LENGTH + len(body)
    words = f"a ROUTE-REFRESH of {length} octets"
    is_mark = len(body) > _SUBTYPE and body[_SUBTYPE] in (RefreshType.BEGIN, RefreshType.END)
    if has_enhanced and is_mark:
        whole = message.encode(MessageType.ROUTE_REFRESH, body)
        raise BgpError(Code.REFRESH, RefreshCode.LENGTH, words, data=whole)
    raise BgpError(Code.HEADER, HeaderCode.BAD_LENGTH, words, data=length.to_bytes(2, "big"))
