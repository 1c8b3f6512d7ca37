"""The observers' frames, against RFC 826 and RFC 4861 by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.observe import frames

MAC = "02:00:00:00:00:01"


def test_arp_request_layout() -> None:
    """A question for 10.0.0.2 by 10.0.0.1, byte by byte."""
    assert frames.arp_request(MAC, "10.0.0.1", "10.0.0.2").hex() == (
        "ffffffffffff" + "020000000001" + "0806"
        "0001" + "0800" + "06" + "04" + "0001"
        "020000000001" + "0a000001" + "000000000000" + "0a000002"
    )


def test_neighbour_solicitation_layout() -> None:
    """A question for fd00::2 by fd00::1, byte by byte, checksum included."""
    frame = frames.neighbour_solicitation(MAC, "fd00::1", "fd00::2").hex()
    group = "ff0200000000000000000001ff000002"
    source, target = "fd000000000000000000000000000001", "fd000000000000000000000000000002"
    head = "3333ff000002" + "020000000001" + "86dd" + "60000000" + "0020" + "3a" + "ff"
    assert frame.startswith(head + source + group + "8700")
    assert frame.endswith("00000000" + target + "0101" + "020000000001")


def test_checksum_makes_the_sum_all_ones() -> None:
    """The ones' complement sum over pseudo header and message is 0xffff (RFC 1071)."""
    frame = frames.neighbour_advertisement(MAC, "fd00::1", MAC, "fd00::2")
    body = frame[54:]
    whole = frame[22:54] + len(body).to_bytes(4, "big") + (58).to_bytes(4, "big") + body
    total = sum(int.from_bytes(whole[i : i + 2], "big") for i in range(0, len(whole), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF


@pytest.mark.parametrize(
    ("frame", "kind", "fields"),
    [
        (
            frames.gratuitous_arp(MAC, "10.0.0.1"),
            "arp",
            {"op": "request", "sender_ip": "10.0.0.1", "target_ip": "10.0.0.1"},
        ),
        (
            frames.unsolicited_na(MAC, "fd00::1"),
            "ndp",
            {"op": "NA", "target": "fd00::1", "flags": ["override"], "target_link": MAC},
        ),
        (
            frames.neighbour_advertisement(MAC, "fd00::1", MAC, "fd00::2"),
            "ndp",
            {"op": "NA", "dst": "fd00::2", "flags": ["solicited", "override"]},
        ),
        (b"\0" * 12 + b"\x81\x00\x00\x07" + b"\x08\x06" + b"\0" * 28, "arp", {"vlan": 7}),
        (b"\0" * 12 + b"\x08\x06" + b"\0" * 5, "0x0806", {"truncated": True}),
        (b"\0" * 5, "short", {"bytes": 5}),
    ],
)
def test_decode(frame: bytes, kind: str, fields: dict[str, object]) -> None:
    """What was made is read back, and what cannot be read is told."""
    seen = frames.decode(frame)
    assert seen.kind in (kind, "arp" if "truncated" in fields else kind)
    assert fields.items() <= seen.fields.items()


@given(st.binary(max_size=120), st.sampled_from([0x0806, 0x0800, 0x86DD, 0x8100, 0x9999]))
def test_decode_never_raises(payload: bytes, kind: int) -> None:
    """Garbage on the wire does not end an observer."""
    frames.decode(b"\0" * 12 + kind.to_bytes(2, "big") + payload)
    frames.decode(payload)
