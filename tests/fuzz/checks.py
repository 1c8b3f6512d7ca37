"""What each decoder is held to, as functions of bytes.

They raise the decoder's own error where `ours` swallows it; anything else that comes out is a find.
Where bytes are decrypted first, the cipher is one that anybody can forge, so that the fuzzer gets
behind it.
"""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import msgspec

from mercurylb.announcer import note
from mercurylb.errors import WireError
from mercurylb.layer2.drop import Drop
from mercurylb.layer2.interface import Interface, NodeInterfaces
from mercurylb.layer2.responder import Responder
from mercurylb.membership.combined import CombinedMembership
from mercurylb.membership.fast import codec as fast_codec
from mercurylb.membership.seal import TAG_SIZE
from mercurylb.membership.swim import lzw, message, packet
from mercurylb.membership.swim.config import LAN
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.stream import StreamDecoder, encode_stream
from mercurylb.net.channel import FrameSplitter
from mercurylb.plan.desired import (
    Layer2Service,
)

if TYPE_CHECKING:
    from collections.abc import Callable

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
