"""ARP frames."""

from __future__ import annotations

import pytest

from mercurylb.errors import WireError
from mercurylb.layer2 import arp
from mercurylb.layer2.drop import Drop

MAC = bytes.fromhex("020000000001")
IP = bytes((10, 20, 30, 1))
ZEROS = "00" * 18
HEAD = "020000000001 0806 0001 0800 06 04"
GRATUITOUS_1 = f"ffffffffffff {HEAD} 0001 020000000001 0a141e01 ffffffffffff 0a141e01"
GRATUITOUS_2 = f"ffffffffffff {HEAD} 0002 020000000001 0a141e01 ffffffffffff 0a141e01"
REPLY = f"020000000099 {HEAD} 0002 020000000001 0a141e01 020000000099 0a141e63"
REQUEST = arp.encode(
    arp.ArpPacket(
        destination=arp.BROADCAST,
        source=bytes.fromhex("020000000098"),
        operation=arp.REQUEST,
        sender_mac=bytes.fromhex("020000000099"),
        sender_ip=bytes((10, 20, 30, 99)),
        target_mac=bytes(6),
        target_ip=IP,
    )
)


@pytest.mark.rule("layer2-6.gratuitous")
def test_gratuitous_frames_are_the_worked_ones() -> None:
    """A round is a request and a reply, both to everybody, with broadcast as target address."""
    expected = (bytes.fromhex(GRATUITOUS_1 + ZEROS), bytes.fromhex(GRATUITOUS_2 + ZEROS))
    assert arp.gratuitous(MAC, IP) == expected


@pytest.mark.rule("layer2-6.reply")
def test_reply_is_the_worked_one() -> None:
    """A reply goes to the ARP sender address, not to the frame's source, and fills 60 bytes."""
    assert arp.reply(REQUEST, arp.reply_template(MAC, IP)) == bytes.fromhex(REPLY + ZEROS)


def test_decode_reverses_encode() -> None:
    """What was encoded decodes to the same packet."""
    assert arp.encode(arp.decode(REQUEST)) == REQUEST


def changed(at: int, value: bytes) -> bytes:
    """Return the request with some bytes replaced."""
    return REQUEST[:at] + value + REQUEST[at + len(value) :]


CHECKS = [
    ("a broadcast request", REQUEST, None),
    ("a request to our own address", changed(0, MAC), None),
    ("a request without padding", REQUEST[:42], None),
    ("odd hardware and protocol types", changed(14, b"\x00\x07\x86\xdd"), None),
    ("a probe", changed(28, bytes(4)), None),
    ("a reply", changed(20, b"\x00\x02"), Drop.ARP_REPLY),
    ("operation 257", changed(20, b"\x01\x01"), Drop.ARP_REPLY),
    ("another station", changed(0, b"\x02\x00\x00\x00\x00\x02"), Drop.ETHERNET_DESTINATION),
    ("a multicast", changed(0, b"\x33\x33\xff\x00\x00\x01"), Drop.ETHERNET_DESTINATION),
    ("one byte short", REQUEST[:41], Drop.MALFORMED),
    ("nothing", b"", Drop.MALFORMED),
    ("a VLAN tag", REQUEST[:12] + b"\x81\x00\x00\x05" + REQUEST[12:], Drop.MALFORMED),
    ("operation 0", changed(20, bytes(2)), Drop.ARP_REPLY),
    ("a frame of 128 bytes", REQUEST + bytes(68), None),
    ("hardware length 8", changed(18, b"\x08"), Drop.MALFORMED),
    ("protocol length 16", changed(19, b"\x10"), Drop.MALFORMED),
]


@pytest.mark.rule(
    "layer2-6.operation", "layer2-6.destination", "layer2-6.types", "layer2-13.4.frames"
)
@pytest.mark.parametrize(("frame", "drop"), [c[1:] for c in CHECKS], ids=[c[0] for c in CHECKS])
def test_requests_are_checked(frame: bytes, drop: Drop | None) -> None:
    """Each reason to drop a frame is told apart, and what need not be right is not looked at."""
    assert arp.check_request(frame, MAC) is drop
    assert arp.is_request(frame, MAC) == (drop is None)


@pytest.mark.parametrize("frame", [c[1] for c in CHECKS if c[2] is Drop.MALFORMED])
def test_decode_refuses_what_is_malformed(frame: bytes) -> None:
    """What the fast check calls malformed, the codec refuses."""
    with pytest.raises(WireError):
        arp.decode(frame)
