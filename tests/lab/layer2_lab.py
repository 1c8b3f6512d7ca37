"""One announcing node and a client with raw sockets, for what only a kernel can decide."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
import subprocess
import time
import uuid
from typing import TYPE_CHECKING

from lab.cluster import PATIENCE_S
from mercurylb.layer2 import arp, ndp
from mercurylb.layer2.burst import TICK_S
from mercurylb.plan.desired import DesiredState
from tests.lab.wire_lab import Announcer, Asker, Lan, inside, ip, service, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from mercurylb.plan.desired import Layer2Service

V4, V6 = "10.77.0.100", "fd77::100"
GROUP = "ff02::1:ff00:100"
BURST_S = 0.2
READ_S = 0.02
"""For what has arrived already."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def packed(address: str) -> bytes:
    """Return the bytes of an address."""
    return ipaddress.ip_address(address).packed


def has_kind(kind: str, *options: str) -> bool:
    """Return whether this kernel can make links of a kind."""
    name = f"mlk{uuid.uuid4().hex[:6]}"
    ip("netns", "add", name)
    try:
        add = ["ip", "-n", name, "link", "add"]
        subprocess.run([*add, "p0", "type", "veth", "peer", "name", "p1"], check=True)
        parent = ["link", "p0"] if options else []
        made = [*add, *parent, "name", "x0", "type", kind, *options]
        return subprocess.run(made, check=False, capture_output=True).returncode == 0
    finally:
        ip("netns", "del", name)


class Node:
    """A LAN with one announcing node `n1` and a client that listens to everything."""

    def __init__(self, folder: Path) -> None:
        self.lan = Lan(folder)
        self.host = self.lan.host("n1")
        self.client = self.lan.host("client")
        self.asker = Asker(self.client)
        self.revision = 0

    def start(self, *services: Layer2Service, exclude: str = "^lo$") -> Announcer:
        """Start the announcer, and wait until it owns what it is to announce.

        Its bursts are short, so that what a trigger brings is not what a burst brings anyway.
        """
        announcer = self.lan.announcer(self.host, "--exclude", exclude, "--burst", str(BURST_S))
        self.want(announcer, *(services or (service(V4, V6, ranking=("n1",)),)))
        wait_until(lambda: announcer.owned, "owned")
        return announcer

    def want(self, announcer: Announcer, *services: Layer2Service) -> None:
        """Let the brain want these services."""
        self.revision += 1
        announcer.want(DesiredState(revision=self.revision, layer2=services))

    def close(self) -> None:
        """Remove everything."""
        self.asker.close()
        self.lan.close()

    # --- frames --------------------------------------------------------------------------------

    def heard(self, sock: socket.socket, wait_s: float = 0.3) -> list[bytes]:
        """Return the frames that arrive at the client within a time."""
        found = []
        ends_at = time.monotonic() + wait_s
        while time.monotonic() < ends_at:
            try:
                found.append(sock.recv(2048))
            except BlockingIOError:
                time.sleep(0.001)
        return found

    def answers(self, frame: bytes, wait_s: float = 0.2) -> list[bytes]:
        """Send a frame and return the node's unicast frames of its protocol that come back."""
        is_arp = frame[12:14] in (arp.ETHERTYPE, b"\x81\x00")
        sock = self.asker.sock if is_arp else self.asker.ndp
        self.asker.drain()
        sock.send(frame)
        heard = self.heard(sock, wait_s)
        is_na = (
            (lambda f: True)  # noqa: ARG005 (a test of every frame)
            if is_arp
            else (lambda f: len(f) > 54 and f[54] == ndp.ADVERTISEMENT and f[62:78] == packed(V6))
        )
        return [f for f in heard if f[:6] == self.client.mac and is_na(f)]

    def announcements(self, address: str, wait_s: float = 0.5) -> list[bytes]:
        """Return the gratuitous frames of an address that arrive within a time."""
        if ":" in address:
            return [
                frame
                for frame in self.heard(self.asker.ndp, wait_s)
                if frame[:6] == ndp.ALL_NODES_MAC
                and len(frame) > 78
                and frame[54] == ndp.ADVERTISEMENT
                and frame[62:78] == packed(address)
            ]
        return [
            frame
            for frame in self.heard(self.asker.sock, wait_s)
            if frame[:6] == arp.BROADCAST and frame[28:32] == frame[38:42] == packed(address)
        ]

    def calm(self) -> None:
        """Wait until no burst runs: one that does sends a round every `TICK_S`."""
        self.asker.drain()
        wait_until(
            lambda: not (self.announcements(V4, TICK_S + 0.1) or self.announcements(V6, READ_S)),
            "no burst",
        )

    def first_announcement(self, address: str, timeout_s: float = PATIENCE_S) -> bytes:
        """Return the next gratuitous frame of an address."""
        found: list[bytes] = []
        wait_until(lambda: found or found.extend(self.announcements(address, 0.05)) or found,
                   f"{address} announced", timeout_s)  # fmt: skip
        return found[0]

    def flood(self, frames: list[bytes], *, rate: float, seconds: float) -> int:
        """Send frames from the client at a rate, in turn; return how many."""
        socks = {arp.ETHERTYPE: self.asker.sock, ndp.ETHERTYPE: self.asker.ndp}
        sends = [(socks[frame[12:14]].send, frame) for frame in frames]
        started, sent = time.monotonic(), 0
        while (passed := time.monotonic() - started) < seconds:
            if sent > passed * rate:
                time.sleep(0.0005)
                continue
            for _ in range(20):
                send, frame = sends[sent % len(sends)]
                with contextlib.suppress(BlockingIOError):
                    send(frame)
                sent += 1
        return sent


def client_socket(node: Node, ethertype: int) -> socket.socket:
    """Return another raw socket of the client."""
    with inside(node.client.namespace):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.bind(("eth0", ethertype))
    sock.setblocking(False)
    return sock


def cpu_s(pid: int) -> float:
    """Return the CPU time a process has used."""
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 (a line of a pseudo file)
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def arp_frame(  # noqa: PLR0913 (one argument per field)
    sender_mac: bytes,
    sender: str,
    target: str,
    *,
    operation: int = arp.REQUEST,
    destination: bytes = arp.BROADCAST,
    source: bytes | None = None,
) -> bytes:
    """Build an ARP frame."""
    return arp.encode(
        arp.ArpPacket(
            destination=destination,
            source=source or sender_mac,
            operation=operation,
            sender_mac=sender_mac,
            sender_ip=packed(sender),
            target_mac=bytes(6),
            target_ip=packed(target),
        )
    )


def ndp_frame(  # noqa: PLR0913 (one argument per field)
    mac: bytes,
    source: str,
    destination: str,
    target: str,
    *,
    kind: int = ndp.SOLICITATION,
    flags: bytes = bytes(4),
    options: bytes | None = None,
    destination_mac: bytes | None = None,
    hop_limit: int = 255,
    checksum: int | None = None,
) -> bytes:
    """Build a frame of neighbour discovery."""
    number = ndp.SOURCE_LINK_LAYER if kind == ndp.SOLICITATION else ndp.TARGET_LINK_LAYER
    tail = flags + packed(target) + (bytes((number, 1)) + mac if options is None else options)
    head = bytes((kind, 0))
    to = packed(destination)
    check = ndp.checksum(packed(source), to, head + bytes(2) + tail)
    message = head + (check if checksum is None else checksum).to_bytes(2, "big") + tail
    ip6 = struct.pack("!IHBB", 0x60000000, len(message), 58, hop_limit) + packed(source) + to
    return (destination_mac or b"\x33\x33" + to[12:]) + mac + ndp.ETHERTYPE + ip6 + message
