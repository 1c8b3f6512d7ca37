"""OPEN."""

from __future__ import annotations

import pytest

from mercurylb.bgp import opening
from mercurylb.bgp.capability import Capabilities
from mercurylb.bgp.error import BgpError
from mercurylb.bgp.family import IPV4, IPV6
from mercurylb.bgp.opening import Expectation, Open

HEADER = "ff" * 16
FIXED = "04" + "fde9" + "00b4" + "b9ecf040"
"""Version 4, AS 65001, 180 s, 185.236.240.64."""
MANY = Capabilities(unknown=tuple((200, bytes(100)) for _ in range(3)))


@pytest.mark.rule("bgp-native-1.2.open-sent")
@pytest.mark.parametrize(
    ("opened", "octets"),
    [
        (
            Open(65002, 90, "185.236.240.39", Capabilities(families=(IPV4, IPV6), asn=65002)),
            "003101" + "04fdea005ab9ecf027" + "14" + "0212"
            "010400010001" + "010400020001" + "41040000fdea",
        ),
        pytest.param(
            Open(4200000000, 0, "192.0.2.1", Capabilities(asn=4200000000)),
            "002501" + "045ba00000c0000201" + "08" + "0206" + "4104fa56ea00",
            marks=pytest.mark.rule("bgp-native-2.8.open"),
        ),
        pytest.param(
            Open(65001, 180, "185.236.240.64"),
            "001d01" + FIXED + "00",
            marks=pytest.mark.rule("bgp-native-1.2.open-short"),
        ),
    ],
)
def test_there_and_back(opened: Open, octets: str) -> None:
    """The first one is a message of the original."""
    encoded = opening.encode(opened)
    assert encoded.hex() == HEADER + octets
    assert opening.decode(encoded[19:]) == opened


@pytest.mark.rule("bgp-native-1.2.open-asn", "bgp-native-2.3.layout")
def test_a_message_that_the_original_accepts() -> None:
    """Several parameters, and unknown capabilities."""
    body = bytes.fromhex(FIXED + "0e" + "020c" + "0104000100010200" + "40020078")
    opened = opening.decode(body)
    assert (opened.asn, opened.hold_time_s, opened.router_id) == (65001, 180, "185.236.240.64")
    assert opened.capabilities.families == (IPV4,)
    assert opened.capabilities.asn is None
    split = bytes.fromhex(
        FIXED + "12" + "0206010400010001" + "0202c800" + "02040202ffff"[:0] + "0204c8020102"
    )
    assert opening.decode(split).capabilities.unknown == ((200, b""), (200, b"\x01\x02"))


@pytest.mark.rule("bgp-native-1.2.open-asn")
def test_the_four_octet_number_is_the_true_one() -> None:
    """Whatever the header says."""
    body = bytes.fromhex("045ba0005ac0000201" + "08" + "0206" + "4104fa56ea00")
    assert opening.decode(body).asn == 4200000000


@pytest.mark.rule("bgp-native-1.6.vectors")
def test_the_original_s_round_trip() -> None:
    """Hold time 4 s, AS 12345."""
    opened = Open(12345, 4, "1.2.3.4", Capabilities(families=(IPV4, IPV6), asn=12345))
    assert opening.decode(opening.encode(opened)[19:]) == opened


@pytest.mark.rule("bgp-native-2.3.parameters-extended")
@pytest.mark.parametrize("count", [126, 127, 128, 400])
def test_many_capabilities_need_the_extended_form(count: int) -> None:
    """From 255 octets on (RFC 9072)."""
    opened = Open(1, 90, "192.0.2.1", Capabilities(unknown=((200, b""),) * count))
    encoded = opening.encode(opened)
    size = 2 * count
    if count <= 126:
        expected = bytes((size + 2, 2, size))
    else:
        expected = b"\xff\xff" + (size + 3).to_bytes(2, "big") + b"\x02" + size.to_bytes(2, "big")
    assert encoded[28 : 28 + len(expected)] == expected
    assert opening.decode(encoded[19:]) == opened


@pytest.mark.rule("bgp-native-2.3.parameters-extended")
def test_the_extended_form_may_be_used_for_few() -> None:
    """RFC 9072 section 2: a receiver must take it."""
    body = bytes.fromhex(FIXED + "ffff" + "0009" + "020006" + "010400010001")
    assert opening.decode(body).capabilities.families == (IPV4,)


def test_255_octets_in_the_plain_form() -> None:
    """The first type is 2, so that this is no extended form."""
    value = "c8fb" + "00" * 251
    body = bytes.fromhex(FIXED + "ff" + "02fd" + value)
    assert opening.decode(body).capabilities.unknown == ((200, bytes(251)),)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            "03" + FIXED[2:] + "00",
            (2, 1, "0004"),
            marks=pytest.mark.rule("bgp-native-2.3.version"),
        ),
        pytest.param(
            "05" + FIXED[2:] + "00",
            (2, 1, "0004"),
            marks=pytest.mark.rule("bgp-native-2.3.version"),
        ),
        pytest.param(
            "04000000b4b9ecf04000",
            (2, 2, ""),
            marks=pytest.mark.rule("bgp-native-2.3.peer-as", "bgp-native-2.8.zero"),
        ),
        pytest.param(
            FIXED + "08" + "0206" + "410400000000",
            (2, 2, ""),
            marks=pytest.mark.rule("bgp-native-2.8.zero"),
        ),
        pytest.param(
            "04fde900b40000000000", (2, 3, ""), marks=pytest.mark.rule("bgp-native-2.3.identifier")
        ),
        pytest.param(
            FIXED + "03" + "010100", (2, 4, ""), marks=pytest.mark.rule("bgp-native-2.3.parameter")
        ),
        pytest.param(
            "04fde90001b9ecf04000", (2, 6, ""), marks=pytest.mark.rule("bgp-native-2.3.hold-time")
        ),
        pytest.param(
            "04fde90002b9ecf04000", (2, 6, ""), marks=pytest.mark.rule("bgp-native-2.3.hold-time")
        ),
        pytest.param(
            FIXED + "05" + "0203" + "020100",
            (2, 7, "020100"),
            marks=pytest.mark.rule("bgp-native-2.3.capability"),
        ),
        ("04fde9", (1, 2, "0016")),
        *[
            pytest.param(
                FIXED + rest, (2, 0, ""), marks=pytest.mark.rule("bgp-native-1.2.open-received")
            )
            for rest in [
                "01",
                "0000",
                "02" + "0201",
                "01" + "02",
                "04" + "0200" + "0206",
                "ff",
                "ffff",
                "ffff00",
                "ffff0001",
                "ffff0002" + "0200",
                "ffff0003" + "020001",
                "ffff0003" + "020000" + "00",
            ]
        ],
    ],
)
def test_a_wrong_open_is_refused(body: str, expected: tuple[int, int, str]) -> None:
    """With the code of RFC 4271 section 6.2."""
    with pytest.raises(BgpError) as caught:
        opening.decode(bytes.fromhex(body))
    error = caught.value
    assert (error.code, error.subcode, error.data.hex()) == expected


@pytest.mark.parametrize("hold_time_s", [0, 3, 65535])
def test_other_hold_times_are_right(hold_time_s: int) -> None:
    """0 is none."""
    body = bytes.fromhex("04fde9") + hold_time_s.to_bytes(2, "big") + bytes.fromhex("b9ecf04000")
    assert opening.decode(body).hold_time_s == hold_time_s


EXPECTED = Expectation(65000, "192.0.2.1", peer_asn=65001)


@pytest.mark.parametrize(
    ("opened", "expected"),
    [
        (Open(65001, 90, "192.0.2.2"), EXPECTED),
        (Open(65001, 90, "192.0.2.1"), EXPECTED),
        (Open(65000, 90, "192.0.2.2"), Expectation(65000, "192.0.2.1", dynamic_asn="internal")),
        (Open(64999, 90, "192.0.2.2"), Expectation(65000, "192.0.2.1", dynamic_asn="external")),
        (Open(65001, 90, "192.0.2.2", Capabilities(role=3)), EXPECTED),
        *[
            (
                Open(65001, 90, "192.0.2.2", Capabilities(role=theirs)),
                Expectation(65000, "192.0.2.1", peer_asn=65001, role=ours),
            )
            for ours, theirs in [(0, 3), (3, 0), (1, 2), (2, 1), (4, 4), (0, None)]
        ],
    ],
)
def test_the_peer_that_was_meant(opened: Open, expected: Expectation) -> None:
    """Nothing is raised."""
    opening.check(opened, expected)


INTERNAL = Expectation(65000, "192.0.2.1", dynamic_asn="internal")
EXTERNAL = Expectation(65000, "192.0.2.1", dynamic_asn="external")


@pytest.mark.parametrize(
    ("opened", "expected", "numbers", "words"),
    [
        pytest.param(
            Open(65002, 90, "192.0.2.2"),
            EXPECTED,
            (2, 2),
            "unexpected peer ASN 65002, want 65001",
            marks=pytest.mark.rule("bgp-native-1.2.open-peer", "bgp-native-2.3.peer-as"),
        ),
        pytest.param(
            Open(65001, 90, "192.0.2.2"),
            INTERNAL,
            (2, 2),
            "unexpected peer ASN 65001, want internal",
            marks=pytest.mark.rule("bgp-native-2.1.dynamic-asn"),
        ),
        pytest.param(
            Open(65000, 90, "192.0.2.2"),
            EXTERNAL,
            (2, 2),
            "unexpected peer ASN 65000, want external",
            marks=pytest.mark.rule("bgp-native-2.1.dynamic-asn"),
        ),
        pytest.param(
            Open(65000, 90, "192.0.2.1"),
            INTERNAL,
            (2, 3),
            "the peer has our BGP identifier 192.0.2.1",
            marks=pytest.mark.rule("bgp-native-2.3.identifier"),
        ),
        *[
            pytest.param(
                Open(65001, 90, "192.0.2.2", Capabilities(role=theirs)),
                Expectation(65000, "192.0.2.1", peer_asn=65001, role=ours),
                (2, 11),
                f"role {theirs} of the peer does not fit ours, {ours}",
                marks=pytest.mark.rule("bgp-native-2.13.roles"),
            )
            for ours, theirs in [(0, 0), (3, 3), (0, 4), (4, 1), (1, 1), (0, 9)]
        ],
    ],
)
def test_somebody_else(
    opened: Open, expected: Expectation, numbers: tuple[int, int], words: str
) -> None:
    """Is refused in words."""
    with pytest.raises(BgpError) as caught:
        opening.check(opened, expected)
    error = caught.value
    assert ((error.code, error.subcode), str(error)) == (numbers, words)
