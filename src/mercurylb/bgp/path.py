"""AS_PATH as it is sent and checked (RFC 4271 section 4.3, RFC 6793, RFC 5065).

::

    segment: | type u8 | count u8 | number, 2 or 4 octets, count times |

Ours is one sequence of our own number, or empty towards our own AS. Where the peer has two octets
for a number, 23456 stands for what does not fit, and AS4_PATH has the truth.
"""

from __future__ import annotations

from typing import Final

AS_SET: Final = 1
AS_SEQUENCE: Final = 2
AS_CONFED_SEQUENCE: Final = 3
AS_CONFED_SET: Final = 4
COUNT_MAX: Final = 255
"""Numbers in one segment; more begin another one."""

NARROW: Final = 2
WIDE: Final = 4
"""Octets of a number towards a peer with four-octet numbers."""

_AS_TRANS: Final = 23456
_ASN_2_MAX: Final = 0xFFFF


def encode(asn: int, count: int, *, width: int = WIDE) -> bytes:
    """Encode a number `count` times, in as many octets as `width` says."""
    shown = asn if width == WIDE or asn <= _ASN_2_MAX else _AS_TRANS
    number = shown.to_bytes(width, "big")
    segments = []
    while count > 0:
        part = min(count, COUNT_MAX)
        segments.append(bytes((AS_SEQUENCE, part)) + number * part)
        count -= part
    return b"".join(segments)


def needs_as4(asn: int, *, width: int) -> bool:
    """Tell whether AS4_PATH has to say what AS_PATH cannot."""
    return width == NARROW and asn > _ASN_2_MAX


def problem(path: bytes, *, width: int = WIDE) -> str:
    """Say what is malformed in a path; empty if nothing is (RFC 7606 section 7.2)."""
    position = 0
    while position < len(path):
        if position + 2 > len(path):
            return "a segment's header is cut off"
        type_, count = path[position], path[position + 1]
        if not AS_SET <= type_ <= AS_CONFED_SET:
            return f"segment type {type_}"
        if count == 0:
            return "a segment is empty"
        end = position + 2 + count * width
        if end > len(path):
            return "a segment is cut off"
        zero = bytes(width)
        if zero in path[position + 2 : end] and _has_zero(path[position + 2 : end], width):
            return "AS number 0"
        position = end
    return ""


def _has_zero(numbers: bytes, width: int) -> bool:
    return any(not any(numbers[i : i + width]) for i in range(0, len(numbers), width))


def segments(path: bytes, *, width: int = WIDE) -> frozenset[int]:
    """Give the types of the segments of a well-formed path."""
    found = set()
    position = 0
    while position < len(path):
        found.add(path[position])
        position += 2 + path[position + 1] * width
    return frozenset(found)


def numbers(path: bytes, *, width: int = WIDE) -> tuple[int, ...]:
    """Give the numbers of a well-formed path in the order they have, whatever the segments."""
    found = []
    position = 0
    while position < len(path):
        start, end = position + 2, position + 2 + path[position + 1] * width
        found += [int.from_bytes(path[i : i + width], "big") for i in range(start, end, width)]
        position = end
    return tuple(found)
