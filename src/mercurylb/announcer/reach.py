"""Where peers are, as far as the node's own links tell (pure).

A peer in a subnet of one of our links is *on link*: its BFD session is single hop and bound to that
link (RFC 5881), and both ends of its BGP connection belong to it. A link that is enslaved to a VRF
counts for the peers of a VRF only.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from mercurylb.bgp.effect import Ends

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mercurylb.layer2.interface import Link

_IPV4_SIZE = 4


def link_towards(address: str, links: Iterable[Link], *, vrf: str = "") -> Link | None:
    """Return the link with the longest subnet that an address of another host is in."""
    target = ipaddress.ip_address(address).packed
    found: tuple[int, Link] | None = None
    for link in links:
        if vrf and link.name != vrf and not link.has_master:
            continue
        for own, prefix_len in link.addresses:
            if own == target:
                return None
            is_longer = found is None or prefix_len > found[0]
            if is_longer and is_in_subnet(target, own, prefix_len):
                found = prefix_len, link
    return None if found is None else found[1]


def ends_of(local: str, remote: str, scope: int, links: Sequence[Link]) -> Ends:
    """Return what is known of an open connection; `scope` is of a link-local address, else 0."""
    packed = ipaddress.ip_address(local).packed
    link = next((one for one in links if scope and one.index == scope), None) or next(
        (one for one in links if any(own == packed for own, _ in one.addresses)), None
    )
    if link is None:
        return Ends(local=local, remote=remote, is_on_link=False)
    target = ipaddress.ip_address(remote).packed
    return Ends(
        local=local,
        remote=remote,
        interface=link.name,
        local_ipv4=_first(own for own, _ in link.addresses if len(own) == _IPV4_SIZE),
        local_ipv6=_first(
            own
            for own, _ in link.addresses
            if len(own) != _IPV4_SIZE and own not in link.link_locals
        ),
        link_local=_first(link.link_locals),
        is_on_link=any(is_in_subnet(target, own, length) for own, length in link.addresses),
    )


def is_in_subnet(address: bytes, own: bytes, prefix_len: int) -> bool:
    """Return whether an address is in the subnet of another."""
    if len(address) != len(own):
        return False
    shift = 8 * len(own) - prefix_len
    return int.from_bytes(address, "big") >> shift == int.from_bytes(own, "big") >> shift


def _first(addresses: Iterable[bytes]) -> str:
    return next((str(ipaddress.ip_address(one)) for one in addresses), "")
