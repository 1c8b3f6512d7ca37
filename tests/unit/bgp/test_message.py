"""The header, and the stream taken apart."""

from __future__ import annotations

import pytest

from mercurylb.bgp import message
from mercurylb.bgp.error import BgpError
from mercurylb.bgp.message import KEEPALIVE, Message, MessageSplitter, MessageType

MARKER = "ff" * 16


def taken(octets: bytes, *, has_extended: bool = False, piece: int = 1 << 20) -> list[Message]:
    """Split a stream that comes in pieces."""
    splitter = MessageSplitter()
    splitter.has_extended = has_extended
    messages = []
    for start in range(0, len(octets), piece):
        splitter.feed(octets[start : start + piece])
        while (found := splitter.take()) is not None:
            messages.append(found)
    return messages


@pytest.mark.rule("bgp-native-1.5.keepalive")
def test_a_keepalive_is_the_header_alone() -> None:
    """19 octets."""
    assert KEEPALIVE.hex() == MARKER + "0013" + "04"


@pytest.mark.parametrize("piece", [1, 3, 18, 19, 20, 100, 1 << 20])
def test_messages_are_found_however_the_stream_is_cut(piece: int) -> None:
    """Pieces of any size give the same messages."""
    update = message.encode(MessageType.UPDATE, b"\0\0\0\0" + b"u" * 50)
    stream = KEEPALIVE + update + KEEPALIVE * 2 + update
    assert taken(stream, piece=piece) == [
        Message(4, b""),
        Message(2, update[19:]),
        Message(4, b""),
        Message(4, b""),
        Message(2, update[19:]),
    ]


def test_what_waits_is_less_than_a_message() -> None:
    """The buffer is bounded by what one message may have."""
    splitter = MessageSplitter()
    update = message.encode(MessageType.UPDATE, bytes(4077))
    for start in range(0, 3 * len(update), 1000):
        splitter.feed((update * 3)[start : start + 1000])
        while splitter.take() is not None:
            pass
        assert len(splitter) < len(update)
    assert len(splitter) == 0


HEADERS = [
    pytest.param(
        "ff" * 15 + "fe" + "001304",
        False,
        (1, 1, ""),
        marks=pytest.mark.rule("bgp-native-2.2.marker"),
    ),
    pytest.param("00", False, (1, 1, ""), id="first octet of a marker"),
    *[
        pytest.param(
            MARKER + length + type_,
            False,
            (1, 2, length),
            id=f"length {length} of type {type_}",
            marks=pytest.mark.rule("bgp-native-2.2.length"),
        )
        for length, type_ in [
            ("0000", "02"),
            ("0012", "04"),
            ("0014", "04"),
            ("001c", "01"),
            ("0016", "02"),
            ("0014", "03"),
            ("0012", "05"),
            ("1001", "02"),
            ("ffff", "02"),
            ("0012", "09"),
        ]
    ],
    *[
        pytest.param(
            MARKER + length + type_,
            True,
            (1, 2, length),
            id=f"extended: length {length} of type {type_}",
            marks=pytest.mark.rule("bgp-native-2.2.extended"),
        )
        for length, type_ in [("1001", "01"), ("1001", "04"), ("0016", "02")]
    ],
    *[
        pytest.param(
            MARKER + "0020" + type_,
            False,
            (1, 3, type_),
            id=f"type {type_}",
            marks=pytest.mark.rule("bgp-native-2.2.type"),
        )
        for type_ in ("00", "06", "ff")
    ],
]


@pytest.mark.parametrize(("header", "has_extended", "expected"), HEADERS)
def test_a_wrong_header_ends_the_session(
    header: str, *, has_extended: bool, expected: tuple[int, int, str]
) -> None:
    """At once, and with what RFC 4271 section 6.1 tells the peer."""
    with pytest.raises(BgpError) as caught:
        taken(KEEPALIVE + bytes.fromhex(header), has_extended=has_extended)
    error = caught.value
    assert (error.code, error.subcode, error.data.hex()) == expected


def test_what_stands_before_a_wrong_header_still_counts() -> None:
    """The good messages are given before the error."""
    splitter = MessageSplitter()
    splitter.feed(KEEPALIVE + bytes(19))
    assert splitter.take() == Message(4, b"")
    with pytest.raises(BgpError):
        splitter.take()


@pytest.mark.rule("bgp-native-2.2.extended")
def test_long_messages_come_with_extended_messages_only() -> None:
    """The limit moves while the stream runs."""
    long = message.encode(MessageType.UPDATE, bytes(65535 - 19))
    assert taken(long, has_extended=True) == [Message(2, bytes(65535 - 19))]
    assert taken(long, has_extended=True, piece=1000) == [Message(2, bytes(65535 - 19))]
    with pytest.raises(BgpError):
        taken(long)
