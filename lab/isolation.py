"""Prove that no packet can leave the lab.

Three things are looked at: the kinds of interfaces in each namespace (only cables and software
devices), the far ends of the machine's own cables (none may end in the lab), and the default routes
(only towards the lab's router, which itself has none).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lab import netns
from lab.errors import LeakError
from lab.topology import LAN4, LAN6, POD_CIDR4, POD_CIDR6, WAN, Plan

_KINDS: Final = frozenset(
    {"veth", "bridge", "dummy", "ifb", "tun", "vrf", "vlan", "vxlan", "nlmon"}
    | {"ipip", "sit", "ip6tnl", "gre", "gretap", "erspan", "ip6gre", "ip6gretap", "ip_vti"}
    | {"ip6_vti", "vti", "vti6", "ipvs"}
)
_INSIDE: Final = tuple(
    ipaddress.ip_network(text) for text in (LAN4, LAN6, WAN, POD_CIDR4, POD_CIDR6)
)

Row = Mapping[str, Any]


def foreign_links(rows: Sequence[Row]) -> list[str]:
    """Name the interfaces that are neither loopback nor software devices of the lab's kinds."""
    return [
        f"{row['ifname']} ({row.get('linkinfo', {}).get('info_kind', 'hardware')})"
        for row in rows
        if row.get("link_type") != "loopback"
        and row.get("linkinfo", {}).get("info_kind") not in _KINDS
    ]


def outward_defaults(rows: Sequence[Row], *, is_router: bool) -> list[str]:
    """Name the default routes that do not end inside the lab; a router may have none at all."""
    return [
        f"default via {row.get('gateway', row.get('dev', '?'))}"
        for row in rows
        if row.get("dst") == "default"
        and row.get("type", "unicast") == "unicast"
        and (is_router or not _is_inside(str(row.get("gateway", ""))))
    ]


def check(plan: Plan) -> None:
    """Raise LeakError when any namespace of the lab could reach the machine's own network."""
    problems = [*_machine_cables(plan)]
    for name in netns.names(plan.prefix):
        rows = netns.ip_json(name, "-details", "link", "show")
        problems += [f"{name}: interface {what}" for what in foreign_links(rows)]
        is_router = name == plan.namespace("router")
        for family in ("-4", "-6"):
            routes = netns.ip_json(name, family, "route", "show", "default")
            problems += [
                f"{name}: {what}" for what in outward_defaults(routes, is_router=is_router)
            ]
    if problems:
        raise LeakError("packets could leave the lab: " + "; ".join(problems))


def _machine_cables(plan: Plan) -> list[str]:
    known = {
        row.get("nsid"): str(row.get("name", "")) for row in netns.ip_json(None, "netns", "list-id")
    }
    return [
        f"the machine's interface {row['ifname']} ends in {known[row['link_netnsid']]}"
        for row in netns.ip_json(None, "-details", "link", "show")
        if known.get(row.get("link_netnsid"), "").startswith(plan.prefix)
    ]


def _is_inside(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed.version == net.version and parsed in net for net in _INSIDE)
