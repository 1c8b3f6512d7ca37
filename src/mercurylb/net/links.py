"""The node's links as the kernel tells them: a dump at the start, then every change at once."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from typing import TYPE_CHECKING

from mercurylb.errors import LinkError, WireError
from mercurylb.net.netlink import (
    GET_ADDRESS,
    GET_LINK,
    GROUP_IPV4_ADDRESS,
    GROUP_IPV6_ADDRESS,
    GROUP_LINK,
    DumpDone,
    KernelError,
    LinkTable,
    decode,
    dump_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.layer2.interface import Link

READ_SIZE_BYTES = 65536
READS_MAX = 64
RECEIVE_BUFFER_BYTES = 1 << 20


class LinkWatch:
    """Call `on_links` with all links, once they are known and whenever one changes."""

    def __init__(self, on_links: Callable[[list[Link]], None], *, own: bytes = b"") -> None:
        self._on_links = on_links
        self._own = own
        self._loop = asyncio.get_running_loop()
        self._table = LinkTable(own)
        self._to_ask: list[int] = []
        self._sequence = 0
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            self._socket.bind((0, GROUP_LINK | GROUP_IPV4_ADDRESS | GROUP_IPV6_ADDRESS))
        except OSError as error:
            raise LinkError("netlink", str(error), errno=error.errno) from error
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._read)
        self._ask_for_all()

    def close(self) -> None:
        """Stop watching."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _ask_for_all(self) -> None:
        """Dump links, then addresses; until both are told the old table stays in use."""
        self._fresh = LinkTable(self._own)
        self._to_ask = [GET_ADDRESS, GET_LINK]
        self._ask_next()

    def _ask_next(self) -> None:
        self._sequence += 1
        with contextlib.suppress(OSError):
            self._socket.send(dump_request(self._to_ask[-1], self._sequence))

    def _read(self) -> None:
        is_changed = False
        for _ in range(READS_MAX):
            try:
                received = self._socket.recv(READ_SIZE_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if error.errno == errno.ENOBUFS:  # Events were lost: ask for everything again.
                    self._ask_for_all()
                    continue
                raise LinkError("netlink", str(error), errno=error.errno) from error
            is_changed |= self._take(received)
        if is_changed:
            self._on_links(self._table.links())

    def _take(self, received: bytes) -> bool:
        try:
            events = decode(received)
        except WireError:
            self._ask_for_all()
            return False
        is_changed = False
        for event in events:
            if isinstance(event, DumpDone | KernelError):
                is_changed |= self._dump_ended(event)
                continue
            if self._to_ask:
                self._fresh.apply(event)
            is_changed |= self._table.apply(event)
        return is_changed and not (self._to_ask and self._table is self._fresh)

    def _dump_ended(self, event: DumpDone | KernelError) -> bool:
        """Go on to the next dump; return whether the table is complete now."""
        if not self._to_ask:
            return False
        if isinstance(event, KernelError) or not event.is_complete:
            self._loop.call_later(0.1, self._ask_for_all)
            return False
        self._to_ask.pop()
        if self._to_ask:
            self._ask_next()
            return False
        self._table = self._fresh
        return True
