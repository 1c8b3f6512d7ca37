"""Network namespaces on a bridge, with announcers in them, and a raw client that asks."""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lab.cluster import PATIENCE_S
from mercurylb.layer2 import arp, ndp
from mercurylb.plan.desired import DesiredState, Layer2Service, Member, Observation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
_CLONE_NEWNET = 0x40000000


def ip(*arguments: str) -> str:
    """Run the `ip` command."""
    done = subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> float:
    """Wait for a condition; return how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.005)
    return time.monotonic() - started


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Let this thread create sockets in another network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with (
        Path("/proc/self/ns/net").open() as home,
        Path(f"/run/netns/{namespace}").open() as away,
    ):
        assert libc.setns(away.fileno(), _CLONE_NEWNET) == 0
        try:
            yield
        finally:
            assert libc.setns(home.fileno(), _CLONE_NEWNET) == 0


class Host:
    """A namespace with `eth0` on the bridge."""

    def __init__(self, lan: Lan, number: int, name: str) -> None:
        self.lan = lan
        self.name = name
        self.namespace = f"{lan.prefix}{name}"
        self.mac = bytes((2, 0, 0, 0, 0, number))
        self.address = f"10.77.0.{number}"
        self.address6 = f"fd77::{number}"
        ip("netns", "add", self.namespace)
        self.add_link("eth0", self.mac)
        self.ip("addr", "add", f"{self.address}/24", "dev", "eth0")
        self.ip("addr", "add", f"{self.address6}/64", "dev", "eth0", "nodad")

    def add_link(self, name: str, mac: bytes) -> None:
        """Add an interface and plug it into the bridge."""
        port = f"{self.name}{name}"
        command = f"link add {name} netns {self.namespace} type veth peer name {port} netns"
        ip(*command.split(), self.lan.bridge)
        self.ip("link", "set", name, "address", mac.hex(":"))
        self.ip("link", "set", name, "addrgenmode", "eui64")
        with_bridge = ["netns", "exec", self.lan.bridge, "ip", "link", "set", port]
        ip(*with_bridge, "master", "br0", "up")
        subprocess.run(
            ["ip", "netns", "exec", self.namespace, "sysctl", "-qw",
             f"net.ipv6.conf.{name}.accept_dad=0", f"net.ipv6.conf.{name}.dad_transmits=0"],
            check=True,
        )  # fmt: skip
        self.ip("link", "set", name, "up")

    def ip(self, *arguments: str) -> str:
        """Run the `ip` command in here."""
        return ip("-n", self.namespace, *arguments)

    def pull(self) -> None:
        """Break the cable in a way that no kernel notices: nothing passes the switch."""
        port = f"{self.name}eth0"
        ip("netns", "exec", self.lan.bridge, "bridge", "link", "set", "dev", port, "state", "0")

    def repair(self) -> None:
        """Let everything pass the switch again."""
        port = f"{self.name}eth0"
        ip("netns", "exec", self.lan.bridge, "bridge", "link", "set", "dev", port, "state", "3")

    def cut(self) -> None:
        """Pull the cable, at the switch's end."""
        ip("-n", self.lan.bridge, "link", "set", f"{self.name}eth0", "down")

    def heal(self) -> None:
        """Plug the cable in again."""
        ip("-n", self.lan.bridge, "link", "set", f"{self.name}eth0", "up")


class Announcer:
    """An announcer process on a host."""

    def __init__(self, host: Host, folder: Path, *options: str, stdout: int | None = None) -> None:
        self.host = host
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "observation.json").unlink(missing_ok=True)
        self.log = (folder / "log").open("ab")
        command = [sys.executable, "-m", "tests.lab.announcer_node", "--node", host.name]
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", host.namespace, *command, "--dir", str(folder), *options],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            stdout=self.log if stdout is None else stdout,
            stderr=self.log,
        )

    def want(self, state: DesiredState) -> None:
        """Let the brain want this."""
        fresh = self.folder / "desired.new"
        fresh.write_bytes(msgspec.json.encode(state))
        fresh.rename(self.folder / "desired.json")

    @property
    def observation(self) -> Observation:
        """Return what the brain was told last."""
        try:
            content = (self.folder / "observation.json").read_bytes()
        except FileNotFoundError:
            return Observation(revision=0)
        return msgspec.json.decode(content, type=Observation)

    @property
    def owned(self) -> tuple[str, ...]:
        """Return the services this node announces."""
        return tuple(owned.service for owned in self.observation.owned)

    def owns(self, *services: str) -> bool:
        """Tell whether exactly these are announced; fail with the log's end when it has died."""
        tail = (self.folder / "log").read_text()[-2000:]
        assert self.process.poll() is None, f"{self.host.name} has died: {tail}"
        return self.owned == services

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the announcer."""
        self.process.send_signal(number)

    def events(self) -> list[str]:
        """Return the names of the events in the log."""
        return [str(line["event"]) for line in self.lines()]

    def lines(self) -> list[dict[str, object]]:
        """Return what the log says."""
        lines = (self.folder / "log").read_bytes().splitlines()
        return [msgspec.json.decode(line) for line in lines if line[:1] == b"{"]

    @property
    def drops(self) -> dict[str, int]:
        """Return what was dropped, by reason."""
        return {drop.name: drop.count for drop in self.observation.drops}

    @property
    def pid(self) -> int:
        """Return the process id of the announcer itself."""
        return self.process.pid


class Lan:
    """A bridge with hosts; everything is removed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = f"mlt{uuid.uuid4().hex[:5]}"
        self.bridge = f"{self.prefix}sw"
        self.hosts: dict[str, Host] = {}
        self.announcers: list[Announcer] = []
        ip("netns", "add", self.bridge)
        ip("-n", self.bridge, "link", "add", "br0", "type", "bridge")
        ip("-n", self.bridge, "link", "set", "br0", "up")

    def host(self, name: str) -> Host:
        """Add a host."""
        self.hosts[name] = Host(self, len(self.hosts) + 1, name)
        return self.hosts[name]

    def announcer(
        self, host: Host, *options: str, is_ipv6: bool = False, stdout: int | None = None
    ) -> Announcer:
        """Start an announcer on a host."""
        options = ("--address", host.address6 if is_ipv6 else host.address, *options)
        folder = self.folder / host.name
        self.announcers.append(Announcer(host, folder, *options, stdout=stdout))
        return self.announcers[-1]

    def members(self, *, without: str, is_ipv6: bool = False) -> tuple[Member, ...]:
        """Return the member list of one node."""
        return tuple(
            Member(name, host.address6 if is_ipv6 else host.address)
            for name, host in self.hosts.items()
            if name not in {without, "client"}
        )

    def close(self) -> None:
        """Stop everything and remove the namespaces."""
        for announcer in self.announcers:
            if announcer.process.poll() is None:
                announcer.kill()
                announcer.kill(signal.SIGCONT)
            announcer.process.wait()
            announcer.log.close()
        for namespace in [host.namespace for host in self.hosts.values()] + [self.bridge]:
            subprocess.run(["ip", "netns", "del", namespace], check=False)


def service(*addresses: str, ranking: tuple[str, ...], name: str = "default/web",
            interfaces: tuple[str, ...] | None = None) -> Layer2Service:  # fmt: skip
    """Describe a service."""
    return Layer2Service(name, addresses, ranking, interfaces)


class Asker:
    """A raw socket on the client that asks for addresses and hears the answers."""

    def __init__(self, host: Host) -> None:
        self.host = host
        with inside(host.namespace):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.sock.bind(("eth0", 0x0806))
            self.ndp = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.ndp.bind(("eth0", 0x86DD))
        self.sock.setblocking(False)
        self.ndp.setblocking(False)

    def close(self) -> None:
        """Close the sockets."""
        self.sock.close()
        self.ndp.close()

    def request(self, address: str, *, destination: bytes = arp.BROADCAST) -> bytes:
        """Return an ARP request frame."""
        return arp.encode(
            arp.ArpPacket(
                destination=destination,
                source=self.host.mac,
                operation=arp.REQUEST,
                sender_mac=self.host.mac,
                sender_ip=ipaddress.ip_address(self.host.address).packed,
                target_mac=bytes(6),
                target_ip=ipaddress.ip_address(address).packed,
            )
        )

    def ask(self, address: str, *, destination: bytes = arp.BROADCAST) -> None:
        """Send an ARP request."""
        self.sock.send(self.request(address, destination=destination))

    def answers(self, address: str, wait_s: float = 0.2) -> list[bytes]:
        """Return the MAC addresses that answered us for an address within a time."""
        packed = ipaddress.ip_address(address).packed
        found = []
        ends_at = time.monotonic() + wait_s
        while True:
            try:
                packet = arp.decode(self.sock.recv(256))
            except BlockingIOError:
                if time.monotonic() >= ends_at:  # Looked at last after the time was over.
                    break
                time.sleep(0.001)
                continue
            is_for_us = packet.destination == self.host.mac
            if is_for_us and packet.operation == arp.REPLY and packet.sender_ip == packed:
                found.append(packet.sender_mac)
        return found

    def who(self, address: str, wait_s: float = 0.1) -> set[bytes]:
        """Ask once and return who answers."""
        self.drain()
        self.ask(address)
        return set(self.answers(address, wait_s))

    def drain(self) -> None:
        """Forget what was received."""
        for sock in (self.sock, self.ndp):
            with contextlib.suppress(BlockingIOError):
                while True:
                    sock.recv(2048)

    def solicitation(self, target: str) -> bytes:
        """Return a neighbour solicitation frame."""
        packed = ipaddress.ip_address(target).packed
        group = ndp.solicited_node_group(packed)
        number = self.host.mac[-1]
        source = ipaddress.ip_address(f"fd77::{number}").packed
        tail = b"\x00\x00\x00\x00" + packed + b"\x01\x01" + self.host.mac
        check = ndp.checksum(source, group, b"\x87\x00\x00\x00" + tail)
        head = struct.pack("!IHBB", 0x60000000, 32, 58, 255)
        message = b"\x87\x00" + check.to_bytes(2, "big") + tail
        ethernet = b"\x33\x33" + group[12:] + self.host.mac + b"\x86\xdd"
        return ethernet + head + source + group + message
