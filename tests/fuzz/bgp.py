"""BGP's decoders: what they are held to, and their seeds."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from mercurylb.bgp import message, notification, opening, pack, refresh
from mercurylb.bgp.attribute import Encoding, RouteAttributes
from mercurylb.bgp.capability import Capabilities, GracefulRestart
from mercurylb.bgp.error import BgpError
from mercurylb.bgp.family import IPV4, IPV6, Family
from mercurylb.bgp.message import HEADER_LENGTH, KEEPALIVE, Message, MessageSplitter, MessageType
from mercurylb.bgp.notification import Notification
from mercurylb.bgp.opening import Open
from mercurylb.bgp.refresh import Refresh, RefreshType
from mercurylb.bgp.rule import UpdateContext
from mercurylb.bgp.update import UpdateChecker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONTEXTS: Final = (
    UpdateContext(frozenset((IPV4, IPV6))),
    UpdateContext(frozenset((IPV4, IPV6)), is_internal=True),
    UpdateContext(frozenset((IPV4,)), has_four_octet_asn=False),
    UpdateContext(frozenset((IPV4, IPV6)), extended_next_hops=frozenset((IPV4,))),
    UpdateContext(frozenset((IPV6,)), is_internal=True, has_four_octet_asn=False),
)


def check_open(received: bytes) -> None:
    """Expect that what decodes is encoded to something that decodes to it."""
    opened = opening.decode(received)
    again = opening.encode(opened)[HEADER_LENGTH:]
    decoded = opening.decode(again)
    assert decoded.capabilities.names() == opened.capabilities.names()
    if len(opened.capabilities.host.encode()) <= 64 >= len(opened.capabilities.domain.encode()):
        assert decoded == opened or not opened.capabilities.host


def check_update(received: bytes) -> None:
    """Check a message in the session that its first octet names, twice with the same outcome."""
    checker = UpdateChecker(CONTEXTS[received[0] % len(CONTEXTS)] if received else CONTEXTS[0])
    body = received[1:]
    first = checker.check(body)
    assert checker.check(body) == first
    assert 0 <= first.announced + first.withdrawn <= len(body)


def check_notification(received: bytes) -> None:
    """Expect one line of words, and the same octets again."""
    said = notification.decode(received)
    assert said.describe().isprintable()
    if len(received) <= message.MAX_LENGTH - HEADER_LENGTH:
        assert notification.encode(said)[HEADER_LENGTH:] == received


def check_refresh(received: bytes) -> None:
    """Expect the same octets again; the first one tells whether the enhanced form is known."""
    said = refresh.decode(received[1:], has_enhanced=bool(received[:1] > b"\x7f"))
    assert refresh.encode(said)[HEADER_LENGTH:] == received[1:]


def check_stream(received: bytes) -> None:
    """Read a stream whole and in pieces (the first octet says of what size) to the same end."""
    has_extended = bool(received[:1] > b"\x7f")
    size = (received[0] & 0x7F) + 1 if received else 1
    stream = received[1:]
    whole = _read(stream, len(stream) or 1, has_extended=has_extended)
    assert _read(stream, size, has_extended=has_extended) == whole
    checker = UpdateChecker(CONTEXTS[0])
    for found in whole[0]:
        with contextlib.suppress(BgpError):
            _DECODERS[found.type](checker, found.body)


_DECODERS: Final[Mapping[int, Callable[[UpdateChecker, bytes], object]]] = {
    MessageType.OPEN: lambda _, body: opening.decode(body),
    MessageType.UPDATE: lambda checker, body: checker.check(body),
    MessageType.NOTIFICATION: lambda _, body: notification.decode(body),
    MessageType.KEEPALIVE: lambda _, body: body,
    MessageType.ROUTE_REFRESH: lambda _, body: refresh.decode(body),
}


def _read(stream: bytes, size: int, *, has_extended: bool) -> tuple[list[Message], str]:
    """Give the messages, and what ended the stream."""
    splitter = MessageSplitter()
    splitter.has_extended = has_extended
    messages: list[Message] = []
    try:
        for start in range(0, len(stream), size):
            splitter.feed(stream[start : start + size])
            while (found := splitter.take()) is not None:
                messages.append(found)
            assert len(splitter) < message.EXTENDED_MAX_LENGTH
    except BgpError as error:
        return messages, error.reason
    return messages, ""


HOP = b"\xc0\x00\x02\x01"
GLOBAL = b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01"
OPENED = Open(
    4200000000,
    90,
    "192.0.2.1",
    Capabilities(
        families=(IPV4, IPV6, Family(25, 65)),
        has_route_refresh=True,
        extended_next_hops=((IPV4, 2),),
        has_extended_message=True,
        role=3,
        graceful_restart=GracefulRestart(120, ((IPV4, True),), is_restarting=True),
        asn=4200000000,
        has_enhanced_refresh=True,
        host="node",
        domain="example",
        unknown=((200, b"\x01"),),
    ),
)
LONG = Open(65000, 0, "192.0.2.2", Capabilities(unknown=((200, bytes(200)),) * 2))


def _update(family: Family, prefixes: tuple[str, ...], encoding: Encoding) -> list[bytes]:
    attributes = RouteAttributes(100, 1, (1, 2), ((1, 2, 3),))
    packings = (
        pack.announcing(family, attributes, encoding),
        pack.withdrawing(family, encoding),
    )
    return [pack.pack(prefixes, 0, packing).octets for packing in packings if packing]


UPDATES: Final = (
    *_update(
        IPV4,
        ("10.0.0.1/32", "10.0.0.0/8"),
        Encoding(65000, is_internal=False, next_hops=((IPV4, HOP),)),
    ),
    *_update(
        IPV6,
        ("2001:db8::1/128",),
        Encoding(65000, is_internal=True, next_hops=((IPV6, GLOBAL * 2),)),
    ),
    *_update(
        IPV4,
        ("10.0.0.1/32",),
        Encoding(70000, is_internal=False, next_hops=((IPV4, GLOBAL),), has_four_octet_asn=False),
    ),
    pack.end_of_rib(IPV4),
    pack.end_of_rib(IPV6),
)
OPENS: Final = tuple(opening.encode(opened)[HEADER_LENGTH:] for opened in (OPENED, LONG))
NOTIFICATIONS: Final = (
    b"\x06\x02\x05hello",
    b"\x06\x09\x06\x02\x02hi",
    b"\x03\x05\x40\x01\x02\x00\x00",
    b"\x04\x00",
)
REFRESHES: Final = (
    b"\x00\x00\x01\x00\x01",
    b"\xff\x00\x02\x01\x01",
)
STREAMS: Final = (
    b"\x05" + opening.encode(OPENED) + KEEPALIVE + b"".join(UPDATES) + KEEPALIVE,
    b"\xff"
    + KEEPALIVE
    + refresh.encode(Refresh(IPV4, RefreshType.BEGIN))
    + message.encode(MessageType.UPDATE, bytes(4) + b"\x18\x0a\x00\x00" * 1100)
    + notification.encode(Notification(6, 2, b"\x05hello")),
)
CHECKED: Final = tuple(
    bytes((index,)) + octets[HEADER_LENGTH:]
    for index, octets in zip((0, 0, 1, 1, 2, 2, 0, 1), UPDATES, strict=True)
)
