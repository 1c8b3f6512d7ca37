"""Ask for an address at a rate and count the answers; run inside the lab for a bounded time.

``python -m bench.flood ADDRESS --rate N --seconds S [--interface eth0]``

Answers are counted by the kernel: a filter passes replies for the address only, and the socket's
own statistics tell how many there were, also of those that nobody read.  So counting costs no CPU
that the answering program could have used.
"""

from __future__ import annotations

import argparse
import ctypes
import ipaddress
import json
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Final

from lab.observe import frames
from lab.observe.neighbour import SHADOW4, SHADOW_MAC

if TYPE_CHECKING:
    from collections.abc import Sequence

RATE_MAX: Final = 200_000
SECONDS_MAX: Final = 30.0
_BATCH: Final = 20
_ETH_P_ALL: Final = 3
_SOL_PACKET: Final = 263
_PACKET_STATISTICS: Final = 6
_PACKET_IGNORE_OUTGOING: Final = 23
_SO_ATTACH_FILTER: Final = 26
_OPERATION_AT: Final = 20
_SENDER_IP_AT: Final = 28
_REPLY: Final = 2


def reply_filter(address: str) -> list[tuple[int, int, int, int]]:
    """Return a classic BPF program that passes ARP replies sent for an address."""
    load_half, load_word, equal, give = 0x28, 0x20, 0x15, 0x06
    return [
        (load_half, 0, 0, 12),
        (equal, 0, 5, frames.ETH_ARP),
        (load_half, 0, 0, _OPERATION_AT),
        (equal, 0, 3, _REPLY),
        (load_word, 0, 0, _SENDER_IP_AT),
        (equal, 0, 1, int(ipaddress.IPv4Address(address))),
        (give, 0, 0, 64),
        (give, 0, 0, 0),
    ]


class Counter:
    """Counts the answers for an address."""

    def __init__(self, address: str, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        program = b"".join(struct.pack("HBBI", *step) for step in reply_filter(address))
        kept = ctypes.create_string_buffer(program, len(program))
        head = struct.pack("HL", len(program) // 8, ctypes.addressof(kept))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, head)
        self._socket.bind((interface, _ETH_P_ALL))

    def count(self) -> int:
        """Return how many there were since the last call."""
        raw = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        return int(struct.unpack("II", raw)[0])


def flood(address: str, interface: str, *, rate: float, seconds: float) -> int:
    """Send requests; return how many."""
    frame = frames.arp_request(SHADOW_MAC, SHADOW4, address)
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    out.bind((interface, 0))
    sent, begin = 0, time.monotonic()
    while (passed := time.monotonic() - begin) < seconds:
        if sent > passed * rate:
            time.sleep(0.0005)
            continue
        for _ in range(_BATCH):
            out.send(frame)
        sent += _BATCH
    out.close()
    return sent


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, ask, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--interface", default="eth0")
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args(argv)
    rate, seconds = min(given.rate, RATE_MAX), min(given.seconds, SECONDS_MAX)
    counter = Counter(given.address, given.interface)
    begin = time.monotonic()
    sent = flood(given.address, given.interface, rate=rate, seconds=seconds)
    took = time.monotonic() - begin
    time.sleep(0.2)
    told = {"sent_per_s": sent / took, "answers_per_s": counter.count() / took, "seconds": took}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
