"""Address families as BGP numbers them (RFC 4760); only unicast of IPv4 and IPv6 is announced."""

from __future__ import annotations

from typing import Final

import msgspec

AFI_IPV4: Final = 1
AFI_IPV6: Final = 2
SAFI_UNICAST: Final = 1


class Family(msgspec.Struct, frozen=True, order=True, gc=False):
    """A pair of numbers, of which most are unknown to us."""

    afi: int
    safi: int = SAFI_UNICAST

    @property
    def label(self) -> str:
        """Give its name as reports have it."""
        return _LABELS.get(self) or f"{self.afi}/{self.safi}"

    @property
    def octets(self) -> bytes:
        """Give the three octets that name it in attributes."""
        return self.afi.to_bytes(2, "big") + bytes([self.safi])


IPV4: Final = Family(AFI_IPV4)
IPV6: Final = Family(AFI_IPV6)
UNICAST: Final = (IPV4, IPV6)
BITS: Final = {IPV4: 32, IPV6: 128}
"""Length of the longest prefix."""

_LABELS: Final = {IPV4: "ipv4", IPV6: "ipv6"}


def family_of(prefix: str) -> Family:
    """Tell the family of a prefix in canonical text."""
    return IPV6 if ":" in prefix else IPV4
