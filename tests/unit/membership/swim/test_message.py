"""The messages of memberlist, byte for byte."""

from __future__ import annotations

import msgpack
import pytest

from mercurylb.errors import WireError
from mercurylb.membership.swim import message
from mercurylb.membership.swim.message import (
    VSN,
    Ack,
    Alive,
    Dead,
    ErrorMessage,
    IndirectPing,
    Nack,
    NodeState,
    Ping,
    PushPull,
    State,
    Suspect,
    User,
)

A = bytes((10, 0, 0, 1))
B = bytes((10, 0, 0, 2))
LONG_NAME = "a-" + "node" * 13 + "-z"

WORKED = {
    "ping": (
        Ping(1, "node2", A, 7946, "node1"),
        (
            "00 85 a4 4e6f6465 a5 6e6f646532 a5 5365714e6f 01 aa 536f7572636541646472 a4 0a000001"
            "aa 536f757263654e6f6465 a5 6e6f646531 aa 536f75726365506f7274 cd1f0a"
        ),
    ),
    "ping without source": (Ping(300, "node2"), "0082a44e6f6465a56e6f646532a55365714e6fcd012c"),
    "indirect ping": (
        IndirectPing(70000, B, 7946, "node2", True, A, 7946, "node1"),
        (
            "0188a44e61636bc3a44e6f6465a56e6f646532a4506f7274cd1f0aa55365714e6fce00011170"
            "aa536f7572636541646472a40a000001aa536f757263654e6f6465a56e6f646531"
            "aa536f75726365506f7274cd1f0aa6546172676574a40a000002"
        ),
    ),
    "ack": (Ack(1), "0282a75061796c6f6164c0a55365714e6f01"),
    "nack": (Nack(1), "0b81a55365714e6f01"),
    "suspect": (
        Suspect(2, "node2", "node1"),
        "0383a446726f6da56e6f646531ab496e6361726e6174696f6e02a44e6f6465a56e6f646532",
    ),
    "alive": (
        Alive(1, "node1", A, 7946),
        (
            "0486a441646472a40a000001ab496e6361726e6174696f6e01a44d657461c0a44e6f6465a56e6f646531"
            "a4506f7274cd1f0aa356736ea6010502000000"
        ),
    ),
    "dead": (
        Dead(1, "node1", "node1"),
        "0583a446726f6da56e6f646531ab496e6361726e6174696f6e01a44e6f6465a56e6f646531",
    ),
    "alive, long name, IPv6": (
        Alive(4_000_000_000, LONG_NAME, bytes.fromhex("20010db8000000000000000000000001"), 7946),
        (
            "0486a441646472b020010db8000000000000000000000001ab496e6361726e6174696f6eceee6b2800"
            f"a44d657461c0a44e6f6465da0038{LONG_NAME.encode().hex()}"
            "a4506f7274cd1f0aa356736ea6010502000000"
        ),
    ),
}


@pytest.mark.rule(
    "membership-3.3.examples",
    "membership-3.1.order",
    "membership-3.1.raw",
    "membership-3.1.nil",
    "membership-3.1.numbers",
    "membership-3.2.bodies",
    "membership-3.2.vsn",
    "membership-3.types",
    "membership-2.address",
)
@pytest.mark.parametrize(("said", "hexadecimal"), WORKED.values(), ids=WORKED)
def test_a_worked_example_is_written_and_read_byte_for_byte(
    said: message.Message, hexadecimal: str
) -> None:
    """What the library writes is what we write, and we understand it."""
    packed = bytes.fromhex(hexadecimal)
    assert message.encode(said) == packed
    assert message.decode(packed) == said


@pytest.mark.rule("membership-3.3.examples")
def test_an_error_is_written_byte_for_byte() -> None:
    """Errors travel in connections only; datagrams with one are refused."""
    packed = bytes.fromhex("0d81a54572726f72a4626f6f6d")
    assert message.encode(ErrorMessage("boom")) == packed
    check_refused(packed, "type")


@pytest.mark.rule("membership-4.push-pull")
def test_the_worked_push_pull_is_written_byte_for_byte() -> None:
    """Header and members stand behind one another, user state at the end."""
    nodes = (
        NodeState("node1", A, 7946, b"", 1, State.ALIVE, VSN),
        NodeState("node2", B, 7946, b"", 3, State.SUSPECT, VSN),
    )
    packed = bytes.fromhex(
        "06 83 a44a6f696e c3 a54e6f646573 02 ac5573657253746174654c656e 00"
        "87 a441646472 a40a000001 ab496e6361726e6174696f6e 01 a44d657461 c0 a44e616d65"
        "a56e6f646531 a4506f7274 cd1f0a a55374617465 00 a356736e a6010502000000"
        "87 a441646472 a40a000002 ab496e6361726e6174696f6e 03 a44d657461 c0 a44e616d65"
        "a56e6f646532 a4506f7274 cd1f0a a55374617465 01 a356736e a6010502000000"
    )
    assert message.encode(PushPull(nodes, is_join=True)) == packed


@pytest.mark.rule("membership-3.1.numbers")
@pytest.mark.parametrize(
    ("count", "form"),
    [(127, "7f"), (128, "d10080"), (32767, "d17fff"), (32768, "d200008000")],
)
def test_numbers_that_go_holds_in_an_int_take_signed_forms(count: int, form: str) -> None:
    """The header of a push/pull counts in Go's int."""
    header = message.encode_map(message.Header(0, count, is_join=False))
    assert header.hex().endswith(b"\xacUserStateLen".hex() + form)


@pytest.mark.rule("membership-3.1.numbers")
@pytest.mark.parametrize(
    ("number", "form"),
    [
        (127, "7f"),
        (128, "cc80"),
        (255, "ccff"),
        (256, "cd0100"),
        (65535, "cdffff"),
        (65536, "ce00010000"),
        (4294967295, "ceffffffff"),
    ],
)
def test_unsigned_numbers_take_the_smallest_form(number: int, form: str) -> None:
    """Sequence numbers and incarnations are unsigned."""
    assert message.encode(Nack(number)).hex() == "0b81a55365714e6f" + form


@pytest.mark.rule("membership-3.1.tolerance", "membership-3.1.raw", "membership-3.1.numbers")
@pytest.mark.parametrize(
    "body",
    [
        {"Node": "node2", "Incarnation": 2, "From": "node1"},
        {"Future": [1, {"a": None}], "Node": "node2", "Incarnation": 2, "From": "node1"},
    ],
    ids=["other order", "unknown key"],
)
@pytest.mark.parametrize("use_bin_type", [True, False], ids=["str8", "raw"])
def test_readers_are_tolerant(body: dict[str, object], *, use_bin_type: bool) -> None:
    """Any order, any family of strings, and keys of versions to come are fine."""
    packed = b"\x03" + msgpack.packb(body, use_bin_type=use_bin_type)
    assert message.decode(packed) == Suspect(2, "node2", "node1")


@pytest.mark.rule("membership-3.1.tolerance", "membership-3.1.raw")
def test_bytes_are_read_from_the_bin_family_and_numbers_from_wide_and_signed_forms() -> None:
    """What the library would read we read too."""
    packed = bytes.fromhex("0483 a441646472 c404 0a000001 a44e6f6465 d901 61 a4506f7274 d11f0a")
    assert message.decode(packed) == Alive(0, "a", A, 7946, vsn=b"")
    assert message.decode(bytes.fromhex("0b81a55365714e6fcf0000000000000007")) == Nack(7)


@pytest.mark.rule("membership-3.1.tolerance")
@pytest.mark.parametrize("body", ["80", "82a75061796c6f6164c0a55365714e6fc0"])
def test_missing_and_nil_are_zero(body: str) -> None:
    """A reader fills in what is not said."""
    assert message.decode(bytes.fromhex("02" + body)) == Ack(0, b"")


def test_what_follows_a_map_is_ignored() -> None:
    """The library reads one map and does not look further."""
    assert message.decode(message.encode(Nack(5)) + b"junk") == Nack(5)


def test_a_user_message_is_whatever_follows_its_type() -> None:
    """Nobody looks into it."""
    assert message.decode(b"\x08\xff\xfe") == User(b"\xff\xfe")
    assert message.encode(User(b"\xff\xfe")) == b"\x08\xff\xfe"


def check_refused(packed: bytes, reason: str) -> None:
    """Expect that a message is refused, for this reason."""
    with pytest.raises(WireError) as caught:
        message.decode(packed)
    assert caught.value.reason == reason


@pytest.mark.rule("membership-3.types")
@pytest.mark.parametrize("number", [6, 10, 12, 13, 14, 200, 244, 255])
def test_types_without_business_in_a_datagram_are_refused(number: int) -> None:
    """Push/pull and errors travel in connections; others are unknown, or envelopes."""
    check_refused(bytes((number,)) + b"\x80", "type")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "truncated"),
        (b"\x81", "truncated"),
        (b"\x93\x01\x02\x03", "malformed"),
        (b"\x05", "malformed"),
        (b"\xc1", "malformed"),
        (b"\x81\x01\x02", "malformed"),
        (b"\xdf\xff\xff\xff\xff", "malformed"),
        (b"\x81\xa4Node\xdb\xff\xff\xff\xff", "truncated"),
        (b"\x91" * 2000, "malformed"),
        (b"\x83\xa4Node\xa1a\xa4From\xa1b\xabIncarnation\xff", "field"),
        (b"\x83\xa4Node\xa1a\xa4From\xa1b\xabIncarnation\xcf" + b"\xff" * 8, "field"),
        (b"\x83\xa4Node\xa1a\xa4From\xa1b\xabIncarnation\xca\x00\x00\x00\x00", "field"),
        (b"\x83\xa4Node\xa1a\xa4From\xa1b\xabIncarnation\xc3", "field"),
        (b"\x82\xa4Node\xa1a\xa4From\x05", "field"),
        (b"\x81\xa4From\xa1b", "name"),
    ],
)
def test_a_body_that_is_no_suspicion_is_refused(body: bytes, reason: str) -> None:
    """Wrong types and ranges, maps that are none or pretend to be huge."""
    check_refused(b"\x03" + body, reason)


@pytest.mark.parametrize(
    "name", [b"\xff\xfe", b"a\x00b", b"a\nb", b"\x1b[2J", "\u202eb".encode(), b"n" * 254, b""]
)
def test_odd_names_are_refused(name: bytes) -> None:
    """No name that would garble a log line or is no text gets into the table of members."""
    body = {"Node": name, "Incarnation": 2, "From": b"node1"}
    check_refused(b"\x03" + msgpack.packb(body, use_bin_type=False), "name")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Addr": b"\x0a\x00\x00"}, "field"),
        ({"Addr": b""}, "field"),
        ({"Port": 65536}, "field"),
        ({"Meta": b"m" * 513}, "oversized"),
        ({"Vsn": b"\x01" * 17}, "oversized"),
        ({"Incarnation": 1 << 32}, "field"),
    ],
)
def test_an_announcement_out_of_bounds_is_refused(change: dict[str, object], reason: str) -> None:
    """Addresses are 4 or 16 bytes; metadata has 512 at the most."""
    body = {"Incarnation": 1, "Node": b"a", "Addr": A, "Port": 7946, "Meta": b"", "Vsn": VSN}
    check_refused(b"\x04" + msgpack.packb({**body, **change}, use_bin_type=False), reason)
