"""Asks kernels whether they live: one ARP request or neighbour solicitation, one answer.

A node whose speaker is silent is dead or only ill; its kernel answers for its own address as long
as it runs. The question leaves by the link that has the membership's own address and only to
addresses of that address's subnet; elsewhere there is no common link and no answer.

It goes to the MAC address that answered last, and to all only as long as none has. Both reach a
living node, but a switch that answers broadcast questions from a table of its own (ARP suppression,
proxy ARP) does so for the dead as well; and nobody else is disturbed. A node that lives on under
another MAC address is not silent, so nobody asks for it. Our kernel's neighbour table is not looked
at, because reading it waits for whoever changes the node's links just then.

The socket lets nothing pass but answers to us. It is opened when the links become known, so that
asking costs no more than sending.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING

from mercurylb.errors import WireError
from mercurylb.layer2 import arp, ndp
from mercurylb.layer2.interface import IFF_NOARP, MAC_SIZE
from mercurylb.net.packet import ARP, IPV6, attach_filter, open_deaf

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from mercurylb.layer2.interface import Link
    from mercurylb.net.bpf import Instruction

MACS_MAX = 1024
"""Addresses whose last MAC address is remembered."""
BATCH_MAX = 64
FRAME_SIZE_MAX = 256

_ACCEPT: Instruction = (0x06, 0, 0, 0xFFFF)
_DROP: Instruction = (0x06, 0, 0, 0)
_TO_US: list[Instruction] = [(0x20, 0, 0, 0xFFFFF000 + 4), (0x15, 1, 0, 0), _DROP]
"""Load the packet's type, which is 0 for what is addressed to this host."""
_ARP_REPLIES: list[Instruction] = [
    *_TO_US,
    *[(0x28, 0, 0, 20), (0x15, 1, 0, arp.REPLY), _DROP],
    _ACCEPT,
]
_ADVERTISEMENTS: list[Instruction] = [
    *_TO_US,
    *[(0x30, 0, 0, 20), (0x15, 1, 0, 58), _DROP],
    *[(0x30, 0, 0, 54), (0x15, 1, 0, ndp.ADVERTISEMENT), _DROP],
    _ACCEPT,
]
_TARGET = slice(62, 78)
"""Of a neighbour advertisement, in its frame."""


class KernelProber:
    """Ask kernels on the link of the membership's own address."""

    def __init__(self, own: str, on_answer: Callable[[str], None]) -> None:
        self.send_errors = 0
        self._own = ipaddress.ip_address(own).packed
        self._is_ipv6 = len(self._own) != 4  # noqa: PLR2004
        self._on_answer = on_answer
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._prefix_len = 0
        self._socket: socket.socket | None = None
        self._macs: dict[bytes, bytes] = {}

    @property
    def interface(self) -> str:
        """Return the name of the link that is asked on; empty without one."""
        return "" if self._socket is None or self._link is None else self._link.name

    def on_links(self, links: Sequence[Link]) -> None:
        """Take over the node's links."""
        found = link_of(links, self._own)
        link, prefix_len = found if found is not None else (None, 0)
        self._prefix_len = prefix_len
        before, self._link = self._link, link
        is_same = before is not None and link is not None and before.index == link.index
        if not is_same or self._socket is None:
            self._close_socket()
            if link is not None and _can_ask(link):
                self._open(link)

    def probe(self, address: str) -> None:
        """Ask the kernel of an address; nothing happens where there is no common link."""
        link, sock = self._link, self._socket
        if link is None or sock is None:
            return
        target = ipaddress.ip_address(address).packed
        if not is_in_subnet(target, self._own, self._prefix_len):
            return
        ask = solicitation if self._is_ipv6 else request
        try:
            sock.send(ask(link.mac, self._own, target, self._macs.get(target)))
        except OSError:
            self.send_errors += 1

    def close(self) -> None:
        """Close the socket."""
        self._close_socket()

    def _open(self, link: Link) -> None:
        try:
            sock = self._socket = open_deaf(link.name, IPV6 if self._is_ipv6 else ARP)
        except OSError:  # The link went meanwhile; netlink tells what comes next.
            return
        attach_filter(sock, _ADVERTISEMENTS if self._is_ipv6 else _ARP_REPLIES)
        self._loop.add_reader(sock, self._read)

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _read(self) -> None:
        for _ in range(BATCH_MAX):
            if self._socket is None:
                return
            try:
                frame = self._socket.recv(FRAME_SIZE_MAX)
            except OSError:
                return
            answer = answer_in(frame)
            if answer is not None:
                self._remember(*answer)
                self._on_answer(str(ipaddress.ip_address(answer[0])))

    def _remember(self, address: bytes, mac: bytes) -> None:
        self._macs.pop(address, None)
        self._macs[address] = mac
        if len(self._macs) > MACS_MAX:
            del self._macs[next(iter(self._macs))]


def link_of(links: Sequence[Link], own: bytes) -> tuple[Link, int] | None:
    """Return the link that has an address, and the length of its prefix there."""
    for link in links:
        for address, prefix_len in link.addresses:
            if address == own:
                return link, prefix_len
    return None


def is_in_subnet(target: bytes, own: bytes, prefix_len: int) -> bool:
    """Tell whether an address is another one of our own address's subnet."""
    if len(target) != len(own) or target == own:
        return False
    shift = 8 * len(own) - prefix_len
    return int.from_bytes(target, "big") >> shift == int.from_bytes(own, "big") >> shift


def request(own_mac: bytes, own: bytes, target: bytes, mac: bytes | None) -> bytes:
    """Return an ARP request, to one MAC address or to all."""
    return arp.encode(
        arp.ArpPacket(
            destination=mac or arp.BROADCAST,
            source=own_mac,
            operation=arp.REQUEST,
            sender_mac=own_mac,
            sender_ip=own,
            target_mac=bytes(6),
            target_ip=target,
        )
    )


def solicitation(own_mac: bytes, own: bytes, target: bytes, mac: bytes | None) -> bytes:
    """Return a neighbour solicitation (RFC 4861 §4.3), to one MAC address or to the group."""
    group = ndp.solicited_node_group(target)
    destination = target if mac else group
    body = bytes(4) + target + bytes((ndp.SOURCE_LINK_LAYER, 1)) + own_mac
    head = bytes((ndp.SOLICITATION, 0))
    check = ndp.checksum(own, destination, head + bytes(2) + body)
    message = head + check.to_bytes(2, "big") + body
    ethernet = (mac or b"\x33\x33" + group[12:]) + own_mac + ndp.ETHERTYPE
    ipv6 = b"\x60\x00\x00\x00" + len(message).to_bytes(2, "big") + bytes((58, 255))
    return ethernet + ipv6 + own + destination + message


def answer_in(frame: bytes) -> tuple[bytes, bytes] | None:
    """Return whose answer a frame is, and the MAC address it came from; None if it is none."""
    mac = frame[MAC_SIZE : 2 * MAC_SIZE]
    if frame[12:14] == arp.ETHERTYPE:
        try:
            packet = arp.decode(frame)
        except WireError:
            return None
        return (packet.sender_ip, mac) if packet.operation == arp.REPLY else None
    target = frame[_TARGET]
    is_whole = len(target) == 16 and frame[21] == 255  # noqa: PLR2004 (hop limit: from this link)
    return (target, mac) if is_whole else None


def _can_ask(link: Link) -> bool:
    return len(link.mac) == MAC_SIZE and any(link.mac) and not link.flags & IFF_NOARP
