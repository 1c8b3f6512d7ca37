"""The octets of control packets."""

from __future__ import annotations

import pytest

from mercurylb.bfd.packet import Packet, Refusal, State, decode, encode, name_diagnostic
from mercurylb.errors import WireError

GOOD = bytes.fromhex("20c003180000000700000009000493e00000c3500000c350")
"""Version 1, Up, multiplier 3, 7 to 9, 300 ms, 50 ms, 50 ms."""


def changed(at: int, octet: int) -> bytes:
    """Return the good packet with another octet."""
    return GOOD[:at] + bytes((octet,)) + GOOD[at + 1 :]


@pytest.mark.rule("bgp-native-2.14.packet")
def test_a_packet_has_the_layout_of_the_rfc() -> None:
    """Each field is where RFC 5880 section 4.1 has it, both ways."""
    packet = Packet(State.UP, 3, 7, 9, 300_000, 50_000, 50_000)
    assert encode(packet) == GOOD
    assert decode(GOOD) == packet


@pytest.mark.rule("bgp-native-2.14.packet")
@pytest.mark.parametrize(
    ("flag", "field"),
    [(0x20, "is_poll"), (0x10, "is_final"), (0x08, "is_independent"), (0x02, "is_demand")],
)
def test_a_flag_has_its_bit(flag: int, field: str) -> None:
    """P, F, C and D are read and written in their places."""
    octets = changed(1, 0xC0 | flag)
    assert getattr(decode(octets), field)
    assert encode(decode(octets)) == octets


def test_what_follows_the_packet_in_a_datagram_is_ignored() -> None:
    """The length field says where the packet ends."""
    assert decode(GOOD + b"padding") == decode(GOOD)


@pytest.mark.rule("bgp-native-2.14.reception")
@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        pytest.param(b"", Refusal.LENGTH, id="nothing"),
        pytest.param(GOOD[:23], Refusal.LENGTH, id="cut off"),
        pytest.param(changed(0, 0x00), Refusal.VERSION, id="version 0"),
        pytest.param(changed(0, 0x40), Refusal.VERSION, id="version 2"),
        pytest.param(changed(3, 23), Refusal.LENGTH, id="length too small"),
        pytest.param(changed(3, 25), Refusal.LENGTH, id="length beyond the payload"),
        pytest.param(changed(1, 0xC4), Refusal.LENGTH, id="no room for authentication"),
        pytest.param(changed(2, 0), Refusal.MULTIPLIER, id="multiplier 0"),
        pytest.param(changed(1, 0xC1), Refusal.MULTIPOINT, id="multipoint"),
        pytest.param(changed(7, 0), Refusal.MY_DISCRIMINATOR, id="my discriminator 0"),
        pytest.param(changed(11, 0), Refusal.YOUR_DISCRIMINATOR, id="up to nobody"),
        pytest.param(changed(11, 0)[:1] + b"\x80" + changed(11, 0)[2:], Refusal.YOUR_DISCRIMINATOR),
    ],
)
def test_a_packet_that_breaks_a_rule_is_refused(octets: bytes, reason: str) -> None:
    """Each rule of RFC 5880 section 6.8.6 that needs no session has its own word."""
    with pytest.raises(WireError) as caught:
        decode(octets)
    assert caught.value.reason == reason


@pytest.mark.rule("bgp-native-2.14.reception")
@pytest.mark.parametrize("flags", [0x00, 0x40])
def test_who_is_down_need_not_know_us(flags: int) -> None:
    """AdminDown and Down come without our discriminator."""
    octets = GOOD[:1] + bytes((flags,)) + GOOD[2:8] + bytes(4) + GOOD[12:]
    assert decode(octets).your_discriminator == 0


@pytest.mark.rule("bgp-native-2.14.diagnostic")
@pytest.mark.parametrize(
    ("diagnostic", "words"),
    [
        (0, ""),
        (1, "Control Detection Time Expired"),
        (2, "Echo Function Failed"),
        (3, "Neighbor Signaled Session Down"),
        (4, "Forwarding Plane Reset"),
        (5, "Path Down"),
        (7, "Administratively Down"),
        (31, "Diagnostic 31"),
    ],
)
def test_a_diagnostic_has_the_words_of_the_rfc(diagnostic: int, words: str) -> None:
    """What is shown to operators is what they find in the RFC."""
    assert name_diagnostic(diagnostic) == words
