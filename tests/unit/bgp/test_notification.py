"""NOTIFICATION in numbers and words."""

from __future__ import annotations

import pytest

from mercurylb.bgp import notification
from mercurylb.bgp.error import BgpError
from mercurylb.bgp.notification import (
    CODES,
    SUBCODES,
    CeaseCode,
    Code,
    FsmCode,
    HeaderCode,
    Notification,
    OpenCode,
    RefreshCode,
    UpdateCode,
)


@pytest.mark.rule("bgp-native-2.6.codes")
@pytest.mark.parametrize(
    ("numbers", "code", "subcode"),
    [
        ((1, 1), Code.HEADER, HeaderCode.NOT_SYNCHRONIZED),
        ((1, 2), Code.HEADER, HeaderCode.BAD_LENGTH),
        ((1, 3), Code.HEADER, HeaderCode.BAD_TYPE),
        ((2, 1), Code.OPEN, OpenCode.VERSION),
        ((2, 2), Code.OPEN, OpenCode.BAD_PEER_AS),
        ((2, 3), Code.OPEN, OpenCode.BAD_IDENTIFIER),
        ((2, 4), Code.OPEN, OpenCode.PARAMETER),
        ((2, 6), Code.OPEN, OpenCode.HOLD_TIME),
        ((2, 7), Code.OPEN, OpenCode.CAPABILITY),
        ((2, 11), Code.OPEN, OpenCode.ROLE_MISMATCH),
        ((3, 1), Code.UPDATE, UpdateCode.ATTRIBUTE_LIST),
        ((3, 2), Code.UPDATE, UpdateCode.UNRECOGNIZED_WELL_KNOWN),
        ((3, 3), Code.UPDATE, UpdateCode.MISSING_WELL_KNOWN),
        ((3, 4), Code.UPDATE, UpdateCode.FLAGS),
        ((3, 5), Code.UPDATE, UpdateCode.LENGTH),
        ((3, 6), Code.UPDATE, UpdateCode.ORIGIN),
        ((3, 8), Code.UPDATE, UpdateCode.NEXT_HOP),
        ((3, 9), Code.UPDATE, UpdateCode.OPTIONAL),
        ((3, 10), Code.UPDATE, UpdateCode.NETWORK),
        ((3, 11), Code.UPDATE, UpdateCode.AS_PATH),
        ((4, 0), Code.HOLD_TIMER, 0),
        ((5, 1), Code.FSM, FsmCode.OPEN_SENT),
        ((5, 2), Code.FSM, FsmCode.OPEN_CONFIRM),
        ((5, 3), Code.FSM, FsmCode.ESTABLISHED),
        ((6, 1), Code.CEASE, CeaseCode.PREFIX_LIMIT),
        ((6, 2), Code.CEASE, CeaseCode.SHUTDOWN),
        ((6, 3), Code.CEASE, CeaseCode.DECONFIGURED),
        ((6, 4), Code.CEASE, CeaseCode.RESET),
        ((6, 5), Code.CEASE, CeaseCode.REJECTED),
        ((6, 6), Code.CEASE, CeaseCode.CONFIGURATION),
        ((6, 7), Code.CEASE, CeaseCode.COLLISION),
        ((6, 8), Code.CEASE, CeaseCode.RESOURCES),
        ((6, 9), Code.CEASE, CeaseCode.HARD_RESET),
        ((6, 10), Code.CEASE, CeaseCode.BFD_DOWN),
        ((7, 1), Code.REFRESH, RefreshCode.LENGTH),
        ((8, 0), Code.SEND_HOLD_TIMER, 0),
    ],
)
def test_codes_are_those_of_the_registry(numbers: tuple[int, int], code: int, subcode: int) -> None:
    """And each has its words."""
    assert (code, subcode) == numbers
    assert code in CODES
    assert not subcode or (code, subcode) in SUBCODES


@pytest.mark.rule("bgp-native-1.4.names")
@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((1, 0), "message header error"),
        ((1, 2), "message header error: bad message length"),
        ((2, 2), "OPEN message error: bad peer AS"),
        ((2, 7), "OPEN message error: unsupported capability"),
        ((3, 11), "UPDATE message error: malformed AS_PATH"),
        ((4, 0), "hold timer expired"),
        ((5, 3), "finite state machine error: unexpected message in state Established"),
        ((6, 4), "cease: administrative reset"),
        ((6, 99), "cease: unknown subcode 99"),
        ((77, 1), "unknown code 77: unknown subcode 1"),
    ],
)
def test_numbers_have_names(numbers: tuple[int, int], words: str) -> None:
    """Unknown ones say so."""
    assert Notification(*numbers).name == words
    assert Notification(*numbers).describe() == f"{words} ({numbers[0]}/{numbers[1]})"


@pytest.mark.parametrize(
    "said",
    [Notification(4), Notification(3, 5, b"\x40\x01\x02\x00\x00"), Notification(200, 7, b"x" * 9)],
)
def test_there_and_back(said: Notification) -> None:
    """What is encoded is decoded."""
    octets = notification.encode(said)
    assert octets[:16] == b"\xff" * 16
    assert octets[16:19] == len(octets).to_bytes(2, "big") + b"\x03"
    assert notification.decode(octets[19:]) == said


def test_data_are_cut_to_the_length_of_a_message() -> None:
    """An attribute of an extended message goes back in part."""
    octets = notification.encode(Notification(3, 5, bytes(60000)))
    assert len(octets) == 4096


def test_one_octet_is_no_notification() -> None:
    """The splitter does not let it through; the decoder does not either."""
    with pytest.raises(BgpError) as caught:
        notification.decode(b"\x06")
    assert (caught.value.code, caught.value.subcode, caught.value.data) == (1, 2, b"\x00\x14")


@pytest.mark.rule("bgp-native-2.6.text")
@pytest.mark.parametrize(
    ("subcode", "text", "data"),
    [
        (CeaseCode.SHUTDOWN, "back at noon", b"\x0cback at noon"),
        (CeaseCode.RESET, "né", b"\x03n\xc3\xa9"),
        (CeaseCode.SHUTDOWN, "", b""),
        (CeaseCode.SHUTDOWN, "a" * 300, b"\xff" + b"a" * 255),
        (CeaseCode.SHUTDOWN, "a" * 254 + "é", b"\xfe" + b"a" * 254),
        (CeaseCode.DECONFIGURED, "not told", b""),
    ],
)
def test_an_administrator_may_write(subcode: CeaseCode, text: str, data: bytes) -> None:
    """Up to 255 octets with a shutdown or reset, never half a letter."""
    assert notification.cease(subcode, text) == Notification(6, subcode, data)


@pytest.mark.rule("bgp-native-2.6.text")
@pytest.mark.parametrize(
    ("said", "text"),
    [
        (Notification(6, 2, b"\x05hello"), "hello"),
        (Notification(6, 4, b"\x05hello and more"), "hello"),
        (Notification(6, 2, b"\x02\xff\xfe"), "\ufffd\ufffd"),
        (Notification(6, 2, b"\x04a\x1b[m"), "a?[m"),
        (Notification(6, 2, b"\x09short"), ""),
        (Notification(6, 2), ""),
        (Notification(6, 3, b"\x05hello"), ""),
        (Notification(3, 2, b"\x05hello"), ""),
    ],
)
def test_the_peer_s_text_is_shown(said: Notification, text: str) -> None:
    """What is no text, or would move a terminal's cursor, does no harm."""
    assert said.text == text


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Notification(6, 2, b"\x05hello"), 'cease: administrative shutdown (6/2): "hello"'),
        (
            Notification(6, 9, b"\x06\x02\x02hi"),
            'cease: hard reset (6/9), cease: administrative shutdown (6/2): "hi"',
        ),
        (Notification(6, 9, b"\x06"), "cease: hard reset (6/9): 06"),
        (Notification(6, 9, b"\x06\x09" * 3), "cease: hard reset (6/9): 060906090609"),
        (
            Notification(2, 1, b"\x00\x04"),
            "OPEN message error: unsupported version number (2/1): 0004",
        ),
        (Notification(4, 0, bytes(65)), f"hold timer expired (4/0): {'00' * 64}..."),
    ],
)
def test_one_line_says_everything(said: Notification, words: str) -> None:
    """Words, numbers, and text or data."""
    assert said.describe() == words


def test_an_error_is_told() -> None:
    """Code, subcode and data are those of the error."""
    error = BgpError(Code.UPDATE, UpdateCode.ORIGIN, "value 3", data=b"\x40\x01\x01\x03")
    assert notification.of(error) == Notification(3, 6, b"\x40\x01\x01\x03")
    assert (str(error), error.reason) == ("value 3", "3/6")
