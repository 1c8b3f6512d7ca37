"""Connections: one message in pieces of any size, its envelopes and bounds."""

from __future__ import annotations

import contextlib
import gc
import random
from typing import TYPE_CHECKING

import pytest

from mercurylb.errors import WireError
from mercurylb.membership.swim import message, packet, stream
from mercurylb.membership.swim.keyring import derive_key
from mercurylb.membership.swim.message import (
    VSN,
    Ack,
    ErrorMessage,
    NodeState,
    Ping,
    PushPull,
    State,
    User,
)
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.stream import StreamDecoder, encode_stream
from mercurylb.net.aead import AesGcm

if TYPE_CHECKING:
    from collections.abc import Sequence

SECRET = b"TB6Su+iJ8AObGAX7x9NEnw"
NODES = tuple(
    NodeState(f"node{n}", bytes((10, 0, 0, n)), 7946, b"m" * (n % 3), n, State(n % 4), VSN)
    for n in range(20)
)
SAID: dict[str, message.Message] = {
    "ping": Ping(7, "node2", bytes(4), 7946, "node1"),
    "ack": Ack(7),
    "error": ErrorMessage("boom"),
    "user": User(b"\x00\x01 any"),
    "empty user": User(b""),
    "push/pull": PushPull(NODES, is_join=True, user_state=b"state"),
    "empty push/pull": PushPull((), is_join=False),
}


def codec(secret: bytes = b"", *, is_compressed: bool = True, label: bytes = b"") -> PacketCodec:
    """Return the codec of a cluster."""
    seal = AesGcm(derive_key(secret)) if secret else None
    return PacketCodec(seal, random.Random(1), is_compressed=is_compressed, label=label)


CODECS = {
    "clear": codec(is_compressed=False),
    "compressed": codec(),
    "sealed": codec(SECRET, is_compressed=False),
    "sealed, compressed, labelled": codec(SECRET, label=b"blue"),
    "labelled": codec(label=b"blue", is_compressed=False),
}


def check_refused(decoder: StreamDecoder, pieces: Sequence[bytes], reason: str) -> None:
    """Expect that one of the pieces is refused, for this reason."""
    with pytest.raises(WireError) as caught:
        feed_all(decoder, pieces)
    assert caught.value.reason == reason


def feed_all(decoder: StreamDecoder, pieces: Sequence[bytes]) -> None:
    """Feed pieces none of which ends a message."""
    for piece in pieces:
        assert decoder.feed(piece) is None


@pytest.mark.rule(
    "membership-3.9.send", "membership-3.9.receive", "membership-4.push-pull", "membership-3.5.tcp"
)
@pytest.mark.parametrize("kind", CODECS)
@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_a_message_is_whole_with_its_last_byte(said: message.Message, kind: str) -> None:
    """However it is cut, it comes out when it is complete and not before; the rest is ignored."""
    sent = encode_stream(said, CODECS[kind])
    for size in (1, 7, len(sent)):
        decoder = StreamDecoder(CODECS[kind])
        pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
        for piece in pieces[:-1]:
            assert decoder.feed(piece) is None
        assert decoder.feed(pieces[-1] + b"more") == said
        assert decoder.feed(b"and more") is None


@pytest.mark.rule("membership-3.7.examples", "membership-3.7.stream")
def test_the_worked_encrypted_stream_is_opened() -> None:
    """Type, length, version, nonce, ciphertext, tag; the head is associated data."""
    sent = bytes.fromhex(
        "0a 0000002f 01 c5921a4171ab9d3999ff879c 40206a0d58e0f0987abb76aee955585c2e53"
        "b6bdbe4c7549cef3782d33fda285087b"
    )
    assert StreamDecoder(codec(SECRET)).feed(sent) == Ack(1)
    own = encode_stream(Ack(1), codec(SECRET, is_compressed=False))
    assert (own[:6], len(own)) == (sent[:6], len(sent))
    longer = sent[:4] + b"\x30" + sent[5:] + b"\x00"
    check_refused(StreamDecoder(codec(SECRET)), [longer], "key")


@pytest.mark.rule("membership-3.5.tcp")
def test_messages_in_connections_are_compressed_even_when_that_makes_them_longer() -> None:
    """So does the library."""
    sent = encode_stream(Ack(1), codec())
    assert sent == packet.encode_compressed(message.encode(Ack(1)))
    assert len(sent) > len(message.encode(Ack(1)))


@pytest.mark.rule("membership-3.5.plain")
def test_both_sides_of_a_switch_understand_each_other() -> None:
    """Compression is the sender's affair."""
    for mine, yours in ((True, False), (False, True)):
        sent = encode_stream(SAID["push/pull"], codec(is_compressed=mine))
        assert StreamDecoder(codec(is_compressed=yours)).feed(sent) == SAID["push/pull"]


@pytest.mark.rule("membership-3.8.layout")
def test_only_who_opened_the_connection_sends_the_label() -> None:
    """The reply comes without, but the label is part of what its encryption vouches for."""
    mine = codec(SECRET, label=b"blue")
    request = encode_stream(Ack(1), mine)
    reply = encode_stream(Ack(1), mine, is_reply=True)
    assert request[:6] == b"\xf4\x04blue"
    assert reply[0] == 10
    assert StreamDecoder(mine).feed(request) == Ack(1)
    assert StreamDecoder(mine, is_reply=True).feed(reply) == Ack(1)
    check_refused(StreamDecoder(codec(SECRET), is_reply=True), [reply], "key")


@pytest.mark.rule("membership-3.8.none", "membership-3.8.layout")
@pytest.mark.parametrize(
    ("label", "pieces"),
    [
        (b"", [b"\xf4\x04blue\x02"]),
        (b"", [b"\xf4", b"\x00"]),
        (b"blue", [b"\x02"]),
        (b"blue", [b"\xf4\x03", b"red"]),
    ],
)
def test_another_label_is_another_cluster(label: bytes, pieces: list[bytes]) -> None:
    """Refused before anything else is looked at, and not told."""
    decoder = StreamDecoder(codec(label=label))
    check_refused(decoder, pieces, "label")
    assert decoder.refusal() == b""


@pytest.mark.rule("membership-3.7.told")
@pytest.mark.parametrize(
    ("secret", "sent", "reason"),
    [
        (SECRET, encode_stream(Ack(1), codec()), "plain"),
        (SECRET, encode_stream(Ack(1), codec(b"another")), "key"),
        (b"", encode_stream(Ack(1), codec(SECRET)), "sealed"),
        (b"", b"\x09\x82\xa4Algo\x01\xa3Buf\xa0", "compression"),
        (SECRET, b"\x0a\x7f\xff\xff\xff", "oversized"),
    ],
)
def test_who_cannot_be_understood_is_told_so(secret: bytes, sent: bytes, reason: str) -> None:
    """The answer is an error message, in the way that we speak ourselves."""
    decoder = StreamDecoder(codec(secret))
    check_refused(decoder, [sent], reason)
    told = StreamDecoder(codec(secret), is_reply=True).feed(decoder.refusal())
    assert isinstance(told, ErrorMessage)


def test_a_cluster_on_its_way_to_a_key_hears_clear_text() -> None:
    """The two switches of memberlist: verify incoming, encrypt outgoing."""
    mine = PacketCodec(
        AesGcm(derive_key(SECRET)),
        random.Random(1),
        verifies_incoming=False,
        encrypts_outgoing=False,
    )
    for sent in (encode_stream(Ack(1), codec()), encode_stream(Ack(1), codec(SECRET))):
        assert StreamDecoder(mine).feed(sent) == Ack(1)
    assert encode_stream(Ack(1), mine) == encode_stream(Ack(1), codec())


@pytest.mark.rule("membership-4.requests")
@pytest.mark.parametrize("number", [1, 3, 4, 5, 7, 11, 12, 14, 200])
@pytest.mark.parametrize("is_compressed", [True, False])
def test_other_types_are_refused_and_not_told(number: int, *, is_compressed: bool) -> None:
    """Those of datagrams, and unknown ones."""
    plain = bytes((number,)) + b"\x80"
    decoder = StreamDecoder(codec())
    check_refused(decoder, [packet.encode_compressed(plain) if is_compressed else plain], "type")
    assert decoder.refusal() == b""


@pytest.mark.parametrize("outer", [9, 10, 244])
def test_envelopes_do_not_nest(outer: int) -> None:
    """One encryption and one compression at the most."""
    inside = bytes((outer,)) + packet.encode_compressed(message.encode(Ack(1)))[1:]
    check_refused(StreamDecoder(codec()), [packet.encode_compressed(inside)], "type")


@pytest.mark.parametrize(
    ("plain", "reason"),
    [
        (message.encode(SAID["push/pull"])[:-1], "truncated"),
        (message.encode(SAID["push/pull"])[:40], "truncated"),
        (b"\x00\x93\x01", "truncated"),
        (b"\x00\x90", "malformed"),
        (b"\x06\x81\xa5Nodes\xcd\xff\xff", "oversized"),
        (b"\x06\x81\xa5Nodes\xff", "field"),
        (b"\x06\x81\xacUserStateLen\xce\x7f\xff\xff\xff", "oversized"),
        (b"\x08\x81\xaaUserMsgLen\xce\x7f\xff\xff\xff", "oversized"),
        (b"\x06\x81\xa5Nodes\x02\x80\x80", "field"),
    ],
)
def test_what_is_whole_on_the_outside_must_be_whole_inside(plain: bytes, reason: str) -> None:
    """A decrypted message that does not end never will."""
    sealed = codec(SECRET)
    head = b"\x0a" + (29 + len(plain)).to_bytes(4, "big")
    check_refused(StreamDecoder(sealed), [head + sealed.seal_up(plain, head)], reason)


@pytest.mark.rule("membership-3.7.limit", "membership-4.limits")
@pytest.mark.parametrize(
    "first",
    [
        b"\x00\x81\xa4Node\xdb\x7f\xff\xff\xff",
        b"\x09\x82\xa4Algo\x00\xa3Buf\xdb\x7f\xff\xff\xff",
        b"\x06\x81\xacUserStateLen\xce\x00\x10\x00\x00",
    ],
)
def test_what_we_hold_of_one_connection_has_a_bound(first: bytes) -> None:
    """Before anybody has proved who he is, one mebibyte is all he gets."""
    pieces = [first, *([bytes(1 << 16)] * 16)]
    check_refused(StreamDecoder(codec()), pieces, "oversized")


def test_a_bomb_is_refused() -> None:
    """What it unpacks to has a bound of its own."""
    sent = packet.encode_compressed(message.encode(User(bytes(3 << 20))))
    assert len(sent) < 10_000
    check_refused(StreamDecoder(codec()), [sent], "bomb")


def test_what_is_decompressed_has_a_bound() -> None:
    """However small what comes out: the time it takes goes by what comes in."""
    noise = User(random.Random(1).randbytes(300_000))
    check_refused(StreamDecoder(codec()), [encode_stream(noise, codec())], "oversized")
    clear = codec(is_compressed=False)
    assert StreamDecoder(clear).feed(encode_stream(noise, clear)) == noise


def test_the_bounds_leave_room_for_ten_thousand_members() -> None:
    """Twice what Kubernetes supports, in clear and encrypted."""
    nodes = tuple(
        NodeState(
            f"worker-{n}.eu.example",
            bytes((10, 0, n >> 8, n & 255)),
            7946,
            b"",
            3,
            State.ALIVE,
            VSN,
        )
        for n in range(10_000)
    )
    said = PushPull(nodes, is_join=False)
    assert len(message.encode(said)) < stream.PLAIN_SIZE_MAX
    assert StreamDecoder(codec(SECRET)).feed(encode_stream(said, codec(SECRET))) == said


def test_connections_leave_nothing_to_the_garbage_collector() -> None:
    """Whole, cut off or refused, what they held is free at once: a flood must not fill memory."""
    mine = codec()
    sent = [
        encode_stream(SAID["push/pull"], mine),
        encode_stream(SAID["push/pull"], mine)[:-3],
        b"\x06\x81\xa5Nodes\x05",
        b"\x00\x93\x01",
        b"\x0a\x00",
        packet.encode_compressed(b"\x09abc"),
    ]

    def flood() -> None:
        for received in sent * 10:
            decoder = StreamDecoder(mine)
            with contextlib.suppress(WireError):
                decoder.feed(received)
            decoder.refusal()

    flood()
    gc.collect()
    flood()
    assert gc.collect() == 0
