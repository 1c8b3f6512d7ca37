"""Prefixes between text and NLRI: one octet of length in bits, then as few octets as hold them.

::

    | bits u8 | address, ceil(bits / 8) octets, what is beyond the bits is zero |

Text is canonical (RFC 5952) and comes from our own plan, so that it is taken apart without the
checks that an operator's input needs; what cannot be a prefix is our own mistake. Many IPv4
prefixes of 32 bits, which is what a table of services is made of, are taken apart as one text; of
IPv6 addresses that differ in their last group the rest is taken apart once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from mercurylb.bgp.family import IPV6, Family
from mercurylb.errors import LocalProtocolError
from mercurylb.values.address import IPV4 as ADDRESS_IPV4
from mercurylb.values.address import IPV6 as ADDRESS_IPV6
from mercurylb.values.address import format_address, parse_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.values.address import Family as AddressFamily

_LEADING_GROUPS: Final = 7
_HEADS_MAX: Final = 1024
_IPV4_BITS: Final = 32
_IPV6_BITS: Final = 128
_IPV4_OCTETS: Final = 4
_IPV6_OCTETS: Final = 16
_ENTRY: Final = 1 + _IPV4_OCTETS
_NUMBERS: Final = {str(number): number for number in range(256)}
_GROUP_DIGITS: Final = ("", "000", "00", "0", "")
"""What a group of so many digits lacks; a group is never empty."""


def encode(prefix: str) -> bytes:
    """Encode one prefix; its host bits must be zero, which canonical text has."""
    return _encode_ipv6(prefix) if ":" in prefix else _encode_ipv4(prefix)


def encode_all(prefixes: Sequence[str], family: Family) -> bytes:
    """Encode prefixes of one family one after the other."""
    if family == IPV6:
        return b"".join(map(_encode_ipv6, prefixes))
    return _encode_hosts(prefixes) or b"".join(map(_encode_ipv4, prefixes))


def _encode_hosts(prefixes: Sequence[str]) -> bytes | None:
    """Encode IPv4 prefixes that all have 32 bits at once; None if they are not of that kind.

    Written as `a.b.c.d/32` one after the other they are the octets wanted but for the first length,
    which has to stand before the first address.
    """
    try:
        octets = bytes(map(_NUMBERS.__getitem__, "/".join(prefixes).replace("/", ".").split(".")))
    except KeyError:
        return None
    count = len(prefixes)
    if len(octets) != _ENTRY * count or octets[_IPV4_OCTETS::_ENTRY].count(_IPV4_BITS) != count:
        return None
    return b"\x20" + octets[:-1]


def _encode_ipv4(prefix: str) -> bytes:
    address, _, bits = prefix.partition("/")
    try:
        octets = bytes(map(_NUMBERS.__getitem__, (bits, *address.split("."))))
    except KeyError:
        octets = b""
    if len(octets) != _ENTRY or octets[0] > _IPV4_BITS:
        raise LocalProtocolError(f"{prefix!r} is no IPv4 prefix")
    return octets[: 1 + (octets[0] + 7 >> 3)]


def _encode_ipv6(prefix: str) -> bytes:
    address, _, bits = prefix.partition("/")
    head, _, last = address.rpartition(":")
    try:
        length = int(bits)
        octets = b"".join(
            (length.to_bytes(1, "big"), _leading(head), int(last or "0", 16).to_bytes(2, "big"))
        )
    except (ValueError, IndexError, OverflowError):
        raise LocalProtocolError(f"{prefix!r} is no IPv6 prefix") from None
    if length > _IPV6_BITS:
        raise LocalProtocolError(f"{prefix!r} is no IPv6 prefix")
    return octets[: 1 + (length + 7 >> 3)]


@lru_cache(maxsize=_HEADS_MAX)
def _leading(text: str) -> bytes:
    """Give all groups but the last; what is before it is equal for many prefixes."""
    gap = ":" if text.endswith(":") else ""
    head, has_gap, tail = (text + gap).partition("::")
    high = head.split(":") if head else []
    low = tail.split(":") if tail else []
    missing = _LEADING_GROUPS - len(high) - len(low)
    if missing < 0 or (missing and not has_gap):
        raise ValueError(text)
    digits = [_GROUP_DIGITS[len(group)] + group for group in high]
    digits.append("0000" * missing)
    digits.extend(_GROUP_DIGITS[len(group)] + group for group in low)
    return bytes.fromhex("".join(digits))


def decode(nlri: bytes, family: Family) -> str:
    """Give the text of one well-formed entry; bits beyond its length are ignored."""
    bits = nlri[0]
    address_family: AddressFamily = ADDRESS_IPV6 if family == IPV6 else ADDRESS_IPV4
    total = _IPV6_BITS if family == IPV6 else _IPV4_BITS
    number = int.from_bytes(nlri[1:].ljust(total // 8, b"\0"), "big")
    number = number >> total - bits << total - bits
    return f"{format_address(address_family, number)}/{bits}"


def split(nlri: bytes) -> list[bytes]:
    """Take well-formed NLRI apart."""
    entries = []
    position = 0
    while position < len(nlri):
        end = position + 1 + (nlri[position] + 7 >> 3)
        entries.append(nlri[position:end])
        position = end
    return entries


def encode_address(address: str) -> bytes:
    """Give the 4 or 16 octets of an address in text, without its zone; raises `ParseError`."""
    parsed = parse_address(address.partition("%")[0])
    return parsed.number.to_bytes(
        _IPV4_OCTETS if parsed.family == ADDRESS_IPV4 else _IPV6_OCTETS, "big"
    )


def decode_address(octets: bytes) -> str:
    """Give the text of 4 or 16 octets."""
    family: AddressFamily = ADDRESS_IPV4 if len(octets) == _IPV4_OCTETS else ADDRESS_IPV6
    return format_address(family, int.from_bytes(octets, "big"))
