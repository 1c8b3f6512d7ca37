"""Neighbours that behave badly, each a process of its own.

`python -m tests.interop.bgp.hostile SCRIPT --address A --port N [--peer B]`

They listen, and play their script with each connection. What they are told is printed, one JSON
object in a line: `{"event": "notification", "code": 1, "subcode": 2, "data": "hex"}`, and
`{"event": "established" | "closed" | "accepted", ...}`.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import json
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.interop.bgp import speech
from tests.interop.bgp.speech import Conversation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ASN: Final = 64700
HOLD_S: Final = 90
ROUTE_COUNT: Final = 1_000_000
_CHUNK: Final = 800
_MD5SIG: Final = 14
_HOP: Final = "10.90.0.30"


class Malformed(NamedTuple):
    """Octets that are wrong, and what the other side should say to them."""

    octets: bytes
    is_first: bool
    """Sent in place of the OPEN; otherwise in the established session."""
    code: int
    subcode: int
    """Of the NOTIFICATION; code 0: none, the session stays."""


def _attributes(**changed: bytes) -> bytes:
    parts = {
        "origin": speech.attribute(0x40, 1, b"\0"),
        "path": speech.attribute(0x40, 2, b"\2\1" + struct.pack("!I", ASN)),
        "hop": speech.attribute(0x40, 3, ipaddress.IPv4Address(_HOP).packed),
    }
    return b"".join((parts | changed).values())


_NLRI: Final = bytes((24, 198, 51, 100))
_BROKEN_MARKER: Final = b"\xfe" + speech.keepalive()[1:]
MALFORMED: Final[Mapping[str, Malformed]] = {
    "marker": Malformed(_BROKEN_MARKER, False, 1, 1),
    "length too short": Malformed(speech.message(4, length=18), False, 1, 2),
    "length too long": Malformed(speech.message(4, length=4097), False, 1, 2),
    "KEEPALIVE with a body": Malformed(speech.message(4, b"\0"), False, 1, 2),
    "OPEN too short": Malformed(speech.message(1, b"\4\0\1"), True, 1, 2),
    "unknown type": Malformed(speech.message(9), False, 1, 3),
    "version 3": Malformed(speech.opening(ASN, version=3), True, 2, 1),
    "wrong AS": Malformed(speech.opening(64999), True, 2, 2),
    "router id 0": Malformed(speech.opening(ASN, router_id="0.0.0.0"), True, 2, 3),
    "unknown parameter": Malformed(speech.opening(ASN, parameters=b"\x09\x01\0"), True, 2, 4),
    "hold time 1": Malformed(speech.opening(ASN, hold_s=1), True, 2, 6),
    "KEEPALIVE for an OPEN": Malformed(speech.keepalive(), True, 5, 1),
    "UPDATE for an OPEN": Malformed(speech.update(), True, 5, 1),
    "second OPEN": Malformed(speech.opening(ASN), False, 5, 3),
    "attributes overrun": Malformed(
        speech.message(2, b"\0\0" + b"\x40\0" + _attributes()), False, 3, 1
    ),
    "withdrawals overrun": Malformed(speech.message(2, b"\x10\0\0\0"), False, 3, 1),
    "prefix of 33 bits": Malformed(
        speech.update(_attributes(), bytes((33, 198, 51, 100, 0, 0))), False, 3, 10
    ),
    "MP_REACH twice": Malformed(
        speech.update(
            2 * speech.attribute(0x80, 14, b"\0\1\1\4" + bytes((10, 90, 0, 30)) + b"\0" + _NLRI)
            + _attributes(hop=b"")
        ),
        False,
        3,
        1,
    ),
    "ROUTE-REFRESH too short": Malformed(speech.message(5, b"\0\1"), False, 1, 2),
    "origin unknown": Malformed(
        speech.update(_attributes(origin=speech.attribute(0x40, 1, b"\7")), _NLRI), False, 0, 0
    ),
    "origin missing": Malformed(speech.update(_attributes(origin=b""), _NLRI), False, 0, 0),
    "communities of 3 octets": Malformed(
        speech.update(_attributes() + speech.attribute(0xC0, 8, b"\0\1\2"), _NLRI), False, 0, 0
    ),
    "refresh of an unknown family": Malformed(speech.refresh(99), False, 0, 0),
}


def tell(event: str, **fields: object) -> None:
    """Print one line."""
    print(json.dumps({"event": event, **fields}), flush=True)  # noqa: T201


def listen(talk: Conversation) -> None:
    """Take whatever comes until the end, and tell of notifications."""
    while (heard := talk.receive()) is not None:
        if heard.kind == speech.NOTIFICATION:
            code, subcode, data = heard.body[0], heard.body[1], heard.body[2:]
            tell("notification", code=code, subcode=subcode, data=data.hex())
        elif heard.kind == speech.KEEPALIVE:
            with contextlib.suppress(ConnectionError):
                talk.send(speech.keepalive())
    tell("closed")


def malformed(talk: Conversation, case: str) -> None:
    """Say one wrong thing."""
    wrong = MALFORMED[case]
    if wrong.is_first:
        talk.send(wrong.octets)
    elif talk.greet(ASN, hold_s=HOLD_S):
        tell("established")
        talk.send(wrong.octets)
    listen(talk)


def flood(talk: Conversation, _: str) -> None:
    """Say as much as the other side takes."""
    if not talk.greet(ASN, hold_s=HOLD_S):
        return
    tell("established")
    whole = (speech.keepalive() + speech.refresh() + speech.update()) * 500
    talk.sock.setblocking(False)
    while True:
        with contextlib.suppress(BlockingIOError):
            talk.sock.send(whole[: len(whole) // 2 * 2])
        with contextlib.suppress(BlockingIOError):
            if not talk.sock.recv(1 << 20):
                return


def many_routes(talk: Conversation, count: str) -> None:
    """Announce more routes than anybody needs."""
    if not talk.greet(ASN, hold_s=HOLD_S):
        return
    tell("established")
    attributes = speech.path(ASN, _HOP)
    started = time.monotonic()
    first = int(ipaddress.ip_address("11.0.0.0"))
    wanted = int(count or ROUTE_COUNT)
    for begin in range(0, wanted, _CHUNK):
        nlri = b"".join(
            b"\x20" + struct.pack("!I", first + number)
            for number in range(begin, min(begin + _CHUNK, wanted))
        )
        talk.send(speech.update(attributes, nlri))
    tell("announced", took_s=time.monotonic() - started)
    listen(talk)


def slow_reader(talk: Conversation, _: str) -> None:
    """Come up, and never read again; keepalives are sent all the same."""
    talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    if not talk.greet(ASN, hold_s=HOLD_S):
        return
    tell("established")
    with contextlib.suppress(ConnectionError):
        while True:
            talk.send(speech.keepalive())
            time.sleep(0.5)
    tell("closed")


def silent(talk: Conversation, _: str) -> None:
    """Come up, and never say anything again."""
    if talk.greet(ASN, hold_s=HOLD_S):
        tell("established", at=time.monotonic())
    while (heard := talk.receive()) is not None:
        if heard.kind == speech.NOTIFICATION:
            tell("notification", code=heard.body[0], subcode=heard.body[1], data="")
    tell("closed", at=time.monotonic())


def mute(talk: Conversation, _: str) -> None:
    """Take the connection and say nothing at all."""
    tell("accepted", at=time.monotonic())
    while talk.receive() is not None:
        pass
    tell("closed", at=time.monotonic())


def flap(talk: Conversation, _: str) -> None:
    """Come up and go at once."""
    if talk.greet(ASN, hold_s=HOLD_S):
        tell("established")


def drip(talk: Conversation, _: str) -> None:
    """Say everything an octet at a time."""
    for octet in speech.opening(ASN, hold_s=HOLD_S) + speech.keepalive():
        talk.send(bytes((octet,)))
        time.sleep(0.002)
    listen(talk)


SCRIPTS: Final[Mapping[str, Callable[[Conversation, str], None]]] = {
    "malformed": malformed,
    "flood": flood,
    "many-routes": many_routes,
    "slow-reader": slow_reader,
    "silent": silent,
    "mute": mute,
    "flap": flap,
    "drip": drip,
}


def protect(sock: socket.socket, peer: str, key: bytes) -> None:
    """Want a password of a peer."""
    address = struct.pack("=H2x4s120x", socket.AF_INET, ipaddress.IPv4Address(peer).packed)
    option = address + struct.pack("=BBHI80s", 0, 0, len(key), 0, key)
    sock.setsockopt(socket.IPPROTO_TCP, _MD5SIG, option)


def main() -> None:
    """Listen and play."""
    parser = argparse.ArgumentParser()
    parser.add_argument("script", choices=SCRIPTS)
    parser.add_argument("argument", nargs="?", default="")
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--protect-from", default="")
    given = parser.parse_args()
    listener = socket.create_server((given.address, given.port), backlog=64)
    if given.protect_from:
        protect(listener, given.protect_from, b"a password that nobody knows")
    tell("listening")
    while True:
        sock, _ = listener.accept()
        with sock, contextlib.suppress(ConnectionError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            SCRIPTS[given.script](Conversation(sock), given.argument)


if __name__ == "__main__":
    sys.exit(main())
