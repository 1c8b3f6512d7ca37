"""ExaBGP: one process for each neighbour, on a port of its own; its JSON events are replayed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.interop.bgp.daemon import Daemon
from tests.interop.bgp.routers.router import IPV4, Neighbor, Router, Seen, View, addresses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VOICE = Path(__file__).with_name("exabgp_voice.py")


class ExaBgp(Router):
    """ExaBGP 5. It keeps no table: what it says of each message is put together here."""

    kind = "exabgp"

    def start(self) -> None:
        """Start nothing: a process comes with each neighbour."""
        self.daemons: dict[str, Daemon] = {}

    def close(self) -> None:
        """Stop all."""
        for daemon in self.daemons.values():
            daemon.close()

    def version(self) -> str:
        """Ask the package."""
        from importlib.metadata import version  # noqa: PLC0415

        return f"ExaBGP {version('exabgp')}"

    def add(self, neighbor: Neighbor) -> None:
        """Start a process for a neighbour."""
        self.remove(neighbor.name)
        self.neighbors[neighbor.name] = neighbor
        folder = self._folder(neighbor.name)
        folder.mkdir(exist_ok=True)
        self._commands(neighbor.name).unlink(missing_ok=True)
        os.mkfifo(self._commands(neighbor.name))
        (folder / "events").unlink(missing_ok=True)
        (folder / "exabgp.conf").write_text(self._config(neighbor))
        env = os.environ | {
            "exabgp_daemon_user": "root",
            "exabgp_daemon_drop": "false",
            "exabgp_log_destination": "stdout",
            "exabgp_log_level": "INFO",
            "exabgp_api_ack": "false",
            "exabgp_api_cli": "false",
            "exabgp_reactor_speed": "0.05",
            "exabgp_bgp_openwait": "10",
        }
        if not neighbor.is_dialling:
            env |= {"exabgp_tcp_bind": neighbor.local, "exabgp_tcp_port": str(self.port)}
            env |= {"exabgp_bgp_passive": "true"}
        argv = [
            str(Path(sys.executable).with_name("exabgp")),
            "server",
            str(folder / "exabgp.conf"),
        ]
        self.daemons[neighbor.name] = Daemon(
            argv, namespace=self.namespace, log=folder / "log", env=env, cwd=folder
        )

    def remove(self, name: str) -> None:
        """Stop a neighbour's process."""
        self.neighbors.pop(name, None)
        daemon = self.daemons.pop(name, None)
        if daemon is not None:
            daemon.close()

    def _folder(self, name: str) -> Path:
        return self.folder / name

    def _commands(self, name: str) -> Path:
        return self._folder(name) / "commands"

    def say(self, name: str, command: str) -> None:
        """Give a command."""
        with self._commands(name).open("w") as pipe:
            pipe.write(command + "\n")

    def _config(self, neighbor: Neighbor) -> str:
        families = "\n".join(f"    {family} unicast;" for family in neighbor.families)
        lines = [
            f"router-id {self.address()};",
            f"local-address {neighbor.local};",
            f"local-as {self.asn};",
            f"peer-as {neighbor.asn};",
            f"hold-time {neighbor.hold_time_s};",
            f"family {{\n{families}\n  }}",
        ]
        lines.append("passive false;" if neighbor.is_dialling else "passive true;")
        if neighbor.is_dialling and neighbor.port != 179:
            lines.append(f"connect {neighbor.port};")
        if not neighbor.is_dialling and (neighbor.password or neighbor.gtsm_hops):
            lines.append(f"listen {self.port};")
        if neighbor.password:
            lines.append(f'md5-password "{neighbor.password}";')
        if neighbor.gtsm_hops:
            lines += ["outgoing-ttl 255;", f"incoming-ttl {256 - neighbor.gtsm_hops};"]
        as4 = "enable" if neighbor.has_as4 else "disable"
        restart = "graceful-restart 20;" if neighbor.has_graceful_restart else ""
        extended = "nexthop enable;" if neighbor.has_extended_next_hop else ""
        if neighbor.has_extended_next_hop:
            lines.append("nexthop { ipv4 unicast ipv6; }")
        lines.append(
            f"capability {{ asn4 {as4}; route-refresh enable; {restart} {extended} "
            f"extended-message {'enable' if neighbor.has_extended_messages else 'disable'}; }}"
        )
        lines.append(
            "api { processes [ voice ]; neighbor-changes; "
            "receive { parsed; open; update; notification; refresh; keepalive; } }"
        )
        body = "\n  ".join(lines)
        voice = f"{sys.executable} {_VOICE} {self._folder(neighbor.name) / 'events'}"
        return (
            f"process voice {{ run {voice} {self._commands(neighbor.name)}; encoder json; }}\n"
            f"neighbor {neighbor.address} {{\n  {body}\n}}\n"
        )

    def events(self, name: str) -> Iterator[dict[str, Any]]:
        """Give what ExaBGP said, in order."""
        file = self._folder(name) / "events"
        if not file.exists():
            return
        for line in file.read_text().splitlines():
            if line.startswith("{") and line.endswith("}"):
                yield json.loads(line)

    def is_ready(self, name: str) -> bool:
        """Tell whether the process is up."""
        self.daemons[name].check()
        return "loaded new configuration" in (self._folder(name) / "log").read_text()

    def view(self, name: str) -> View:
        """Replay the events."""
        self.daemons[name].check()
        state, opened, updates, told, error, ends = "", {}, 0, "", "", set()
        for event in self.events(name):
            neighbor = event.get("neighbor", {})
            kind, is_received = event["type"], neighbor.get("direction") == "receive"
            if kind == "state":
                state = neighbor["state"]
                if state == "down":
                    error = f"{neighbor.get('reason', '')} {told}".strip()
                    opened, updates, told, ends = {}, 0, "", set()
            elif kind == "open" and is_received:
                opened = neighbor["open"]
            elif kind == "notification" and is_received:
                told = str(neighbor["notification"].get("message", ""))
            elif kind == "update" and is_received:
                updates += 1
                if end := neighbor["message"].get("eor"):
                    ends.add(end["afi"])
        return View(
            is_established=state == "up",
            state=state,
            hold_time_s=min(opened.get("hold_time", 0), self.neighbors[name].hold_time_s),
            router_id=opened.get("router_id", ""),
            asn=opened.get("capabilities", {}).get("65", {}).get("asn4", opened.get("asn", 0)),
            updates=updates,
            last_error=error,
            end_of_rib=tuple(sorted(ends)),
            capabilities=json.dumps(opened.get("capabilities", {})).lower(),
        )

    def routes(self, name: str, family: str = IPV4) -> Mapping[str, Seen]:
        """Replay the events into a table."""
        table: dict[str, Seen] = {}
        key = f"{family} unicast"
        for event in self.events(name):
            neighbor = event.get("neighbor", {})
            if event["type"] == "state" and neighbor["state"] == "down":
                table.clear()
            if event["type"] != "update" or neighbor.get("direction") != "receive":
                continue
            update = neighbor["message"].get("update", {})
            for entry in update.get("withdraw", {}).get(key, []):
                table.pop(entry["nlri"] if isinstance(entry, dict) else entry, None)
            for hop, entries in update.get("announce", {}).get(key, {}).items():
                for entry in entries:
                    prefix = entry["nlri"] if isinstance(entry, dict) else entry
                    table[prefix] = _seen(hop, update.get("attribute", {}))
        return table

    def refresh(self, name: str) -> None:
        """Send a ROUTE-REFRESH for each family."""
        for family in self.neighbors[name].families:
            self.say(name, f"announce route-refresh {family} unicast")

    def shut_down(self, name: str, text: str) -> None:
        """Send a Cease; ExaBGP has no way to give a text with it."""
        assert text
        self.say(name, f"neighbor {self.neighbors[name].address} teardown 2")

    def flood(self, name: str, count: int) -> None:
        """Announce addresses, a thousand in a command."""
        whole = [f"{address}/32" for address in addresses(count)]
        for begin in range(0, count, 1000):
            prefixes = " ".join(whole[begin : begin + 1000])
            self.say(name, f"announce attributes next-hop self nlri {prefixes}")

    def calm(self, name: str) -> None:
        """Leave it: the process ends with its neighbour."""


def _seen(hop: str, attributes: dict[str, Any]) -> Seen:
    path: list[int] = []
    as_path = attributes.get("as-path", {})
    segments = as_path.values() if isinstance(as_path, dict) else [{"value": as_path}]
    for segment in segments:
        path += segment.get("value", [])
    return Seen(
        next_hops=(hop,),
        as_path=tuple(path),
        communities=tuple(f"{a}:{b}" for a, b in attributes.get("community", [])),
        large=tuple(f"{a}:{b}:{c}" for a, b, c in attributes.get("large-community", [])),
        local_pref=attributes.get("local-preference"),
    )
