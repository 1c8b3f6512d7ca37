"""What is fuzzed: a check for each decoder, which may raise nothing, and its seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from mercurylb.announcer import note
from mercurylb.layer2 import arp, ndp
from mercurylb.layer2.ability import Unable
from mercurylb.membership.census import OURS
from mercurylb.membership.fast import codec as fast_codec
from mercurylb.membership.swim import lzw, message, packet
from mercurylb.membership.swim.message import VSN, NodeState, PushPull, State
from mercurylb.membership.swim.stream import encode_stream
from mercurylb.net import netlink, router_message
from mercurylb.net.channel import frame
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
from tests.fuzz import bfd, bgp
from tests.fuzz.checks import (
    CLEAR,
    IPV4,
    IPV6,
    LINK_LOCAL,
    MAC,
    OTHER_MAC,
    SEALED,
    check_channel,
    check_fast,
    check_lzw,
    check_membership,
    check_message,
    check_note,
    check_packet,
    check_responder,
    check_stream,
    ours,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mercurylb.membership.swim.message import Message


class Target(msgspec.Struct, frozen=True):
    """One decoder."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


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


def script(*payloads: bytes) -> bytes:
    """Return the bytes that play datagrams, with some time between them."""
    steps = []
    for payload in payloads:
        padded = payload + bytes(-len(payload) % 4)
        steps.append(bytes(((len(padded) // 4) << 2 | 1,)) + padded + b"\x14")
    return b"".join(steps)


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
    "bgp-open": Target(ours(bgp.check_open), bgp.OPENS),
    "bgp-update": Target(ours(bgp.check_update), bgp.CHECKED),
    "bgp-notification": Target(ours(bgp.check_notification), bgp.NOTIFICATIONS),
    "bgp-refresh": Target(ours(bgp.check_refresh), bgp.REFRESHES),
    "bgp-stream": Target(bgp.check_stream, bgp.STREAMS),
    "bfd-packet": Target(ours(bfd.check_packet), bfd.PACKETS),
    "bfd-session": Target(bfd.check_table, bfd.SCRIPTS),
    "router-message": Target(
        ours(router_message.decode),
        (router_message.encode_advertisement(30, MAC), router_message.encode_solicitation(MAC)),
    ),
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
