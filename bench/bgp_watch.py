"""Tell when UPDATE messages arrive at a router and when routes enter its kernel; runs inside a lab.

``python -m bench.bgp_watch [--interface eth0] [--seconds S]``

Lines: ``{"t", "from", "announced", "withdrawn"}`` per UPDATE, with prefixes as text, and ``{"t",
"route", "is_gone"}`` per change of the kernel's table.  Moments are the kernel's, on the monotonic
clock.  The messages are taken from the frames themselves, so nothing depends on the programs under
test: segments are put in order by their numbers, and whatever is no BGP is left out.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import select
import signal
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PORT: Final = 179
SECONDS_MAX: Final = 600.0
_SO_TIMESTAMPNS: Final = 35
_SO_RCVBUFFORCE: Final = 33
_STAMP: Final = struct.Struct("qq")
_OUTGOING: Final = 4
_ETH_P_ALL: Final = 3
_ROUTE_GROUPS: Final = 0x40 | 0x400  # IPv4 and IPv6 routes
_NEW_ROUTE, _DEL_ROUTE = 24, 25
_RTA_DST: Final = 1
_HEADER: Final = 19
_UPDATE: Final = 2
_MP_REACH: Final = 14
_MP_UNREACH: Final = 15
_PENDING_MAX: Final = 1 << 22


class Stream:
    """The octets of one direction of a connection, in order."""

    def __init__(self, sequence: int) -> None:
        self._next = sequence
        self._octets = bytearray()

    def feed(self, sequence: int, octets: bytes) -> Iterator[bytes]:
        """Take a segment in; give the UPDATE messages that are whole now."""
        skip = (self._next - sequence) & 0xFFFFFFFF
        if skip >= 1 << 31:  # A segment is missing before this one: begin anew with it.
            self._octets.clear()
            skip = 0
        if skip >= len(octets):
            return
        self._octets += octets[skip:]
        self._next = (sequence + len(octets)) & 0xFFFFFFFF
        yield from self._messages()

    def _messages(self) -> Iterator[bytes]:
        while len(self._octets) >= _HEADER:
            length = int.from_bytes(self._octets[16:18], "big")
            if self._octets[:16] != b"\xff" * 16 or length < _HEADER:
                self._octets.clear()
                return
            if len(self._octets) < length:
                return
            if self._octets[18] == _UPDATE:
                yield bytes(self._octets[_HEADER:length])
            del self._octets[:length]


def prefixes(octets: bytes, size: int) -> list[str]:
    """Read prefixes of addresses of so many octets."""
    found, at = [], 0
    while at < len(octets):
        length = octets[at]
        used = (length + 7) // 8
        packed = octets[at + 1 : at + 1 + used].ljust(size, b"\0")
        found.append(f"{ipaddress.ip_address(packed)}/{length}")
        at += 1 + used
    return found


def update(body: bytes) -> tuple[list[str], list[str]]:
    """Return what an UPDATE announces and what it withdraws."""
    gone_size = int.from_bytes(body[:2], "big")
    withdrawn = prefixes(body[2 : 2 + gone_size], 4)
    at = 2 + gone_size
    end = at + 2 + int.from_bytes(body[at : at + 2], "big")
    announced = prefixes(body[end:], 4)
    at += 2
    while at + 3 <= end:
        flags, kind = body[at], body[at + 1]
        wide = 2 if flags & 0x10 else 1
        size = int.from_bytes(body[at + 2 : at + 2 + wide], "big")
        value = body[at + 2 + wide : at + 2 + wide + size]
        octets = 4 if value[:2] == b"\0\1" else 16
        if kind == _MP_REACH:
            announced += prefixes(value[5 + value[3] :], octets)
        elif kind == _MP_UNREACH:
            withdrawn += prefixes(value[3:], octets)
        at += 2 + wide + size
    return announced, withdrawn


class Watcher:
    """Sees segments of BGP and changes of the kernel's routes."""

    def __init__(self, interface: str) -> None:
        self._frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self._frames.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._frames.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 25)
        self._frames.bind((interface, _ETH_P_ALL))
        self._routes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._routes.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 25)
        self._routes.bind((0, _ROUTE_GROUPS))
        self._streams: dict[tuple[str, int, int], Stream] = {}
        self._offset = time.time() - time.monotonic()

    def run(self, until: float) -> None:
        """Look, and tell."""
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([self._frames, self._routes], [], [], left)
            if self._routes in ready:
                self._take_routes()
            if self._frames in ready:
                self._take_frame()

    def _take_frame(self) -> None:
        frame, extra, _, where = self._frames.recvmsg(70000, 256)
        seconds, nanos = _STAMP.unpack_from(extra[0][2])
        if where[2] == _OUTGOING:
            return
        segment = _segment(frame)
        if segment is None:
            return
        source, ports, sequence, is_first, octets = segment
        key = (source, *ports)
        if is_first:
            self._streams[key] = Stream(sequence + 1)
            return
        stream = self._streams.setdefault(key, Stream(sequence))
        moment = seconds + nanos / 1e9 - self._offset
        for body in stream.feed(sequence, octets):
            announced, withdrawn = update(body)
            tell(t=moment, **{"from": source}, announced=announced, withdrawn=withdrawn)

    def _take_routes(self) -> None:
        raw, now = self._routes.recv(1 << 20), time.monotonic()
        at = 0
        while at + 16 <= len(raw):
            size, kind = struct.unpack_from("=IH", raw, at)
            if kind in (_NEW_ROUTE, _DEL_ROUTE):
                self._take_route(raw[at + 16 : at + size], now, is_gone=kind == _DEL_ROUTE)
            at += max((size + 3) & ~3, 16)

    def _take_route(self, message: bytes, now: float, *, is_gone: bool) -> None:
        length, at = message[1], 12
        while at + 4 <= len(message):
            size, kind = struct.unpack_from("=HH", message, at)
            if kind == _RTA_DST:
                address = ipaddress.ip_address(message[at + 4 : at + size])
                tell(t=now, route=f"{address}/{length}", is_gone=is_gone)
            at += max((size + 3) & ~3, 4)


def _segment(frame: bytes) -> tuple[str, tuple[int, int], int, bool, bytes] | None:
    """Take a TCP segment of BGP out of an IPv4 frame."""
    if frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_TCP:
        return None
    start = 14 + (frame[14] & 0xF) * 4
    whole = 14 + int.from_bytes(frame[16:18], "big")
    source, target, sequence = struct.unpack_from("!HHI", frame, start)
    if PORT not in (source, target):
        return None
    body = frame[start + (frame[start + 12] >> 4) * 4 : whole]
    is_first = bool(frame[start + 13] & 0x02)
    return str(ipaddress.IPv4Address(frame[26:30])), (source, target), sequence, is_first, body


def tell(**line: Any) -> None:  # noqa: ANN401  (JSON)
    """Print one line of JSON."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interface", default="eth0")
    parser.add_argument("--seconds", type=float, default=SECONDS_MAX)
    given = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    watcher = Watcher(given.interface)
    tell(ready=True)
    watcher.run(time.monotonic() + min(given.seconds, SECONDS_MAX))


if __name__ == "__main__":
    main()
