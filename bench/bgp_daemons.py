"""Routing daemons as sinks and sources of routes: BIRD, FRR's bgpd, GoBGP.  None touches a kernel.

A sink takes routes from one neighbour, over one session for each of its addresses, and tells how
many routes it has of each.  All sinks wait to be called unless told otherwise.
"""

from __future__ import annotations

import json
import re
import struct
import time
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final, Protocol

from bench.bgp_source import SINK_ASN, SOURCE_ASN, prefix
from lab import netns
from lab.build import apt
from lab.errors import CommandError, LabError, WaitTimeout
from lab.router import give

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lab.process import Process
    from lab.site import Site

PACKAGES: Final = ("bird2", "frr", "gobgpd")


class Sink(Protocol):
    """Somebody who takes routes."""

    name: str

    def start(self) -> None:
        """Begin to wait for calls."""

    def counts(self) -> list[int]:
        """Return how many routes there are of each session that is established."""

    def stop(self) -> None:
        """End."""


def prepare() -> None:
    """Install what is missing."""
    apt.ensure_packages(PACKAGES)


class Bird:
    """A BIRD for each of its addresses."""

    name = "BIRD"

    def __init__(
        self, site: Site, host: str, addresses: Sequence[str], source: str, *, calls: bool = False
    ) -> None:
        self._site, self._host = site, host
        self._addresses, self._source = addresses, source
        self._passive = "off" if calls else "on"
        self._folder = site.folder("bird")
        self._processes: list[Process] = []

    def start(self) -> None:
        """Write the configurations and start."""
        for i, address in enumerate(self._addresses):
            ends = f"local {address} as {SINK_ASN}; neighbor {self._source} as {SOURCE_ASN};"
            how = f"passive {self._passive}; strict bind yes; connect delay time 1;"
            channel = "ipv4 { import all; export none; };"
            file = self._folder / f"{i}.conf"
            file.write_text(
                f"router id {address};\nprotocol device {{}}\nlog stderr all;\n"
                f"protocol bgp p {{ {ends} {how} {channel} }}\n"
            )
            argv = ["/usr/sbin/bird", "-f", "-c", str(file), "-s", self._socket(i)]
            self._processes.append(self._site.start(f"bird-{i}", self._host, argv))

    def counts(self) -> list[int]:
        """Ask each."""
        found = [self._ask(i) for i in range(len(self._addresses))]
        return [count for count in found if count is not None]

    def stop(self) -> None:
        """End."""
        for process in self._processes:
            _end(self._site, process)
        self._processes.clear()

    def _ask(self, index: int) -> int | None:
        argv = ["/usr/sbin/birdc", "-s", self._socket(index), "show", "protocols", "all", "p"]
        told = netns.command(argv, check=False).stdout
        if not re.search(r"BGP state: +Established", told):
            return None
        count = re.search(r"Routes: +(\d+) imported", told)
        return int(count[1]) if count else 0

    def _socket(self, index: int) -> str:
        return str(self._folder / f"{index}.ctl")


class Gobgp:
    """One GoBGP, as sink with one session or as source with many."""

    name = "GoBGP"

    def __init__(  # noqa: PLR0913  (what a daemon is told)
        self,
        site: Site,
        host: str,
        address: str,
        neighbours: Sequence[str],
        *,
        asn: int = SINK_ASN,
        peer_asn: int = SOURCE_ASN,
        is_passive: bool = True,
    ) -> None:
        self._site, self._host, self._address = site, host, address
        self._neighbours, self._asn, self._peer_asn = neighbours, asn, peer_asn
        self._is_passive = is_passive
        self._folder = site.folder("gobgp")
        self.process: Process | None = None

    def start(self) -> None:
        """Write the configuration and start."""
        passive = str(self._is_passive).lower()
        lines = [
            "[global.config]",
            f"as = {self._asn}",
            f'router-id = "{self._address}"',
            f'local-address-list = ["{self._address}"]',
        ]
        for neighbour in self._neighbours:
            lines += [
                "[[neighbors]]",
                "[neighbors.config]",
                f'neighbor-address = "{neighbour}"',
                f"peer-as = {self._peer_asn}",
                "[neighbors.transport.config]",
                f'local-address = "{self._address}"',
                f"passive-mode = {passive}",
            ]
        file = self._folder / f"{self._host}.toml"
        file.write_text("\n".join(lines) + "\n")
        argv = ["/usr/bin/gobgpd", "-f", str(file), "--api-hosts", "127.0.0.1:50051"]
        argv += ["--log-level", "warn", "--pprof-disable"]
        self.process = self._site.start(f"gobgp-{self._host}", self._host, argv)

    def ask(self, *words: str) -> str:
        """Run its client."""
        argv = ["/usr/bin/gobgp", *words]
        space = self._site.namespace(self._host)
        done = netns.command(argv, netns=space, check=False, timeout_s=120)
        if done.returncode != 0:
            raise CommandError(argv, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def fill(self, count: int) -> None:
        """Put routes into its table."""
        file = self._folder / "routes.mrt"
        write_mrt(file, count, self._address, self._asn)
        # Its client ends before the last routes of its queue are sent: some are written twice.
        deadline = time.monotonic() + _FILL_S
        while self._held() < count:
            self.ask("mrt", "inject", "global", str(file), "--nexthop", self._address)
            if time.monotonic() > deadline:
                raise WaitTimeout(f"GoBGP did not take {count} routes within {_FILL_S:g} s")

    def _held(self) -> int:
        found = re.search(r"Destination: (\d+)", self.ask("global", "rib", "summary"))
        return int(found[1]) if found else 0

    def counts(self) -> list[int]:
        """Ask for every neighbour's routes; none while it is too busy to answer."""
        found = []
        for neighbour in self._neighbours:
            try:
                told = json.loads(self.ask("neighbor", neighbour, "-j"))
            except CommandError:
                return []
            if told["state"].get("session_state", 0) != _GOBGP_ESTABLISHED:
                continue
            states = [family.get("state", {}) for family in told.get("afi_safis", ())]
            found.append(sum(int(state.get("received", 0)) for state in states))
        return found

    def updates(self, way: str) -> list[int]:
        """Return how many UPDATEs were `sent` or `received`, by neighbour."""
        told = [json.loads(self.ask("neighbor", address, "-j")) for address in self._neighbours]
        return [int(one["state"]["messages"][way].get("update", 0)) for one in told]

    def stop(self) -> None:
        """End."""
        _end(self._site, self.process)


_GOBGP_ESTABLISHED: Final = 6
_FILL_S: Final = 30.0
_TAIL: Final = 8192


class Frr:
    """FRR's bgpd alone, with one session."""

    name = "FRR"

    def __init__(self, site: Site, host: str, address: str, source: str) -> None:
        self._site, self._host, self._address, self._source = site, host, address, source
        self._folder = site.folder("bgpd")
        self._process: Process | None = None

    def start(self) -> None:
        """Write the configuration and start."""
        text = f"""frr defaults datacenter
router bgp {SINK_ASN}
 bgp router-id {self._address}
 neighbor {self._source} remote-as {SOURCE_ASN}
 neighbor {self._source} passive
 neighbor {self._source} update-source {self._address}
"""
        file = self._folder / "frr.conf"
        file.write_text(text)
        (self._folder / "vtysh.conf").write_text("no service integrated-vtysh-config\n")
        give(self._folder)
        folder = str(self._folder)
        argv = ["/usr/lib/frr/bgpd", "-f", str(file), "-i", f"{folder}/bgpd.pid", "-Z", "-P", "0"]
        argv += ["--vty_socket", folder]
        self._process = self._site.start("bgpd", self._host, argv)

    def counts(self) -> list[int]:
        """Ask for the summary."""
        folder = str(self._folder)
        argv = ["/usr/bin/vtysh", "--vty_socket", folder, "--config_dir", folder]
        argv += ["-c", "show bgp ipv4 unicast summary json"]
        done = netns.command(argv, check=False)
        try:
            peers = json.loads(done.stdout).get("peers", {})
        except ValueError:
            return []
        return [
            int(peer["pfxRcd"]) for peer in peers.values() if peer.get("state") == "Established"
        ]

    def stop(self) -> None:
        """End."""
        _end(self._site, self._process)


def write_mrt(file: Path, count: int, next_hop: str, asn: int) -> None:
    """Write a table dump (RFC 6396, TABLE_DUMP_V2) of routes with equal attributes."""
    hop = IPv4Address(next_hop).packed
    peer = struct.pack("!B4s4sI", 2, hop, hop, asn)
    index = struct.pack("!4sHH", hop, 0, 1) + peer
    path = b"\x40\x02\x00"
    attributes = b"\x40\x01\x01\x00" + path + b"\x40\x03\x04" + hop
    with file.open("wb") as out:
        out.write(struct.pack("!IHHI", 0, 13, 1, len(index)) + index)
        for number in range(count + _TAIL):
            octets = IPv4Address(prefix(number % count).partition("/")[0]).packed
            entry = struct.pack("!HIH", 0, 0, len(attributes)) + attributes
            body = struct.pack("!IB4sH", number, 32, octets, 1) + entry
            out.write(struct.pack("!IHHI", 0, 13, 2, len(body)) + body)


def _end(site: Site, process: Process | None) -> None:
    if process is None:
        raise LabError("it was never started")
    process.kill()
    site.processes.forget(process.name)
