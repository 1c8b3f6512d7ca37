"""The TCP ports on which BGP peers may call."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

from mercurylb.errors import LinkError
from mercurylb.net.tcp import describe
from mercurylb.net.tcp_option import TcpSettings, add_key, bind_to_device, family_of, set_common

if TYPE_CHECKING:
    from collections.abc import Callable

ACCEPTS_MAX = 8
BACKLOG = 64
FULL_RETRY_S = 0.1
"""When the process has no descriptors left."""

_OUT_OF_PLACE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Listener:
    """Accepts connections to one port, of one family, in one VRF."""

    def __init__(
        self,
        address: str,
        port: int,
        on_accepted: Callable[[socket.socket, str, int], None],
        *,
        device: str = "",
    ) -> None:
        """Bind, and give each connection with its remote address and the scope's index.

        Raises LinkError when the port cannot be had (now).
        """
        family = family_of(address)
        self._on_accepted = on_accepted
        self._loop = asyncio.get_running_loop()
        self._socket = sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bind_to_device(sock, device)
            self.device_index = socket.if_nametoindex(device) if device else 0
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            set_common(sock, family)
            sock.bind((address, port))
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            raise LinkError(f"TCP port {port}", describe(error), errno=error.errno) from error
        except LinkError:
            sock.close()
            raise
        self._loop.add_reader(sock, self._accept)

    @property
    def port(self) -> int:
        """Return the port, also where the kernel chose it."""
        return int(self._socket.getsockname()[1])

    def add_key(self, settings: TcpSettings) -> None:
        """Expect a peer's password from now on; an empty one of TCP MD5 expects none."""
        add_key(self._socket, settings)

    def close(self) -> None:
        """Accept nothing more."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                sock, address = self._socket.accept()
            except OSError as error:
                if error.errno in _OUT_OF_PLACE:
                    self._pause()
                return
            sock.setblocking(False)
            self._on_accepted(
                sock,
                address[0].partition("%")[0],
                address[3] if len(address) > 2 else 0,  # noqa: PLR2004
            )
            if self._socket.fileno() < 0:
                return

    def _pause(self) -> None:
        """Let a listener that cannot accept rest, or the loop would spin on it."""
        self._loop.remove_reader(self._socket)
        self._loop.call_later(FULL_RETRY_S, self._resume)

    def _resume(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept)
