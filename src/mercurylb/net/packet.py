"""Sockets of one interface: ARP and NDP frames in and out, and solicited-node groups.

Each protocol has its own packet socket with a kernel filter. A socket is made deaf before it is
bound, so nothing from before its first filter is ever read. Multicast groups are joined on ordinary
UDP sockets, because that makes the kernel send the listener reports that snooping switches need.

Before a batch of frames is answered the fence is asked once: what waited while the process stood
still is thrown away.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import socket
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mercurylb.errors import LinkError
from mercurylb.layer2.drop import Drop
from mercurylb.net import bpf

if TYPE_CHECKING:
    from mercurylb.layer2.interface import Interface
    from mercurylb.net.fence import Fence

ARP = 0x0806
IPV6 = 0x86DD
BATCH_MAX = 128
"""Frames answered before the loop looks after others: about 3 ms."""
FRAME_SIZE_MAX = 2048
GROUPS_PER_SOCKET = 64
"""Each membership takes socket memory, of which there is little (`net.core.optmem_max`)."""
RECEIVE_BUFFER_BYTES = 1 << 20
STALE_MAX = 16384
"""Frames thrown away at once: more than the buffer holds of the smallest."""

_SO_ATTACH_FILTER = 26
_SO_DETACH_FILTER = 27

Answer = Callable[[int, bytes], bytes | Drop]
"""Interface index and frame to the reply, or to why there is none."""


class PacketPort:
    """One interface on the wire."""

    def __init__(
        self,
        interface: Interface,
        *,
        answer_arp: Answer,
        answer_ndp: Answer,
        on_claim: Callable[[int, bytes], None],
        fence: Fence,
    ) -> None:
        self.interface = interface
        self._on_claim = on_claim
        self._fence = fence
        self.send_errors = 0
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[int, socket.socket] = {}
        self._groups = _Groups(interface)
        fence.watch(self, self._throw_away)
        try:
            if interface.has_arp:
                self._open(ARP, answer_arp)
            if interface.link_local is not None:
                self._open(IPV6, answer_ndp)
        except OSError as error:
            self.close()
            raise LinkError(interface.name, str(error), errno=error.errno) from error

    def close(self) -> None:
        """Close all sockets, which leaves all groups."""
        self._fence.unwatch(self)
        for sock in self._sockets.values():
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()
        self._groups.close()

    def send(self, frame: bytes) -> None:
        """Send a whole Ethernet frame; what the kernel does not take is counted and lost."""
        sock = self._sockets.get(int.from_bytes(frame[12:14], "big"))
        if sock is None:
            return
        try:
            sock.send(frame)
        except OSError:
            self.send_errors += 1

    def filter(
        self, *, arp: Sequence[bytes], ndp: Sequence[bytes], has_claims: bool = True
    ) -> None:
        """Let the kernel deliver requests for these targets, and claims to them, only."""
        index = self.interface.index
        if ARP in self._sockets:
            program = bpf.arp_filter(arp, interface=index, has_claims=has_claims)
            attach_filter(self._sockets[ARP], program)
        if IPV6 in self._sockets:
            program = bpf.ndp_filter(ndp, interface=index, has_claims=has_claims)
            attach_filter(self._sockets[IPV6], program)

    def join(self, group: bytes) -> None:
        """Become a listener of a multicast group; raise LinkError when the kernel refuses."""
        self._groups.join(group)

    def leave(self, group: bytes) -> None:
        """Stop being a listener of a multicast group."""
        self._groups.leave(group)

    def _throw_away(self) -> int:
        return sum(throw_away(sock) for sock in self._sockets.values())

    def _open(self, ethertype: int, answer: Answer) -> None:
        sock = self._sockets[ethertype] = open_deaf(self.interface.name, ethertype)
        index, fence, claim, on_claim = (
            self.interface.index,
            self._fence,
            Drop.CLAIM,
            self._on_claim,
        )

        def read() -> None:
            if fence.is_stale:
                fence.dropped_count += throw_away(sock)
                return
            receive, send = sock.recv, sock.send
            for _ in range(BATCH_MAX):
                try:
                    frame = receive(FRAME_SIZE_MAX)
                except OSError:  # Nothing more, or the link went down, which netlink tells too.
                    return
                reply = answer(index, frame)
                if reply.__class__ is bytes:
                    try:
                        send(reply)
                    except OSError:
                        self.send_errors += 1
                elif reply is claim:
                    on_claim(index, frame)

        self._loop.add_reader(sock, read)


def open_deaf(interface: str, ethertype: int) -> socket.socket:
    """Return a packet socket that receives nothing until it gets another filter."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        attach_filter(sock, bpf.DROP_ALL)
        sock.bind((interface, ethertype))
    except OSError:
        sock.close()
        raise
    return sock


def throw_away(sock: socket.socket) -> int:
    """Forget what waits in a socket; return how much it was."""
    for count in range(STALE_MAX):
        try:
            sock.recv(1)
        except OSError:
            return count
    return STALE_MAX


class _Groups:
    """IPv6 multicast memberships of one interface, spread over as many sockets as they need."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._sockets: list[tuple[socket.socket, set[bytes]]] = []

    def join(self, group: bytes) -> None:
        try:
            if not self._sockets or len(self._sockets[-1][1]) >= GROUPS_PER_SOCKET:
                self._sockets.append((socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), set()))
            sock, groups = self._sockets[-1]
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, self._request(group))
        except OSError as error:
            raise LinkError(self._interface.name, f"join: {error}", errno=error.errno) from error
        groups.add(group)

    def leave(self, group: bytes) -> None:
        for place, (sock, groups) in enumerate(self._sockets):
            if group not in groups:
                continue
            groups.discard(group)
            if groups:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP, self._request(group))
            else:
                sock.close()
                del self._sockets[place]
            return

    def close(self) -> None:
        for sock, _ in self._sockets:
            sock.close()
        self._sockets.clear()

    def _request(self, group: bytes) -> bytes:
        return group + struct.pack("=I", self._interface.index)


def attach_filter(sock: socket.socket, program: Sequence[bpf.Instruction]) -> None:
    """Attach a filter, replacing the one before without a gap where memory allows."""
    code = ctypes.create_string_buffer(bpf.encode(program))
    argument = struct.pack("HL", len(program), ctypes.addressof(code))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, argument)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, argument)
