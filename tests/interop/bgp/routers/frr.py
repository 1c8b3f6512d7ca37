"""FRR: zebra, bgpd, bfdd and staticd with private sockets, asked by vtysh in JSON."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import netns
from tests.interop.bgp.daemon import Daemon, wait_until
from tests.interop.bgp.routers.router import (
    IPV4,
    IPV6,
    Neighbor,
    Router,
    Seen,
    View,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PROGRAMS = "/usr/lib/frr"
_WELL_KNOWN = {
    "no-export": "65535:65281",
    "no-advertise": "65535:65282",
    "local-AS": "65535:65283",
    "blackhole": "65535:666",
    "graceful-shutdown": "65535:0",
    "accept-own": "65535:1",
}


class Frr(Router):
    """FRR 8.4."""

    kind = "frr"
    daemons: Sequence[Daemon] = ()

    def start(self) -> None:
        """Start the daemons, zebra first."""
        # The daemons drop their rights before they read: others must be able to enter.
        self.folder = Path(tempfile.mkdtemp(prefix="mlb-frr-"))
        shutil.chown(self.folder, "frr", "frr")
        self.folder.chmod(0o755)
        config = self.folder / "frr.conf"
        config.write_text(
            "frr defaults traditional\n"
            "hostname router\n"
            f"router bgp {self.asn}\n"
            f" bgp router-id {self.address()}\n"
            " no bgp ebgp-requires-policy\n"
            " no bgp default ipv4-unicast\n"
            " no bgp network import-check\n"
            " bgp graceful-restart stalepath-time 30\n"
        )
        config.chmod(0o644)
        self.daemons = []
        for program in ("zebra", "bgpd", "bfdd", "staticd"):
            self._run(program, str(config))
            wait_until((self.folder / f"{program}.vty").exists, f"{program} listens")
        wait_until(lambda: "BGP" in self.vtysh("show running-config").upper(), "bgpd answers")

    def _run(self, program: str, config: str) -> None:
        options = [
            "--vty_socket", str(self.folder), "-z", str(self.folder / "zserv.api"),
            "-i", str(self.folder / f"{program}.pid"), "-P", "0",
            "-u", "frr", "-g", "frr", "--log", f"file:{self.folder / program}.log",
        ]  # fmt: skip
        if program == "bgpd":
            options += ["-f", config, "-p", str(self.port)]
        if program == "bfdd":
            options += ["--bfdctl", str(self.folder / "bfdd.sock")]
        argv = [f"{_PROGRAMS}/{program}", *options]
        log = self.folder / f"{program}.out"
        self.daemons = [*self.daemons, Daemon(argv, namespace=self.namespace, log=log)]

    def close(self) -> None:
        """Stop the daemons, zebra last."""
        for daemon in reversed(self.daemons):
            daemon.close()
        shutil.rmtree(self.folder)

    def version(self) -> str:
        """Ask vtysh."""
        return " ".join(self.vtysh("show version").split()[:2])

    def vtysh(self, *commands: str) -> str:
        """Run commands."""
        words = [word for command in commands for word in ("-c", command)]
        tool = ["/usr/bin/vtysh", "--vty_socket", str(self.folder)]
        return netns.command([*tool, *words], netns=self.namespace).stdout

    def show(self, command: str) -> dict[str, Any]:
        """Ask in JSON."""
        answer = self.vtysh(f"{command} json")
        found: dict[str, Any] = json.loads(answer or "{}")
        return found

    def configure(self, *lines: str) -> None:
        """Change the configuration of the BGP instance."""
        answer = self.vtysh("configure terminal", f"router bgp {self.asn}", *lines)
        assert "%" not in answer, answer

    def peer(self, neighbor: Neighbor) -> str:
        """Return FRR's name of a neighbour."""
        return neighbor.interface or neighbor.address

    def add(self, neighbor: Neighbor) -> None:
        """Configure a neighbour."""
        self.remove(neighbor.name)
        self.neighbors[neighbor.name] = neighbor
        if neighbor.bfd is not None:
            self._profile(neighbor)
        self.configure(*self._lines(neighbor), *self._activation(neighbor))

    def _lines(self, neighbor: Neighbor) -> list[str]:
        peer = f"neighbor {self.peer(neighbor)}"
        how = "interface remote-as" if neighbor.interface else "remote-as"
        lines = [
            f"{peer} {how} {neighbor.asn}",
            f"{peer} timers {neighbor.keepalive_time_s} {neighbor.hold_time_s}",
            f"{peer} timers connect 1",
        ]
        if neighbor.interface:
            # FRR advertises itself at long intervals; sooner makes the test short.
            interval = [f"interface {neighbor.interface}", "ipv6 nd ra-interval msec 500"]
            lines += ["exit", *interval, "exit", f"router bgp {self.asn}"]
        else:
            lines.append(f"{peer} update-source {neighbor.local}")
        is_distant = neighbor.hop_count and neighbor.asn != self.asn and not neighbor.gtsm_hops
        optional = {
            "passive": not neighbor.is_dialling,
            f"port {neighbor.port}": neighbor.is_dialling,
            f"password {neighbor.password}": neighbor.password,
            f"ttl-security hops {neighbor.gtsm_hops}": neighbor.gtsm_hops,
            f"ebgp-multihop {neighbor.hop_count}": is_distant,
            "dont-capability-negotiate": not neighbor.has_as4,
            "capability extended-nexthop": (
                neighbor.has_extended_next_hop and not neighbor.interface
            ),
            f"bfd profile {neighbor.name}": neighbor.bfd,
        }
        return lines + [f"{peer} {words}" for words, is_wanted in optional.items() if is_wanted]

    def _activation(self, neighbor: Neighbor) -> list[str]:
        lines = []
        for family in neighbor.families:
            lines.append(f"address-family {family} unicast")
            lines.append(f"neighbor {self.peer(neighbor)} activate")
            lines.append("exit-address-family")
        return lines

    def _profile(self, neighbor: Neighbor) -> None:
        assert neighbor.bfd is not None
        bfd = neighbor.bfd
        lines = [f"profile {neighbor.name}", f"transmit-interval {bfd.interval_ms}"]
        lines += [f"receive-interval {bfd.interval_ms}", f"detect-multiplier {bfd.multiplier}"]
        lines += ["passive-mode"] if bfd.is_passive else []
        self.vtysh("configure terminal", "bfd", *lines)

    def take_bfd_down(self, name: str, *, is_down: bool = True) -> None:
        """Shut a BFD profile down, or let it run again."""
        word = "shutdown" if is_down else "no shutdown"
        self.vtysh("configure terminal", "bfd", f"profile {name}", word)

    def remove(self, name: str) -> None:
        """Take a neighbour out."""
        neighbor = self.neighbors.pop(name, None)
        if neighbor is None:
            return
        peer = self.peer(neighbor)
        interface = " interface" if neighbor.interface else ""
        self.configure(f"no neighbor {peer}{interface}")
        if neighbor.bfd is not None:
            self.vtysh("configure terminal", "bfd", f"no profile {name}")

    def raw(self, name: str) -> dict[str, Any]:
        """Give all that FRR says of a neighbour."""
        peer = self.peer(self.neighbors[name])
        found: dict[str, Any] = self.show(f"show bgp neighbors {peer}").get(peer, {})
        return found

    def view(self, name: str) -> View:
        """Ask of the session."""
        raw = self.raw(name)
        families = raw.get("gracefulRestartInfo", {})
        ends = {IPV4: "ipv4Unicast", IPV6: "ipv6Unicast"}
        return View(
            is_established=raw.get("bgpState") == "Established",
            state=raw.get("bgpState", ""),
            hold_time_s=raw.get("bgpTimerHoldTimeMsecs", 0) // 1000,
            keepalive_time_s=raw.get("bgpTimerKeepAliveIntervalMsecs", 0) // 1000,
            router_id=raw.get("remoteRouterId", ""),
            asn=raw.get("remoteAs", 0),
            updates=raw.get("messageStats", {}).get("updatesRecv"),
            last_error=" ".join(
                str(raw.get(key, ""))
                for key in ("lastResetDueTo", "lastNotificationReason",
                            "lastErrorCodeSubcode", "lastShutdownDescription")
            ),
            end_of_rib=tuple(
                family
                for family, key in ends.items()
                if "endOfRibRecv" in families.get(key, {}).get("endOfRibStatus", {})
                and families[key]["endOfRibStatus"]["endOfRibRecv"]
            ),
            capabilities=json.dumps(raw.get("neighborCapabilities", {})).lower(),
            bfd=str(raw.get("peerBfdInfo", {}).get("status", "")).lower(),
        )  # fmt: skip

    def routes(self, name: str, family: str = IPV4) -> Mapping[str, Seen]:
        """Ask for the table in detail and pick what came from us."""
        neighbor = self.neighbors[name]
        table = json.loads(self.vtysh(f"show bgp {family} unicast json detail") or "{}").get(
            "routes", {}
        )
        found = {}
        for prefix, entry in table.items():
            for path in entry:  # The first is the prefix itself.
                peer = path.get("peer", {})
                if self.peer(neighbor) in {peer.get("peerId"), peer.get("interface")}:
                    found[prefix] = _seen(path)
        return found

    def refresh(self, name: str) -> None:
        """Clear softly in."""
        neighbor = self.neighbors[name]
        for family in neighbor.families:
            self.vtysh(f"clear bgp {family} unicast {self.peer(neighbor)} soft in")

    def shut_down(self, name: str, text: str) -> None:
        """Shut the neighbour down, with a message."""
        self.configure(f"neighbor {self.peer(self.neighbors[name])} shutdown message {text}")


def _seen(path: dict[str, Any]) -> Seen:
    segments = path.get("aspath", {}).get("segments", [])
    communities = path.get("community", {}).get("list", [])
    return Seen(
        next_hops=tuple(hop["ip"] for hop in path.get("nexthops", [])),
        as_path=tuple(number for segment in segments for number in segment["list"]),
        communities=tuple(_WELL_KNOWN.get(word) or _pair(word) for word in communities),
        large=tuple(path.get("largeCommunity", {}).get("list", [])),
        local_pref=path.get("locPrf"),
        is_stale=bool(path.get("stale")),
    )


def _pair(word: str) -> str:
    names = {name.lower().replace("-", ""): pair for name, pair in _WELL_KNOWN.items()}
    return names.get(word.lower().replace("-", ""), word)
