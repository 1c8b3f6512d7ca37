"""A raw ICMPv6 socket of one interface, for router advertisements and solicitations.

Only these two types pass its filter; the hop limit is checked here, the content elsewhere.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from typing import TYPE_CHECKING

from mercurylb.errors import LinkError
from mercurylb.net.bfd_port import origin_of
from mercurylb.net.router_message import ADVERTISEMENT, ALL_ROUTERS, HOP_LIMIT, SOLICITATION
from mercurylb.net.tcp_option import NETWORK_CONTROL, bind_to_device

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH_MAX = 16
MESSAGE_SIZE_MAX = 2048

_ICMP6_FILTER = 1
_CONTROL_SIZE = 256


class RouterPort:
    """Send and receive on one interface."""

    def __init__(
        self, interface: str, index: int, on_message: Callable[[int, str, bytes], None]
    ) -> None:
        """Open; raise LinkError when it cannot be (now).

        `on_message` gets the interface's index, the source without its zone, and the message.
        """
        self.send_errors = 0
        self.dropped_count = 0
        """What had come from beyond this link."""
        self._index = index
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        try:
            sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        except OSError as error:
            lacks = error.errno == errno.EPERM
            message = "raw sockets need the capability NET_RAW" if lacks else str(error)
            raise LinkError(interface, message, errno=error.errno) from error
        self._socket = sock
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _passing_filter())
            bind_to_device(sock, interface)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, HOP_LIMIT)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, NETWORK_CONTROL)
            group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("=i", index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        except OSError as error:
            sock.close()
            raise LinkError(interface, str(error), errno=error.errno) from error
        except LinkError:
            sock.close()
            raise
        self._loop.add_reader(sock, self._read)

    def send(self, group: str, octets: bytes) -> None:
        """Send to a group of this link; what is not taken is lost."""
        try:
            self._socket.sendto(octets, (group, 0, 0, self._index))
        except OSError:
            self.send_errors += 1

    def close(self) -> None:
        """Close the socket, which leaves the group."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(BATCH_MAX):
            try:
                octets, controls, _, source = self._socket.recvmsg(MESSAGE_SIZE_MAX, _CONTROL_SIZE)
            except OSError:
                return
            if origin_of(controls).ttl != HOP_LIMIT:
                self.dropped_count += 1
                continue
            self._on_message(self._index, source[0].partition("%")[0], octets)
            if self._socket.fileno() < 0:
                return


def _passing_filter() -> bytes:
    """Return a `struct icmp6_filter`: a bit for each type that is *not* let through."""
    words = [0xFFFFFFFF] * 8
    for kind in (SOLICITATION, ADVERTISEMENT):
        words[kind >> 5] &= ~(1 << (kind & 31))
    return struct.pack("=8I", *words)
