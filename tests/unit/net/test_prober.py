"""Questions to kernels, and what counts as their answer."""

from __future__ import annotations

import ipaddress

import pytest

from mercurylb.layer2 import arp, ndp
from mercurylb.layer2.interface import Link
from mercurylb.net.prober import answer_in, is_in_subnet, link_of, request, solicitation

MAC = bytes.fromhex("020000000001")
PEER = bytes.fromhex("020000000002")
V4, V4_PEER = (ipaddress.ip_address(text).packed for text in ("10.0.0.1", "10.0.0.2"))
V6, V6_PEER = (ipaddress.ip_address(text).packed for text in ("fd00::1", "fd00::2"))


@pytest.mark.parametrize("known", [None, PEER], ids=["to all", "to the last known address"])
def test_arp_request(known: bytes | None) -> None:
    """The request is from our own address, to whom we know or to all."""
    packet = arp.decode(request(MAC, V4, V4_PEER, known))
    assert packet.destination == (known or arp.BROADCAST)
    assert (packet.source, packet.sender_mac, packet.sender_ip) == (MAC, MAC, V4)
    assert (packet.operation, packet.target_ip) == (arp.REQUEST, V4_PEER)


@pytest.mark.parametrize("known", [None, PEER], ids=["to the group", "to the last known address"])
def test_solicitation(known: bytes | None) -> None:
    """The solicitation passes every check that we apply to others'."""
    asked = ndp.decode(solicitation(MAC, V6, V6_PEER, known))
    group = ndp.solicited_node_group(V6_PEER)
    assert asked.destination_mac == (known or b"\x33\x33" + group[12:])
    assert asked.destination == (V6_PEER if known else group)
    assert (asked.source, asked.target, asked.source_link_layer) == (V6, V6_PEER, MAC)


def test_answers_of_both_families() -> None:
    """A reply and an advertisement tell whose they are and where they came from."""
    template = arp.reply_template(PEER, V4_PEER)
    assert answer_in(arp.reply(request(MAC, V4, V4_PEER, None), template)) == (V4_PEER, PEER)
    asked = ndp.decode(solicitation(MAC, V6, V6_PEER, None))
    assert answer_in(ndp.reply(asked, mac=PEER, link_local=V6_PEER)) == (V6_PEER, PEER)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(request(MAC, V4, V4_PEER, None), id="a question"),
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(12) + b"\x08\x06" + bytes(10), id="half a reply"),
        pytest.param(bytes(12) + b"\x86\xdd" + bytes(40), id="half an advertisement"),
        pytest.param(bytes(12) + b"\x86\xdd" + bytes(7) + b"\x40" + bytes(64), id="from afar"),
    ],
)
def test_what_is_no_answer(frame: bytes) -> None:
    """Frames that are cut short, from beyond a router, or no answers, say nothing."""
    assert answer_in(frame) is None


@pytest.mark.parametrize(
    ("target", "prefix_len", "is_asked"),
    [
        ("10.0.0.2", 24, True),
        ("10.0.1.2", 24, False),
        ("10.0.1.2", 23, True),
        ("10.0.0.1", 24, False),
        ("10.0.0.2", 32, False),
        ("fd00::2", 24, False),
    ],
)
def test_only_the_own_subnet_is_asked(target: str, prefix_len: int, is_asked: bool) -> None:  # noqa: FBT001
    """Addresses behind a router, of the other family, and our own are not asked on the link."""
    assert is_in_subnet(ipaddress.ip_address(target).packed, V4, prefix_len) == is_asked


def test_link_of_the_own_address() -> None:
    """The link is the one that has the address now, with the prefix it has there."""
    links = [
        Link(1, "lo", 0, bytes(6), addresses=((b"\x7f\x00\x00\x01", 8),)),
        Link(2, "eth0", 0, MAC, addresses=((V6, 64), (V4, 24))),
    ]
    assert link_of(links, V4) == (links[1], 24)
    assert link_of(links, V6_PEER) is None
