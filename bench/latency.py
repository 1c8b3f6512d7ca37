"""Ask for an address in a steady rhythm and tell how long each answer took; runs inside the lab.

``python -m bench.latency ADDRESS --rate N --seconds S [--interface eth0]``

The times are those of the kernel: both the question as it leaves and the answer as it arrives are
stamped there, so that a late reader does not make an answer late.
"""

from __future__ import annotations

import argparse
import json
import math
import select
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Final

from lab.observe import frames
from lab.observe.neighbour import SHADOW4, SHADOW_MAC

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS_MAX: Final = 60.0
TIMEOUT_S: Final = 1.0
_SO_TIMESTAMPNS: Final = 35
_STAMP: Final = struct.Struct("qq")
_OUTGOING: Final = 4


class Asker:
    """Sees its own questions leave and the answers come, with their moments.

    A socket is not shown what it sends itself, so one sends and another one looks.
    """

    def __init__(self, address: str, interface: str) -> None:
        self._address = address
        self._frame = frames.arp_request(SHADOW_MAC, SHADOW4, address)
        self._sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._sender.bind((interface, 0))
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        # Outgoing frames are shown to sockets of all protocols only.
        self._socket.bind((interface, 3))
        self._socket.setblocking(False)

    def ask(self) -> float | None:
        """Ask once; return how long the answer took, None when none came."""
        self._drain()
        self._sender.send(self._frame)
        sent, end = None, time.monotonic() + TIMEOUT_S
        while (left := end - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                break
            stamp, is_question = self._read()
            if is_question:
                sent = stamp
            elif is_question is False and sent is not None:
                return stamp - sent
        return None

    def _read(self) -> tuple[float, bool | None]:
        """Return the moment of a frame, and whether it is the question, the answer, or neither."""
        raw, extra, _, where = self._socket.recvmsg(2048, 256)
        seconds, nanos = _STAMP.unpack_from(extra[0][2])
        seen = frames.decode(raw)
        is_question: bool | None = None
        if seen.kind == "arp":
            if where[2] == _OUTGOING and seen.source_mac == SHADOW_MAC:
                is_question = True
            elif seen.fields["op"] == "reply" and seen.fields["sender_ip"] == self._address:
                is_question = False
        return seconds + nanos / 1e9, is_question

    def _drain(self) -> None:
        try:
            while True:
                self._socket.recv(64)
        except BlockingIOError:
            return


def summary(times: Sequence[float | None]) -> dict[str, float]:
    """Return the figures of some answers' times."""
    known = sorted(t * 1000 for t in times if t is not None)
    told = {"asked": float(len(times)), "answered": float(len(known))}
    if known:
        for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0)):
            told[name] = known[max(math.ceil(share * len(known)), 1) - 1]
    return told


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, ask, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--interface", default="eth0")
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args(argv)
    asker, times = Asker(given.address, given.interface), []
    begin = due = time.monotonic()
    while due < begin + min(given.seconds, SECONDS_MAX):
        time.sleep(max(0.0, due - time.monotonic()))
        times.append(asker.ask())
        due = max(due + 1 / given.rate, time.monotonic() - 1 / given.rate)
    sys.stdout.write(json.dumps(summary(times)) + "\n")


if __name__ == "__main__":
    main()
