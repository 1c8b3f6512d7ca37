"""Datagrams: envelopes in their order, their bounds, and what spoils them."""

from __future__ import annotations

import contextlib
import gc
import random
import zlib

import pytest

from mercurylb.errors import WireError
from mercurylb.membership.swim import message, packet
from mercurylb.membership.swim.keyring import derive_key
from mercurylb.membership.swim.message import Ack, Alive, Nack, Suspect
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.net.aead import AesGcm

SECRET = b"TB6Su+iJ8AObGAX7x9NEnw"
ACK = message.encode(Ack(1))
SUSPECT = message.encode(Suspect(2, "node2", "node1"))
ALIVES = [message.encode(Alive(n, f"node{n}", bytes((10, 0, 0, n)), 7946)) for n in range(9)]


def clear(*, is_compressed: bool = True, label: bytes = b"") -> PacketCodec:
    """Return the codec of a cluster without key."""
    return PacketCodec(None, random.Random(1), is_compressed=is_compressed, label=label)


def sealed(
    secret: bytes = SECRET, *, label: bytes = b"", is_compressed: bool = True
) -> PacketCodec:
    """Return the codec of a cluster with a key."""
    seal = AesGcm(derive_key(secret))
    return PacketCodec(seal, random.Random(1), is_compressed=is_compressed, label=label)


def check_refused(codec: PacketCodec, payload: bytes, reason: str) -> None:
    """Expect that a datagram is refused as a whole, for this reason."""
    with pytest.raises(WireError) as caught:
        codec.decode(payload)
    assert caught.value.reason == reason


@pytest.mark.rule("membership-3.4.layout")
def test_the_worked_compound_is_written_and_read() -> None:
    """Count, lengths, messages."""
    payload = clear(is_compressed=False).encode([ACK, SUSPECT])
    assert payload.hex() == "070200120025" + ACK.hex() + SUSPECT.hex()
    assert clear().decode(payload) == (Ack(1), Suspect(2, "node2", "node1"))


def test_one_message_travels_bare() -> None:
    """No compound is made of one."""
    assert clear().encode([ACK]) == ACK


@pytest.mark.rule("membership-3.4.max")
def test_a_compound_holds_255_messages() -> None:
    """The count is one byte; more are our own mistake."""
    nacks = [message.encode(Nack(1))] * 255
    assert clear().decode(clear().encode(nacks)) == (Nack(1),) * 255
    with pytest.raises(AssertionError):
        clear().encode([*nacks, ACK])


@pytest.mark.rule("membership-3.4.truncated")
def test_a_part_that_runs_past_the_end_keeps_the_earlier_ones() -> None:
    """What is whole counts, the rest is counted."""
    codec = clear()
    payload = clear(is_compressed=False).encode([ACK, SUSPECT])
    assert codec.decode(payload[:-1]) == (Ack(1),)
    assert codec.skipped == {"truncated": 1}


def test_a_part_that_cannot_be_read_does_not_spoil_the_others() -> None:
    """A message of a version to come may travel beside known ones."""
    codec = clear()
    payload = clear().encode([b"\x20future", ACK, b"", SUSPECT])
    assert codec.decode(payload) == (Ack(1), Suspect(2, "node2", "node1"))
    assert codec.skipped == {"type": 1, "empty": 1}


@pytest.mark.rule("membership-3.5.examples")
def test_the_worked_compressed_message_is_written_and_read() -> None:
    """An ack gets longer by it, but this is how it looks."""
    packed = bytes.fromhex(
        "0982a4416c676f00a3427566b70005083a05254c1e366fc29001566a4a99384ede040808"
    )
    assert packet.encode_compressed(ACK) == packed
    assert clear().decode(packed) == (Ack(1),)


@pytest.mark.rule("membership-3.5.udp", "membership-3.5.plain")
def test_only_what_gets_shorter_is_compressed() -> None:
    """And what comes uncompressed is read all the same."""
    assert clear().encode([SUSPECT]) == SUSPECT
    short, long = clear().encode(ALIVES), clear(is_compressed=False).encode(ALIVES)
    assert short[0] == 9
    assert len(short) < len(long)
    for codec in (clear(), clear(is_compressed=False)):
        assert codec.decode(short) == codec.decode(long)


@pytest.mark.rule("membership-3.6.layout")
def test_a_checksum_is_checked() -> None:
    """The worked example; one flipped bit drops the datagram."""
    payload = clear().encode([ACK], has_crc=True)
    assert payload.hex() == "0c41a888da" + ACK.hex()
    assert clear().decode(payload) == (Ack(1),)
    for position in range(1, len(payload)):
        flipped = bytearray(payload)
        flipped[position] ^= 0x10
        check_refused(clear(), bytes(flipped), "crc")
    check_refused(clear(), payload[:4], "truncated")


@pytest.mark.rule("membership-3.7.examples", "membership-3.7.version1")
def test_the_worked_encrypted_datagram_is_opened() -> None:
    """Version, nonce, ciphertext, tag."""
    payload = bytes.fromhex(
        "01 615a86342a276b553a79255e f0edd529e7b8633d7d3840bc7cd68b14cf49"
        "02328b18232f1062bb360cc3ad8e9c12"
    )
    assert sealed().decode(payload) == (Ack(1),)
    assert sealed().overhead == 29
    own = sealed().encode([ACK])
    assert (own[0], len(own)) == (1, len(ACK) + 29)
    assert sealed().decode(own) == (Ack(1),)


@pytest.mark.rule("membership-3.7.version0")
@pytest.mark.parametrize("size", range(14, 20))
def test_the_padded_version_of_encryption_is_opened(size: int) -> None:
    """Padding fills a block, a whole one if need be."""
    said = Ack(1, b"p" * size)
    plain = message.encode(said)
    padding = 16 - len(plain) % 16
    text = AesGcm(derive_key(SECRET)).encrypt(bytes(12), plain + bytes((padding,)) * padding, b"")
    assert sealed().decode(b"\x00" + bytes(12) + text) == (said,)


@pytest.mark.parametrize("last", [0, 17, 255])
def test_padding_of_no_block_is_refused(last: int) -> None:
    """It is only believed up to the size of a block."""
    text = AesGcm(derive_key(SECRET)).encrypt(bytes(12), bytes(15) + bytes((last,)), b"")
    check_refused(sealed(), b"\x00" + bytes(12) + text, "malformed")


@pytest.mark.rule("membership-3.7.undecryptable")
@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (sealed(b"another").encode([ACK]), "key"),
        (sealed(label=b"blue").encode([ACK])[6:], "key"),
        (ACK, "key"),
        (b"\x01" + bytes(27), "truncated"),
        (b"\x00" + bytes(40), "truncated"),
        (b"", "empty"),
    ],
    ids=["other key", "other label", "in clear", "short", "short block", "nothing"],
)
def test_what_the_key_does_not_open_is_dropped(payload: bytes, reason: str) -> None:
    """Whoever has no key is not heard."""
    check_refused(sealed(), payload, reason)


def test_a_cluster_on_its_way_to_a_key_hears_clear_text() -> None:
    """The two switches of memberlist: verify incoming, encrypt outgoing."""
    seal = AesGcm(derive_key(SECRET))
    codec = PacketCodec(seal, random.Random(1), verifies_incoming=False, encrypts_outgoing=False)
    assert codec.encode([ACK]) == ACK
    assert codec.overhead == 0
    assert codec.decode(ACK) == codec.decode(sealed().encode([ACK])) == (Ack(1),)


@pytest.mark.rule("membership-3.8.layout", "membership-3.7.datagram")
def test_a_label_goes_first() -> None:
    """In clear, and as associated data when encrypted."""
    payload = clear(label=b"blue").encode([ACK])
    assert payload.hex() == "f404" + b"blue".hex() + ACK.hex()
    assert clear(label=b"blue").overhead == 6
    assert clear(label=b"blue").decode(payload) == (Ack(1),)
    both = sealed(label=b"blue")
    assert both.overhead == 35
    assert both.decode(both.encode([ACK])) == (Ack(1),)


@pytest.mark.rule("membership-3.8.none", "membership-3.8.layout")
@pytest.mark.parametrize(
    ("label", "payload"),
    [
        (b"", clear(label=b"blue").encode([ACK])),
        (b"", b"\xf4\x00" + ACK),
        (b"", b"\xf4"),
        (b"", b"\xf4\x05blue"),
        (b"blue", ACK),
        (b"blue", clear(label=b"red").encode([ACK])),
    ],
    ids=["any", "empty", "no size", "cut", "none", "another"],
)
def test_another_label_is_another_cluster(label: bytes, payload: bytes) -> None:
    """The label must be ours; when we have none there must be none."""
    check_refused(clear(label=label), payload, "label")


@pytest.mark.rule("membership-3.9.send", "membership-3.9.receive", "membership-10.accepts")
def test_the_envelopes_come_in_their_order() -> None:
    """Label, encryption, checksum, compression, compound."""
    codec = sealed(label=b"blue")
    payload = codec.encode(ALIVES, has_crc=True)
    assert payload[:7] == b"\xf4\x04blue\x01"
    inside = AesGcm(derive_key(SECRET)).decrypt(payload[7:19], payload[19:], b"blue")
    assert inside[0] == 12
    assert inside[1:5] == zlib.crc32(inside[5:]).to_bytes(4, "big")
    assert inside[5] == 9
    assert codec.decode(payload) == tuple(message.decode(alive) for alive in ALIVES)


@pytest.mark.rule("membership-3.9.receive", "membership-10.accepts")
def test_envelopes_in_one_another_are_read() -> None:
    """Compound in compressed in compound: whatever order a sender likes."""
    inner = packet.encode_compressed(packet.encode_compound([ACK, SUSPECT]))
    outer = packet.encode_compound([inner, ACK])
    assert clear().decode(outer) == (Ack(1), Suspect(2, "node2", "node1"), Ack(1))


def test_nesting_has_a_bound() -> None:
    """Nobody honest sends more than two envelopes."""
    payload = ACK
    for _ in range(4):
        payload = packet.encode_compound([payload])
    assert clear().decode(payload) == (Ack(1),)
    check_refused(clear(), packet.encode_compound([payload]), "nesting")


def test_what_one_datagram_unpacks_to_has_a_bound() -> None:
    """One bomb is refused, and so are many small ones together."""
    bomb = packet.encode_compressed(message.encode(Ack(1, bytes(70_000))))
    check_refused(clear(), bomb, "bomb")
    small = packet.encode_compressed(message.encode(Ack(1, bytes(10_000))))
    codec = clear()
    assert len(codec.decode(packet.encode_compound([small] * 20))) == 6
    assert codec.skipped == {"bomb": 14}


def test_the_messages_of_one_datagram_have_a_bound() -> None:
    """However they are packed."""
    nacks = packet.encode_compound([message.encode(Nack(1))] * 255)
    codec = clear()
    assert len(codec.decode(packet.encode_compound([nacks] * 20))) == packet.MESSAGES_MAX
    assert codec.skipped["oversized"] >= 1


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b"\x07", "truncated"),
        (b"\x07\x00", "empty"),
        (b"\x07\x02\x00\x01\x00", "truncated"),
        (b"\x07\x01\x00\x05\x02\x80", "truncated"),
        (packet.encode_compressed(b""), "empty"),
        (b"\x09\x82\xa4Algo\x01\xa3Buf\xa0", "compression"),
        (b"\x09\x82\xa4Algo\x00\xa3Buf\xa0", "truncated"),
        (b"\x09\x80", "truncated"),
        (b"\x0c\x00\x00\x00\x00", "empty"),
    ],
)
def test_broken_envelopes_are_refused(payload: bytes, reason: str) -> None:
    """Empty, cut off, or of an algorithm that nobody knows."""
    if payload == b"\x0c\x00\x00\x00\x00":
        assert zlib.crc32(b"") == 0
    check_refused(clear(), payload, reason)


@pytest.mark.rule("membership-2.datagram-size")
def test_datagrams_of_64_kib_are_read_and_larger_ones_are_not() -> None:
    """UDP carries no more."""
    said = Ack(1, bytes(65536 - len(message.encode(Ack(1))) - 2))
    assert len(message.encode(said)) == 65536
    assert clear().decode(message.encode(said)) == (said,)
    check_refused(clear(), message.encode(said) + b"\x00", "oversized")


def test_a_checksum_inside_an_envelope_is_refused() -> None:
    """It belongs to the whole datagram."""
    crc = clear().encode([ACK], has_crc=True)
    check_refused(clear(), packet.encode_compound([crc]), "type")


def test_nonces_come_from_the_given_chance() -> None:
    """Two datagrams of the same bytes are different."""
    codec = sealed()
    first, second = codec.encode([ACK]), codec.encode([ACK])
    assert first != second
    assert first[1:13] == random.Random(1).randbytes(12)


def test_refused_datagrams_leave_nothing_to_the_garbage_collector() -> None:
    """What they held is free at once, or a flood would fill the memory."""
    codec = clear()
    garbage = [
        b"\x02\x93\x01",
        packet.encode_compound([b"\x02\x93\x01", b"\x03\x80", ACK]),
        packet.encode_compound([b"\x02\x93\x01"]),
        packet.encode_compressed(packet.encode_compound([b"\x03\x80"])),
        b"\x09\x80",
    ]

    def flood() -> None:
        for payload in garbage * 10:
            with contextlib.suppress(WireError):
                codec.decode(payload)

    flood()
    gc.collect()
    flood()
    assert gc.collect() == 0
