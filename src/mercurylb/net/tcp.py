"""TCP connections of BGP: dialled, read in slices, written without waiting.

Those that peers open are accepted in `net.tcp_listener`.

A connection never calls back from within `send` or `close`, and never after `close`. Its output is
bounded; the machine above sends only as much as is drained, so that bound is met by a defect alone.

What comes in is read in the fair turns of `net.turns`, as much at once as was digested in about
`SLICE_S` the last time: a peer that sends without end makes its slices smaller, and nobody else
wait. While a peer's bytes wait for their turn they stay in the kernel, whose window closes.
"""

from __future__ import annotations

import asyncio
import collections
import errno
import os
import socket
import time
from typing import TYPE_CHECKING

from mercurylb.errors import LinkError
from mercurylb.net.tcp_option import (
    TcpSettings,
    dialling_socket,
    family_of,
    is_link_local,
    set_user_timeout,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.net.turns import Turns

CONNECT_S = 9.5
"""For a connection to be there: a little less than the machine above gives it together with the
exchange of OPEN (spec: bgp-native §1.2), so that it is our words which are told."""
LINGER_S = 1.0
"""How long what was sent last may take to leave, and the peer to close."""
SLICE_S = 0.002
READ_SIZE_MIN_BYTES = 2048
READ_SIZE_MAX_BYTES = 64 * 1024
OUTPUT_MAX_BYTES = 4 << 20
"""Beyond this a connection is given up: nobody sends that much before it is drained."""
LINGER_READ_MAX_BYTES = 1 << 20
"""Thrown away while a connection is being closed."""


class Connection:
    """An open connection."""

    def __init__(
        self,
        sock: socket.socket,
        turns: Turns,
        *,
        on_received: Callable[[bytes], None],
        on_closed: Callable[[str], None],
        on_drained: Callable[[], None],
    ) -> None:
        self._socket = sock
        self._turns = turns
        self._on_received = on_received
        self._on_closed = on_closed
        self._on_drained = on_drained
        self._loop = asyncio.get_running_loop()
        self._leaving: collections.deque[memoryview] = collections.deque()
        self._leaving_bytes = 0
        self._read_size_bytes = READ_SIZE_MIN_BYTES * 4
        self._is_reading = False
        self._is_open = True
        self._is_drain_due = False
        sock.setblocking(False)
        self._loop.add_reader(sock, self._readable)

    def send(self, octets: bytes) -> None:
        """Send; `on_drained` follows when nothing waits any more. Nothing happens once closed."""
        if not self._is_open:
            return
        self._leaving.append(memoryview(octets))
        self._leaving_bytes += len(octets)
        if self._leaving_bytes > OUTPUT_MAX_BYTES:
            self._turns.later(lambda: self._broken("it takes nothing, and too much waits"))
        elif len(self._leaving) == 1:
            self._write()

    def close(self, *, is_silent: bool = False, on_gone: Callable[[], None] | None = None) -> None:
        """End the connection once what was sent has left, or at once; `on_gone` when it is."""
        if not self._is_open:
            if on_gone is not None:
                self._loop.call_soon(on_gone)
            return
        self._is_open = False
        self._loop.remove_reader(self._socket)
        if is_silent:
            self._end()
            if on_gone is not None:
                self._loop.call_soon(on_gone)
        else:
            _Farewell(self._socket, self._leaving, on_gone)

    # --- reading -----------------------------------------------------------------------------

    def _readable(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            self._turns.take(self._read)

    def _read(self) -> None:
        self._is_reading = False
        if not self._is_open:
            return
        try:
            received = self._socket.recv(self._read_size_bytes)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._broken(describe(error))
            return
        if not received:
            self._broken("closed by the peer")
            return
        began_at = time.monotonic()
        self._on_received(received)
        self._adapt(time.monotonic() - began_at, len(received))

    def _adapt(self, took_s: float, size_bytes: int) -> None:
        """Read less at once when the last slice was too long, more when it was short and full."""
        if took_s > SLICE_S:
            self._read_size_bytes = max(READ_SIZE_MIN_BYTES, self._read_size_bytes // 2)
        elif took_s < SLICE_S / 4 and size_bytes == self._read_size_bytes:
            self._read_size_bytes = min(READ_SIZE_MAX_BYTES, self._read_size_bytes * 2)

    # --- writing -----------------------------------------------------------------------------

    def _write(self) -> None:
        try:
            while self._leaving:
                sent_bytes = self._socket.send(self._leaving[0])
                self._leaving_bytes -= sent_bytes
                if sent_bytes < len(self._leaving[0]):
                    self._leaving[0] = self._leaving[0][sent_bytes:]
                else:
                    self._leaving.popleft()
        except (BlockingIOError, InterruptedError):
            self._loop.add_writer(self._socket, self._write)
            return
        except OSError as error:
            self._loop.remove_writer(self._socket)
            reason = describe(error)
            self._turns.later(lambda: self._broken(reason))
            return
        self._loop.remove_writer(self._socket)
        if not self._is_drain_due:
            self._is_drain_due = True
            self._turns.later(self._drained)

    def _drained(self) -> None:
        self._is_drain_due = False
        if self._is_open and not self._leaving:
            self._on_drained()

    # --- the end -----------------------------------------------------------------------------

    def _broken(self, reason: str) -> None:
        if self._is_open:
            self._is_open = False
            self._end()
            self._on_closed(reason)

    def _end(self) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._leaving.clear()


class _Farewell:
    """Let the last bytes leave, then wait a moment for the peer to close.

    A socket that is closed while bytes of the peer are unread resets the connection, and a reset
    takes the last NOTIFICATION with it.
    """

    def __init__(
        self,
        sock: socket.socket,
        leaving: collections.deque[memoryview],
        on_gone: Callable[[], None] | None,
    ) -> None:
        self._socket = sock
        self._leaving = leaving
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._thrown_away_bytes = 0
        self._deadline = self._loop.call_later(LINGER_S, self._end)
        self._loop.add_writer(sock, self._write)
        self._loop.add_reader(sock, self._read)

    def _write(self) -> None:
        try:
            while self._leaving:
                sent_bytes = self._socket.send(self._leaving[0])
                if sent_bytes < len(self._leaving[0]):
                    self._leaving[0] = self._leaving[0][sent_bytes:]
                    return
                self._leaving.popleft()
            self._loop.remove_writer(self._socket)
            self._socket.shutdown(socket.SHUT_WR)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._end()

    def _read(self) -> None:
        try:
            received = self._socket.recv(READ_SIZE_MAX_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._end()
            return
        self._thrown_away_bytes += len(received)
        if not received or self._thrown_away_bytes > LINGER_READ_MAX_BYTES:
            self._end()

    def _end(self) -> None:
        if self._socket.fileno() < 0:
            return
        self._deadline.cancel()
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        if self._on_gone is not None:
            self._on_gone()


class Dial:
    """An attempt to connect; one of the two callbacks follows unless it is given up."""

    def __init__(
        self,
        settings: TcpSettings,
        *,
        on_connected: Callable[[socket.socket], None],
        on_failed: Callable[[str], None],
        timeout_s: float = CONNECT_S,
    ) -> None:
        self._settings = settings
        self._on_connected = on_connected
        self._on_failed = on_failed
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        try:
            sock = dialling_socket(settings)
            self._socket = sock
            sock.connect(_target(settings))
        except (BlockingIOError, InterruptedError):
            pass
        except LinkError as error:
            self._fail_soon(str(error))
            return
        except OSError as error:
            self._fail_soon(describe(error))
            return
        self._loop.add_writer(sock, self._settled)
        self._timer = self._loop.call_later(timeout_s, self._expired)

    def give_up(self) -> None:
        """Forget the attempt; nothing is told any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._socket = None

    def _settled(self) -> None:
        sock = self._socket
        if sock is None:
            return
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == errno.ETIMEDOUT:
            self._expired()
            return
        if code:
            self._fail(describe(OSError(code, os.strerror(code))))
            return
        set_user_timeout(sock, self._settings.user_timeout_ms)
        self._loop.remove_writer(sock)
        self._socket = None
        self.give_up()
        self._on_connected(sock)

    def _expired(self) -> None:
        hint = "does the peer have the same password?"
        if self._settings.password is None and self._settings.authentication is None:
            hint = "is it filtered, or does the peer want a password?"
        self._fail(f"no answer ({hint})")

    def _fail_soon(self, reason: str) -> None:
        self._timer = self._loop.call_later(0, self._fail, reason)

    def _fail(self, reason: str) -> None:
        self.give_up()
        self._on_failed(reason)


def describe(error: OSError) -> str:
    """Say in words what became of a connection."""
    match error.errno:
        case errno.ECONNREFUSED:
            return "connection refused: nobody listens there"
        case errno.ECONNRESET:
            return "connection reset by the peer"
        case errno.ETIMEDOUT:
            return "connection timed out: no acknowledgement from the peer"
        case errno.EHOSTUNREACH:
            return "no route to host, or nobody has that address"
        case errno.ENETUNREACH:
            return "network unreachable"
        case _:
            return os.strerror(error.errno) if error.errno else str(error)


def _target(settings: TcpSettings) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return the address to connect to, which is never a name."""
    if family_of(settings.address) == socket.AF_INET6:
        scope = 0
        if settings.device and is_link_local(settings.address):
            scope = socket.if_nametoindex(settings.device)
        return settings.address, settings.port, 0, scope
    return settings.address, settings.port
