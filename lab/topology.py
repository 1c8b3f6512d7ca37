"""The lab's fixed network: who exists, with which addresses, and how to build it.

::

    outside 203.0.113.10 ── wan0 router .1 ──┐
                                             │  LAN 192.168.111.0/24, fd00:111::/64
    client .50 ──────────────────────────────┼── cp .100 ── n1 .101 ── n2 .102 ── …

Every host is a network namespace ``mlb-<lab>-<host>``; the LAN is a bridge in ``mlb-<lab>-lan`` and
each host's cable is a veth pair, ``eth0`` in the host and the host's own name on the bridge side.
IPv6 addresses repeat the last decimal group: n2 is 192.168.111.102 and fd00:111::102.  A host's MAC
address ends in that number too, so an observer can name the owner of an answer.

The router has one forwarding rule, set when the lab starts and never changed: outside TCP ports 80
and 443 go to 192.168.111.11.  It keeps the client's source address; answers return because every
host's default route is the router.  The router itself has no default route, so nothing leaves.

Invariants: pure values first (``Plan``), building second; several labs differ in their prefix only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lab import netns
from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence

LAN4: Final = "192.168.111.0/24"
LAN6: Final = "fd00:111::/64"
POD_CIDR4: Final = "10.244.0.0/16"
POD_CIDR6: Final = "fd00:244::/56"
SERVICE_CIDR4: Final = "10.96.0.0/12"
SERVICE_CIDR6: Final = "fd00:96::/112"
POD_CIDRS: Final = f"{POD_CIDR4},{POD_CIDR6}"
SERVICE_CIDRS: Final = f"{SERVICE_CIDR4},{SERVICE_CIDR6}"
FIRST_SERVICE_IP: Final = "10.96.0.1"
CLUSTER_DNS4: Final = "10.96.0.10"
ROUTER_NUMBER: Final = 1
CLIENT_NUMBER: Final = 50
CONTROL_PLANE_NUMBER: Final = 100
WAN: Final = "203.0.113.0/24"
WAN_ROUTER: Final = "203.0.113.1"
WAN_CLIENT: Final = "203.0.113.10"
FORWARDED_TO: Final = "192.168.111.11"
NODES_MAX: Final = 100
BRIDGE: Final = "br0"
_NAME = re.compile(r"[a-z0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class HostPlan:
    """A host on the LAN: its number is the last group of all its addresses."""

    name: str
    number: int
    forwards: bool = False

    @property
    def ipv4(self) -> str:
        """The LAN address."""
        return f"192.168.111.{self.number}"

    @property
    def ipv6(self) -> str:
        """The LAN address of the other family."""
        return f"fd00:111::{self.number}"

    @property
    def mac(self) -> str:
        """The address of ``eth0``."""
        return f"02:6d:6c:62:00:{self.number:02x}"


@dataclass(frozen=True, slots=True)
class NodePlan(HostPlan):
    """A node: a host with a slice of the pod networks; ``index`` counts from 1."""

    index: int = 1

    @property
    def pod_cidr4(self) -> str:
        """The node's IPv4 pod network."""
        return f"10.244.{self.index}.0/24"

    @property
    def pod_cidr6(self) -> str:
        """The node's IPv6 pod network."""
        return f"fd00:244:0:{self.index:x}::/64"

    @property
    def pod_gateway4(self) -> str:
        """The node's own address in its IPv4 pod network."""
        return f"10.244.{self.index}.1"

    @property
    def pod_gateway6(self) -> str:
        """The node's own address in its IPv6 pod network."""
        return f"fd00:244:0:{self.index:x}::1"


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole network of one lab, as values."""

    lab: str
    node_count: int

    def __post_init__(self) -> None:
        """Check the name and the size."""
        if not _NAME.fullmatch(self.lab):
            raise LabError(f"lab name {self.lab!r}: use 1 to 20 lower-case letters and digits")
        if not 0 <= self.node_count <= NODES_MAX:
            raise LabError(f"{self.node_count} nodes: choose 0 to {NODES_MAX}")

    @property
    def prefix(self) -> str:
        """What the names of all the lab's namespaces start with."""
        return f"mlb-{self.lab}-"

    @property
    def lan(self) -> str:
        """The namespace that holds the LAN's bridge."""
        return self.namespace("lan")

    @property
    def control_plane(self) -> HostPlan:
        """The host of etcd and the API server."""
        return HostPlan("cp", CONTROL_PLANE_NUMBER)

    @property
    def client(self) -> HostPlan:
        """The client on the LAN."""
        return HostPlan("client", CLIENT_NUMBER)

    @property
    def router(self) -> HostPlan:
        """The home router."""
        return HostPlan("router", ROUTER_NUMBER, forwards=True)

    @property
    def nodes(self) -> tuple[NodePlan, ...]:
        """The nodes n1, n2, …"""
        return tuple(
            NodePlan(f"n{i}", CONTROL_PLANE_NUMBER + i, forwards=True, index=i)
            for i in range(1, self.node_count + 1)
        )

    @property
    def hosts(self) -> tuple[HostPlan, ...]:
        """Everybody with a cable to the LAN."""
        return (self.router, self.client, self.control_plane, *self.nodes)

    def node(self, name: str) -> NodePlan:
        """Find a node by its name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise LabError(f"no node {name!r}; there are {', '.join(n.name for n in self.nodes)}")

    def namespace(self, host: str) -> str:
        """Return the namespace of a host."""
        return self.prefix + host

    def host_of_mac(self, mac: str) -> str:
        """Name the host behind a MAC address; an unknown one is returned as it is."""
        for host in self.hosts:
            if host.mac == mac:
                return host.name
        return mac


def build(plan: Plan) -> None:
    """Make all namespaces, cables, addresses and routes of the lab."""
    _make_lan(plan)
    for host in plan.hosts:
        attach(plan, host)
    for host in (plan.control_plane, *plan.nodes):
        _add_pod_routes(plan, host)
    _make_outside(plan)


def destroy(prefix: str) -> None:
    """Remove every namespace with the prefix; their processes must have ended before."""
    for name in netns.names(prefix):
        netns.delete(name)


def attach(plan: Plan, host: HostPlan, *, router_as_default: bool = True) -> str:
    """Make one host with a cable to the LAN; return its namespace."""
    name = plan.namespace(host.name)
    make_namespace(name, forwards=host.forwards)
    netns.ip_batch(
        plan.lan,
        [
            f"link add {host.name} type veth peer name eth0 address {host.mac} netns {name}",
            f"link set {host.name} master {BRIDGE}",
            f"link set {host.name} up",
        ],
    )
    configure(plan, host, router_as_default=router_as_default)
    return name


def configure(plan: Plan, host: HostPlan, *, router_as_default: bool = True) -> None:
    """Set a host's interface up and give it its addresses and its default routes.

    Setting an interface down takes IPv6 addresses and all routes away; this brings them back.
    """
    routes = []
    if host.number != ROUTER_NUMBER and router_as_default:
        routes = [
            f"route replace default via {plan.router.ipv4}",
            f"route replace default via {plan.router.ipv6}",
        ]
    netns.ip_batch(
        plan.namespace(host.name),
        [
            "link set eth0 up",
            f"addr replace {host.ipv4}/24 brd + dev eth0",
            f"addr replace {host.ipv6}/64 dev eth0 nodad",
            *routes,
        ],
    )


def reconfigure(plan: Plan, name: str) -> None:
    """Bring a host of the plan back on the LAN after its interface was set down."""
    host = next((host for host in plan.hosts if host.name == name), None)
    if host is None:
        raise LabError(f"host {name!r} is not of the plan: its interface cannot be set up again")
    configure(plan, host)
    if host.name == plan.control_plane.name or isinstance(host, NodePlan):
        _add_pod_routes(plan, host)


def make_namespace(name: str, *, forwards: bool) -> None:
    """Make a namespace whose IPv6 addresses are usable at once and which hears no router."""
    netns.create(name)
    settings: dict[str, str | int] = {}
    for scope in ("all", "default"):
        settings[f"net.ipv6.conf.{scope}.accept_dad"] = 0
        settings[f"net.ipv6.conf.{scope}.accept_ra"] = 0
        settings[f"net.ipv4.conf.{scope}.rp_filter"] = 0
        if forwards:
            settings[f"net.ipv6.conf.{scope}.forwarding"] = 1
    if forwards:
        settings["net.ipv4.ip_forward"] = 1
        # Pods of one node that talk through a service pass the bridge, and must pass kube-proxy's
        # rules there; the LAN's own bridge has no rules to pass.
        settings["net.bridge.bridge-nf-call-iptables"] = 1
        settings["net.bridge.bridge-nf-call-ip6tables"] = 1
    netns.sysctl(name, settings)
    netns.ip(name, "link", "set", "lo", "up")


def host_namespaces(plan: Plan) -> dict[str, str]:
    """Map the name of each existing host (added ones too) to its namespace."""
    return {name.removeprefix(plan.prefix): name for name in netns.names(plan.prefix)}


def _make_lan(plan: Plan) -> None:
    netns.create(plan.lan)
    netns.sysctl(
        plan.lan,
        {
            "net.ipv6.conf.all.disable_ipv6": 1,
            "net.ipv6.conf.default.disable_ipv6": 1,
            "net.bridge.bridge-nf-call-iptables": 0,
            "net.bridge.bridge-nf-call-ip6tables": 0,
            "net.bridge.bridge-nf-call-arptables": 0,
        },
    )
    netns.ip_batch(
        plan.lan,
        [
            "link set lo up",
            f"link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            f"link set {BRIDGE} up",
        ],
    )


def _add_pod_routes(plan: Plan, host: HostPlan) -> None:
    others = [node for node in plan.nodes if node.name != host.name]
    lines = [f"route replace {node.pod_cidr4} via {node.ipv4}" for node in others]
    lines += [f"route replace {node.pod_cidr6} via {node.ipv6}" for node in others]
    netns.ip_batch(plan.namespace(host.name), lines)


def _make_outside(plan: Plan) -> None:
    outside, router = plan.namespace("outside"), plan.namespace("router")
    make_namespace(outside, forwards=False)
    netns.ip_batch(
        router,
        [
            f"link add wan0 type veth peer name eth0 netns {outside}",
            "link set wan0 up",
            f"addr add {WAN_ROUTER}/24 dev wan0",
        ],
    )
    netns.ip_batch(
        outside,
        [
            "link set eth0 up",
            f"addr add {WAN_CLIENT}/24 dev eth0",
            f"route add default via {WAN_ROUTER}",
        ],
    )
    netns.nft(router, ROUTER_RULES)


ROUTER_RULES: Final = f"""
table ip home {{
  chain prerouting {{
    type nat hook prerouting priority dstnat
    iifname "wan0" tcp dport {{ 80, 443 }} dnat to {FORWARDED_TO} comment "the forwarding rule"
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat
    oifname "wan0" masquerade
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop
    ct state established,related accept
    ct status dnat accept
    iifname "eth0" accept
  }}
}}
"""


def links(namespace: str | None) -> Sequence[dict[str, object]]:
    """List a namespace's interfaces with their kinds, as ``ip -details`` tells them."""
    return netns.ip_json(namespace, "-details", "link", "show")
