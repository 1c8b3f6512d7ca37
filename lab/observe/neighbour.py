"""Ask every few milliseconds who owns an address, and print each answer.

``python -m lab.observe.neighbour ADDRESS [--interface eth0] [--interval-ms 10] [--duration-s S]``

The questions come from an identity of their own (an IP and a MAC that no kernel in the lab has), so
asking does not refresh the neighbour cache of the host it runs on, whose traffic may be observed at
the same time.  Lines: ``{"t", "kind": "asked" | "answer" | "gratuitous", "mac"}``; ``asked`` is
printed once per question so that a report knows how often nobody answered.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import select
import signal
import socket
import sys
import time
from typing import Any, Final

from lab.observe import frames

SHADOW_MAC: Final = "02:6d:6c:62:00:31"
SHADOW4: Final = "192.168.111.49"
SHADOW6: Final = "fd00:111::49"
_ETH_P_ALL: Final = 3
_SOL_PACKET: Final = 263
_PACKET_IGNORE_OUTGOING: Final = 23


class Asker:
    """The questions and answers about one address on one interface."""

    def __init__(self, address: str, interface: str) -> None:
        self.address = str(ipaddress.ip_address(address))
        self.is_ipv6 = ":" in self.address
        kind = frames.ETH_IPV6 if self.is_ipv6 else frames.ETH_ARP
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self.socket.bind((interface, kind))
        self.socket.setblocking(False)

    def ask(self) -> None:
        """Send one question; a missing carrier is not an error, only silence."""
        if self.is_ipv6:
            frame = frames.neighbour_solicitation(SHADOW_MAC, SHADOW6, self.address)
        else:
            frame = frames.arp_request(SHADOW_MAC, SHADOW4, self.address)
        self._send(frame)

    def read(self) -> list[dict[str, Any]]:
        """Read what has arrived and return what it says about the address."""
        found = []
        for _ in range(256):
            try:
                frame = self.socket.recv(2048)
            except (BlockingIOError, OSError):
                break
            line = self._understand(frames.decode(frame))
            if line is not None:
                found.append({"t": round(time.monotonic(), 6), **line})
        return found

    def _understand(self, seen: frames.Decoded) -> dict[str, Any] | None:
        told = seen.fields
        if seen.kind == "arp":
            if told.get("sender_ip") != self.address:
                return None
            to_us = told["op"] == "reply" and told["target_mac"] == SHADOW_MAC
            return {"kind": "answer" if to_us else "gratuitous", "mac": told["sender_mac"]}
        if seen.kind != "ndp":
            return None
        if told["op"] == "NS" and told.get("target") == SHADOW6:
            self._send(
                frames.neighbour_advertisement(SHADOW_MAC, SHADOW6, seen.source_mac, told["src"])
            )
        if told["op"] != "NA" or told.get("target") != self.address:
            return None
        mac = told.get("target_link", seen.source_mac)
        to_us = seen.target_mac == SHADOW_MAC
        return {"kind": "answer" if to_us else "gratuitous", "mac": mac}

    def _send(self, frame: bytes) -> None:
        try:
            self.socket.send(frame)
        except OSError:
            return


def main() -> None:
    """Ask until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--interface", default="eth0")
    parser.add_argument("--interval-ms", type=float, default=10.0)
    parser.add_argument("--duration-s", type=float, default=0.0, help="0 means until stopped")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    asker = Asker(given.address, given.interface)
    begin = due = time.monotonic()
    interval_s = given.interval_ms / 1000
    while not given.duration_s or time.monotonic() < begin + given.duration_s:
        now = time.monotonic()
        if now >= due:
            asker.ask()
            _print({"t": round(now, 6), "kind": "asked"})
            due = max(due + interval_s, now)
        select.select([asker.socket], [], [], max(0.0, due - time.monotonic()))
        for line in asker.read():
            _print(line)


def _print(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
