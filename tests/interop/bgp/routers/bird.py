"""BIRD: one configuration file that is written anew and reloaded, asked by birdc."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lab import netns
from lab.errors import CommandError
from tests.interop.bgp.daemon import Daemon, wait_until
from tests.interop.bgp.routers.router import IPV4, Neighbor, Router, Seen, View

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROUTE = re.compile(r"^(\S+/\d+|\s+)\s*(?:unicast|unreachable|blackhole)\b.*\[\S+ ")
_PAIR = re.compile(r"\((\d+),\s*(\d+)\)")
_SHORT_ASN_MAX = 65535
_TRIPLE = re.compile(r"\((\d+),\s*(\d+),\s*(\d+)\)")


class Bird(Router):
    """BIRD 2.0.12."""

    kind = "bird"
    daemon: Daemon | None = None

    def start(self) -> None:
        """Start it without neighbours."""
        self._write()
        socket = self.folder / "bird.ctl"
        argv = ["/usr/sbin/bird", "-f", "-c", str(self._config), "-s", str(socket)]
        argv += ["-P", str(self.folder / "bird.pid")]
        self.daemon = Daemon(argv, namespace=self.namespace, log=self.folder / "log")
        wait_until(lambda: socket.exists() and "BIRD" in self._try("show status"), "bird answers")

    def close(self) -> None:
        """Stop it."""
        if self.daemon is not None:
            self.daemon.close()

    def version(self) -> str:
        """Ask birdc."""
        return " ".join(self.birdc("show status").split()[:2])

    def birdc(self, command: str) -> str:
        """Run a command."""
        argv = ["/usr/sbin/birdc", "-s", str(self.folder / "bird.ctl"), *command.split()]
        return netns.command(argv, netns=self.namespace).stdout

    def _try(self, command: str) -> str:
        try:
            return self.birdc(command)
        except CommandError:
            return ""

    @property
    def _config(self) -> object:
        return self.folder / "bird.conf"

    def _write(self) -> None:
        protocols = "".join(self._protocol(neighbor) for neighbor in self.neighbors.values())
        (self.folder / "bird.conf").write_text(
            f'log "{self.folder / "bird.log"}" all;\n'
            f"router id {self.address()};\n"
            "protocol device { scan time 1; }\n"
            "protocol direct { ipv4; ipv6; }\n"
            f"{self._bfd()}{self._advertisements()}{protocols}"
        )

    def _bfd(self) -> str:
        timers = [neighbor.bfd for neighbor in self.neighbors.values() if neighbor.bfd]
        if not timers:
            return "protocol bfd { }\n"
        words = (
            f"interval {timers[0].interval_ms} ms; multiplier {timers[0].multiplier}; "
            f"passive {'on' if timers[0].is_passive else 'off'};"
        )
        return f'protocol bfd {{ interface "*" {{ {words} }}; multihop {{ {words} }}; }}\n'

    def _advertisements(self) -> str:
        names = [known.interface for known in self.neighbors.values() if known.interface]
        words = "min ra interval 3; max ra interval 4; solicited ra unicast no;"
        interfaces = "".join(f'  interface "{name}" {{ {words} }};\n' for name in names)
        return f"protocol radv {{\n{interfaces}}}\n" if names else ""

    def _reload(self) -> None:
        self._write()
        answer = self.birdc("configure")
        assert "Reconfig" in answer, answer

    def _protocol(self, neighbor: Neighbor) -> str:
        is_nameable = neighbor.has_as4 or neighbor.asn <= _SHORT_ASN_MAX
        who = f"as {neighbor.asn}" if is_nameable else "external"
        lines = [
            f"neighbor {neighbor.address} {who};",
            f"hold time {neighbor.hold_time_s};",
            f"keepalive time {neighbor.keepalive_time_s};" if neighbor.hold_time_s else "",
            "connect delay time 1; connect retry time 1;",
            "error wait time 1, 2; startup hold time 10;",
            "error forget time 1;",
        ]
        if neighbor.interface:
            lines[0] = (
                f'neighbor range fe80::/10 as {neighbor.asn}; interface "{neighbor.interface}";'
            )
            lines.append(f"local as {self.asn};")
        else:
            port = f" port {self.port}" if self.port != 179 else ""
            lines.append(f"local {neighbor.local}{port} as {self.asn};")
        if neighbor.port != 179:
            lines[0] = f"neighbor {neighbor.address} port {neighbor.port} as {neighbor.asn};"
        if not neighbor.is_dialling and not neighbor.interface:
            lines.append("passive on;")
        if neighbor.password:
            lines.append(f'password "{neighbor.password}";')
        if neighbor.gtsm_hops:
            lines.append("ttl security on;")
        lines.append(f"multihop {neighbor.hop_count};" if neighbor.hop_count else "direct;")
        if not neighbor.has_as4:
            lines.append("enable as4 off;")
        if neighbor.has_extended_messages:
            lines.append("enable extended messages on;")
        if neighbor.bfd is not None:
            lines.append("bfd on;")
        lines.append(f"graceful restart {'on' if neighbor.has_graceful_restart else 'aware'};")
        extended = "extended next hop on;" if neighbor.has_extended_next_hop else ""
        lines += [
            f"{family} {{ import all; export where bgp_path ~ [= 64700 * =]; {extended} }};"
            for family in neighbor.families
        ]
        return f"protocol bgp {neighbor.name} {{\n  " + "\n  ".join(lines) + "\n}\n"

    def add(self, neighbor: Neighbor) -> None:
        """Configure a neighbour."""
        self.neighbors[neighbor.name] = neighbor
        self._reload()

    def remove(self, name: str) -> None:
        """Take a neighbour out."""
        if self.neighbors.pop(name, None) is not None:
            self._reload()

    def raw(self, name: str) -> str:
        """Give all that BIRD says of a session."""
        if self.neighbors[name].interface:  # The session is a child of the range's.
            found = re.findall(r"^(dynbgp\d+)\s", self.birdc("show protocols"), re.MULTILINE)
            name = found[-1] if found else name
        return self.birdc(f"show protocols all {name}")

    def view(self, name: str) -> View:
        """Ask of the session."""
        raw = self.raw(name)

        def field(pattern: str) -> str:
            found = re.search(pattern, raw)
            return found.group(1) if found else ""

        error, message = field(r"Last error:\s+(.+)"), field(r"Message:\s+(.+)")
        state = field(r"BGP state:\s+(\S+)")
        return View(
            is_established=state == "Established",
            state=state,
            hold_time_s=int(float(field(r"Hold timer:\s+[\d.]+/(\d+)") or 0)),
            keepalive_time_s=int(float(field(r"Keepalive timer:\s+[\d.]+/(\d+)") or 0)),
            router_id=field(r"Neighbor ID:\s+(\S+)"),
            asn=int(field(r"Neighbor AS:\s+(\d+)") or 0),
            last_error=f"{error} {message}".strip(),
            capabilities=_section(raw, "Neighbor capabilities").lower(),
            bfd=self._bfd_state(name) if self.neighbors[name].bfd else "",
        )

    def _bfd_state(self, name: str) -> str:
        found = re.search(
            rf"^{re.escape(self.neighbors[name].address)}\s+\S+\s+(\S+)",
            self.birdc("show bfd sessions"),
            re.MULTILINE,
        )
        return found.group(1).lower() if found else ""

    def import_updates(self, name: str) -> int:
        """Count the prefixes that were received."""
        return sum(int(n) for n in re.findall(r"Import updates:\s+(\d+)", self.raw(name)))

    def routes(self, name: str, family: str = IPV4) -> Mapping[str, Seen]:
        """Ask for the table in detail."""
        protocol = name
        if self.neighbors[name].interface:
            found = re.findall(r"^(dynbgp\d+)\s", self.birdc("show protocols"), re.MULTILINE)
            protocol = found[-1] if found else name
        table = "master4" if family == IPV4 else "master6"
        text = self.birdc(f"show route all table {table} protocol {protocol}")
        return {prefix: _seen(block) for prefix, block in _blocks(text)}

    def refresh(self, name: str) -> None:
        """Reload what comes in."""
        self.birdc(f"reload in {name}")

    def shut_down(self, name: str, text: str) -> None:
        """Disable the protocol, with a message."""
        argv = ["/usr/sbin/birdc", "-s", str(self.folder / "bird.ctl")]
        netns.command([*argv, "disable", name, f'"{text}"'], netns=self.namespace)


def _section(raw: str, title: str) -> str:
    lines = raw.splitlines()
    found: list[str] = []
    indent = -1
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if title in line:
            indent = depth
        elif indent >= 0:
            if depth <= indent:
                break
            found.append(line.strip())
    return "\n".join(found)


def _blocks(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    prefix = ""
    for line in text.splitlines():
        match = _ROUTE.match(line)
        if match:
            prefix = match.group(1).strip() or prefix
            found.append((prefix, line + "\n"))
        elif found:
            found[-1] = (prefix, found[-1][1] + line + "\n")
    return found


def _seen(block: str) -> Seen:
    def field(name: str) -> str:
        found = re.search(rf"BGP\.{name}:[ \t]*(.*)", block)
        return found.group(1) if found else ""

    preference = field("local_pref")
    return Seen(
        next_hops=tuple(field("next_hop").split()),
        as_path=tuple(int(number) for number in re.findall(r"\d+", field("as_path"))),
        communities=tuple(":".join(pair) for pair in _PAIR.findall(field("community"))),
        large=tuple(":".join(triple) for triple in _TRIPLE.findall(field("large_community"))),
        local_pref=int(preference) if preference else None,
    )
