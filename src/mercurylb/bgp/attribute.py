"""The path attributes that we send (RFC 4271 section 4.3, 1997, 4760, 6793, 8092, 8326).

::

    | flags u8 | type u8 | length u8, or u16 with the flag for it | value ... |

MP_REACH_NLRI comes first (RFC 7606 section 5.1), the others ascend by type. Flags are 0x80
optional, 0x40 transitive, 0x20 partial, 0x10 extended length.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from mercurylb.bgp import path
from mercurylb.bgp.family import Family

OPTIONAL: Final = 0x80
TRANSITIVE: Final = 0x40
PARTIAL: Final = 0x20
EXTENDED: Final = 0x10

GRACEFUL_SHUTDOWN: Final = 0xFFFF0000
"""65535:0: prefer anything else, this is about to go (RFC 8326)."""
ORIGINS: Final = ("IGP", "EGP", "INCOMPLETE")

_SHORT_MAX: Final = 255


class AttributeType(IntEnum):
    """Types of path attributes."""

    ORIGIN = 1
    AS_PATH = 2
    NEXT_HOP = 3
    MED = 4
    LOCAL_PREF = 5
    ATOMIC_AGGREGATE = 6
    AGGREGATOR = 7
    COMMUNITIES = 8
    ORIGINATOR_ID = 9
    CLUSTER_LIST = 10
    MP_REACH = 14
    MP_UNREACH = 15
    EXTENDED_COMMUNITIES = 16
    AS4_PATH = 17
    AS4_AGGREGATOR = 18
    IPV6_EXTENDED_COMMUNITIES = 25
    LARGE_COMMUNITIES = 32
    ONLY_TO_CUSTOMER = 35


class RouteAttributes(msgspec.Struct, frozen=True, order=True, gc=False):
    """What the routes of a group have in common; next hop and own number are the session's."""

    local_pref: int = 0
    as_path_prepend: int = 0
    communities: tuple[int, ...] = ()
    large_communities: tuple[tuple[int, int, int], ...] = ()
    is_leaving: bool = False

    def shown(self, *, is_internal: bool) -> RouteAttributes:
        """Give what a peer can tell apart: preferences stay inside an AS."""
        local_pref = 0 if self.is_leaving or not is_internal else self.local_pref
        communities = self.communities
        if self.is_leaving:
            communities = tuple(sorted({*communities, GRACEFUL_SHUTDOWN}))
        return RouteAttributes(
            local_pref, self.as_path_prepend, communities, self.large_communities, self.is_leaving
        )


class Encoding(msgspec.Struct, frozen=True):
    """What of a session decides the octets of its UPDATEs; equal ones share them."""

    asn: int
    """Our number as the peer sees it."""
    is_internal: bool
    next_hops: tuple[tuple[Family, bytes], ...]
    """Of each family that is sent: 4 octets, or 16 or 32 of IPv6."""
    has_four_octet_asn: bool = True
    max_length: int = 4096
    """Of a message."""

    def next_hop(self, family: Family) -> bytes | None:
        """Give the next hop of a family; None if it is not sent."""
        for covered, next_hop in self.next_hops:
            if covered == family:
                return next_hop
        return None


def encode(type_: int, flags: int, value: bytes) -> bytes:
    """Put the header before a value."""
    if len(value) > _SHORT_MAX:
        return bytes((flags | EXTENDED, type_)) + len(value).to_bytes(2, "big") + value
    return bytes((flags, type_, len(value))) + value


def encode_all(attributes: RouteAttributes, encoding: Encoding, next_hop: bytes = b"") -> bytes:
    """Encode everything but MP_REACH_NLRI, ascending; NEXT_HOP only if one is given."""
    width = path.WIDE if encoding.has_four_octet_asn else path.NARROW
    count = 0 if encoding.is_internal else 1 + attributes.as_path_prepend
    pieces = [
        encode(AttributeType.ORIGIN, TRANSITIVE, b"\0"),
        encode(AttributeType.AS_PATH, TRANSITIVE, path.encode(encoding.asn, count, width=width)),
    ]
    if next_hop:
        pieces.append(encode(AttributeType.NEXT_HOP, TRANSITIVE, next_hop))
    if encoding.is_internal:
        preference = attributes.local_pref.to_bytes(4, "big")
        pieces.append(encode(AttributeType.LOCAL_PREF, TRANSITIVE, preference))
    if attributes.communities:
        value = b"".join(number.to_bytes(4, "big") for number in attributes.communities)
        pieces.append(encode(AttributeType.COMMUNITIES, OPTIONAL | TRANSITIVE, value))
    if count and path.needs_as4(encoding.asn, width=width):
        value = path.encode(encoding.asn, count)
        pieces.append(encode(AttributeType.AS4_PATH, OPTIONAL | TRANSITIVE, value))
    if attributes.large_communities:
        numbers = (number for large in attributes.large_communities for number in large)
        value = b"".join(number.to_bytes(4, "big") for number in numbers)
        pieces.append(encode(AttributeType.LARGE_COMMUNITIES, OPTIONAL | TRANSITIVE, value))
    return b"".join(pieces)


def encode_reach(family: Family, next_hop: bytes, nlri: bytes) -> bytes:
    """Encode MP_REACH_NLRI (RFC 4760 section 3)."""
    value = b"".join((family.octets, bytes((len(next_hop),)), next_hop, b"\0", nlri))
    return encode(AttributeType.MP_REACH, OPTIONAL, value)


def encode_unreach(family: Family, nlri: bytes) -> bytes:
    """Encode MP_UNREACH_NLRI (RFC 4760 section 4)."""
    return encode(AttributeType.MP_UNREACH, OPTIONAL, family.octets + nlri)


def describe(attributes: RouteAttributes, encoding: Encoding) -> str:
    """Say in words what a peer is told of a route, but for the next hop."""
    count = 0 if encoding.is_internal else 1 + attributes.as_path_prepend
    words = ["path " + (" ".join([str(encoding.asn)] * count) or "empty")]
    if encoding.is_internal:
        words.append(f"local preference {attributes.local_pref}")
    if attributes.communities:
        texts = (f"{number >> 16}:{number & 0xFFFF}" for number in attributes.communities)
        words.append("communities " + " ".join(texts))
    if attributes.large_communities:
        larges = (":".join(map(str, large)) for large in attributes.large_communities)
        words.append("large communities " + " ".join(larges))
    return ", ".join(words)
