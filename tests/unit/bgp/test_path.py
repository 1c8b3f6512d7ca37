"""AS_PATH."""

from __future__ import annotations

import pytest

from mercurylb.bgp import path


@pytest.mark.parametrize(
    ("asn", "count", "width", "octets"),
    [
        (65000, 0, 4, ""),
        (65000, 1, 4, "02010000fde8"),
        (65000, 3, 2, "0203fde8fde8fde8"),
        (4200000000, 1, 4, "0201fa56ea00"),
        pytest.param(
            4200000000, 2, 2, "02025ba05ba0", marks=pytest.mark.rule("bgp-native-2.8.narrow")
        ),
        (65536, 1, 2, "02015ba0"),
        (65535, 1, 2, "0201ffff"),
    ],
)
def test_a_path_repeats_one_number(asn: int, count: int, width: int, octets: str) -> None:
    """In as many octets as the peer understands."""
    encoded = path.encode(asn, count, width=width)
    assert encoded.hex() == octets
    assert path.problem(encoded, width=width) == ""


def test_a_segment_holds_255_numbers() -> None:
    """More begin another one."""
    encoded = path.encode(1, 256)
    assert encoded == b"\x02\xff" + b"\0\0\0\1" * 255 + b"\x02\x01\0\0\0\1"
    assert path.numbers(encoded) == (1,) * 256


@pytest.mark.parametrize(
    ("octets", "width", "words"),
    [
        ("", 4, ""),
        ("0101000000010201000000020301000000030401000000040202000000050000000b", 4, ""),
        ("02", 4, "a segment's header is cut off"),
        ("020100000001ff", 4, "a segment's header is cut off"),
        ("000100000001", 4, "segment type 0"),
        ("050100000001", 4, "segment type 5"),
        ("0200", 4, "a segment is empty"),
        ("0202000000010000", 4, "a segment is cut off"),
        ("02010001", 4, "a segment is cut off"),
        ("0202000100020201", 2, "a segment is cut off"),
        pytest.param(
            "020100000000", 4, "AS number 0", marks=pytest.mark.rule("bgp-native-2.8.zero")
        ),
        ("020200010000", 2, "AS number 0"),
        ("0202000100000100ffff", 4, ""),
    ],
)
def test_a_malformed_path_is_found(octets: str, width: int, words: str) -> None:
    """RFC 7606 section 7.2, and AS 0 of RFC 7607."""
    assert path.problem(bytes.fromhex(octets), width=width) == words


def test_as4_path_is_needed_for_large_numbers_only() -> None:
    """And only where the peer cannot read them."""
    assert path.needs_as4(65536, width=2)
    assert not path.needs_as4(65535, width=2)
    assert not path.needs_as4(65536, width=4)


def test_segments_have_types() -> None:
    """All that occur."""
    octets = bytes.fromhex("0101000000010201000000020301000000030401")
    assert path.segments(octets[:18]) == {1, 2, 3}
