"""The datagrams of the fast detector."""

from __future__ import annotations

import msgspec
import pytest

from mercurylb.errors import WireError
from mercurylb.membership.fast.codec import (
    DATAGRAM_SIZE_MAX,
    NEVER,
    TAG_SIZE,
    Beat,
    Flag,
    Query,
    Receipt,
    Report,
    Status,
    Verdict,
    decode,
    derive_key,
    encode,
)

KEY = derive_key(b"s")
BEAT = Beat(
    "a", 7, 1, 3, flags=Flag.ASKS, echo_session=9, echo_sequence=4, status=Status.ALIVE,
    status_incarnation=5,
)  # fmt: skip
ALL = [
    BEAT,
    Query("a", 7, 2, 3, accused="c"),
    Report("a", 7, 3, 3, accused="c", heard_age_ms=210, kernel_age_ms=NEVER, refused_age_ms=NEVER),
    Verdict("a", 7, 4, 3, accused="c", accused_incarnation=2, reason="silent", witness_count=1),
    Receipt("a", 7, 5, 3, accused="c", accused_incarnation=2),
]


def test_layout() -> None:
    """Magic, version, a tag if there is a key, and an array that begins with its kind."""
    plain = encode(BEAT, b"", "b")
    assert plain == bytes.fromhex("4d01 9a 01 a161 07 01 03 01 09 04 01 05")
    signed = encode(BEAT, KEY, "b")
    assert signed[:2] == plain[:2]
    assert signed[2 + TAG_SIZE :] == plain[2:]


@pytest.mark.parametrize("key", [b"", KEY], ids=["plain", "signed"])
@pytest.mark.parametrize("datagram", ALL, ids=lambda d: type(d).__name__)
def test_round_trip(datagram: object, key: bytes) -> None:
    """Every kind decodes to itself, signed or not."""
    assert decode(encode(datagram, key, "b"), key, "b") == datagram


def test_later_fields_are_skipped() -> None:
    """A body with more elements than we know is read as far as we know it."""
    body = msgspec.msgpack.decode(encode(BEAT, b"", "b")[2:])
    longer = b"\x4d\x01" + msgspec.msgpack.encode([*body, "new"])
    assert decode(longer, b"", "b") == BEAT


BAD = [
    ("empty", "version", lambda _: b""),
    ("only a head", "truncated", lambda good: good[:2]),
    ("cut off", "signature", lambda good: good[:-1]),
    ("longer", "signature", lambda good: good + b"\x00"),
    ("unsigned", "signature", lambda _: encode(BEAT, b"", "b") + bytes(TAG_SIZE)),
    ("signed with another key", "signature", lambda _: encode(BEAT, derive_key(b"t"), "b")),
    ("meant for another node", "signature", lambda _: encode(BEAT, KEY, "c")),
    ("changed", "signature", lambda good: good[:-1] + bytes((good[-1] ^ 1,))),
    ("another version", "version", lambda good: b"\x4d\x02" + good[2:]),
    ("oversized", "oversized", lambda good: good + bytes(DATAGRAM_SIZE_MAX)),
]


@pytest.mark.parametrize(("reason", "spoil"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_is_not_signed_for_us_is_refused(reason: str, spoil: object) -> None:
    """Everything else is refused, with a word to count by."""
    with pytest.raises(WireError) as caught:
        decode(spoil(encode(BEAT, KEY, "b")), KEY, "b")
    assert caught.value.reason == reason


MALFORMED = [
    ("no array", {"sender": "a"}),
    ("unknown kind", [99, "a", 7, 1, 3]),
    ("too short", [1, "a", 7]),
    ("empty name", [2, "", 7, 1, 3, "c"]),
    ("long name", [2, "n" * 254, 7, 1, 3, "c"]),
    ("negative session", [2, "a", -7, 1, 3, "c"]),
    ("huge sequence", [2, "a", 7, 2**64 - 1, 3, "c"]),
    ("unknown status", [1, "a", 7, 1, 3, 0, 0, 0, 4, 0]),
    ("wrong type", [2, "a", 7, 1, 3, 5]),
    ("age before never", [3, "a", 7, 1, 3, "c", -2, 0, 0]),
]


@pytest.mark.parametrize("body", [m[1] for m in MALFORMED], ids=[m[0] for m in MALFORMED])
def test_what_is_no_datagram_is_refused(body: object) -> None:
    """Fields out of range are refused even with the right signature."""
    with pytest.raises(WireError) as caught:
        decode(b"\x4d\x01" + msgspec.msgpack.encode(body), b"", "b")
    assert caught.value.reason == "malformed"
