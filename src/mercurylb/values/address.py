"""IP addresses as a family and a number.

The standard library's objects are slow to make and heavy to keep, and a pool needs arithmetic, not
classes. An address here is a frozen pair: its family (4 or 6) and its value as an integer. An
IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) is an IPv4 address. The text form is canonical: dotted
quad, or RFC 5952. Zones, ports and leading zeros in octets are refused.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from mercurylb.errors import ParseError

Family = Literal[4, 6]

IPV4: Final = 4
IPV6: Final = 6

BITS: Final = {IPV4: 32, IPV6: 128}
"""Width of an address of each family."""

_MAPPED_PREFIX: Final = 0xFFFF
_TEXT_MAX: Final = 45
"""No textual IPv6 address is longer: six groups and an embedded dotted quad."""
_OCTET_MAX: Final = 255
_QUOTED_MAX: Final = 256
_GROUPS: Final = 8
_HEX: Final = frozenset("0123456789abcdefABCDEF")


class Address(msgspec.Struct, frozen=True, order=True, gc=False):
    """One IP address; sorts IPv4 before IPv6, then by value."""

    family: Family
    number: int

    def __str__(self) -> str:
        """Give the canonical text."""
        return format_address(self.family, self.number)


def parse_address(text: str) -> Address:
    """Read an IPv4 or IPv6 address; raises `ParseError`."""
    if len(text) <= _TEXT_MAX:
        if ":" not in text:
            number = _parse_ipv4(text)
            if number is not None:
                return Address(IPV4, number)
        else:
            number = _parse_ipv6(text)
            if number is not None:
                return unmapped(number)
    raise ParseError(f"invalid IP address {quoted(text)}")


def unmapped(number: int) -> Address:
    """Give the address behind a 128-bit number: IPv4 if it is IPv4-mapped, else IPv6."""
    if number >> 32 == _MAPPED_PREFIX:
        return Address(IPV4, number & 0xFFFFFFFF)
    return Address(IPV6, number)


def format_address(family: Family, number: int) -> str:
    """Give the canonical text of an address."""
    if family == IPV4:
        return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return _format_ipv6(number)


def quoted(text: str) -> str:
    """Give text in double quotes, with whatever would break a line escaped, as Go prints `%q`.

    What is longer than any sensible value is cut, so that messages stay messages.
    """
    if len(text) > _QUOTED_MAX:
        text = f"{text[:_QUOTED_MAX]}…"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if not escaped.isprintable():
        escaped = "".join(
            character if character.isprintable() else _escape(character) for character in escaped
        )
    return f'"{escaped}"'


def _escape(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:  # noqa: PLR2004 (two hexadecimal digits end here)
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 (likewise)


def _parse_ipv4(text: str) -> int | None:
    octets = text.split(".", 4)
    if len(octets) != 4 or not text.isascii():  # noqa: PLR2004 (RFC 791)
        return None
    number = 0
    for octet in octets:
        if not octet.isdigit() or len(octet) > 3 or (octet[0] == "0" and len(octet) > 1):  # noqa: PLR2004
            return None
        value = int(octet)
        if value > _OCTET_MAX:
            return None
        number = number << 8 | value
    return number


def _parse_ipv6(text: str) -> int | None:
    if "." in text:
        head, _, quad = text.rpartition(":")
        embedded = _parse_ipv4(quad)
        if embedded is None:
            return None
        text = f"{head}:{embedded >> 16:x}:{embedded & 0xFFFF:x}"
    left, gap, right = text.partition("::")
    if not gap:
        groups = left.split(":")
        return _join_groups(groups) if len(groups) == _GROUPS else None
    before = left.split(":") if left else []
    after = right.split(":") if right else []
    missing = _GROUPS - len(before) - len(after)
    if missing < 1:
        return None
    return _join_groups(before + ["0"] * missing + after)


def _join_groups(groups: list[str]) -> int | None:
    number = 0
    for group in groups:
        if not 1 <= len(group) <= 4 or not _HEX.issuperset(group):  # noqa: PLR2004 (16 bits)
            return None
        number = number << 16 | int(group, 16)
    return number


def _format_ipv6(number: int) -> str:
    groups = [f"{number >> shift & 0xFFFF:x}" for shift in range(112, -1, -16)]
    start, length = _longest_zero_run(groups)
    if length < 2:  # noqa: PLR2004 (RFC 5952 §4.2.2: a single group is not shortened)
        return ":".join(groups)
    return f"{':'.join(groups[:start])}::{':'.join(groups[start + length :])}"


def _longest_zero_run(groups: list[str]) -> tuple[int, int]:
    best_start = best_length = length = 0
    for index, group in enumerate(groups):
        length = length + 1 if group == "0" else 0
        if length > best_length:
            best_start, best_length = index - length + 1, length
    return best_start, best_length
