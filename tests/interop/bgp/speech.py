"""BGP messages written by hand, independently of the codec under test; for scripted peers."""

from __future__ import annotations

import ipaddress
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import socket

MARKER: Final = b"\xff" * 16
OPEN, UPDATE, NOTIFICATION, KEEPALIVE, REFRESH = 1, 2, 3, 4, 5
_HEAD: Final = 19


class Message(NamedTuple):
    """A message as it came."""

    kind: int
    body: bytes


def message(kind: int, body: bytes = b"", *, length: int | None = None) -> bytes:
    """Return a message, with a wrong length if that is wanted."""
    size = _HEAD + len(body) if length is None else length
    return MARKER + struct.pack("!HB", size, kind) + body


def capability(code: int, value: bytes = b"") -> bytes:
    """Return one optional parameter with one capability."""
    inner = bytes((code, len(value))) + value
    return bytes((2, len(inner))) + inner


def opening(
    asn: int,
    *,
    hold_s: int = 90,
    router_id: str = "192.0.2.250",
    version: int = 4,
    parameters: bytes | None = None,
) -> bytes:
    """Return an OPEN."""
    if parameters is None:
        parameters = (
            capability(1, b"\0\1\0\1") + capability(2) + capability(65, struct.pack("!I", asn))
        )
    head = struct.pack("!BHH", version, min(asn, 23456) if asn > 65535 else asn, hold_s)
    packed = ipaddress.IPv4Address(router_id).packed
    return message(OPEN, head + packed + bytes((len(parameters),)) + parameters)


def keepalive() -> bytes:
    """Return a KEEPALIVE."""
    return message(KEEPALIVE)


def refresh(afi: int = 1) -> bytes:
    """Return a ROUTE-REFRESH."""
    return message(REFRESH, struct.pack("!HBB", afi, 0, 1))


def attribute(flags: int, code: int, value: bytes) -> bytes:
    """Return a path attribute."""
    return bytes((flags, code, len(value))) + value


def path(asn: int, next_hop: str) -> bytes:
    """Return the attributes that every route has."""
    segment = b"\2\1" + struct.pack("!I", asn)
    hop = ipaddress.IPv4Address(next_hop).packed
    return attribute(0x40, 1, b"\0") + attribute(0x40, 2, segment) + attribute(0x40, 3, hop)


def update(attributes: bytes = b"", nlri: bytes = b"", withdrawn: bytes = b"") -> bytes:
    """Return an UPDATE."""
    body = struct.pack("!H", len(withdrawn)) + withdrawn
    return message(UPDATE, body + struct.pack("!H", len(attributes)) + attributes + nlri)


class Conversation:
    """A connection with a BGP speaker."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""

    def receive(self) -> Message | None:
        """Return the next message; None at the end of the connection."""
        while True:
            if len(self.buffer) >= _HEAD:
                size = int.from_bytes(self.buffer[16:18], "big")
                if len(self.buffer) >= size:
                    whole, self.buffer = self.buffer[:size], self.buffer[size:]
                    return Message(whole[18], whole[_HEAD:])
            try:
                more = self.sock.recv(1 << 16)
            except ConnectionError:
                return None
            if not more:
                return None
            self.buffer += more

    def send(self, *messages: bytes) -> None:
        """Send messages."""
        self.sock.sendall(b"".join(messages))

    def greet(self, asn: int, *, hold_s: int = 90) -> bool:
        """Open a session up to established; False if the other side ended it."""
        self.send(opening(asn, hold_s=hold_s))
        first = self.receive()
        if first is None or first.kind != OPEN:
            return False
        self.send(keepalive())
        second = self.receive()
        return second is not None and second.kind == KEEPALIVE
