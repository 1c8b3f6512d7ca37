"""ARP over Ethernet (RFC 826, RFC 5227): packet codec, replies and gratuitous frames.

::

     0        6        12    14    16    18  19  20    22       28    32       38    42       60
    | dst MAC | src MAC | 0806| htype| ptype|hl|pl| oper | sha     | spa | tha     | tpa | zeros |

Hardware and protocol type are not looked at, as MetalLB 0.16 does not; the two lengths are, because
the rest of the layout follows from them. Probes (sender 0.0.0.0, RFC 5227 §2.1.1) and gratuitous
requests of others are answered like any other: whoever asks for an announced address is told.
"""

from __future__ import annotations

import msgspec

from mercurylb.errors import WireError
from mercurylb.layer2.drop import Drop

BROADCAST = b"\xff" * 6
ETHERTYPE = b"\x08\x06"
REQUEST = 1
REPLY = 2

PACKET_END = 42
"""Bytes of a frame that carry meaning: Ethernet header and ARP packet."""
PADDING = bytes(60 - PACKET_END)

_HARDWARE = b"\x00\x01\x08\x00\x06\x04"
_LENGTHS = b"\x06\x04"
_LENGTHS_AND_REQUEST = b"\x06\x04\x00\x01"


class ArpPacket(msgspec.Struct, frozen=True):
    """An ARP packet with the Ethernet addresses it travels under."""

    destination: bytes
    source: bytes
    operation: int
    sender_mac: bytes
    sender_ip: bytes
    target_mac: bytes
    target_ip: bytes


def decode(frame: bytes) -> ArpPacket:
    """Decode a whole Ethernet frame; raise WireError when it holds no ARP packet for IPv4."""
    if len(frame) < PACKET_END:
        raise WireError("arp", f"{len(frame)} bytes are no whole packet", offset=len(frame))
    if frame[12:14] != ETHERTYPE:
        raise WireError("arp", f"ethertype {frame[12:14].hex()}", offset=12)
    if frame[18:20] != _LENGTHS:
        raise WireError("arp", f"address lengths {frame[18]} and {frame[19]}", offset=18)
    return ArpPacket(
        destination=frame[0:6],
        source=frame[6:12],
        operation=int.from_bytes(frame[20:22], "big"),
        sender_mac=frame[22:28],
        sender_ip=frame[28:32],
        target_mac=frame[32:38],
        target_ip=frame[38:42],
    )


def encode(packet: ArpPacket) -> bytes:
    """Encode a frame, padded to the 60 bytes that Ethernet wants at least."""
    return b"".join(
        (
            packet.destination,
            packet.source,
            ETHERTYPE,
            _HARDWARE,
            packet.operation.to_bytes(2, "big"),
            packet.sender_mac,
            packet.sender_ip,
            packet.target_mac,
            packet.target_ip,
            PADDING,
        )
    )


def is_whole(frame: bytes) -> bool:
    """Return whether a frame holds an ARP packet for IPv4, whatever it says."""
    return len(frame) >= PACKET_END and frame[12:14] == ETHERTYPE and frame[18:20] == _LENGTHS


def is_request(frame: bytes, mac: bytes) -> bool:
    """Return whether a frame is a request for the owner of `mac` or for everybody; the hot path."""
    return (
        frame[18:22] == _LENGTHS_AND_REQUEST
        and (frame[:6] == BROADCAST or frame[:6] == mac)
        and frame[12:14] == ETHERTYPE
        and len(frame) >= PACKET_END
    )


def check_request(frame: bytes, mac: bytes) -> Drop | None:
    """Say why a frame is no request for the owner of `mac`; None when it is one.

    The checks come in the order of MetalLB 0.16; whether the target is announced is the caller's.
    """
    if not is_whole(frame):
        return Drop.MALFORMED
    if frame[20:22] != b"\x00\x01":
        return Drop.ARP_REPLY
    return None if is_request(frame, mac) else Drop.ETHERNET_DESTINATION


def reply_template(mac: bytes, ip: bytes) -> bytes:
    """Return the part of a reply that is the same for every request: source MAC to sender IP."""
    return mac + ETHERTYPE + _HARDWARE + b"\x00\x02" + mac + ip


def reply(request: bytes, template: bytes) -> bytes:
    """Answer a checked request frame: to its ARP sender address, not to the frame's source."""
    return request[22:28] + template + request[22:32] + PADDING


def gratuitous(mac: bytes, ip: bytes) -> tuple[bytes, bytes]:
    """Return the two frames of one gratuitous round: a request, then a reply, both to everybody."""
    head = BROADCAST + mac + ETHERTYPE + _HARDWARE
    tail = mac + ip + BROADCAST + ip + PADDING
    return head + b"\x00\x01" + tail, head + b"\x00\x02" + tail
