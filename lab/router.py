"""A router that speaks BGP: FRR's zebra, bgpd and bfdd on the lab's router, when asked for.

It has every node as a neighbour, takes whatever they announce, and puts routes over several of them
into its kernel, which spreads flows by addresses and ports.  The LAN client's default route is this
router, so an address outside the LAN is reached through it.  As client, router and nodes share one
wire, the router would tell the client of the shorter way and undo the spreading: redirects are off.

All of FRR's files are in the lab's own folder, no other FRR of the machine is touched.  The daemons
run before ordinary processes where that is permitted: a router is a machine of its own.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from lab import netns
from lab.build import apt
from lab.errors import CommandError, LabError, ProcessError, WaitTimeout
from lab.observe.watch import urgent_argv
from lab.process import ProcessSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from lab.site import Site
    from lab.topology import Plan

HOST: Final = "router"
DAEMONS: Final = ("zebra", "bfdd", "bgpd")
PATHS_MAX: Final = 16
BFD_PROFILE: Final = "nodes"
_USER: Final = "frr"
_PROGRAMS: Final = "/usr/lib/frr"
_UP_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class RouterOptions:
    """How the router speaks with the nodes."""

    asn: int = 64513
    node_asn: int = 64512
    password: str = ""
    """For TCP MD5; empty is none."""
    has_bfd: bool = False
    bfd_ms: int = 50
    bfd_multiplier: int = 3
    keepalive_s: int = 30
    hold_s: int = 90
    retry_s: int = 1
    is_passive: bool = True
    """It waits to be called, as our speakers do not listen."""
    stale_s: int = 120
    """How long routes of a restarting neighbour are kept."""


def configuration(plan: Plan, options: RouterOptions) -> str:
    """Return FRR's configuration."""
    nodes = [node.ipv4 for node in plan.nodes]
    lines = ["frr defaults datacenter", "hostname router", "log stdout", "ip forwarding"]
    if options.has_bfd:
        lines += [
            "bfd",
            f" profile {BFD_PROFILE}",
            f"  detect-multiplier {options.bfd_multiplier}",
            f"  receive-interval {options.bfd_ms}",
            f"  transmit-interval {options.bfd_ms}",
        ]
    lines += [
        f"router bgp {options.asn}",
        f" bgp router-id {plan.router.ipv4}",
        " no bgp default ipv4-unicast",
        " no bgp ebgp-requires-policy",
        " no bgp suppress-duplicates",
        f" bgp graceful-restart stalepath-time {options.stale_s}",
        f" timers bgp {options.keepalive_s} {options.hold_s}",
        " neighbor nodes peer-group",
        f" neighbor nodes remote-as {options.node_asn}",
        f" neighbor nodes timers connect {options.retry_s}",
    ]
    lines += [" neighbor nodes passive"] if options.is_passive else []
    lines += [f" neighbor nodes password {options.password}"] if options.password else []
    lines += [f" neighbor nodes bfd profile {BFD_PROFILE}"] if options.has_bfd else []
    lines += [f" neighbor {address} peer-group nodes" for address in nodes]
    for family in ("ipv4", "ipv6"):
        lines += [
            f" address-family {family} unicast",
            "  neighbor nodes activate",
            f"  maximum-paths {PATHS_MAX}",
            f"  maximum-paths ibgp {PATHS_MAX}",
            " exit-address-family",
        ]
    return "\n".join([*lines, "end", ""])


class BgpRouter:
    """FRR on the router of one lab."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._names = {node.ipv4: node.name for node in site.plan.nodes}
        self._names |= {node.ipv6: node.name for node in site.plan.nodes}

    @property
    def folder(self) -> Path:
        """The folder of FRR's files."""
        return self._site.folder("frr")

    def start(self, options: RouterOptions | None = None) -> None:
        """Install FRR if it is missing, and start it; return when it answers."""
        options = options or RouterOptions()
        apt.ensure_packages(apt.ROUTER_PACKAGES)
        self.stop()
        self._prepare_kernel()
        file = self.folder / "frr.conf"
        file.write_text(configuration(self._site.plan, options))
        (self.folder / "vtysh.conf").write_text("no service integrated-vtysh-config\n")
        (self.folder / "options.json").write_text(json.dumps(asdict(options)))
        self._write_shell()
        give(self.folder)
        for daemon in DAEMONS:
            self._start(daemon, file)

    def stop(self) -> None:
        """End FRR; its routes go with it."""
        for daemon in reversed(DAEMONS):
            process = self._site.processes.get(_name(daemon))
            if process is not None:
                process.stop(3.0)
                self._site.processes.forget(process.name)

    def options(self) -> RouterOptions:
        """Return how it was started."""
        file = self.folder / "options.json"
        if not file.exists():
            raise LabError("no BGP router runs here; `python -m lab bgp-router` starts one")
        return RouterOptions(**json.loads(file.read_text()))

    def vtysh(self, *commands: str) -> str:
        """Run commands in FRR's shell; return what it prints."""
        argv = self._shell_argv()
        for command in commands:
            argv += ["-c", command]
        done = netns.command(argv, netns=self._site.namespace(HOST), check=False)
        if done.returncode != 0:
            raise CommandError(argv, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def json(self, command: str) -> Any:  # noqa: ANN401  (JSON)
        """Return what a command prints as JSON."""
        return json.loads(self.vtysh(f"{command} json"))

    def configure(self, *lines: str) -> None:
        """Change the running configuration of BGP."""
        head = ("configure terminal", f"router bgp {self.options().asn}")
        self.vtysh(*head, *lines)

    def sessions(self) -> dict[str, dict[str, Any]]:
        """Return what the router says about each node's session, by the node's name."""
        told = self.json("show bgp neighbors")
        return {
            self._names[address]: found
            for address, found in told.items()
            if address in self._names and isinstance(found, dict)
        }

    def established(self) -> list[str]:
        """Name the nodes with an established session."""
        return sorted(
            node
            for node, found in self.sessions().items()
            if found.get("bgpState") == "Established"
        )

    def watched(self) -> list[str]:
        """Name the nodes that BFD says are up."""
        names = (self._names.get(row["peer"]) for row in self.json("show bfd peers") if _is_up(row))
        return sorted({name for name in names if name})

    def dropped(self) -> dict[str, int]:
        """Count the sessions that ended, by node."""
        return {
            node: int(found.get("connectionsDropped", 0)) for node, found in self.sessions().items()
        }

    def paths(self, address: str) -> list[dict[str, Any]]:
        """Return the paths to an address that bgpd knows."""
        family = "ipv6" if ":" in address else "ipv4"
        found: list[dict[str, Any]] = self.json(
            f"show bgp {family} unicast {address}/{_length(address)}"
        ).get("paths", [])
        return found

    def next_hops(self, address: str) -> list[str]:
        """Name the nodes to which the router's kernel spreads an address, sorted."""
        family = "-6" if ":" in address else "-4"
        words = (family, "route", "show", f"{address}/{_length(address)}", "proto", "bgp")
        found: list[str] = []
        for row in netns.ip_json(self._site.namespace(HOST), *words):
            hops = row.get("nexthops") or [row]
            found += [str(hop.get("gateway") or hop.get("via", {}).get("host")) for hop in hops]
        return sorted({self.name_of(gateway) for gateway in found})

    def name_of(self, gateway: str) -> str:
        """Name the node behind a next hop; one that no node has is returned as it is."""
        if gateway.startswith("fe80:"):
            return self._names_of_links().get(gateway, gateway)
        return self._names.get(gateway, gateway)

    def routes(self, family: str = "-4") -> int:
        """Count the routes of BGP in the router's kernel."""
        return len(
            netns.ip_json(self._site.namespace(HOST), family, "route", "show", "proto", "bgp")
        )

    def _names_of_links(self) -> dict[str, str]:
        """Map the link-local address of each node to its name."""
        return {_link_local(node.mac): node.name for node in self._site.plan.nodes}

    def _prepare_kernel(self) -> None:
        netns.sysctl(
            self._site.namespace(HOST),
            {
                "net.ipv4.fib_multipath_hash_policy": 1,
                "net.ipv6.fib_multipath_hash_policy": 1,
                "net.ipv4.conf.all.send_redirects": 0,
                "net.ipv4.conf.eth0.send_redirects": 0,
            },
        )
        for host in ("client", *(node.name for node in self._site.plan.nodes)):
            settings = {f"net.ipv6.conf.{x}.accept_redirects": 0 for x in ("all", "eth0")}
            netns.sysctl(self._site.namespace(host), settings)

    def _start(self, daemon: str, file: Path) -> None:
        folder = str(self.folder)
        argv = [*urgent_argv(), f"{_PROGRAMS}/{daemon}", "-f", str(file)]
        argv += ["-i", f"{folder}/{daemon}.pid", "-z", f"{folder}/zserv.api"]
        argv += ["--vty_socket", folder, "-P", "0"]
        argv += ["--bfdctl", f"{folder}/bfdd.sock"] if daemon == "bfdd" else []
        argv += ["-e", str(PATHS_MAX)] if daemon != "bfdd" else []
        process = self._site.processes.start(
            ProcessSpec(
                _name(daemon), tuple(argv), netns=self._site.namespace(HOST), host=HOST, env={}
            )
        )
        deadline = time.monotonic() + _UP_S
        while not (self.folder / f"{daemon}.vty").is_socket() or not self._answers(daemon):
            if not process.is_alive():
                raise ProcessError(f"{daemon} did not start: {process.log()[-1500:]}")
            if time.monotonic() > deadline:
                raise WaitTimeout(f"{daemon} does not answer within {_UP_S:g} s")
            time.sleep(0.05)

    def _answers(self, daemon: str) -> bool:
        argv = [*self._shell_argv(), "-d", daemon, "-c", "show version"]
        return netns.command(argv, check=False).returncode == 0

    def _shell_argv(self) -> list[str]:
        folder = str(self.folder)
        return [netns.tool("vtysh"), "--vty_socket", folder, "--config_dir", folder]

    def _write_shell(self) -> None:
        """Write a ``vtysh`` that finds this router."""
        script = self._site.folder("bin") / "vtysh"
        script.write_text(f'#!/bin/sh\nexec {" ".join(self._shell_argv())} "$@"\n')
        script.chmod(0o755)


def spread(lines: Iterable[dict[str, Any]], plan: Plan, address: str) -> dict[str, int]:
    """Count the new TCP connections that a capture on the router saw leave to each node."""
    counts: dict[str, int] = {}
    for line in lines:
        if line["kind"] == "tcp" and line["dir"] == "out" and line.get("dst") == address:
            if line.get("flags") != "S":
                continue
            node = plan.host_of_mac(line["dst_mac"])
            counts[node] = counts.get(node, 0) + 1
    return dict(sorted(counts.items()))


def give(folder: Path) -> None:
    """Let FRR's own user, to which its daemons change, write into a folder."""
    for file in (folder, *folder.iterdir()):
        shutil.chown(file, _USER, _USER)


def _name(daemon: str) -> str:
    return f"router-{daemon}"


def _length(address: str) -> int:
    return 128 if ":" in address else 32


def _is_up(row: Mapping[str, Any]) -> bool:
    return row.get("status") == "up"


def _link_local(mac: str) -> str:
    """Return the link-local address that the kernel makes of a MAC address (RFC 4291)."""
    raw = bytes.fromhex(mac.replace(":", ""))
    host = bytes([raw[0] ^ 2, *raw[1:3], 0xFF, 0xFE, *raw[3:]])
    words = [f"{int.from_bytes(host[i : i + 2], 'big'):x}" for i in range(0, 8, 2)]
    return "fe80::" + ":".join(words)
