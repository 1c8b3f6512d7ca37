"""TCP connections of the membership: who gets a place, and how much all of them may hold.

What happens on one connection is in `net.stream_connection`.

Everything is bounded: connections in all and by source, exchanges under way and waiting, and the
bytes that unfinished messages make us hold in all. When no place is left, the accepted connection
that has had the most time makes room, so that a peer that opens many and says nothing cannot keep
those out that have something to say. What one message may hold is the decoder's own bound.

Reply and outcome are told from the loop, never from within `exchange`.
"""

from __future__ import annotations

import asyncio
import collections
import errno
import ipaddress
import socket
from typing import TYPE_CHECKING

from mercurylb.errors import LinkError
from mercurylb.net.stream_connection import Accepted, Opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.net.stream_connection import Connection, Decoder, Request

ACCEPTED_MAX = 128
ACCEPTED_PER_SOURCE_MAX = 16
OPENED_MAX = 64
WAITING_MAX = 1024
"""Exchanges that wait for a place; beyond it they fail at once."""
HELD_BYTES_MAX = 8 << 20
"""Bytes of unfinished messages on all connections."""
ACCEPTS_MAX = 32
BACKLOG = 128
PATIENCE_S = 0.5
"""An accepted connection is not made to leave before it has had this long."""
FULL_RETRY_S = 0.1
"""When the process has no descriptors left."""


class StreamPort:
    """Listen on the membership's address, and ask others."""

    def __init__(  # noqa: PLR0913 (what a listener and an asker need)
        self,
        address: str,
        port: int,
        *,
        make_decoder: Callable[[], Decoder],
        on_request: Callable[[str, object], bytes | None],
        on_reply: Callable[[int, object | None], None],
        timeout_s: float,
    ) -> None:
        """Bind and listen; raise LinkError when the address or the port cannot be had (now)."""
        self.refused: collections.Counter[str] = collections.Counter()
        """Connections that came to nothing, by reason."""
        self.make_decoder = make_decoder
        self.on_request = on_request
        self.loop = asyncio.get_running_loop()
        self._on_reply = on_reply
        self._timeout_s = timeout_s
        self._port = port
        self._accepted: dict[Accepted, None] = {}
        self._by_source: collections.Counter[str] = collections.Counter()
        self._opened: dict[int, Opened] = {}
        self._waiting: collections.deque[tuple[Request, float]] = collections.deque()
        self._held_bytes = 0
        self._source = address
        is_ipv6 = ipaddress.ip_address(address).version == 6  # noqa: PLR2004
        self._family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
        self._listener = socket.socket(self._family, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if is_ipv6:
                self._listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._listener.bind((address, port))
            self._listener.listen(BACKLOG)
        except OSError as error:
            self._listener.close()
            raise LinkError(address, f"TCP port {port}: {error}", errno=error.errno) from error
        self.loop.add_reader(self._listener, self._accept)

    @property
    def open_count(self) -> int:
        """Return how many connections are open."""
        return len(self._accepted) + len(self._opened)

    @property
    def held_bytes(self) -> int:
        """Return how much of unfinished messages is held."""
        return self._held_bytes

    def exchange(self, request: Request) -> None:
        """Ask; the outcome is told by `on_reply`, soon when there is no place for it."""
        if len(self._waiting) >= WAITING_MAX:
            self.refused["too many exchanges"] += 1
            self.loop.call_soon(self._on_reply, request.id, None)
            return
        self._waiting.append((request, self.loop.time() + request.timeout_s))
        self.loop.call_soon(self._open_next)

    def close(self) -> None:
        """Close everything; no outcome is told any more."""
        self._waiting.clear()
        self.loop.remove_reader(self._listener)
        self._listener.close()
        for connection in [*self._accepted, *self._opened.values()]:
            connection.end()
        self._accepted.clear()
        self._opened.clear()

    # --- what connections tell ---------------------------------------------------------------

    def hold(self, connection: Connection, count: int) -> None:
        """Count bytes of an unfinished message; the one with most of them leaves beyond all."""
        connection.held += count
        self._held_bytes += count
        if self._held_bytes > HELD_BYTES_MAX:
            self.refused["too many bytes held"] += 1
            holders: list[Connection] = [*self._accepted, *self._opened.values()]
            max(holders, key=lambda one: one.held).fail()

    def release(self, connection: Connection) -> None:
        """Forget the bytes of a message that is whole, or of a connection that is gone."""
        self._held_bytes -= connection.held
        connection.held = 0

    def forget_accepted(self, connection: Accepted) -> None:
        """Give the place of an accepted connection to others."""
        self._accepted.pop(connection, None)
        self._by_source[connection.source] -= 1
        if self._by_source[connection.source] <= 0:
            del self._by_source[connection.source]

    def settle(self, exchange: int, message: object | None) -> None:
        """Tell the outcome of an exchange once, and give its place to the next."""
        if self._opened.pop(exchange, None) is not None:
            self.loop.call_soon(self._on_reply, exchange, message)
            self.loop.call_soon(self._open_next)

    # --- connections -------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                sock, (source, *_) = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    self._pause()
                return
            source = source.partition("%")[0]
            if not self._make_room(source):
                sock.close()
                continue
            self._by_source[source] += 1
            self._accepted[Accepted(self, sock, source, self._timeout_s)] = None

    def _make_room(self, source: str) -> bool:
        if self._by_source[source] >= ACCEPTED_PER_SOURCE_MAX:
            self.refused["too many connections of one source"] += 1
            return False
        if len(self._accepted) < ACCEPTED_MAX:
            return True
        self.refused["too many connections"] += 1
        oldest = next(iter(self._accepted))
        if self.loop.time() - oldest.began_at < PATIENCE_S:
            return False
        oldest.fail()
        return True

    def _pause(self) -> None:
        """Let a listener that cannot accept rest, or the loop would spin on it."""
        self.refused["no descriptors"] += 1
        self.loop.remove_reader(self._listener)
        self.loop.call_later(FULL_RETRY_S, self._resume)

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self.loop.add_reader(self._listener, self._accept)

    def _open_next(self) -> None:
        while self._waiting and len(self._opened) < OPENED_MAX:
            request, until = self._waiting.popleft()
            left_s = until - self.loop.time()
            try:
                sock = self._connecting(request)
            except OSError:
                self.loop.call_soon(self._on_reply, request.id, None)
                continue
            self._opened[request.id] = Opened(self, sock, request, max(0.0, left_s))

    def _connecting(self, request: Request) -> socket.socket:
        """Begin to connect; raise OSError when that fails at once."""
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.bind((self._source, 0))
            sock.connect((request.address, request.port or self._port))
        except (BlockingIOError, InterruptedError):
            return sock
        except (OSError, OverflowError) as error:
            sock.close()
            raise OSError(str(error)) from error
        return sock
