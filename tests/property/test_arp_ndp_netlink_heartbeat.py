"""Bytes from anywhere raise nothing but our own error."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.errors import WireError
from mercurylb.layer2 import arp, ndp
from mercurylb.layer2.drop import Drop
from mercurylb.layer2.interface import Interface, NodeInterfaces
from mercurylb.layer2.responder import Responder
from mercurylb.membership import heartbeat_codec
from mercurylb.net import bpf, netlink
from mercurylb.net.channel import FrameSplitter

LINK_LOCAL = b"\xfe\x80" + bytes(14)
TARGET = b"\x20\x01\x0d\xb8" + bytes(12)
ASK = ndp.advertisement(
    destination_mac=bytes(6), destination=TARGET, mac=bytes(6), link_local=TARGET,
    target=TARGET, flags=bytes(4),
)  # fmt: skip
REQUEST = arp.gratuitous(b"\x02" * 6, b"\x0a\0\0\1")[0]
BEAT = heartbeat_codec.encode(
    heartbeat_codec.Heartbeat("node", 1, 2, is_ready=True, is_leaving=False), b""
)
LINK = netlink.dump_request(netlink.GET_LINK, 1)


@st.composite
def spoiled(draw: st.DrawFn, good: bytes) -> bytes:
    """Draw a frame that is nearly right, or not at all."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    data = bytearray(good)
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))]) + draw(st.binary(max_size=20))


DECODERS = [
    ("arp", arp.decode, REQUEST),
    ("ndp", ndp.decode, ASK),
    ("netlink", netlink.decode, LINK),
    ("heartbeat", lambda data: heartbeat_codec.decode(data, b""), BEAT),
    ("signed heartbeat", lambda data: heartbeat_codec.decode(data, b"k" * 32), BEAT + bytes(32)),
    ("channel", FrameSplitter(1000).feed, b"\x00\x00\x00\x01a"),
]


@pytest.mark.parametrize(
    ("decode", "good"), [d[1:] for d in DECODERS], ids=[d[0] for d in DECODERS]
)
@given(data=st.data())
def test_decoders_raise_only_wire_errors(decode: object, good: bytes, data: st.DataObject) -> None:
    """Whatever comes in, it decodes or it is a WireError."""
    with contextlib.suppress(WireError):
        decode(data.draw(spoiled(good)))


def responder() -> Responder:
    """Return a machine that announces two addresses."""
    made = Responder("me")
    interface = Interface(1, "eth0", b"\x02" * 6, True, True, LINK_LOCAL)
    made.on_interfaces(NodeInterfaces(("eth0",), (interface,)), 0.0)
    made.on_live(None, 0.0)
    return made


@given(frame=st.one_of(spoiled(REQUEST), spoiled(ASK)))
def test_responder_answers_or_names_a_reason(frame: bytes) -> None:
    """Any frame on any path gets a whole answer or a reason."""
    machine = responder()
    for answer in (machine.answer_arp, machine.answer_ndp):
        reply = answer(1, frame)
        assert isinstance(reply, Drop) or len(reply) >= 60


@given(
    packet=st.builds(
        arp.ArpPacket,
        destination=st.binary(min_size=6, max_size=6),
        source=st.binary(min_size=6, max_size=6),
        operation=st.integers(0, 65535),
        sender_mac=st.binary(min_size=6, max_size=6),
        sender_ip=st.binary(min_size=4, max_size=4),
        target_mac=st.binary(min_size=6, max_size=6),
        target_ip=st.binary(min_size=4, max_size=4),
    )
)
def test_arp_round_trip(packet: arp.ArpPacket) -> None:
    """Every packet decodes to itself."""
    assert arp.decode(arp.encode(packet)) == packet


@given(
    heartbeat=st.builds(
        heartbeat_codec.Heartbeat,
        node=st.text(min_size=1, max_size=60),
        incarnation=st.integers(0, 2**64 - 1),
        sequence=st.integers(0, 2**64 - 1),
        is_ready=st.booleans(),
        is_leaving=st.booleans(),
        echo_incarnation=st.integers(0, 2**64 - 1),
        echo_sequence=st.integers(0, 2**64 - 1),
    ),
    key=st.sampled_from([b"", b"k" * 32]),
)
def test_heartbeat_round_trip(heartbeat: heartbeat_codec.Heartbeat, key: bytes) -> None:
    """Every heartbeat decodes to itself, signed or not."""
    assert heartbeat_codec.decode(heartbeat_codec.encode(heartbeat, key), key) == heartbeat


@given(words=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=300))
def test_ranges_cover_every_word(words: list[int]) -> None:
    """However many ranges are merged, all words stay covered, in order and without overlap."""
    ranges = bpf.ranges_of(words, 20)
    assert len(ranges) <= 20
    assert all(low <= high for low, high in ranges)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(ranges))
    assert all(any(low <= word <= high for low, high in ranges) for word in words)
