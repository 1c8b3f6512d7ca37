"""What the watcher of UPDATE messages reads, from octets written by hand."""

from __future__ import annotations

import random

import pytest

from bench.bgp_watch import Stream, update

MARKER = b"\xff" * 16
ORIGIN = bytes.fromhex("400101 00")
V4 = bytes.fromhex("0000 0004") + ORIGIN + bytes.fromhex("20c6336401 18c63364")
GONE = bytes.fromhex("0005 20c6336401 0000")
MP = bytes.fromhex("800e 1a 0002 01 10") + bytes(16) + bytes.fromhex("00 2020010db8")
UNREACH = bytes.fromhex("800f 08 0002 01 2020010db8")


def message(body: bytes, kind: int = 2) -> bytes:
    """Frame a message."""
    return MARKER + (19 + len(body)).to_bytes(2) + bytes([kind]) + body


@pytest.mark.parametrize(
    ("body", "announced", "withdrawn"),
    [
        (V4, ["198.51.100.1/32", "198.51.100.0/24"], []),
        (GONE, [], ["198.51.100.1/32"]),
        (bytes(2) + len(MP).to_bytes(2) + MP, ["2001:db8::/32"], []),
        (bytes(2) + len(UNREACH).to_bytes(2) + UNREACH, [], ["2001:db8::/32"]),
        (bytes(4), [], []),
    ],
)
def test_prefixes_of_an_update(body: bytes, announced: list[str], withdrawn: list[str]) -> None:
    """Both families, announced and withdrawn; an End-of-RIB has none."""
    assert update(body) == (announced, withdrawn)


def test_messages_are_found_whatever_the_segments() -> None:
    """Cut anywhere, and sent twice: every UPDATE is told once, in order; others are left out."""
    whole = message(b"", 4) + message(V4) + message(GONE) + message(b"", 4) + message(V4)
    for seed in range(50):
        chance = random.Random(seed)
        stream, at, found = Stream(2**32 - 20), 0, []
        while at < len(whole):
            size = chance.randint(1, 40)
            segment = whole[at : at + size]
            sequence = (2**32 - 20 + at) % 2**32
            found += stream.feed(sequence, segment)
            if chance.random() < 0.3:
                found += stream.feed(sequence, segment)
            at += size
        assert found == [V4, GONE, V4], seed


def test_what_is_no_bgp_is_left_out() -> None:
    """Octets without a marker make no message and wait for nothing."""
    stream = Stream(0)
    assert list(stream.feed(0, b"x" * 100)) == []
    assert list(stream.feed(100, message(V4))) == [V4]
