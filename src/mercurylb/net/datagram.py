"""The UDP socket of the membership."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from typing import TYPE_CHECKING

from mercurylb.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH_MAX = 256
DATAGRAM_SIZE_MAX = 65536
BUFFER_BYTES = 1 << 20
_NETWORK_CONTROL = 0xC0
"""DSCP CS6: what keeps the network running goes first where anybody looks."""


class DatagramPort:
    """Send to and receive from one port of all members."""

    def __init__(
        self, address: str, port: int, on_datagram: Callable[[str, int, bytes], None]
    ) -> None:
        """Bind; raise LinkError when the address or the port cannot be had (now)."""
        is_ipv6 = ipaddress.ip_address(address).version == 6  # noqa: PLR2004
        family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
        self.send_errors = 0
        self._port = port
        self._on_datagram = on_datagram
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind((address, port))
        except OSError as error:
            self._socket.close()
            raise LinkError(address, f"port {port}: {error}", errno=error.errno) from error
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            level, option = (
                (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)
                if is_ipv6
                else (socket.IPPROTO_IP, socket.IP_TOS)
            )
            self._socket.setsockopt(level, option, _NETWORK_CONTROL)
        self._loop.add_reader(self._socket, self._read)

    def send(self, address: str, payload: bytes, port: int = 0) -> None:
        """Send, to the own port's number when none is given; what is not taken is lost."""
        try:
            self._socket.sendto(payload, (address, port or self._port))
        except OSError:
            self.send_errors += 1

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(BATCH_MAX):
            try:
                payload, source = self._socket.recvfrom(DATAGRAM_SIZE_MAX)
            except OSError:
                return
            self._on_datagram(source[0].partition("%")[0], source[1], payload)
