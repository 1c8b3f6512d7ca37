"""TCP connections of the membership: one request and at most one reply on each.

A connection is *accepted*, then it is the other one's request that we read and answer, or *opened*
for an exchange, then it is the reply that we read. Either has one deadline for everything; a slow
peer gets no more of it than a dead one.

Everything is bounded: connections in all and by source, exchanges under way and waiting, and the
bytes that unfinished messages make us hold in all. When no place is left, the accepted connection
that has had the most time makes room, so that a peer that opens many and says nothing cannot keep
those out that have something to say. What one message may hold is the decoder's own bound.

Reply and outcome are told from the loop, never from within `exchange`.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import errno
import ipaddress
import socket
from typing import TYPE_CHECKING, Protocol

from mercurylb.errors import LinkError, WireError

if TYPE_CHECKING:
    from collections.abc import Callable

ACCEPTED_MAX = 128
ACCEPTED_PER_SOURCE_MAX = 16
OPENED_MAX = 64
WAITING_MAX = 1024
"""Exchanges that wait for a place; beyond it they fail at once."""
HELD_BYTES_MAX = 8 << 20
"""Bytes of unfinished messages on all connections."""
READ_SIZE_BYTES = 65536
READS_MAX = 4
"""Reads of one connection before the loop looks after others."""
ACCEPTS_MAX = 32
BACKLOG = 128
PATIENCE_S = 0.5
"""An accepted connection is not made to leave before it has had this long."""
LINGER_S = 1.0
"""How long an answered peer may take to close."""
FULL_RETRY_S = 0.1
"""When the process has no descriptors left."""


class Decoder(Protocol):
    """Reads one connection."""

    def feed(self, data: bytes) -> object | None:
        """Return the message once it is whole; raise WireError when it can be none."""

    def refusal(self) -> bytes:
        """Return what the peer is told after `feed` raised."""


class Request(Protocol):
    """What to ask of whom."""

    @property
    def id(self) -> int:
        """Return what names the exchange."""

    @property
    def address(self) -> str:
        """Return the IP address."""

    @property
    def port(self) -> int:
        """Return the port."""

    @property
    def request(self) -> bytes:
        """Return the bytes to send."""

    @property
    def timeout_s(self) -> float:
        """Return how long everything may take."""


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
        self._accepted: dict[_Accepted, None] = {}
        self._by_source: collections.Counter[str] = collections.Counter()
        self._opened: dict[int, _Opened] = {}
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

    def hold(self, connection: _Connection, count: int) -> None:
        """Count bytes of an unfinished message; the one with most of them leaves beyond all."""
        connection.held += count
        self._held_bytes += count
        if self._held_bytes > HELD_BYTES_MAX:
            self.refused["too many bytes held"] += 1
            holders: list[_Connection] = [*self._accepted, *self._opened.values()]
            max(holders, key=lambda one: one.held).fail()

    def release(self, connection: _Connection) -> None:
        """Forget the bytes of a message that is whole, or of a connection that is gone."""
        self._held_bytes -= connection.held
        connection.held = 0

    def forget_accepted(self, connection: _Accepted) -> None:
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
            self._accepted[_Accepted(self, sock, source, self._timeout_s)] = None

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
            self._opened[request.id] = _Opened(self, sock, request, max(0.0, left_s))

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


class _Connection:
    """What both kinds have in common: a socket, bytes to send, a deadline, and one end."""

    def __init__(self, port: StreamPort, sock: socket.socket, timeout_s: float) -> None:
        self.held = 0
        self.began_at = port.loop.time()
        self._port = port
        self._socket = sock
        self._leaving = memoryview(b"")
        self._deadline = port.loop.call_later(timeout_s, self._expire)

    def end(self) -> None:
        """Close the socket; repeated calls are harmless."""
        if self._socket.fileno() < 0:
            return
        self._deadline.cancel()
        self._port.loop.remove_reader(self._socket)
        self._port.loop.remove_writer(self._socket)
        self._socket.close()
        self._port.release(self)

    def fail(self) -> None:
        """End without a result."""
        raise NotImplementedError

    def _expire(self) -> None:
        self._port.refused["too slow"] += 1
        self.fail()

    def _write(self) -> None:
        """Send what is left to be sent; then nothing is ever sent again."""
        try:
            sent_count = self._socket.send(self._leaving)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.fail()
            return
        self._leaving = self._leaving[sent_count:]
        if not self._leaving:
            self._port.loop.remove_writer(self._socket)
            self._written()

    def _written(self) -> None:
        """All has been sent."""

    def _receive(self) -> bytes | None:
        """Return what came, empty at the end of the stream, None for nothing yet."""
        try:
            return self._socket.recv(READ_SIZE_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""


class _Accepted(_Connection):
    """A connection somebody else opened."""

    def __init__(
        self, port: StreamPort, sock: socket.socket, source: str, timeout_s: float
    ) -> None:
        super().__init__(port, sock, timeout_s)
        self.source = source
        self._decoder: Decoder | None = port.make_decoder()
        sock.setblocking(False)
        port.loop.add_reader(sock, self._read)

    def fail(self) -> None:
        """Close; there is nobody to tell."""
        self.end()
        self._port.forget_accepted(self)

    def _read(self) -> None:
        for _ in range(READS_MAX):
            received = self._receive()
            if received is None:
                return
            if not received:
                self._ended()
                return
            if self._decoder is not None:  # Once answered, nothing is read but the end.
                self._take(self._decoder, received)
            if self._socket.fileno() < 0:
                return

    def _ended(self) -> None:
        """Go when the peer has gone, unless a part of the reply is still to be sent."""
        self._port.loop.remove_reader(self._socket)
        if not self._leaving:
            self.fail()

    def _take(self, decoder: Decoder, received: bytes) -> None:
        try:
            message = decoder.feed(received)
        except WireError as error:
            self._port.refused[f"stream {error.reason or 'malformed'}"] += 1
            self._answer(decoder.refusal())
            return
        if message is None:
            self._port.hold(self, len(received))
            return
        self._answer(self._port.on_request(self.source, message) or b"")

    def _answer(self, reply: bytes) -> None:
        """Send the reply, or close when there is none."""
        self._decoder = None
        self._port.release(self)
        if self._socket.fileno() < 0:
            return
        if not reply:
            self.fail()
            return
        self._leaving = memoryview(reply)
        self._port.loop.add_writer(self._socket, self._write)
        self._write()

    def _written(self) -> None:
        """Let the peer read before the socket goes: unread bytes of its would reset it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._deadline.cancel()
        self._deadline = self._port.loop.call_later(LINGER_S, self.fail)


class _Opened(_Connection):
    """A connection of ours."""

    def __init__(
        self, port: StreamPort, sock: socket.socket, request: Request, timeout_s: float
    ) -> None:
        super().__init__(port, sock, timeout_s)
        self._exchange = request.id
        self._decoder = port.make_decoder()
        self._leaving = memoryview(request.request)
        port.loop.add_writer(sock, self._connected)

    def fail(self) -> None:
        """Say that there was no reply."""
        self._settle(None)

    def _connected(self) -> None:
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.fail()
            return
        self._port.loop.add_writer(self._socket, self._write)
        self._port.loop.add_reader(self._socket, self._read)
        self._write()

    def _read(self) -> None:
        for _ in range(READS_MAX):
            received = self._receive()
            if received is None:
                return
            if not received:
                self.fail()
                return
            self._take(received)
            if self._socket.fileno() < 0:
                return

    def _take(self, received: bytes) -> None:
        try:
            message = self._decoder.feed(received)
        except WireError as error:
            self._port.refused[f"stream {error.reason or 'malformed'}"] += 1
            self.fail()
            return
        if message is None:
            self._port.hold(self, len(received))
        else:
            self._settle(message)

    def _settle(self, message: object | None) -> None:
        self.end()
        self._port.settle(self._exchange, message)
