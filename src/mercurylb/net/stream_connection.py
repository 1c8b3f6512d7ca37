"""One TCP connection of the membership: one request and at most one reply.

A connection is *accepted*, then it is the other one's request that we read and answer, or *opened*
for an exchange, then it is the reply that we read. Either has one deadline for everything; a slow
peer gets no more of it than a dead one.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Protocol

from mercurylb.errors import WireError

if TYPE_CHECKING:
    from mercurylb.net.streams import StreamPort

READ_SIZE_BYTES = 65536
READS_MAX = 4
"""Reads of one connection before the loop looks after others."""
LINGER_S = 1.0
"""How long an answered peer may take to close."""


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


class Connection:
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


class Accepted(Connection):
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


class Opened(Connection):
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
