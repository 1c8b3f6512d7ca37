"""Frames as the observers need them: make ARP and NDP, take apart what is seen.

Deliberately independent of the programs under test, so that one wrong idea about a layout cannot
hide on both sides.  RFC 826 (ARP), RFC 4861 (NDP).  Decoding never raises: what cannot be read is
told in the summary.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field
from typing import Any, Final

BROADCAST: Final = "ff:ff:ff:ff:ff:ff"
ETH_ARP: Final = 0x0806
ETH_IPV4: Final = 0x0800
ETH_IPV6: Final = 0x86DD
ETH_VLAN: Final = 0x8100
_ARP: Final = struct.Struct("!HHBBH6s4s6s4s")
_ICMPV6: Final = 58
_NS: Final = 135
_NA: Final = 136
_ND_NAMES: Final = {133: "RS", 134: "RA", _NS: "NS", _NA: "NA"}
_TRANSPORT: Final = {1: "icmp", 6: "tcp", 17: "udp", _ICMPV6: "icmp6"}
_TCP_FLAGS: Final = "FSRPAUEC"


@dataclass(slots=True)
class Decoded:
    """A frame taken apart as far as it could be."""

    source_mac: str
    target_mac: str
    kind: str
    fields: dict[str, Any] = field(default_factory=dict)


def mac_bytes(text: str) -> bytes:
    """Parse a MAC address."""
    return bytes.fromhex(text.replace(":", ""))


def mac_text(raw: bytes) -> str:
    """Format a MAC address."""
    return raw.hex(":")


def ethernet(target: str, source: str, kind: int, payload: bytes) -> bytes:
    """Return an Ethernet frame."""
    return mac_bytes(target) + mac_bytes(source) + struct.pack("!H", kind) + payload


def arp_request(mac: str, ip: str, wanted: str) -> bytes:
    """Return a broadcast question for the owner of an address."""
    return _arp(BROADCAST, 1, (mac, ip), ("00:00:00:00:00:00", wanted))


def gratuitous_arp(mac: str, ip: str) -> bytes:
    """Return a broadcast ARP request that tells everybody the owner of an address."""
    return _arp(BROADCAST, 1, (mac, ip), ("00:00:00:00:00:00", ip))


def neighbour_solicitation(mac: str, ip: str, wanted: str) -> bytes:
    """Return a multicast NDP question for the owner of an address."""
    target = ipaddress.IPv6Address(wanted).packed
    group = solicited_node_group(wanted)
    body = struct.pack("!BBHI", _NS, 0, 0, 0) + target + b"\x01\x01" + mac_bytes(mac)
    return _icmpv6(mac, ip, _group_mac(group), group, body)


def neighbour_advertisement(mac: str, ip: str, to_mac: str, to_ip: str) -> bytes:
    """Return the solicited answer to a question for ``ip``."""
    target = ipaddress.IPv6Address(ip).packed
    flags = 0x60000000  # solicited, override
    body = struct.pack("!BBHI", _NA, 0, 0, flags) + target + b"\x02\x01" + mac_bytes(mac)
    return _icmpv6(mac, ip, to_mac, to_ip, body)


def unsolicited_na(mac: str, ip: str) -> bytes:
    """Return an advertisement that tells everybody the owner of an address."""
    target = ipaddress.IPv6Address(ip).packed
    body = struct.pack("!BBHI", _NA, 0, 0, 0x20000000) + target + b"\x02\x01" + mac_bytes(mac)
    return _icmpv6(mac, ip, _group_mac("ff02::1"), "ff02::1", body)


def solicited_node_group(ip: str) -> str:
    """Return the group in which the owner of an address is asked for (RFC 4291 §2.7.1)."""
    low = ipaddress.IPv6Address(ip).packed[-3:]
    prefix = ipaddress.IPv6Address("ff02::1:ff00:0").packed[:13]
    return str(ipaddress.IPv6Address(prefix + low))


def decode(frame: bytes) -> Decoded:
    """Take a frame apart."""
    if len(frame) < 14:  # noqa: PLR2004  (an Ethernet header)
        return Decoded("", "", "short", {"bytes": len(frame)})
    out = Decoded(mac_text(frame[6:12]), mac_text(frame[0:6]), "")
    kind, at = int.from_bytes(frame[12:14], "big"), 14
    if kind == ETH_VLAN and len(frame) >= 18:  # noqa: PLR2004  (with a VLAN tag)
        out.fields["vlan"] = int.from_bytes(frame[14:16], "big") & 0xFFF
        kind, at = int.from_bytes(frame[16:18], "big"), 18
    try:
        _decode_payload(out, kind, frame[at:])
    except (struct.error, IndexError, ValueError):
        out.kind, out.fields["truncated"] = out.kind or f"0x{kind:04x}", True
    return out


def _decode_payload(out: Decoded, kind: int, payload: bytes) -> None:
    if kind == ETH_ARP:
        out.kind = "arp"
        _, _, _, _, operation, smac, sip, tmac, tip = _ARP.unpack_from(payload)
        out.fields |= {
            "op": {1: "request", 2: "reply"}.get(operation, str(operation)),
            "sender_mac": mac_text(smac),
            "sender_ip": str(ipaddress.IPv4Address(sip)),
            "target_mac": mac_text(tmac),
            "target_ip": str(ipaddress.IPv4Address(tip)),
        }
    elif kind == ETH_IPV4:
        out.kind = "ipv4"
        header = (payload[0] & 0xF) * 4
        out.fields |= {
            "src": str(ipaddress.IPv4Address(payload[12:16])),
            "dst": str(ipaddress.IPv4Address(payload[16:20])),
        }
        _decode_transport(out, payload[9], payload[header:])
    elif kind == ETH_IPV6:
        out.kind = "ipv6"
        out.fields |= {
            "src": str(ipaddress.IPv6Address(payload[8:24])),
            "dst": str(ipaddress.IPv6Address(payload[24:40])),
        }
        _decode_transport(out, payload[6], payload[40:])
    else:
        out.kind = f"0x{kind:04x}"


def _decode_transport(out: Decoded, protocol: int, segment: bytes) -> None:
    out.kind = _TRANSPORT.get(protocol, f"{out.kind}/{protocol}")
    if protocol in (6, 17):
        out.fields["sport"], out.fields["dport"] = struct.unpack_from("!HH", segment)
        if protocol == 6:  # noqa: PLR2004  (TCP)
            bits = segment[13]
            out.fields["flags"] = "".join(f for i, f in enumerate(_TCP_FLAGS) if bits >> i & 1)
    elif protocol == _ICMPV6 and segment[0] in _ND_NAMES:
        _decode_nd(out, segment)
    elif protocol in (1, _ICMPV6):
        out.fields["type"] = segment[0]


def _decode_nd(out: Decoded, segment: bytes) -> None:
    out.kind = "ndp"
    out.fields["op"] = _ND_NAMES[segment[0]]
    if segment[0] not in (_NS, _NA):
        return
    out.fields["target"] = str(ipaddress.IPv6Address(segment[8:24]))
    if segment[0] == _NA:
        bits = segment[4]
        names = (("router", 0x80), ("solicited", 0x40), ("override", 0x20))
        out.fields["flags"] = [name for name, bit in names if bits & bit]
    at = 24
    while at + 8 <= len(segment) and segment[at + 1]:
        if segment[at] in (1, 2):
            key = "source_link" if segment[at] == 1 else "target_link"
            out.fields[key] = mac_text(segment[at + 2 : at + 8])
        at += segment[at + 1] * 8


def _arp(to: str, operation: int, sender: tuple[str, str], target: tuple[str, str]) -> bytes:
    body = _ARP.pack(
        1,
        ETH_IPV4,
        6,
        4,
        operation,
        mac_bytes(sender[0]),
        ipaddress.IPv4Address(sender[1]).packed,
        mac_bytes(target[0]),
        ipaddress.IPv4Address(target[1]).packed,
    )
    return ethernet(to, sender[0], ETH_ARP, body)


def _icmpv6(mac: str, ip: str, to_mac: str, to_ip: str, body: bytes) -> bytes:
    source, target = ipaddress.IPv6Address(ip).packed, ipaddress.IPv6Address(to_ip).packed
    pseudo = source + target + struct.pack("!II", len(body), _ICMPV6)
    body = body[:2] + _checksum(pseudo + body) + body[4:]
    header = struct.pack("!IHBB", 0x60000000, len(body), _ICMPV6, 255) + source + target
    return ethernet(to_mac, mac, ETH_IPV6, header + body)


def _checksum(raw: bytes) -> bytes:
    if len(raw) % 2:
        raw += b"\0"
    total = sum(struct.unpack(f"!{len(raw) // 2}H", raw))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


def _group_mac(group: str) -> str:
    return "33:33:" + mac_text(ipaddress.IPv6Address(group).packed[-4:])
