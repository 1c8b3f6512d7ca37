"""The readable state of a lab: processes, hosts, faults, and who answers for which address."""

from __future__ import annotations

import select
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from lab import netns, topology
from lab.errors import LabError
from lab.observe.neighbour import Asker
from lab.process import pss_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.cluster import Lab
    from lab.site import Site

_MIB: Final = 1 << 20
_LISTEN_S: Final = 0.15


def collect(lab: Lab) -> dict[str, Any]:
    """Return the whole state as plain values."""
    return {
        "name": lab.site.name,
        "profile": lab.site.settings.profile,
        "phase": "dead" if lab.site.is_dead() else lab.site.settings.phase,
        "hosts": _hosts(lab.site),
        "processes": _processes(lab.site),
        "addresses": _addresses(lab),
        "faults": asdict(lab.faults.state()),
    }


def who_answers(site: Site, address: str, *, host: str = "client") -> list[str]:
    """Ask once for an address and name everybody who answers within a moment."""
    with netns.inside(site.namespace(host)):
        asker = Asker(address, "eth0")
    with asker.socket:
        asker.ask()
        macs: dict[str, None] = {}
        deadline = time.monotonic() + _LISTEN_S
        while (left := deadline - time.monotonic()) > 0:
            select.select([asker.socket], [], [], left)
            macs |= {line["mac"]: None for line in asker.read() if line["kind"] == "answer"}
    return [site.plan.host_of_mac(mac) for mac in macs]


def render(state: Mapping[str, Any]) -> str:
    """Return the state as text for a person."""
    parts = [f"lab {state['name']} ({state['profile']}): {state['phase']}", ""]
    parts += _table(("HOST", "IPV4", "IPV6", "CABLE"), state["hosts"])
    parts += [
        "",
        *_table(
            ("PROCESS", "HOST", "PID", "STATE", "CPU_S", "RSS_MIB", "PSS_MIB"), state["processes"]
        ),
    ]
    if state["addresses"]:
        parts += ["", *_table(("ADDRESS", "SERVICE", "ANSWERS"), state["addresses"])]
    faults = {kind: what for kind, what in state["faults"].items() if what}
    parts += ["", f"faults: {faults}" if faults else "no faults"]
    return "\n".join(parts)


def _hosts(site: Site) -> list[dict[str, Any]]:
    cables = {
        str(row["ifname"]): str(row.get("operstate", "?")).lower()
        for row in netns.ip_json(site.plan.lan, "link", "show")
    }
    known = {host.name: host for host in site.plan.hosts}
    rows = []
    for name in topology.host_namespaces(site.plan):
        plan = known.get(name)
        rows.append(
            {
                "host": name,
                "ipv4": plan.ipv4 if plan else "",
                "ipv6": plan.ipv6 if plan else "",
                "cable": cables.get(name, ""),
            }
        )
    return rows


def _processes(site: Site) -> list[dict[str, Any]]:
    rows = []
    for process in site.processes.all():
        family = process.family()
        leader = process.stat()
        rows.append(
            {
                "process": process.name,
                "host": process.record.spec.host,
                "pid": process.pid,
                "state": _state(leader.state) if leader else "ended",
                "cpu_s": round(sum(member.cpu_s for member in family), 1),
                "rss_mib": sum(member.rss_bytes for member in family) // _MIB,
                "pss_mib": sum(pss_bytes(member.pid) for member in family) // _MIB,
            }
        )
    return rows


def _state(letter: str) -> str:
    return "stopped" if letter in "Tt" else "running"


def _addresses(lab: Lab) -> list[dict[str, Any]]:
    try:
        services = lab.api.get("/api/v1/services")["items"]
    except (OSError, LabError):
        return []
    rows = []
    for service in services:
        meta = service["metadata"]
        ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
        for entry in ingress:
            if "ip" in entry:
                answers = ", ".join(who_answers(lab.site, entry["ip"])) or "nobody"
                name = f"{meta['namespace']}/{meta['name']}"
                rows.append({"address": entry["ip"], "service": name, "answers": answers})
    return rows


def _table(heads: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    cells = [heads, *([str(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
