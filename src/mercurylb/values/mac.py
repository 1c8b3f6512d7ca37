"""Ethernet addresses: six bytes, written as lower-case pairs with colons."""

from __future__ import annotations

from typing import Final

from mercurylb.errors import ParseError
from mercurylb.values.address import quoted

SIZE_BYTES: Final = 6
_TEXT_LENGTH: Final = 17


def parse_mac(text: str) -> bytes:
    """Read `02:00:00:00:00:01` (either case); raises `ParseError`."""
    pairs = text.split(":", SIZE_BYTES)
    if len(text) == _TEXT_LENGTH and [len(pair) for pair in pairs] == [2] * SIZE_BYTES:
        try:
            decoded = bytes.fromhex("".join(pairs))
        except ValueError:
            pass
        else:
            if len(decoded) == SIZE_BYTES:
                return decoded
    raise ParseError(f"invalid MAC address {quoted(text)}")


def format_mac(mac: bytes) -> str:
    """Give the text of a MAC address."""
    return mac.hex(":")
