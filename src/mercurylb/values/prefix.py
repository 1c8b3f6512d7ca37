"""CIDR prefixes, and the two forms in which a pool writes its addresses.

`1.2.3.0/24` is a prefix (host bits are masked away), `1.2.3.10-1.2.3.20` a range, which becomes the
minimal ascending list of prefixes that covers it exactly. The texts of the errors are those an
operator of MetalLB 0.16 knows. A prefix inside `::ffff:0:0/96` is an IPv4 prefix.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mercurylb.errors import ParseError
from mercurylb.values.address import (
    BITS,
    IPV4,
    IPV6,
    Address,
    Family,
    format_address,
    parse_address,
    quoted,
    unmapped,
)

_MAPPED_BITS: Final = 96
_LENGTH_DIGITS_MAX: Final = 3
_BUGGY_OCTETS: Final = (0, 255)


class Prefix(msgspec.Struct, frozen=True, order=True, gc=False):
    """A block of addresses; `first` has no host bits set."""

    family: Family
    first: int
    length: int

    @property
    def size(self) -> int:
        """Count the addresses inside."""
        return 1 << BITS[self.family] - self.length

    @property
    def last(self) -> int:
        """Give the number of the highest address."""
        return self.first + self.size - 1

    def contains(self, address: Address) -> bool:
        """Tell whether an address lies inside."""
        return (
            address.family == self.family
            and address.number >> BITS[self.family] - self.length
            == self.first >> BITS[self.family] - self.length
        )

    def overlaps(self, other: Prefix) -> bool:
        """Tell whether the two share an address; equal and contained prefixes do."""
        return self.family == other.family and self.first <= other.last and other.first <= self.last

    def __str__(self) -> str:
        """Give `address/length`."""
        return f"{format_address(self.family, self.first)}/{self.length}"


def parse_prefix(text: str) -> Prefix:
    """Read `address/length` and mask the host bits; raises `ParseError`."""
    host, slash, digits = text.partition("/")
    if slash and digits.isascii() and digits.isdigit() and len(digits) <= _LENGTH_DIGITS_MAX:
        length = int(digits)
        written_zero = digits[0] != "0" or digits == "0"
        family: Family = IPV6 if ":" in host else IPV4
        if length <= BITS[family] and written_zero:
            try:
                return _masked(parse_address(host), family, length)
            except ParseError:
                pass
    raise ParseError(f"invalid CIDR {quoted(text)}")


def _masked(address: Address, written_family: Family, length: int) -> Prefix:
    number = address.number
    if address.family != written_family:
        number |= 0xFFFF << 32
    host_bits = BITS[written_family] - length
    first = number >> host_bits << host_bits
    if written_family == IPV6 and length >= _MAPPED_BITS:
        block = unmapped(first)
        if block.family == IPV4:
            return Prefix(IPV4, block.number, length - _MAPPED_BITS)
    return Prefix(written_family, first, length)


def parse_addresses(text: str) -> tuple[Prefix, ...]:
    """Read one entry of a pool's `addresses`: a prefix, or a range `start-end`.

    A range is recognised by its dash; white space around its two ends is ignored. Raises
    `ParseError`.
    """
    left, dash, right = text.partition("-")
    if not dash:
        return (parse_prefix(text),)
    start = _range_end(text, "start", left.strip())
    end = _range_end(text, "end", right.strip())
    if start.family != end.family:
        raise ParseError(
            f"invalid IP range {quoted(text)}: start and end IPs must be the same family"
        )
    if start.number > end.number:
        raise ParseError(
            f"invalid IP range {quoted(text)}: start IP {quoted(left.strip())} is after the end IP"
            f" {quoted(right.strip())}"
        )
    return tuple(cover(start.family, start.number, end.number))


def _range_end(text: str, which: str, part: str) -> Address:
    try:
        return parse_address(part)
    except ParseError:
        raise ParseError(
            f"invalid IP range {quoted(text)}: invalid {which} IP {quoted(part)}"
        ) from None


def cover(family: Family, first: int, last: int) -> list[Prefix]:
    """Give the fewest prefixes, ascending, that hold exactly the numbers `first` to `last`.

    At most twice as many as the family has bits.
    """
    prefixes = []
    bits = BITS[family]
    while first <= last:
        alignment = (first & -first).bit_length() - 1 if first else bits
        fitting = (last - first + 1).bit_length() - 1
        host_bits = min(alignment, fitting)
        prefixes.append(Prefix(family, first, bits - host_bits))
        first += 1 << host_bits
    return prefixes


def is_buggy(family: Family, number: int) -> bool:
    """Tell whether an address ends in .0 or .255, which some old equipment will not carry."""
    return family == IPV4 and number & 255 in _BUGGY_OCTETS
