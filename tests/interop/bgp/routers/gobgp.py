"""GoBGP: one configuration file that is written anew and read again, asked by gobgp in JSON."""

from __future__ import annotations

import itertools
import json
import signal
from typing import TYPE_CHECKING, Any

from lab import netns
from lab.errors import CommandError
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
    from collections.abc import Mapping

_ESTABLISHED = 6
_STATES = ("", "Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established")
_ORIGIN, _AS_PATH, _NEXT_HOP, _LOCAL_PREF, _COMMUNITIES, _MP_REACH, _LARGE = 1, 2, 3, 5, 8, 14, 32
_API_PORTS = itertools.count(50051)


class GoBgp(Router):
    """GoBGP 3.10."""

    kind = "gobgp"
    daemon: Daemon | None = None

    def start(self) -> None:
        """Start it without neighbours."""
        self._api_port = next(_API_PORTS)
        self._write()
        argv = ["/usr/bin/gobgpd", "-f", str(self._config), "--pprof-disable", "-p"]
        argv += ["--api-hosts", f"127.0.0.1:{self._api_port}", "-l", "debug"]
        self.daemon = Daemon(argv, namespace=self.namespace, log=self.folder / "log")
        wait_until(lambda: self.daemon and self.daemon.check() and self._is_up(), "gobgpd answers")

    def close(self) -> None:
        """Stop it."""
        if self.daemon is not None:
            self.daemon.close()

    def version(self) -> str:
        """Ask the program."""
        number = netns.command(["/usr/bin/gobgpd", "--version"]).stdout.split()[-1]
        return f"GoBGP {number}"

    def gobgp(self, *words: str) -> str:
        """Run a command."""
        argv = ["/usr/bin/gobgp", "-p", str(self._api_port), *words]
        return netns.command(argv, netns=self.namespace).stdout

    def ask(self, *words: str) -> Any:
        """Ask in JSON."""
        return json.loads(self.gobgp("-j", *words) or "null")

    def _is_up(self) -> bool:
        try:
            return bool(self.ask("global"))
        except CommandError:
            return False

    @property
    def _config(self) -> object:
        return self.folder / "gobgpd.json"

    def _write(self) -> None:
        addresses = [
            self.address(is_ipv6=six, is_far=far) for six in (False, True) for far in (False, True)
        ]
        whole = {
            "global": {
                "config": {
                    "as": self.asn,
                    "router-id": self.address(),
                    "port": self.port,
                    "local-address-list": addresses,
                }
            },
            "neighbors": [_neighbor(self.asn, known) for known in self.neighbors.values()],
        }
        (self.folder / "gobgpd.json").write_text(json.dumps(whole, indent=1))

    def _reload(self) -> None:
        self._write()
        assert self.daemon is not None
        self.daemon.send(signal.SIGHUP)
        wait_until(lambda: self._addresses() == self._wanted(), "gobgpd took its neighbours")

    def _wanted(self) -> set[str]:
        return {known.address for known in self.neighbors.values()}

    def _addresses(self) -> set[str]:
        return {peer["conf"]["neighbor_address"] for peer in self.ask("neighbor") or []}

    def add(self, neighbor: Neighbor) -> None:
        """Configure a neighbour."""
        self.neighbors[neighbor.name] = neighbor
        self._reload()

    def remove(self, name: str) -> None:
        """Take a neighbour out."""
        if self.neighbors.pop(name, None) is not None:
            self._reload()

    def raw(self, name: str) -> dict[str, Any]:
        """Give all that GoBGP says of a neighbour."""
        found: dict[str, Any] = self.ask("neighbor", self.neighbors[name].address)
        return found

    def view(self, name: str) -> View:
        """Ask of the session."""
        raw = self.raw(name)
        state = raw.get("state", {})
        timers = raw.get("timers", {}).get("state", {})
        received = state.get("messages", {}).get("received", {})
        return View(
            is_established=state.get("session_state") == _ESTABLISHED,
            state=_STATES[state.get("session_state", 0)],
            hold_time_s=int(timers.get("negotiated_hold_time", 0)),
            keepalive_time_s=int(timers.get("keepalive_interval", 0)),
            router_id=state.get("router_id", ""),
            asn=state.get("peer_asn", 0),
            updates=int(received.get("update", 0)),
            last_error=self.notifications(name),
            end_of_rib=tuple(
                IPV4 if family["config"]["family"]["afi"] == 1 else IPV6
                for family in raw.get("afi_safis", [])
                if family.get("mp_graceful_restart", {}).get("state", {}).get(
                    "end_of_rib_received"
                )
            ),
            capabilities=json.dumps(state.get("remote_cap", [])).lower(),
        )  # fmt: skip

    def notifications(self, name: str) -> str:
        """Give what the log says of our notifications."""
        assert self.daemon is not None
        address = self.neighbors[name].address
        return "\n".join(
            line
            for line in self.daemon.log.read_text(errors="replace").splitlines()
            if address in line and ("notification" in line.lower() or "Peer Down" in line)
        )

    def routes(self, name: str, family: str = IPV4) -> Mapping[str, Seen]:
        """Ask for the table and pick what came from us, also what is stale."""
        address = self.neighbors[name].address
        found = self.ask("global", "rib", "-a", family) or {}
        return {
            prefix: _seen(path)
            for prefix, paths in _by_prefix(found).items()
            for path in paths
            if path.get("neighbor-ip") == address
        }

    def refresh(self, name: str) -> None:
        """Reset softly in."""
        self.gobgp("neighbor", self.neighbors[name].address, "softresetin")

    def shut_down(self, name: str, text: str) -> None:
        """Shut the session down, with a message; `disable` would leave the message out."""
        self.gobgp("neighbor", self.neighbors[name].address, "shutdown", "--reason", text)


def _by_prefix(found: Any) -> dict[str, Any]:
    entries = found if isinstance(found, list) else [found]
    by_prefix: dict[str, Any] = {}
    for entry in entries:
        for key, value in entry.items():
            paths = value if isinstance(value, list) else [value]
            by_prefix[key] = paths
    return by_prefix


def _neighbor(asn: int, known: Neighbor) -> dict[str, Any]:
    neighbor: dict[str, Any] = {
        "config": {
            "neighbor-address": known.address,
            "peer-as": known.asn,
            "local-as": asn,
            "auth-password": known.password,
        },
        "transport": {
            "config": {
                "passive-mode": not known.is_dialling,
                "local-address": known.local,
                "remote-port": known.port,
            }
        },
        "timers": {
            "config": {
                "hold-time": known.hold_time_s,
                "keepalive-interval": known.keepalive_time_s,
                "connect-retry": 1,
                "idle-hold-time-after-reset": 1,
            }
        },
        "afi-safis": [
            {
                "config": {"afi-safi-name": f"{family}-unicast"},
                "mp-graceful-restart": {"config": {"enabled": known.has_graceful_restart}},
            }
            for family in known.families
        ],
    }
    if known.has_graceful_restart:
        neighbor["graceful-restart"] = {
            "config": {"enabled": True, "restart-time": 20, "notification-enabled": True}
        }
    if known.gtsm_hops:
        neighbor["ttl-security"] = {"config": {"enabled": True, "ttl-min": 256 - known.gtsm_hops}}
    elif known.hop_count and known.asn != asn:
        neighbor["ebgp-multihop"] = {"config": {"enabled": True, "multihop-ttl": 255}}
    return neighbor


def _seen(path: dict[str, Any]) -> Seen:
    attributes = {attribute["type"]: attribute for attribute in path["attrs"]}
    reach = attributes.get(_MP_REACH, {})
    hop = attributes.get(_NEXT_HOP, {}).get("nexthop") or reach.get("nexthop", "")
    path_segments = attributes.get(_AS_PATH, {}).get("as_paths", [])
    communities = attributes.get(_COMMUNITIES, {}).get("communities", [])
    large = attributes.get(_LARGE, {}).get("value", [])
    return Seen(
        next_hops=(hop,),
        as_path=tuple(number for segment in path_segments for number in segment["asns"]),
        communities=tuple(f"{number >> 16}:{number & 0xFFFF}" for number in communities),
        large=tuple(
            f"{value['ASN']}:{value['LocalData1']}:{value['LocalData2']}" for value in large
        ),
        local_pref=attributes.get(_LOCAL_PREF, {}).get("value"),
        is_stale=bool(path.get("stale")),
    )
