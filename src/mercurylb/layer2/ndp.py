"""Neighbour discovery (RFC 4861 §4.3, §4.4, §7): solicitations in, advertisements out.

Whole Ethernet frames, because they are read and written on a packet socket::

     0     6     12     14           20            21          22          38          54
    | dst | src | 86dd | ver…length | next header | hop limit | source IP | target IP | ICMPv6 …

     54     55     56         58      62       78
    | type | code | checksum | flags | target | options …

The kernel checks nothing for a packet socket, so the rules of RFC 4861 §7.1.1 and §7.1.2 are
checked here: hop limit 255, checksum, code 0, lengths, no multicast target, and what a source of
`::` allows. Extension headers before the message are not looked through; RFC 6980 §5 makes the one
that matters illegal.
"""

from __future__ import annotations

import struct

import msgspec

from mercurylb.errors import WireError
from mercurylb.layer2.drop import Drop

ETHERTYPE = b"\x86\xdd"
ICMPV6 = 58
SOLICITATION = 135
ADVERTISEMENT = 136
SOURCE_LINK_LAYER = 1
TARGET_LINK_LAYER = 2

FLAG_SOLICITED = b"\x40\x00\x00\x00"
FLAG_OVERRIDE = b"\x20\x00\x00\x00"

UNSPECIFIED = bytes(16)
ALL_NODES = bytes.fromhex("ff020000000000000000000000000001")
ALL_NODES_MAC = bytes.fromhex("333300000001")

_GROUP_PREFIX = bytes.fromhex("ff0200000000000000000001ff")
_MULTICAST = 0xFF
_ICMP_START = 54
_CHECKSUM_START = 56
_TARGET_START = 62
_TARGET_END = 78
_ICMP_SIZE_MIN = 24
_WORDS_MASK = 0xFFFF
_ADVERTISEMENT_HEAD = b"\x60\x00\x00\x00" + struct.pack("!HBB", 32, ICMPV6, 255)


class Solicitation(msgspec.Struct, frozen=True):
    """A neighbour solicitation with the addresses it travels under."""

    destination_mac: bytes
    source_mac: bytes
    source: bytes
    destination: bytes
    target: bytes
    source_link_layer: bytes | None
    """From the option of that name; None in probes for duplicate addresses."""


class Advertisement(msgspec.Struct, frozen=True):
    """A neighbour advertisement with the addresses it travels under."""

    source_mac: bytes
    source: bytes
    destination: bytes
    flags: int
    """The first byte: router, solicited, override."""
    target: bytes
    target_link_layer: bytes | None


def solicited_node_group(address: bytes) -> bytes:
    """Return the multicast group `ff02::1:ffXX:XXXX` of an address (RFC 4291 §2.7.1)."""
    return _GROUP_PREFIX + address[13:]


def checksum(source: bytes, destination: bytes, message: bytes) -> int:
    """Return the ICMPv6 checksum of a message whose checksum field is zero (RFC 4443 §2.3).

    Over a message with its checksum it is 0. The one's complement sum of 16-bit words is the
    remainder of the whole number by 65535.
    """
    pseudo = source + destination + struct.pack("!II", len(message), ICMPV6) + message
    if len(pseudo) % 2:
        pseudo += b"\x00"
    return -int.from_bytes(pseudo, "big") % _WORDS_MASK


def decode(frame: bytes) -> Solicitation:
    """Decode a frame; raise WireError when it is no solicitation that RFC 4861 accepts."""
    message = _message(frame, SOLICITATION)
    source, destination, target = frame[22:38], frame[38:54], message[8:24]
    source_link_layer = _link_layer(message, SOURCE_LINK_LAYER)
    if source[0] == _MULTICAST:
        raise WireError("ndp", "the source is a multicast address", offset=22)
    if source == UNSPECIFIED:
        if source_link_layer is not None:
            raise WireError("ndp", "a probe with a link-layer address", offset=_TARGET_END)
        if destination != solicited_node_group(target):
            raise WireError("ndp", "a probe to another group", offset=38)
    if source_link_layer is not None and source_link_layer[0] & 1:
        raise WireError("ndp", "a link-layer address of a group", offset=_TARGET_END)
    return Solicitation(
        destination_mac=frame[0:6],
        source_mac=frame[6:12],
        source=source,
        destination=destination,
        target=target,
        source_link_layer=source_link_layer,
    )


def decode_advertisement(frame: bytes) -> Advertisement:
    """Decode a frame; raise WireError when it is no advertisement that RFC 4861 accepts."""
    message = _message(frame, ADVERTISEMENT)
    destination = frame[38:54]
    if destination[0] == _MULTICAST and message[4] & FLAG_SOLICITED[0]:
        raise WireError("ndp", "nobody solicits for a group", offset=_ICMP_START + 4)
    return Advertisement(
        source_mac=frame[6:12],
        source=frame[22:38],
        destination=destination,
        flags=message[4],
        target=message[8:24],
        target_link_layer=_link_layer(message, TARGET_LINK_LAYER),
    )


def _message(frame: bytes, kind: int) -> bytes:
    """Return the ICMPv6 message of a frame, without the padding behind it."""
    if len(frame) < _ICMP_START + 4:
        raise WireError("ndp", f"{len(frame)} bytes are no whole packet", offset=len(frame))
    if frame[12:14] != ETHERTYPE or frame[14] >> 4 != 6:  # noqa: PLR2004 (IP version)
        raise WireError("ndp", "not IPv6", offset=12)
    if frame[20] != ICMPV6:
        raise WireError("ndp", f"next header {frame[20]}", offset=20)
    if frame[21] != 255:  # noqa: PLR2004 (RFC 4861 §7.1.1: nobody forwarded it)
        raise WireError("ndp", f"hop limit {frame[21]}", offset=21)
    size = int.from_bytes(frame[18:20], "big")
    if not _ICMP_SIZE_MIN <= size <= len(frame) - _ICMP_START:
        raise WireError("ndp", f"payload length {size}", offset=18)
    message = frame[_ICMP_START : _ICMP_START + size]
    if message[0] != kind:
        raise WireError("ndp", f"message type {message[0]}", offset=_ICMP_START)
    if message[1] != 0:
        raise WireError("ndp", f"code {message[1]}", offset=_ICMP_START + 1)
    if checksum(frame[22:38], frame[38:54], message) != 0:
        raise WireError("ndp", "checksum", offset=_CHECKSUM_START)
    if message[8] == _MULTICAST:
        raise WireError("ndp", "the target is a multicast address", offset=_TARGET_START)
    return message


def _link_layer(message: bytes, kind: int) -> bytes | None:
    """Return the Ethernet address of the first option of a kind."""
    found: bytes | None = None
    at = _ICMP_SIZE_MIN
    while at < len(message):
        size = message[at + 1] * 8 if at + 1 < len(message) else 0
        if size == 0 or at + size > len(message):
            raise WireError("ndp", "an option has no or too much length", offset=_ICMP_START + at)
        if message[at] == kind and size == 8 and found is None:  # noqa: PLR2004
            found = message[at + 2 : at + 8]
        at += size
    return found


def check_solicitation(frame: bytes, link_local: bytes) -> Solicitation | Drop:
    """Decode a frame and say why it gets no answer, whatever its target is.

    `link_local` is the interface's own address, whose messages are none of ours to answer. A
    solicitation sent to the target itself needs no link-layer option (RFC 4861 §4.3): who sends
    one knows us already.
    """
    if len(frame) > _ICMP_START and frame[20] == ICMPV6 and frame[_ICMP_START] != SOLICITATION:
        return Drop.MESSAGE_TYPE
    try:
        solicitation = decode(frame)
    except WireError as error:
        return Drop.CHECKSUM if error.offset == _CHECKSUM_START else Drop.MALFORMED
    if solicitation.source == link_local:
        return Drop.OWN_MESSAGE
    if solicitation.source_link_layer is None and solicitation.destination != solicitation.target:
        return Drop.NO_SOURCE_LL
    return solicitation


def advertisement(  # noqa: PLR0913 (one argument per field)
    *,
    destination_mac: bytes,
    destination: bytes,
    mac: bytes,
    link_local: bytes,
    target: bytes,
    flags: bytes,
) -> bytes:
    """Encode the frame of a neighbour advertisement that says `target` is at `mac`."""
    tail = flags + target + bytes((TARGET_LINK_LAYER, 1)) + mac
    head = bytes((ADVERTISEMENT, 0))
    check = checksum(link_local, destination, head + b"\x00\x00" + tail)
    return b"".join(
        (
            destination_mac,
            mac,
            ETHERTYPE,
            _ADVERTISEMENT_HEAD,
            link_local,
            destination,
            head,
            check.to_bytes(2, "big"),
            tail,
        )
    )


def reply(solicitation: Solicitation, *, mac: bytes, link_local: bytes) -> bytes:
    """Answer a solicitation that came from an address: solicited, not overriding."""
    return advertisement(
        destination_mac=solicitation.source_link_layer or solicitation.source_mac,
        destination=solicitation.source,
        mac=mac,
        link_local=link_local,
        target=solicitation.target,
        flags=FLAG_SOLICITED,
    )


def unsolicited(*, mac: bytes, link_local: bytes, target: bytes) -> bytes:
    """Return the frame of one gratuitous round: to all nodes, overriding.

    It is also the answer to a probe for a duplicate address (RFC 4861 §7.2.4).
    """
    return advertisement(
        destination_mac=ALL_NODES_MAC,
        destination=ALL_NODES,
        mac=mac,
        link_local=link_local,
        target=target,
        flags=FLAG_OVERRIDE,
    )
