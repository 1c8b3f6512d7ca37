"""UPDATE messages with as many prefixes as they hold, made once for all peers that need them.

::

    0        19        21                  ..        ..+2
    | header | withdrawn length u16 | withdrawn | attributes length u16 | attributes | prefixes |

IPv4 prefixes with an IPv4 next hop and their withdrawals have the fields of their own; all else
goes into MP_REACH_NLRI and MP_UNREACH_NLRI. What was packed is kept for the other peers, at most
`KEPT_MAX_BYTES` of it, until the routes change or nobody needs it any more.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.bgp import attribute, message, prefix
from mercurylb.bgp.family import IPV4, Family
from mercurylb.bgp.message import HEADER_LENGTH, MessageType

if TYPE_CHECKING:
    from mercurylb.bgp.attribute import Encoding, RouteAttributes
    from mercurylb.bgp.table import Prefixes, Table

EXTENDED_USED: Final = 16384
"""Of an extended message, unless the attributes need more: whole ones would take 8 ms to pack."""
KEPT_MAX_BYTES: Final = 4 << 20
PACKINGS_MAX: Final = 16384
"""Sets of attributes whose octets are remembered."""

_LENGTHS: Final = 4
_REACH_FIXED: Final = 4 + 3 + 1 + 1
"""Its own header with a long length, family, next hop's length, reserved octet."""
_UNREACH_FIXED: Final = 4 + 3
_LONGEST: Final = {1: 5, 2: 17}
"""Octets of a prefix by AFI."""
_IPV4_OCTETS: Final = 4
_LARGE_ATTRIBUTES: Final = 4096


class Packed(msgspec.Struct, frozen=True, gc=False):
    """One UPDATE with as many of a run's prefixes as fit."""

    octets: bytes
    end: int
    """The index of the first prefix that did not fit."""


class Packing(msgspec.Struct, frozen=True):
    """What is equal in all messages of a run; a part of the key under which they are kept."""

    family: Family
    attributes: bytes
    """Without MP_REACH_NLRI; nothing withdraws."""
    next_hop: bytes
    """For MP_REACH_NLRI; nothing if the message has fields for its prefixes."""
    is_multiprotocol: bool
    limit: int
    """Octets of a message."""

    @property
    def room(self) -> int:
        """Count the octets that are left for prefixes."""
        room = self.limit - HEADER_LENGTH - _LENGTHS - len(self.attributes)
        if self.next_hop:
            return room - _REACH_FIXED - len(self.next_hop)
        return room - _UNREACH_FIXED if self.is_multiprotocol else room


def announcing(family: Family, attributes: RouteAttributes, encoding: Encoding) -> Packing | None:
    """Give how prefixes are announced; None if the session has not the family, or no room."""
    next_hop = encoding.next_hop(family)
    if next_hop is None:
        return None
    is_multiprotocol = not (family == IPV4 and len(next_hop) == _IPV4_OCTETS)
    octets = attribute.encode_all(attributes, encoding, b"" if is_multiprotocol else next_hop)
    limit = encoding.max_length
    if len(octets) <= _LARGE_ATTRIBUTES:
        limit = min(limit, max(EXTENDED_USED, message.MAX_LENGTH))
    packing = Packing(
        family, octets, next_hop if is_multiprotocol else b"", is_multiprotocol, limit
    )
    return packing if packing.room >= _LONGEST[family.afi] else None


def withdrawing(family: Family, encoding: Encoding) -> Packing | None:
    """Give how prefixes are withdrawn; None if the session has not the family."""
    next_hop = encoding.next_hop(family)
    if next_hop is None:
        return None
    is_multiprotocol = not (family == IPV4 and len(next_hop) == _IPV4_OCTETS)
    limit = min(encoding.max_length, EXTENDED_USED)
    return Packing(family, b"", b"", is_multiprotocol, limit)


def end_of_rib(family: Family) -> bytes:
    """Encode the message that ends the first table (RFC 4724 section 2)."""
    attributes = b"" if family == IPV4 else attribute.encode_unreach(family, b"")
    return _update(b"", attributes, b"")


class Packings:
    """How prefixes are packed, for all sessions with one encoding."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._packings: dict[tuple[RouteAttributes | None, Family], Packing | None] = {}
        self._counted: tuple[Table | None, int] = None, 0

    def of(self, attributes: RouteAttributes | None, family: Family) -> Packing | None:
        """Give how prefixes are announced, or withdrawn if there are no attributes."""
        key = attributes, family
        if key not in self._packings:
            if len(self._packings) >= PACKINGS_MAX:
                self._packings.clear()
            if attributes is None:
                self._packings[key] = withdrawing(family, self._encoding)
            else:
                self._packings[key] = announcing(family, attributes, self._encoding)
        return self._packings[key]

    def covered_count(self, table: Table) -> int:
        """Count the prefixes that the session carries; the tables asked about seldom change."""
        if table is not self._counted[0]:
            covered = (
                len(prefixes) for key, prefixes in table.parts.items() if self.of(*key) is not None
            )
            self._counted = table, sum(covered)
        return self._counted[1]


class Packer:
    """Packs messages, and keeps them for the next peer."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int, Packing], tuple[Prefixes, Packed]] = OrderedDict()
        self._kept_bytes = 0

    def __len__(self) -> int:
        """Count the octets that are kept."""
        return self._kept_bytes

    def clear(self) -> None:
        """Forget what was packed."""
        self._kept.clear()
        self._kept_bytes = 0

    def pack(self, prefixes: Prefixes, start: int, packing: Packing) -> Packed:
        """Give the message that begins with a prefix; those before are left out."""
        key = (id(prefixes), start, packing)
        kept = self._kept.get(key)
        if kept is not None:
            return kept[1]
        packed = pack(prefixes, start, packing)
        self._kept[key] = prefixes, packed
        self._kept_bytes += len(packed.octets)
        while self._kept_bytes > KEPT_MAX_BYTES:
            _, (_, oldest) = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest.octets)
        return packed


def pack(prefixes: Prefixes, start: int, packing: Packing) -> Packed:
    """Pack one message."""
    nlri, end = _fill(prefixes, start, packing.family, packing.room)
    if packing.next_hop:
        reach = attribute.encode_reach(packing.family, packing.next_hop, nlri)
        return Packed(_update(b"", reach + packing.attributes, b""), end)
    if packing.attributes:
        return Packed(_update(b"", packing.attributes, nlri), end)
    if packing.is_multiprotocol:
        return Packed(_update(b"", attribute.encode_unreach(packing.family, nlri), b""), end)
    return Packed(_update(nlri, b"", b""), end)


def _fill(prefixes: Prefixes, start: int, family: Family, room: int) -> tuple[bytes, int]:
    """Encode as many prefixes as there is room for; give them and the index of the next one."""
    longest = _LONGEST[family.afi]
    pieces = []
    while start < len(prefixes):
        part = prefixes[start : start + max(room // longest, 1)]
        octets = prefix.encode_all(part, family)
        if len(octets) > room:
            break
        pieces.append(octets)
        room -= len(octets)
        start += len(part)
    return b"".join(pieces), start


def _update(withdrawn: bytes, attributes: bytes, nlri: bytes) -> bytes:
    body = (
        len(withdrawn).to_bytes(2, "big"),
        withdrawn,
        len(attributes).to_bytes(2, "big"),
        attributes,
        nlri,
    )
    return message.encode(MessageType.UPDATE, b"".join(body))
