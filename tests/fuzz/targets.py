"""What is fuzzed: one function of bytes per decoder, which may raise nothing, and its seeds.

A target swallows the decoder's own error; anything else that comes out is a find. Where bytes are
decrypted first, the cipher is one that anybody can forge, so that the fuzzer gets behind it.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from mercurylb.announcer import note
from mercurylb.errors import WireError
from mercurylb.layer2 import arp, ndp
from mercurylb.layer2.ability import Unable
from mercurylb.layer2.drop import Drop
from mercurylb.layer2.interface import Interface, NodeInterfaces
from mercurylb.layer2.responder import Responder
from mercurylb.membership.census import OURS
from mercurylb.membership.combined import CombinedMembership
from mercurylb.membership.fast import codec as fast_codec
from mercurylb.membership.seal import TAG_SIZE
from mercurylb.membership.swim import lzw, message, packet
from mercurylb.membership.swim.config import LAN
from mercurylb.membership.swim.message import VSN, NodeState, PushPull, State
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.stream import StreamDecoder, encode_stream
from mercurylb.net import netlink
from mercurylb.net.channel import FrameSplitter, frame
from mercurylb.plan.desired import (
    AddressCounters,
    BrainMessage,
    Conflict,
    Count,
    DesiredState,
    Layer2Service,
    Member,
    MemberState,
    Observation,
    OwnedService,
    Renewal,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mercurylb.membership.swim.message import Message

MAC = b"\x02\0\0\0\0\x01"
OTHER_MAC = b"\x02\0\0\0\0\x02"
IPV4 = b"\x0a\0\0\x01"
IPV6 = b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01"
ETHERNET_SIZE_MIN = 60
SCRIPT_STEPS_MAX = 32
DEADLINES_MAX = 16
QUICK = msgspec.structs.replace(LAN, enable_compression=False)
"""What it sends is nobody's concern here, and compressing it takes time."""
LINK_LOCAL = b"\xfe\x80" + bytes(13) + b"\x01"


class Target(msgspec.Struct, frozen=True):
    """One decoder."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


class OpenSeal:
    """A cipher that leaves the text as it is."""

    def encrypt(self, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
        """Add a tag of zeros."""
        del nonce, associated
        return plain + bytes(TAG_SIZE)

    def decrypt(self, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        """Take any tag."""
        del nonce, associated
        return sealed[:-TAG_SIZE]


CLEAR = PacketCodec(None, random.Random(1))
SEALED = PacketCodec(OpenSeal(), random.Random(1), label=b"l")

SAID: tuple[Message, ...] = (
    message.Ping(1, "b", IPV4, 7946, "a"),
    message.IndirectPing(1, IPV4, 7946, "b", True, IPV4, 7946, "a"),
    message.Ack(1, b"p"),
    message.Nack(1),
    message.Suspect(1, "b", "a"),
    message.Alive(1, "b", IPV6, 7946, b"meta"),
    message.Dead(1, "b", "a"),
    message.User(b"u"),
)
PUSH_PULL = PushPull(
    (
        NodeState("a", IPV4, 7946, b"m", 1, State.ALIVE, VSN),
        NodeState("b", IPV6, 7946, b"", 2, State.LEFT, VSN),
    ),
    is_join=True,
    user_state=b"state",
)
STREAMED: tuple[Message, ...] = (*SAID[:3:2], PUSH_PULL, message.User(b"u"))


def ours(decode: Callable[[bytes], object]) -> Callable[[bytes], None]:
    """Let a decoder raise WireError and nothing else."""

    def run(received: bytes) -> None:
        with contextlib.suppress(WireError):
            decode(received)

    return run


def check_message(received: bytes) -> None:
    """Expect that a message that decodes is encoded to something that decodes to it."""
    found = message.decode(received)
    assert message.decode(message.encode(found)) == found


def check_packet(codec: PacketCodec) -> Callable[[bytes], None]:
    """Expect that a datagram that decodes stays within its bounds."""

    def check(received: bytes) -> None:
        found = codec.decode(received)
        assert 0 < len(found) <= packet.MESSAGES_MAX
        for one in found:
            assert message.decode(message.encode(one)) == one

    return check


def check_stream(codec: PacketCodec) -> Callable[[bytes], None]:
    """Expect the same of a connection in small pieces, and that what it says can be said."""

    def read(received: bytes, size: int) -> Message | None:
        decoder = StreamDecoder(codec)
        for start in range(0, len(received), size):
            try:
                found = decoder.feed(received[start : start + size])
            except WireError:
                assert isinstance(decoder.refusal(), bytes)
                raise
            if found is not None:
                return found
        return None

    def check(received: bytes) -> None:
        found = read(received, max(len(received), 1))
        assert read(received, 3) == found
        if found is not None:
            told = StreamDecoder(codec).feed(encode_stream(found, codec))
            assert told == found or isinstance(found, message.ErrorMessage)

    return check


def check_lzw(received: bytes) -> None:
    """Expect that whatever it holds is compressed to something that holds it."""
    plain = lzw.decompress(received, 65536)
    assert len(plain) <= 65536
    assert lzw.decompress(lzw.compress(plain), len(plain)) == plain


def check_fast(received: bytes) -> None:
    """Expect that a datagram that decodes is encoded to one that decodes to it."""
    found = fast_codec.decode(received, b"", "me")
    assert fast_codec.decode(fast_codec.encode(found, b"", "me"), b"", "me") == found


def check_note(received: bytes) -> None:
    """Expect that a note that decodes is encoded to one that decodes to it."""
    found = note.decode(received)
    assert note.decode(note.encode(found)) == found


def check_channel(kind: object) -> Callable[[bytes], None]:
    """Cut messages between the two processes apart, and read them as their types."""
    decoder = msgspec.msgpack.Decoder(kind)

    def check(received: bytes) -> None:
        for body in FrameSplitter(100_000).feed(received):
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                decoder.decode(body)

    return check


def check_membership(received: bytes) -> None:
    """Play a script against the whole machine: datagrams, requests, refusals, and time.

    ::

        | what: low 2 bits, how much: high 6 bits | 4 times so many bytes of what is received | …
    """
    machine = CombinedMembership(
        "me", "10.0.0.9", 7946, secret=b"", seal=None, config=QUICK, chance=random.Random(1)
    )
    machine.on_peers([], 0.0)
    machine.on_ready(True, 0.0)
    now, at = 0.0, 0
    for _ in range(SCRIPT_STEPS_MAX):
        if at >= len(received):
            break
        what, amount = received[at] & 3, received[at] >> 2
        at += 1
        if what == 0:
            now = pass_time(machine, now, amount / 20)
        elif what == 1:
            machine.on_datagram("10.0.0.2", 7946, received[at : at + 4 * amount], now)
            at += 4 * amount
        elif what == 2:
            with contextlib.suppress(WireError):
                found = machine.stream_decoder().feed(received[at : at + 4 * amount])
                if found is not None:
                    machine.on_request("10.0.0.2", found, now)
            at += 4 * amount
        else:
            machine.on_refused("10.0.0.2", now)
        machine.validate()


def pass_time(machine: CombinedMembership, now: float, span_s: float) -> float:
    """Do what is due until a time later, and return it."""
    until = now + span_s
    for _ in range(DEADLINES_MAX):
        deadline = machine.next_deadline()
        if deadline is None or deadline > until:
            break
        now = max(now, deadline)
        machine.on_deadline(now)
    return max(now, until)


def script(*payloads: bytes) -> bytes:
    """Return the bytes that play datagrams, with some time between them."""
    steps = []
    for payload in payloads:
        padded = payload + bytes(-len(payload) % 4)
        steps.append(bytes(((len(padded) // 4) << 2 | 1,)) + padded + b"\x14")
    return b"".join(steps)


def responder() -> Responder:
    """Return a machine that announces an address of either family on one link."""
    made = Responder("me")
    interface = Interface(1, "eth0", MAC, True, True, LINK_LOCAL)
    made.on_interfaces(NodeInterfaces(("eth0",), (interface,)), 0.0)
    made.on_live(None, 0.0)
    made.on_desired(
        [Layer2Service("n/s", ("10.0.0.1", "2001:db8::1"), ("me",), interfaces=None)], 0.0
    )
    return made


def check_responder(received: bytes) -> None:
    """Expect a whole reply or a reason for any frame on any path, and look at claims."""
    machine = responder()
    for answer in (machine.answer_arp, machine.answer_ndp):
        reply = answer(1, received)
        assert isinstance(reply, Drop) or len(reply) >= ETHERNET_SIZE_MIN
        if reply is Drop.CLAIM:
            machine.on_claim(1, received, 1.0)
    machine.validate()


SOLICITATION = (
    b"\x33\x33\xff\0\0\x01" + OTHER_MAC + b"\x86\xdd"
    b"\x60\0\0\0\0\x20\x3a\xff" + LINK_LOCAL + b"\xff\x02" + bytes(9) + b"\x01\xff\0\0\x01"
    b"\x87\0\0\0\0\0\0\0" + IPV6 + b"\x01\x01" + OTHER_MAC
)
ADVERTISEMENT = ndp.unsolicited(mac=OTHER_MAC, link_local=LINK_LOCAL, target=IPV6)
ARP = arp.gratuitous(OTHER_MAC, IPV4)

DESIRED = DesiredState(
    1, (Member("a", "10.0.0.1"),), (Layer2Service("n/s", ("10.0.0.9",), ("a",), ("eth0",)),)
)
OBSERVED = Observation(
    1,
    owned=(OwnedService("n/s", ("10.0.0.9",)),),
    live=("a",),
    counters=(AddressCounters("10.0.0.9", 1, 2, 3),),
    members=(MemberState("b", "10.0.0.2", "up", silent_s=0.1),),
    conflicts=(Conflict("10.0.0.9", "eth0", "02:00:00:00:00:02", "", 1, 2.0),),
    drops=(Count("arpReply", 1),),
)

TARGETS: Mapping[str, Target] = {
    "swim-message": Target(ours(check_message), tuple(map(message.encode, SAID))),
    "swim-packet": Target(
        ours(check_packet(CLEAR)),
        (
            CLEAR.encode([message.encode(one) for one in SAID], has_crc=True),
            packet.encode_compound([message.encode(one) for one in SAID]),
            packet.encode_compressed(message.encode(SAID[5])),
        ),
    ),
    "swim-sealed-packet": Target(
        ours(check_packet(SEALED)), (SEALED.encode([message.encode(one) for one in SAID]),)
    ),
    "swim-stream": Target(
        ours(check_stream(CLEAR)),
        (*(encode_stream(one, CLEAR) for one in STREAMED), message.encode(PUSH_PULL)),
    ),
    "swim-sealed-stream": Target(
        ours(check_stream(SEALED)), tuple(encode_stream(one, SEALED) for one in STREAMED)
    ),
    "lzw": Target(
        ours(check_lzw), (lzw.compress(b"ab" * 400), lzw.compress(bytes(range(256)) * 20))
    ),
    "fast": Target(
        ours(check_fast),
        (
            fast_codec.encode(fast_codec.Beat("a", 1, 2, 3, 1, 4, 5, 1, 6), b"", "me"),
            fast_codec.encode(fast_codec.Query("a", 1, 2, 3, "b"), b"", "me"),
            fast_codec.encode(fast_codec.Report("a", 1, 2, 3, "b", 5, -1, 7), b"", "me"),
            fast_codec.encode(fast_codec.Verdict("a", 1, 2, 3, "b", 1, "silent", 2), b"", "me"),
            fast_codec.encode(fast_codec.Receipt("a", 1, 2, 3, "b", 1), b"", "me"),
        ),
    ),
    "membership": Target(
        check_membership,
        (
            script(*map(message.encode, SAID)),
            script(
                message.encode(message.Alive(1, "b", b"\x0a\0\0\x02", 7946, OURS + b"note")),
                fast_codec.encode(fast_codec.Beat("b", 1, 2, 1, 1, 0, 0, 0, 0), b"", "me"),
                fast_codec.encode(fast_codec.Query("b", 1, 3, 1, "a"), b"", "me"),
                fast_codec.encode(
                    fast_codec.Verdict("b", 1, 4, 1, "me", 1, "silent", 2), b"", "me"
                ),
                message.encode(message.Suspect(1, "me", "b")),
                message.encode(message.Dead(1, "b", "b")),
            ),
            b"\x00"
            + bytes((len(message.encode(PUSH_PULL)) // 4 + 1 << 2 | 2,))
            + message.encode(PUSH_PULL)
            + bytes(4),
        ),
    ),
    "arp": Target(ours(arp.decode), ARP),
    "ndp": Target(ours(ndp.decode), (SOLICITATION,)),
    "ndp-advertisement": Target(ours(ndp.decode_advertisement), (ADVERTISEMENT,)),
    "responder": Target(check_responder, (*ARP, SOLICITATION, ADVERTISEMENT)),
    "netlink": Target(
        ours(netlink.decode),
        (
            netlink.dump_request(netlink.GET_LINK, 1),
            (
                b"\x2c\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x02\0\0\0\x43\0\1\0\0\0\0\0"
                b"\x09\0\x03\0eth0\0\0\0\0"
            ),
            b"\x20\0\0\0\x14\0\0\0\0\0\0\0\0\0\0\0\x02\x18\0\0\x02\0\0\0\x08\0\x01\0" + IPV4,
        ),
    ),
    "note": Target(
        ours(check_note),
        (
            note.encode(note.note_of([MAC, OTHER_MAC], Unable(is_all=True))),
            note.encode(note.note_of([MAC], Unable(digests=frozenset({b"abcd"})))),
        ),
    ),
    "channel-brain": Target(
        ours(check_channel(BrainMessage)),
        (frame(msgspec.msgpack.encode(Renewal(1))), frame(msgspec.msgpack.encode(DESIRED))),
    ),
    "channel-observation": Target(
        ours(check_channel(Observation)), (frame(msgspec.msgpack.encode(OBSERVED)),)
    ),
}
