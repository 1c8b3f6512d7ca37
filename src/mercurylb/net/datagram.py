"""The UDP socket of the membership.

The kernel's error queue (`IP_RECVERR`) is read as well: when another node's kernel says by ICMP
that nobody listens on the membership port, that is told as `on_refused`. Only its own word counts,
not a router's on the way, and no other error counts at all: a network that is unreachable is
silent, and silence is judged elsewhere.
Behind an unread error the kernel refuses the next send, so errors are read before a send is tried
once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
from typing import TYPE_CHECKING

from mercurylb.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH_MAX = 256
DATAGRAM_SIZE_MAX = 65536
BUFFER_BYTES = 2 << 20
"""What hashicorp/memberlist asks for; the kernel gives as much of it as `rmem_max` allows."""
_NETWORK_CONTROL = 0xC0
"""DSCP CS6: what keeps the network running goes first where anybody looks."""

_SO_RCVBUFFORCE = 33
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_ERROR = struct.Struct("=IBBBxII")
"""`struct sock_extended_err`: errno, origin, type, code, information; the offender follows."""
_CONTROL_SIZE = 512
_ORIGIN_ICMP = 2
_ORIGIN_ICMPV6 = 3
_PORT_UNREACHABLE = {(_ORIGIN_ICMP, 3, 3), (_ORIGIN_ICMPV6, 1, 4)}
"""Origin, type and code: RFC 792 and RFC 4443 §3.1."""


class DatagramPort:
    """Send to and receive from one port of all members."""

    def __init__(
        self,
        address: str,
        port: int,
        on_datagram: Callable[[str, int, bytes], None],
        on_refused: Callable[[str], None],
    ) -> None:
        """Bind; raise LinkError when the address or the port cannot be had (now)."""
        self.send_errors = 0
        self.icmp_ignored = 0
        self._port = port
        self._on_datagram = on_datagram
        self._on_refused = on_refused
        self._loop = asyncio.get_running_loop()
        is_ipv6 = ipaddress.ip_address(address).version == 6  # noqa: PLR2004
        self._socket = socket.socket(
            socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM
        )
        self._socket.setblocking(False)
        try:
            if is_ipv6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                self._socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            else:
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            self._socket.bind((address, port))
        except OSError as error:
            self._socket.close()
            raise LinkError(address, f"UDP port {port}: {error}", errno=error.errno) from error
        self._prefer(is_ipv6=is_ipv6)
        self._loop.add_reader(self._socket, self._read)

    def send(self, address: str, payload: bytes, port: int = 0) -> None:
        """Send, to the own port's number when none is given; what is not taken is lost."""
        to = address, port or self._port
        try:
            self._socket.sendto(payload, to)
        except OSError:
            self._read_errors()
            try:
                self._socket.sendto(payload, to)
            except OSError:
                self.send_errors += 1

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _prefer(self, *, is_ipv6: bool) -> None:
        """Ask for a large buffer and a good place in every queue; neither is a must."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
        except OSError:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        level, option = (
            (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)
            if is_ipv6
            else (socket.IPPROTO_IP, socket.IP_TOS)
        )
        with contextlib.suppress(OSError):
            self._socket.setsockopt(level, option, _NETWORK_CONTROL)

    def _read(self) -> None:
        for _ in range(BATCH_MAX):
            try:
                payload, source = self._socket.recvfrom(DATAGRAM_SIZE_MAX)
            except OSError:
                break
            self._on_datagram(source[0].partition("%")[0], source[1], payload)
            if self._socket.fileno() < 0:
                return
        self._read_errors()

    def _read_errors(self) -> None:
        """Empty the error queue: the loop would spin on what is left in it."""
        for _ in range(BATCH_MAX):
            try:
                _, controls, _, to = self._socket.recvmsg(0, _CONTROL_SIZE, socket.MSG_ERRQUEUE)
            except OSError:
                return
            refusing = _refusing_port(controls, to)
            if refusing == self._port:
                # Told later: the one who is sending now must not be called back meanwhile.
                self._loop.call_soon(self._on_refused, to[0].partition("%")[0])
            else:
                self.icmp_ignored += 1


def _refusing_port(controls: list[tuple[int, int, bytes]], to: tuple[str, int]) -> int | None:
    """Return the port of the addressee that its own kernel says nobody listens on."""
    for level, kind, content in controls:
        if (level, kind) == (socket.IPPROTO_IP, _IP_RECVERR):
            family, place = socket.AF_INET, slice(20, 24)
        elif (level, kind) == (socket.IPPROTO_IPV6, _IPV6_RECVERR):
            family, place = socket.AF_INET6, slice(24, 40)
        else:
            continue
        if len(content) < place.stop:
            continue
        _, origin, icmp_type, code, _, _ = _ERROR.unpack_from(content)
        offender = content[place]
        is_own_word = offender == socket.inet_pton(family, to[0].partition("%")[0])
        if (origin, icmp_type, code) in _PORT_UNREACHABLE and is_own_word:
            return to[1]
    return None
