"""Interfaces, services and frames that the tests of layer 2 are made of."""

from __future__ import annotations

import ipaddress

import msgspec

from mercurylb.layer2 import arp, ndp
from mercurylb.layer2.effect import SendFrame
from mercurylb.layer2.interface import Interface, NodeInterfaces
from mercurylb.layer2.responder import Responder

V4, V4B, V6 = "10.0.0.1", "10.0.0.2", "2001:db8::1"
LINK_LOCAL = b"\xfe\x80" + bytes(13) + b"\x05"
ASKER = ipaddress.IPv6Address("2001:db8::99").packed
ASKER_MAC = bytes.fromhex("020000000099")
MEMBER_MAC = bytes.fromhex("0200000000aa")
STRANGER_MAC = bytes.fromhex("0200000000bb")


class Service(msgspec.Struct, frozen=True):
    """What is announced."""

    service: str
    addresses: tuple[str, ...]
    ranking: tuple[str, ...] = ("me",)
    interfaces: tuple[str, ...] | None = None


def packed(address: str) -> bytes:
    """Return the bytes of an address."""
    return ipaddress.ip_address(address).packed


def interface(index: int, **changes: object) -> Interface:
    """Return eth0 (index 1), eth1 …"""
    made = Interface(
        index, f"eth{index - 1}", bytes((2, 0, 0, 0, 0, index)), True, True, LINK_LOCAL
    )
    return msgspec.structs.replace(made, **changes)


def node(*interfaces: Interface, names: tuple[str, ...] = ()) -> NodeInterfaces:
    """Return the interfaces of a node."""
    return NodeInterfaces(names or tuple(i.name for i in interfaces), interfaces)


def announcing(*services: Service) -> Responder:
    """Return a machine with eth0 and eth1, alive beside `other`, that announces at second 0."""
    made = Responder("me")
    made.on_interfaces(node(interface(1), interface(2)), 0.0)
    made.on_live({"me", "other"}, 0.0)
    made.on_desired(services, 0.0)
    return made


def arp_frame(  # noqa: PLR0913 (one argument per field)
    *,
    operation: int = arp.REQUEST,
    sender: str = "0.0.0.0",
    target: str = V4,
    mac: bytes = STRANGER_MAC,
    source: bytes | None = None,
    destination: bytes = arp.BROADCAST,
) -> bytes:
    """Build an ARP frame."""
    return arp.encode(
        arp.ArpPacket(
            destination=destination,
            source=mac if source is None else source,
            operation=operation,
            sender_mac=mac,
            sender_ip=packed(sender),
            target_mac=bytes(6),
            target_ip=packed(target),
        )
    )


def solicitation(  # noqa: PLR0913 (one argument per field that can be wrong)
    *,
    options: bytes = b"\x01\x01" + ASKER_MAC,
    source: bytes = ASKER,
    source_mac: bytes = ASKER_MAC,
    target: str | bytes = V6,
    destination: bytes | None = None,
    kind: bytes = b"\x87\x00",
    flags: bytes = bytes(4),
    hop_limit: int = 255,
    checksum: int | None = None,
    size: int | None = None,
    next_header: int = 58,
) -> bytes:
    """Build a solicitation frame, wrong where asked for."""
    wanted = packed(target) if isinstance(target, str) else target
    to = ndp.solicited_node_group(wanted) if destination is None else destination
    tail = flags + wanted + options
    check = ndp.checksum(source, to, kind + bytes(2) + tail) if checksum is None else checksum
    message = kind + check.to_bytes(2, "big") + tail
    length = len(message) if size is None else size
    head = b"\x60\x00\x00\x00" + length.to_bytes(2, "big") + bytes((next_header, hop_limit))
    return b"\x33\x33" + to[12:] + source_mac + b"\x86\xdd" + head + source + to + message


def probe(target: str = V6, *, mac: bytes = STRANGER_MAC) -> bytes:
    """Build a probe for a duplicate address."""
    return solicitation(options=b"", source=bytes(16), source_mac=mac, target=target)


def advertisement(target: str = V6, *, mac: bytes = STRANGER_MAC, **wrong: object) -> bytes:
    """Build somebody's unsolicited advertisement."""
    fields = {
        "options": b"\x02\x01" + mac,
        "source": b"\xfe\x80" + bytes(13) + b"\x77",
        "source_mac": mac,
        "kind": b"\x88\x00",
        "flags": ndp.FLAG_OVERRIDE,
        "destination": ndp.ALL_NODES,
    }
    return solicitation(target=target, **(fields | wrong))


def frames(effects: list[object]) -> list[tuple[int, bytes]]:
    """Return what is sent where."""
    return [(e.interface, e.frame) for e in effects if isinstance(e, SendFrame)]
