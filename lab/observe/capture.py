"""Capture frames on an interface and print what they say; optionally write a pcap file too.

``python -m lab.observe.capture [--interface eth0] [--only arp,ndp] [--address A] [--write FILE]``

Lines: ``{"t", "dir": "in" | "out", "kind", "src_mac", "dst_mac", …fields of the kind}``.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, Final

from lab.observe import frames

_ETH_P_ALL: Final = 3
_OUTGOING: Final = 4
_SNAP_BYTES: Final = 65535
_PCAP_HEAD: Final = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _SNAP_BYTES, 1)
_ADDRESS_KEYS: Final = ("src", "dst", "sender_ip", "target_ip", "target")


def is_wanted(seen: frames.Decoded, only: frozenset[str], address: str | None) -> bool:
    """Tell whether a frame passes the filter."""
    if only and seen.kind not in only:
        return False
    return address is None or any(seen.fields.get(key) == address for key in _ADDRESS_KEYS)


def describe(seen: frames.Decoded, direction: str) -> dict[str, Any]:
    """Return a frame's line, without the time."""
    return {
        "dir": direction,
        "kind": seen.kind,
        "src_mac": seen.source_mac,
        "dst_mac": seen.target_mac,
        **seen.fields,
    }


def open_pcap(file: Path) -> BinaryIO:
    """Start a capture file."""
    out = file.open("wb")
    out.write(_PCAP_HEAD)
    return out


def write_pcap(out: BinaryIO, frame: bytes, wall_s: float) -> None:
    """Append a frame to a capture file."""
    seconds = int(wall_s)
    micros = int((wall_s - seconds) * 1e6)
    out.write(struct.pack("<IIII", seconds, micros, len(frame), len(frame)) + frame)
    out.flush()


def main() -> None:
    """Capture until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interface", default="eth0")
    parser.add_argument("--only", default="", help="comma list: arp, ndp, tcp, udp, icmp, icmp6")
    parser.add_argument("--address", default=None, help="only frames that name this address")
    parser.add_argument("--write", default=None, type=Path, help="also write a pcap file")
    parser.add_argument("--duration-s", type=float, default=0.0, help="0 means until stopped")
    given = parser.parse_args()
    only = frozenset(word for word in given.only.split(",") if word)
    address = str(ipaddress.ip_address(given.address)) if given.address else None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    raw.bind((given.interface, _ETH_P_ALL))
    raw.settimeout(0.2)
    out = open_pcap(given.write) if given.write else None
    begin = time.monotonic()
    while not given.duration_s or time.monotonic() < begin + given.duration_s:
        try:
            frame, where = raw.recvfrom(_SNAP_BYTES)
        except TimeoutError:
            continue
        now = time.monotonic()
        seen = frames.decode(frame)
        if not is_wanted(seen, only, address):
            continue
        line = describe(seen, "out" if where[2] == _OUTGOING else "in")
        sys.stdout.write(json.dumps({"t": round(now, 6), **line}) + "\n")
        sys.stdout.flush()
        if out is not None:
            write_pcap(out, frame, time.time())


if __name__ == "__main__":
    main()
