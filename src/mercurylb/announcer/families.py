"""Whether this node can announce addresses of both families (pure).

A neighbour advertisement needs a link-local address as its source; an interface without one, on a
node without IPv6, announces IPv4 addresses only. The election does not look at families, as
MetalLB's does not: so such a node may own an IPv6 address, and somebody has to be told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.layer2.interface import NodeInterfaces
    from mercurylb.layer2.responder import OwnedAddresses

TOLD_MAX = 8


def silent_ipv6(owned: Iterable[OwnedAddresses], found: NodeInterfaces) -> tuple[str, ...]:
    """Return IPv6 addresses that this node owns and has no interface for, the first few."""
    if any(each.link_local is not None for each in found.interfaces):
        return ()
    ours = [text for entry in owned for text in entry.addresses if ":" in text]
    return tuple(ours[:TOLD_MAX])
