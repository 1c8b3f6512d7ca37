"""Which of a node's links carry layer 2 announcements.

A *link* is what the kernel tells, an *interface* is a link that qualifies. The rules are those of
MetalLB 0.16; that link events are used at once, rather than found by a scan every 10 s, and that a
changed MAC address is noticed, is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable

IFF_UP = 0x1
IFF_BROADCAST = 0x2
IFF_RUNNING = 0x40
IFF_NOARP = 0x80

MAC_SIZE = 6


class Link(msgspec.Struct, frozen=True):
    """A link as the kernel describes it."""

    index: int
    name: str
    flags: int
    mac: bytes
    has_master: bool = False
    """Enslaved to a bridge, a bond or a VRF."""
    link_locals: tuple[bytes, ...] = ()
    """Usable IPv6 link-local addresses, in the order the kernel told them."""
    notices: int = 0
    """How often the kernel asked to tell the neighbours anew where this link is: a bond changed
    its active member, a virtual machine moved."""
    addresses: tuple[tuple[bytes, int], ...] = ()
    """All usable IPv4 and IPv6 addresses with the lengths of their prefixes."""


class Interface(msgspec.Struct, frozen=True):
    """A link on which addresses can be announced."""

    index: int
    name: str
    mac: bytes
    is_running: bool
    """It has a carrier."""
    has_arp: bool
    link_local: bytes | None
    """Source of neighbour advertisements; None where there can be none."""
    notices: int = 0
    """A change means that the neighbours must be told again where the interface is."""


class NodeInterfaces(msgspec.Struct, frozen=True):
    """What layer 2 knows about a node's links."""

    names: tuple[str, ...] = ()
    """Every link that is not excluded, whatever its state, sorted."""
    interfaces: tuple[Interface, ...] = ()
    """Those that can announce, by index."""
    macs: frozenset[bytes] = frozenset()
    """Ethernet addresses of all links, also of those that are excluded or enslaved: what comes
    from one of them comes from this node."""


def select_interfaces(
    links: Iterable[Link], excluded: tuple[re.Pattern[str], ...] = ()
) -> NodeInterfaces:
    """Apply the rules to all links of a node."""
    every = list(links)
    known = [link for link in every if not any(pattern.search(link.name) for pattern in excluded)]
    interfaces = [_interface(link) for link in sorted(known, key=lambda link: link.index)]
    return NodeInterfaces(
        names=tuple(sorted(link.name for link in known)),
        interfaces=tuple(interface for interface in interfaces if interface is not None),
        macs=frozenset(link.mac for link in every if len(link.mac) == MAC_SIZE and any(link.mac)),
    )


def _interface(link: Link) -> Interface | None:
    if not link.flags & IFF_UP or link.has_master or link.flags & IFF_NOARP:
        return None
    if len(link.mac) != MAC_SIZE:
        return None
    has_arp = bool(link.flags & IFF_BROADCAST)
    link_local = link.link_locals[0] if link.link_locals else None
    if not has_arp and link_local is None:
        return None
    return Interface(
        index=link.index,
        name=link.name,
        mac=link.mac,
        is_running=bool(link.flags & IFF_RUNNING),
        has_arp=has_arp,
        link_local=link_local,
        notices=link.notices,
    )
