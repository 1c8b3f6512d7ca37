"""Neighbour discovery frames."""

from __future__ import annotations

import ipaddress

import pytest

from mercurylb.layer2 import ndp
from mercurylb.layer2.drop import Drop

MAC = bytes.fromhex("020000000001")
LINK_LOCAL = ipaddress.IPv6Address("fe80::1").packed
VIP = ipaddress.IPv6Address("2001:db8::1").packed
ASKER = ipaddress.IPv6Address("2001:db8::99").packed
ASKER_MAC = bytes.fromhex("020000000099")
GROUP = ndp.solicited_node_group(VIP)
SOURCE_LL = b"\x01\x01" + ASKER_MAC


def solicitation(  # noqa: PLR0913 (one argument per field that can be wrong)
    *,
    options: bytes = SOURCE_LL,
    source: bytes = ASKER,
    target: bytes = VIP,
    kind: bytes = b"\x87\x00",
    hop_limit: int = 255,
    checksum: int | None = None,
    size: int | None = None,
    next_header: int = 58,
) -> bytes:
    """Build a solicitation frame, wrong where asked for."""
    tail = bytes(4) + target + options
    check = ndp.checksum(source, GROUP, kind + bytes(2) + tail) if checksum is None else checksum
    message = kind + check.to_bytes(2, "big") + tail
    length = len(message) if size is None else size
    head = b"\x60\x00\x00\x00" + length.to_bytes(2, "big") + bytes((next_header, hop_limit))
    return b"\x33\x33" + GROUP[12:] + ASKER_MAC + b"\x86\xdd" + head + source + GROUP + message


def test_group_of_an_address() -> None:
    """The solicited-node group ends in the last three bytes of the address."""
    address = ipaddress.IPv6Address("2001:db8::12:3456").packed
    assert str(ipaddress.IPv6Address(ndp.solicited_node_group(address))) == "ff02::1:ff12:3456"


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


def test_unsolicited_overrides_and_goes_to_all_nodes() -> None:
    """A gratuitous round is one advertisement to ff02::1 with the override flag alone."""
    frame = ndp.unsolicited(mac=MAC, link_local=LINK_LOCAL, target=VIP)
    assert frame[:6] == bytes.fromhex("333300000001")
    assert frame[38:54] == ipaddress.IPv6Address("ff02::1").packed
    assert frame[58:62] == bytes.fromhex("20000000")
    assert ndp.checksum(LINK_LOCAL, ndp.ALL_NODES, frame[54:]) == 0


GOOD = solicitation()
CHECKS = [
    ("no source link-layer option", solicitation(options=b""), Drop.NO_SOURCE_LL),
    ("a duplicate address probe", solicitation(options=b"", source=bytes(16)), Drop.NO_SOURCE_LL),
    ("a nonce option only", solicitation(options=b"\x0e\x01" + bytes(6)), Drop.NO_SOURCE_LL),
    ("our own message", solicitation(source=LINK_LOCAL), Drop.OWN_MESSAGE),
    ("an advertisement", solicitation(kind=b"\x88\x00"), Drop.MESSAGE_TYPE),
    ("a forwarded packet", solicitation(hop_limit=254), Drop.MALFORMED),
    ("a wrong checksum", solicitation(checksum=1), Drop.CHECKSUM),
    ("code 1", solicitation(kind=b"\x87\x01"), Drop.MALFORMED),
    ("a multicast target", solicitation(target=GROUP), Drop.MALFORMED),
    ("an option of length 0", solicitation(options=b"\x01\x00" + bytes(6)), Drop.MALFORMED),
    ("an option beyond the end", solicitation(options=b"\x01\x02" + bytes(6)), Drop.MALFORMED),
    ("half an option header", solicitation(options=b"\x01"), Drop.MALFORMED),
    ("a length beyond the frame", solicitation(size=200), Drop.MALFORMED),
    ("a length of 3", solicitation(size=3), Drop.MALFORMED),
    ("UDP", solicitation(next_header=17), Drop.MALFORMED),
    ("truncated", GOOD[:70], Drop.MALFORMED),
    ("nothing", b"", Drop.MALFORMED),
    ("a VLAN tag", GOOD[:12] + b"\x81\x00\x00\x05" + GOOD[12:], Drop.MALFORMED),
]


@pytest.mark.parametrize(("frame", "drop"), [c[1:] for c in CHECKS], ids=[c[0] for c in CHECKS])
def test_bad_solicitations_are_told_apart(frame: bytes, drop: Drop) -> None:
    """Each reason not to answer has its name."""
    assert ndp.check_solicitation(frame, LINK_LOCAL) is drop


def test_padding_and_other_options_do_not_matter() -> None:
    """Bytes behind the payload are ignored, and options before the one that counts skipped."""
    frame = solicitation(options=b"\x0e\x01" + bytes(6) + SOURCE_LL) + b"padding"
    checked = ndp.check_solicitation(frame, LINK_LOCAL)
    assert isinstance(checked, ndp.Solicitation)
    assert checked.source_link_layer == ASKER_MAC
