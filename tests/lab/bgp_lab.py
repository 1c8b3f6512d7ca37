"""Announcers beside real routers: FRR and BIRD in namespaces on the same bridge."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mercurylb.bgp.route import RouteGroup
from mercurylb.bgp.settings import PeerSettings
from mercurylb.plan.desired import BgpPeer, DesiredState
from tests.lab.wire_lab import Announcer, Host, Lan, inside, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.bfd.settings import BfdSettings
    from mercurylb.bgp.report import SessionReport

FRR = Path("/usr/lib/frr")
ASN, ROUTER_ASN = 64512, 64513
P1 = "203.0.113.1/32"
"""The route that there is with every session."""


def has_frr() -> bool:
    """Return whether FRR's programs are on this machine."""
    return (FRR / "bgpd").exists() and shutil.which("vtysh") is not None


class Router:
    """A host with zebra, bgpd and bfdd of FRR."""

    def __init__(self, lan: Lan, name: str, configuration: str) -> None:
        self.lan = lan
        self.host = lan.host(name)
        # Its daemons drop their rights before they read, so it is not below pytest's own folder.
        self.folder = Path(tempfile.mkdtemp(prefix="mlb-frr-"))
        self.processes: list[subprocess.Popen[bytes]] = []
        (self.folder / "frr.conf").write_text(configuration)
        for path in (self.folder, self.folder / "frr.conf"):
            shutil.chown(path, "frr", "frr")
        self.start()

    def start(self) -> None:
        """Start the daemons."""
        for daemon in ("zebra", "bgpd", "bfdd"):
            options = ["-f", str(self.folder / "frr.conf"), "-u", "frr", "-g", "frr"]
            options += ["--vty_socket", str(self.folder), "-i", str(self.folder / f"{daemon}.pid")]
            options += ["-z", str(self.folder / "zserv.api"), "-A", "127.0.0.1", "-P", "0"]
            options += ["--log", f"file:{self.folder / daemon}.log"]
            if daemon == "bfdd":
                options += ["--bfdctl", str(self.folder / "bfdd.sock")]
            self.processes.append(
                subprocess.Popen(
                    ["ip", "netns", "exec", self.host.namespace, str(FRR / daemon), *options],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            if daemon == "zebra":
                wait_until((self.folder / "zserv.api").exists, "zebra is there")
        wait_until((self.folder / "bgpd.vty").exists, "bgpd is there")

    def vtysh(self, *commands: str) -> str:
        """Run commands, and return what they print."""
        words = [word for command in commands for word in ("-c", command)]
        done = subprocess.run(
            ["ip", "netns", "exec", self.host.namespace, "vtysh", "--vty_socket",
             str(self.folder), *words],
            check=False, capture_output=True, text=True, timeout=20,
        )  # fmt: skip
        return done.stdout

    def configure(self, *lines: str) -> None:
        """Change the configuration."""
        self.vtysh("configure terminal", *lines)

    def json(self, command: str) -> dict[str, Any]:
        """Return what a show command prints as JSON; nothing while there is none."""
        out = self.vtysh(f"{command} json")
        try:
            return dict(json.loads(out))
        except ValueError:
            return {}

    def routes(self, family: str = "ipv4") -> dict[str, list[dict[str, Any]]]:
        """Return the paths of every prefix in BGP's own table."""
        return dict(self.json(f"show bgp {family} unicast").get("routes", {}))

    def detail(self, prefix: str, family: str = "ipv4") -> dict[str, Any]:
        """Return the first path of a prefix with all attributes."""
        paths = self.json(f"show bgp {family} unicast {prefix}").get("paths", [])
        return dict(paths[0]) if paths else {}

    def neighbor(self, address: str) -> dict[str, Any]:
        """Return what bgpd knows of a neighbour."""
        return dict(self.json(f"show bgp neighbors {address}").get(address, {}))

    def has_routes(self, *prefixes: str, family: str = "ipv4") -> bool:
        """Tell whether the table holds exactly these prefixes."""
        return set(self.routes(family)) == set(prefixes)

    def close(self) -> None:
        """Stop the daemons."""
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


class Update(NamedTuple):
    """What a small peer was told of IPv4 prefixes at a time."""

    at: float
    prefixes: tuple[str, ...]
    withdrawn: tuple[str, ...]
    communities: tuple[int, ...]


class SmallPeer:
    """A BGP router in a thread: it takes what it is told, and notes when; or reads nothing.

    Written by hand, so that it shares no mistake with what is tested.
    """

    def __init__(self, host: Host, *, address: str = "", reads: bool = True) -> None:
        self.updates: list[Update] = []
        self.notifications: list[tuple[float, bytes]] = []
        self.opens: list[bytes] = []
        self.ended_at = 0.0
        self.reads = reads
        self._router_id = ipaddress.ip_address(host.address).packed
        with inside(host.namespace):
            self._listener = socket.create_server((address or host.address, 179), backlog=8)
        if not reads:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock: socket.socket | None = None
        self._sending = threading.Lock()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def opening(self) -> bytes:
        """Return the OPEN: IPv4 unicast, 4-octet AS numbers, hold time of 90 s."""
        capabilities = bytes.fromhex("010400010001") + b"\x41\x04" + ROUTER_ASN.to_bytes(4, "big")
        options = b"\x02" + bytes((len(capabilities),)) + capabilities
        head = b"\x04" + ROUTER_ASN.to_bytes(2, "big") + b"\x00\x5a" + self._router_id
        return message(1, head + bytes((len(options),)) + options)

    def flood(self, for_s: float) -> int:
        """Send UPDATEs without end for a time; return how many bytes were taken."""
        assert self.sock is not None
        nlri = b"".join(b"\x20\xcb" + number.to_bytes(3, "big") for number in range(100))
        attributes = bytes.fromhex("40010100 400206 0201") + ROUTER_ASN.to_bytes(4, "big")
        attributes += b"\x40\x03\x04" + self._router_id
        one = message(2, b"\x00\x00" + len(attributes).to_bytes(2, "big") + attributes + nlri)
        ends_at, sent = time.monotonic() + for_s, 0
        while time.monotonic() < ends_at:
            self._send(self.sock, one * 50)
            sent += len(one) * 50
        return sent

    def prefixes(self) -> set[str]:
        """Return what it has now."""
        has: set[str] = set()
        for update in list(self.updates):
            has = (has - set(update.withdrawn)) | set(update.prefixes)
        return has

    def close(self) -> None:
        """Close all."""
        self._listener.close()
        if self.sock is not None:
            self.sock.close()

    def _send(self, sock: socket.socket, octets: bytes) -> None:
        """Send whole messages, from whichever thread."""
        with self._sending:
            sock.sendall(octets)

    def _serve(self) -> None:
        while True:
            try:
                self.sock, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                self.sock.sendall(self.opening())
                self._read(self.sock)
            self.sock.close()
            self.ended_at = time.monotonic()

    def _read(self, sock: socket.socket) -> None:
        heard = b""
        while True:
            while not self.reads and self.opens:
                time.sleep(0.01)
            received = sock.recv(65536)
            if not received:
                return
            heard += received
            while len(heard) >= 19 and len(heard) >= int.from_bytes(heard[16:18], "big"):
                size = int.from_bytes(heard[16:18], "big")
                self._take(sock, heard[18], heard[19:size])
                heard = heard[size:]

    def _take(self, sock: socket.socket, kind: int, body: bytes) -> None:
        now = time.monotonic()
        if kind == 1:
            self.opens.append(body)
            self._send(sock, message(4, b""))
        elif kind == 2:
            self.updates.append(read_update(now, body))
        elif kind == 3:
            self.notifications.append((now, body))
        elif kind == 4:
            self._send(sock, message(4, b""))


def message(kind: int, body: bytes) -> bytes:
    """Return a whole BGP message."""
    return b"\xff" * 16 + (19 + len(body)).to_bytes(2, "big") + bytes((kind,)) + body


def read_update(at: float, body: bytes) -> Update:
    """Read IPv4 prefixes and communities."""
    withdrawn_end = 2 + int.from_bytes(body[:2], "big")
    attributes_end = (
        withdrawn_end + 2 + int.from_bytes(body[withdrawn_end : withdrawn_end + 2], "big")
    )
    communities: tuple[int, ...] = ()
    where = withdrawn_end + 2
    while where < attributes_end:
        flags, kind = body[where], body[where + 1]
        width = 2 if flags & 0x10 else 1
        size = int.from_bytes(body[where + 2 : where + 2 + width], "big")
        value = body[where + 2 + width : where + 2 + width + size]
        if kind == 8:
            communities = tuple(
                int.from_bytes(value[index : index + 4], "big") for index in range(0, size, 4)
            )
        where += 2 + width + size
    return Update(
        at, read_prefixes(body[attributes_end:]), read_prefixes(body[2:withdrawn_end]), communities
    )


def read_prefixes(octets: bytes) -> tuple[str, ...]:
    """Read IPv4 prefixes."""
    found = []
    while octets:
        length = octets[0]
        size = (length + 7) // 8
        network = ipaddress.ip_address(octets[1 : 1 + size].ljust(4, b"\0"))
        found.append(f"{network}/{length}")
        octets = octets[1 + size :]
    return tuple(found)


class BgpLab:
    """A LAN with an announcing node `n1`; routers are added by the test."""

    def __init__(self, folder: Path) -> None:
        self.lan = Lan(folder)
        self.host: Host = self.lan.host("n1")
        self.routers: list[Router] = []
        self.small_peers: list[SmallPeer] = []
        self.revision = 0

    def router(self, name: str = "r1", *neighbor: str, extra: str = "", bgp: str = "") -> Router:
        """Start FRR with the node as its neighbour, and these lines about the neighbour."""
        lines = [f" neighbor {self.host.address} remote-as {ASN}"]
        lines += [f" neighbor {self.host.address} {line}" for line in neighbor]
        body = "\n".join(lines)
        configuration = (
            f"{extra}\nrouter bgp {ROUTER_ASN}\n no bgp ebgp-requires-policy\n"
            f" no bgp default ipv4-unicast\n timers bgp 3 9\n{bgp}\n{body}\n"
            f" address-family ipv4 unicast\n  neighbor {self.host.address} activate\n"
            f" exit-address-family\n"
        )
        self.routers.append(Router(self.lan, name, configuration))
        return self.routers[-1]

    def small_peer(self, name: str, *, reads: bool = True) -> SmallPeer:
        """Start a small peer on a host of its own."""
        self.small_peers.append(SmallPeer(self.lan.host(name), reads=reads))
        return self.small_peers[-1]

    def start(self, *options: str) -> Announcer:
        """Start the announcer; it wants nothing yet."""
        announcer = Announcer(self.host, self.lan.folder / "n1", *options)
        self.lan.announcers.append(announcer)
        return announcer

    def want(self, announcer: Announcer, peers: tuple[BgpPeer, ...], *groups: RouteGroup) -> None:
        """Let the brain want these peers and routes."""
        self.revision += 1
        announcer.want(DesiredState(self.revision, bgp_peers=peers, bgp_routes=groups))

    def close(self) -> None:
        """Stop everything and remove the namespaces."""
        for small_peer in self.small_peers:
            small_peer.close()
        for router in self.routers:
            router.close()
        self.lan.close()


def neighbor(address: str, family: str) -> str:
    """Return FRR's lines about another address of the node."""
    return (
        f" neighbor {address} remote-as {ASN}\n address-family {family} unicast\n"
        f"  neighbor {address} activate\n exit-address-family"
    )


def peer(name: str, address: str = "", bfd: BfdSettings | None = None, **fields: Any) -> BgpPeer:
    """Describe a peer."""
    fields = {"my_asn": ASN, "peer_asn": ROUTER_ASN, "hold_time_s": 9} | fields
    return BgpPeer(PeerSettings(name=name, address=address, **fields), bfd)


def group(*prefixes: str, peers: tuple[str, ...] = ("r1",), **fields: Any) -> RouteGroup:
    """Describe routes."""
    return RouteGroup(peers=peers, prefixes=tuple(sorted(prefixes)), **fields)


def session(announcer: Announcer, name: str = "r1") -> SessionReport | None:
    """Return what the brain was told of a session last."""
    tail = (announcer.folder / "log").read_text()[-2000:]
    assert announcer.process.poll() is None, f"the announcer has died: {tail}"
    return next((one for one in announcer.observation.sessions if one.name == name), None)


def is_established(announcer: Announcer, name: str = "r1") -> bool:
    """Tell whether a session is established, as the brain was told."""
    seen = session(announcer, name)
    return seen is not None and seen.state == "Established"


def up(lab: BgpLab, announcer: Announcer, *peers: BgpPeer) -> None:
    """Want these peers and one route to each, and wait until all sessions are there."""
    names = tuple(one.settings.name for one in peers)
    lab.want(announcer, peers, group(P1, peers=names))
    wait_until(lambda: all(is_established(announcer, name) for name in names), "established")


def lasts(condition: Callable[[], object], for_s: float) -> bool:
    """Tell whether a condition holds all the time."""
    ends_at = time.monotonic() + for_s
    while time.monotonic() < ends_at:
        if not condition():
            return False
        time.sleep(0.02)
    return True
