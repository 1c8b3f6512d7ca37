"""Addresses as messages carry them: 4 bytes for IPv4, 16 for IPv6."""

from __future__ import annotations

from mercurylb.values.address import IPV4, IPV6, format_address, parse_address

IPV4_SIZE = 4
_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
_IPV4_MULTICAST = 224
"""From here on: groups, reserved, broadcast."""
_IPV6_MULTICAST = 0xFF


def to_bytes(address: str) -> bytes:
    """Return the bytes of an address in text; raise `ParseError`."""
    parsed = parse_address(address)
    return parsed.number.to_bytes(IPV4_SIZE if parsed.family == IPV4 else 16, "big")


def to_text(addr: bytes) -> str:
    """Return the canonical text of 4 or 16 bytes that are normal."""
    return format_address(IPV4 if len(addr) == IPV4_SIZE else IPV6, int.from_bytes(addr, "big"))


def normal(addr: bytes) -> bytes:
    """Return an IPv4 address in 4 bytes, however it came."""
    return addr[12:] if len(addr) == 16 and addr.startswith(_MAPPED_PREFIX) else addr  # noqa: PLR2004


def is_usable(addr: bytes) -> bool:
    """Whether 4 or 16 normal bytes can be where one member is: not all of them, and not nowhere."""
    if len(addr) == IPV4_SIZE:
        return 0 < addr[0] < _IPV4_MULTICAST
    return len(addr) == 16 and addr[0] != _IPV6_MULTICAST and any(addr)  # noqa: PLR2004
