"""Questions for an address, and what a frame says about who has it: ARP and NDP, as bytes.

An ARP question names the asker's own address, so that nothing that anybody knows becomes wrong by
it; an interface without an IPv4 address asks as a probe does (RFC 5227 §2.1.1), from 0.0.0.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.errors import LinkError, WireError
from mercurylb.layer2 import arp, ndp
from mercurylb.layer2.interface import IFF_BROADCAST, IFF_NOARP, IFF_RUNNING, IFF_UP, MAC_SIZE
from mercurylb.net.prober import request, solicitation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mercurylb.layer2.interface import Link

IFF_LOOPBACK: Final = 0x8
IPV4_SIZE: Final = 4
NO_ADDRESS: Final = bytes(IPV4_SIZE)


class Claim(msgspec.Struct, frozen=True):
    """A frame in which somebody says that an address is at a MAC address."""

    target: bytes
    mac: bytes


def question(link: Link, target: bytes) -> bytes | None:
    """Give the frame that asks for an address on a link; None if it cannot be asked there."""
    if len(target) == IPV4_SIZE:
        return _request(link, target) if link.flags & IFF_BROADCAST else None
    source = link.link_locals[0] if link.link_locals else None
    return None if source is None else solicitation(link.mac, source, target, None)


def _request(link: Link, target: bytes) -> bytes:
    own = [address for address, _ in link.addresses if len(address) == IPV4_SIZE]
    near = [
        address
        for address, length in link.addresses
        if len(address) == IPV4_SIZE and is_within(target, address, length)
    ]
    return request(link.mac, (near or own or [NO_ADDRESS])[0], target, None)


def read_claim(frame: bytes) -> Claim | None:
    """Give what a frame claims; None if it is no answer, nor an announcement."""
    try:
        if frame[12:14] == arp.ETHERTYPE:
            packet = arp.decode(frame)
            is_reply = packet.operation == arp.REPLY
            is_announcement = packet.sender_ip == packet.target_ip != NO_ADDRESS
            if is_reply or is_announcement:
                return Claim(packet.sender_ip, packet.sender_mac)
            return None
        advertisement = ndp.decode_advertisement(frame)
    except WireError:
        return None
    mac = advertisement.target_link_layer or advertisement.source_mac
    return Claim(advertisement.target, mac)


def is_within(target: bytes, address: bytes, length: int) -> bool:
    """Tell whether an address is in the network of another one."""
    shift = 8 * len(address) - length
    return len(target) == len(address) and (
        int.from_bytes(target, "big") >> shift == int.from_bytes(address, "big") >> shift
    )


def choose_links(links: Iterable[Link], target: bytes, names: Sequence[str]) -> list[Link]:
    """Give the links to ask on: those named, else those in the target's network, else all.

    Raises LinkError for a name that cannot be asked on.
    """
    every = list(links)
    usable = [link for link in every if is_usable(link)]
    if names:
        found = {link.name: link for link in usable}
        for name in names:
            if name not in found:
                known = ", ".join(sorted(found)) or "none"
                state = "cannot be asked on" if _has(every, name) else "is not there"
                raise LinkError(name, f"the interface {state}; those that can: {known}")
        return [found[name] for name in dict.fromkeys(names)]
    near = [
        link
        for link in usable
        if any(is_within(target, address, length) for address, length in link.addresses)
    ]
    return near or usable


def _has(links: Iterable[Link], name: str) -> bool:
    return any(link.name == name for link in links)


def is_usable(link: Link) -> bool:
    """Tell whether ARP or NDP can be spoken on a link."""
    is_running = link.flags & IFF_UP and link.flags & IFF_RUNNING
    is_mute = link.flags & (IFF_LOOPBACK | IFF_NOARP)
    return bool(is_running and not is_mute and not link.has_master and len(link.mac) == MAC_SIZE)
