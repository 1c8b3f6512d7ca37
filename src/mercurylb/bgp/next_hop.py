"""Where the peer is to send packets for our prefixes: an address of this node on its link.

::

    session    prefixes  next hop
    IPv4       IPv4      local address of the connection
    IPv4       IPv6      global IPv6 address of the interface, else the local address mapped
    IPv6       IPv6      local address of the connection
    IPv6       IPv4      IPv4 address of the interface, else the router id
    IPv6       IPv4      as for IPv6 prefixes, where the peer can do that (RFC 8950)

With an IPv6 one goes the link-local address, if the peer is on the link (RFC 2545 section 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.bgp.family import IPV4, IPV6, Family, family_of
from mercurylb.bgp.prefix import encode_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.bgp.effect import Ends

_MAPPED = bytes(10) + b"\xff\xff"
_LINK_LOCAL_NET = 0xFE80
_LINK_LOCAL_BITS = 10


def is_link_local(address: str) -> bool:
    """Tell whether an address means something on one link only."""
    if ":" not in address:
        return False
    octets = encode_address(address)
    shift = 16 - _LINK_LOCAL_BITS
    return int.from_bytes(octets[:2], "big") >> shift == _LINK_LOCAL_NET >> shift


def next_hops(
    ends: Ends, families: Sequence[Family], *, has_extended: bool, router_id: str
) -> tuple[tuple[Family, bytes], ...]:
    """Choose a next hop for each family; `has_extended` if IPv4 prefixes may have one of IPv6."""
    chosen = []
    for family in families:
        if family == IPV6 or (has_extended and family_of(ends.local) == IPV6):
            chosen.append((family, _ipv6(ends)))
        elif family == IPV4:
            chosen.append((family, _ipv4(ends, router_id)))
    return tuple(chosen)


def _ipv4(ends: Ends, router_id: str) -> bytes:
    if family_of(ends.local) == IPV4:
        return encode_address(ends.local)
    return encode_address(ends.local_ipv4 or router_id)


def _ipv6(ends: Ends) -> bytes:
    link_local = ends.link_local
    if is_link_local(ends.local):
        link_local = ends.local
    near = encode_address(link_local) if link_local and ends.is_on_link else b""
    if family_of(ends.local) == IPV4:
        far = ends.local_ipv6
    else:
        far = ends.local_ipv6 if is_link_local(ends.local) else ends.local
    if far:
        return encode_address(far) + near
    if family_of(ends.local) == IPV6:
        return encode_address(ends.local)
    return _MAPPED + encode_address(ends.local) + near
