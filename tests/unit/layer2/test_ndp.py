"""Neighbour discovery frames."""

from __future__ import annotations

import ipaddress

import pytest

from mercurylb.errors import WireError
from mercurylb.layer2 import ndp
from mercurylb.layer2.drop import Drop
from tests.unit.layer2.scene import (
    ASKER,
    ASKER_MAC,
    LINK_LOCAL,
    STRANGER_MAC,
    V6,
    advertisement,
    packed,
    probe,
    solicitation,
)

MAC = bytes.fromhex("020000000001")
VIP = packed(V6)
GROUP = ndp.solicited_node_group(VIP)
SOURCE_LL = b"\x01\x01" + ASKER_MAC


@pytest.mark.rule("layer2-7.group")
def test_group_of_an_address() -> None:
    """The solicited-node group ends in the last three bytes of the address."""
    address = ipaddress.IPv6Address("2001:db8::12:3456").packed
    assert str(ipaddress.IPv6Address(ndp.solicited_node_group(address))) == "ff02::1:ff12:3456"


@pytest.mark.rule("layer2-7.answer", "layer2-7.hop-limit")
def test_reply_says_solicited_and_comes_from_the_link_local_address() -> None:
    """The answer has the worked body, hop limit 255, a right checksum and goes to who asked."""
    asked = ndp.decode(solicitation())
    frame = ndp.reply(asked, mac=MAC, link_local=LINK_LOCAL)
    assert frame[:14] == ASKER_MAC + MAC + b"\x86\xdd"
    assert frame[21] == 255
    assert frame[22:54] == LINK_LOCAL + ASKER
    body = frame[54:]
    assert body[:2] + body[4:] == bytes.fromhex(
        "8800 40000000 20010db8000000000000000000000001 02 01 020000000001"
    )
    assert ndp.checksum(LINK_LOCAL, ASKER, body) == 0


@pytest.mark.rule("layer2-7.unsolicited")
def test_unsolicited_overrides_and_goes_to_all_nodes() -> None:
    """A gratuitous round is one advertisement to ff02::1 with the override flag alone."""
    frame = ndp.unsolicited(mac=MAC, link_local=LINK_LOCAL, target=VIP)
    assert frame[:6] == bytes.fromhex("333300000001")
    assert frame[38:54] == ipaddress.IPv6Address("ff02::1").packed
    assert frame[54:56] + frame[58:] == bytes.fromhex(
        "8800 20000000 20010db8000000000000000000000001 02 01 020000000001"
    )
    assert ndp.checksum(LINK_LOCAL, ndp.ALL_NODES, frame[54:]) == 0


GOOD = solicitation()
UNPARSEABLE = [
    ("code 1", solicitation(kind=b"\x87\x01"), Drop.MALFORMED),
    ("a multicast target", solicitation(target=GROUP), Drop.MALFORMED),
    ("a multicast source", solicitation(source=GROUP), Drop.MALFORMED),
    ("an option of length 0", solicitation(options=b"\x01\x00" + bytes(6)), Drop.MALFORMED),
    ("an option beyond the end", solicitation(options=b"\x01\x02" + bytes(6)), Drop.MALFORMED),
    ("half an option header", solicitation(options=b"\x01"), Drop.MALFORMED),
    ("a good option, then half", solicitation(options=SOURCE_LL + b"\x0e"), Drop.MALFORMED),
    ("a group's link layer", solicitation(options=b"\x01\x01" + b"\xff" * 6), Drop.MALFORMED),
    ("a length beyond the frame", solicitation(size=200), Drop.MALFORMED),
    ("a length of 3", solicitation(size=3), Drop.MALFORMED),
    ("no room for a target", solicitation(size=23), Drop.MALFORMED),
    ("UDP", solicitation(next_header=17), Drop.MALFORMED),
    ("truncated", GOOD[:70], Drop.MALFORMED),
    ("nothing", b"", Drop.MALFORMED),
    ("a VLAN tag", GOOD[:12] + b"\x81\x00\x00\x05" + GOOD[12:], Drop.MALFORMED),
    ("IP version 4", GOOD[:14] + b"\x45" + GOOD[15:], Drop.MALFORMED),
    ("a probe with a source", solicitation(source=bytes(16)), Drop.MALFORMED),
    (
        "a probe to the address itself",
        solicitation(source=bytes(16), options=b"", destination=VIP),
        Drop.MALFORMED,
    ),
]
REFUSED = [
    ("no source link-layer option", solicitation(options=b""), Drop.NO_SOURCE_LL),
    ("a duplicate address probe", probe(), Drop.NO_SOURCE_LL),
    ("a nonce option only", solicitation(options=b"\x0e\x01" + bytes(6)), Drop.NO_SOURCE_LL),
    (
        "a target link-layer option only",
        solicitation(options=b"\x02\x01" + ASKER_MAC),
        Drop.NO_SOURCE_LL,
    ),
]
CHECKS = [
    *(
        pytest.param(f, d, id=i, marks=pytest.mark.rule("layer2-7.no-source"))
        for i, f, d in REFUSED
    ),
    *(
        pytest.param(f, d, id=i, marks=pytest.mark.rule("layer2-7.unparseable"))
        for i, f, d in UNPARSEABLE
    ),
    pytest.param(
        solicitation(source=LINK_LOCAL),
        Drop.OWN_MESSAGE,
        id="our own message",
        marks=pytest.mark.rule("layer2-7.own"),
    ),
    pytest.param(
        advertisement(),
        Drop.MESSAGE_TYPE,
        id="an advertisement",
        marks=pytest.mark.rule("layer2-7.type"),
    ),
    pytest.param(
        solicitation(hop_limit=254),
        Drop.MALFORMED,
        id="a forwarded packet",
        marks=pytest.mark.rule("layer2-7.hop-limit"),
    ),
    pytest.param(
        solicitation(checksum=1),
        Drop.CHECKSUM,
        id="a wrong checksum",
        marks=pytest.mark.rule("layer2-7.hop-limit"),
    ),
]


@pytest.mark.parametrize(("frame", "drop"), CHECKS)
def test_bad_solicitations_are_told_apart(frame: bytes, drop: Drop) -> None:
    """Each reason not to answer has its name."""
    assert ndp.check_solicitation(frame, LINK_LOCAL) is drop


def test_padding_and_other_options_do_not_matter() -> None:
    """Bytes behind the payload are ignored, and options before the one that counts skipped."""
    frame = solicitation(options=b"\x0e\x01" + bytes(6) + SOURCE_LL) + b"padding"
    checked = ndp.check_solicitation(frame, LINK_LOCAL)
    assert isinstance(checked, ndp.Solicitation)
    assert checked.source_link_layer == ASKER_MAC


@pytest.mark.rule("layer2-7.unicast")
def test_unicast_solicitation_needs_no_option() -> None:
    """Who asks the address itself knows where it is; the answer goes back to the frame's source."""
    frame = solicitation(options=b"", destination=VIP)
    asked = ndp.check_solicitation(frame, LINK_LOCAL)
    assert isinstance(asked, ndp.Solicitation)
    assert ndp.reply(asked, mac=MAC, link_local=LINK_LOCAL)[:6] == ASKER_MAC


def test_advertisement_is_read() -> None:
    """The link-layer option says who claims; without one the frame's source does."""
    heard = ndp.decode_advertisement(advertisement())
    assert (heard.target, heard.target_link_layer) == (VIP, STRANGER_MAC)
    assert ndp.decode_advertisement(advertisement(options=b"")).target_link_layer is None


@pytest.mark.parametrize(
    "frame",
    [
        solicitation(),
        advertisement(hop_limit=1),
        advertisement(flags=b"\x60\0\0\0"),
        b"",
        GOOD[:60],
    ],
)
def test_advertisement_that_rfc_4861_discards_is_refused(frame: bytes) -> None:
    """Another type, a forwarded one, a solicited one to everybody, and what is cut off."""
    with pytest.raises(WireError):
        ndp.decode_advertisement(frame)


@pytest.mark.parametrize(
    "message", [b"\0" * 8, b"\xff" * 8, b"\x01", b"\xff\xfe\x00", b"\x12" * 41]
)
def test_checksum_is_the_one_s_complement_of_the_sum_of_words(message: bytes) -> None:
    """The short way by the remainder gives what adding words and carries gives."""
    pseudo = LINK_LOCAL + ASKER + len(message).to_bytes(4, "big") + bytes((0, 0, 0, 58)) + message
    total = sum(
        int.from_bytes(pseudo[at : at + 2].ljust(2, b"\0"), "big")
        for at in range(0, len(pseudo), 2)
    )
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    assert ndp.checksum(LINK_LOCAL, ASKER, message) == 0xFFFF - total
