"""Messages between brain and announcer: length-prefixed msgpack on a stream socket pair.

::

    0        4
    | length | msgpack of one message |      length: unsigned, big endian, of the msgpack alone

Both ends are trusted parts of one program, yet a length beyond `MESSAGE_SIZE_MAX` or bytes that are
not the expected message close the channel with a `WireError` rather than fill the memory.

Every message is a whole state, so only the newest matters: a message that has not begun to leave is
replaced by the next one of its type, and a slow reader never makes the writer's memory grow.
"""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from mercurylb.errors import WireError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

MESSAGE_SIZE_MAX = 64 * 1024 * 1024
READ_SIZE_BYTES = 256 * 1024
PENDING_MAX = 64
"""Received messages that wait for `receive`; beyond it the oldest is forgotten."""

_LENGTH_SIZE = 4

T = TypeVar("T")


class FrameSplitter:
    """Cut a byte stream into the messages it carries."""

    def __init__(self, size_max: int = MESSAGE_SIZE_MAX) -> None:
        self._size_max = size_max
        self._buffer = bytearray()

    def feed(self, received: bytes) -> list[bytes]:
        """Return the bodies that are complete now.

        Raises WireError when a length is beyond the bound; the stream is of no use after that.
        """
        self._buffer += received
        bodies: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= _LENGTH_SIZE:
            size = int.from_bytes(self._buffer[start : start + _LENGTH_SIZE], "big")
            if size > self._size_max:
                raise WireError("channel", f"a message of {size} bytes is too long", offset=start)
            end = start + _LENGTH_SIZE + size
            if len(self._buffer) < end:
                break
            bodies.append(bytes(self._buffer[start + _LENGTH_SIZE : end]))
            start = end
        del self._buffer[:start]
        return bodies


def frame(body: bytes) -> bytes:
    """Prefix a message with its length."""
    return len(body).to_bytes(_LENGTH_SIZE, "big") + body


class Channel(Generic[T]):
    """One end of the socket pair, on a running event loop.

    `message_type` is what the other end sends: `plan.desired.Observation` at the brain's end,
    `plan.desired.BrainMessage` at the announcer's.
    Messages go to `on_message` when that is given and wait for `receive` otherwise.
    """

    def __init__(
        self,
        sock: socket.socket,
        message_type: type[T] | object,
        *,
        on_message: Callable[[T], None] | None = None,
        on_closed: Callable[[], None] | None = None,
    ) -> None:
        sock.setblocking(False)
        self.reason = ""
        """Why the channel closed; empty while it is open."""
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(message_type)
        self._encoder = msgspec.msgpack.Encoder()
        self._splitter = FrameSplitter()
        self._received: collections.deque[T] = collections.deque(maxlen=PENDING_MAX)
        self._wakeup = asyncio.Event()
        self._on_message = on_message or self._keep
        self._on_closed = on_closed
        self._leaving = memoryview(b"")
        self._waiting: dict[type, bytes] = {}
        self._loop.add_reader(sock, self._read)

    @property
    def is_closed(self) -> bool:
        """Whether nothing will be received or sent any more."""
        return bool(self.reason)

    def send(self, message: object) -> None:
        """Send a message as soon as the other end takes it; nothing happens when closed."""
        if self.is_closed:
            return
        self._waiting[type(message)] = frame(self._encoder.encode(message))
        if not self._leaving:
            self._write()

    async def receive(self) -> T | None:
        """Return the next message, or None once the channel is closed and drained."""
        while not self._received:
            if self.is_closed:
                return None
            self._wakeup.clear()
            await self._wakeup.wait()
        return self._received.popleft()

    def close(self, reason: str = "closed here") -> None:
        """Stop sending and receiving; repeated calls are harmless."""
        if self.is_closed:
            return
        self.reason = reason
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._wakeup.set()
        if self._on_closed is not None:
            self._on_closed()

    def _keep(self, message: T) -> None:
        self._received.append(message)
        self._wakeup.set()

    def _read(self) -> None:
        try:
            received = self._sock.recv(READ_SIZE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.close(f"read: {error}")
            return
        if not received:
            self.close("the other end is gone")
            return
        try:
            messages = [self._decode(body) for body in self._splitter.feed(received)]
        except WireError as error:
            self.close(str(error))
            return
        for message in messages:
            if not self.is_closed:
                self._on_message(message)

    def _decode(self, body: bytes) -> T:
        try:
            return self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WireError("channel", str(error)) from error

    def _write(self) -> None:
        while True:
            if not self._leaving:
                if not self._waiting:
                    self._loop.remove_writer(self._sock)
                    return
                self._leaving = memoryview(self._waiting.pop(next(iter(self._waiting))))
            try:
                sent_count = self._sock.send(self._leaving)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._sock, self._write)
                return
            except OSError as error:
                self.close(f"write: {error}")
                return
            self._leaving = self._leaving[sent_count:]
