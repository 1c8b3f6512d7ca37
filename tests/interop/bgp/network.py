"""The network of the BGP interop tests: our node, four routers and a hop on one switch.

Nothing here has a route out of the machine. Our node has many addresses on the switch, one for each
session, so that one router process can have many sessions with one announcer.

    node ─┐                       ┌─ frr, bird, gobgp, exabgp   10.90.0.x  fd90::x
          ├─ switch (10.90.0.0/16)┤
    hop ──┘                       └─ hostile
     └──── far (10.91.0.0/16): the routers' second legs, reached over the hop only
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab import netns

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX: Final = "mlb-bgp-"
SWITCH: Final = "sw"
NODE: Final = "node"
HOP: Final = "hop"
ROUTERS: Final = ("frr", "bird", "gobgp", "exabgp")
HOSTILE: Final = "hostile"
_NUMBERS: Final = {NODE: 1, "frr": 11, "bird": 12, "gobgp": 13, "exabgp": 14, HOP: 20, HOSTILE: 30}
LINK_MAX: Final = 250


def sweep() -> None:
    """Remove what killed runs left behind, and end what still runs in there."""
    for name in netns.names(PREFIX):
        owner = name.removeprefix(PREFIX).split("-", 1)[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            for pid in netns.pids(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            netns.delete(name)


class Network:
    """Namespaces on a bridge; `close` removes them all."""

    def __init__(self) -> None:
        self.prefix = f"{PREFIX}{os.getpid()}-"
        self._made: list[str] = []
        self._links = itertools.count(1)
        self._private = itertools.count(40)
        switch = self._create(SWITCH)
        for bridge in ("br0", "br1"):
            netns.ip(switch, "link", "add", bridge, "type", "bridge")
            netns.ip(switch, "link", "set", bridge, "up")
        for name in _NUMBERS:
            self._create(name)
            self._plug(name, _NUMBERS[name])
        for name in (*ROUTERS, HOP):
            self._plug(name, _NUMBERS[name], leg="far", bridge="br1", net=91)
        self._route_over_the_hop()
        self._address_node(NODE, 1)

    def namespace(self, name: str) -> str:
        """Return the namespace's own name."""
        return f"{self.prefix}{name}"

    def address(self, name: str, *, is_ipv6: bool = False, is_far: bool = False) -> str:
        """Return a host's address on the switch, or behind the hop."""
        net = 91 if is_far else 90
        number = _NUMBERS[name]
        return f"fd{net}::{number}" if is_ipv6 else f"10.{net}.0.{number}"

    def link_number(self) -> int:
        """Return the number of the next session."""
        number = next(self._links)
        assert number <= LINK_MAX, "more sessions than addresses"
        return number

    @staticmethod
    def link_address(number: int, *, node: int = 1, is_ipv6: bool = False) -> str:
        """Return our address for one session."""
        return f"fd90::{node}:{number:x}" if is_ipv6 else f"10.90.{node}.{number}"

    def private_node(self) -> tuple[str, int]:
        """Make one more node; return its name and its number for `link_address`."""
        number = next(self._private)
        name = f"node{number}"
        self._create(name)
        self._plug(name, number)
        netns.ip(self.namespace(name), "route", "add", "10.91.0.0/16", "via", self.address(HOP))
        netns.ip(
            self.namespace(name),
            "route",
            "add",
            "fd91::/64",
            "via",
            self.address(HOP, is_ipv6=True),
        )
        self._address_node(name, number, count=8)
        return name, number

    def point_to_point(self, one: str, other: str, interface: str) -> None:
        """Connect two hosts by a cable with nothing but link-local addresses."""
        first, second = self.namespace(one), self.namespace(other)
        words = f"link add {interface} type veth peer name {interface} netns {second}"
        netns.ip(first, *words.split())
        for name in (first, second):
            self._calm(name, interface)
            netns.ip(name, "link", "set", interface, "up")

    def cut(self, name: str, address: str) -> None:
        """Let a host hear nothing of an address any more, which no kernel notices."""
        family = "ip6" if ":" in address else "ip"
        netns.nft(
            self.namespace(name),
            "table inet cut {\nchain in {\ntype filter hook prerouting priority -400;\n"
            f"{family} saddr {address} drop\n}}\n}}\n",
        )

    def heal(self, name: str) -> None:
        """End every cut of a host."""
        netns.nft(self.namespace(name), "flush ruleset")

    def close(self) -> None:
        """Remove all namespaces."""
        for name in reversed(self._made):
            netns.delete(name)

    def _create(self, name: str) -> str:
        namespace = self.namespace(name)
        netns.create(namespace)
        self._made.append(namespace)
        netns.ip(namespace, "link", "set", "lo", "up")
        return namespace

    def _plug(
        self, name: str, number: int, *, leg: str = "eth0", bridge: str = "br0", net: int = 90
    ) -> None:
        namespace, switch = self.namespace(name), self.namespace(SWITCH)
        port = f"{name}{leg}"
        words = f"link add {leg} type veth peer name {port} netns {switch}"
        netns.ip(namespace, *words.split())
        self._calm(namespace, leg)
        netns.ip(switch, "link", "set", port, "master", bridge, "up")
        netns.ip_batch(
            namespace,
            [
                f"link set {leg} up",
                f"address add 10.{net}.0.{number}/16 dev {leg}",
                f"address add fd{net}::{number}/64 dev {leg} nodad",
            ],
        )

    def _calm(self, namespace: str, interface: str) -> None:
        settings = {"accept_dad": 0, "dad_transmits": 0, "router_solicitations": 0}
        netns.sysctl(
            namespace,
            {f"net.ipv6.conf.{interface}.{key}": value for key, value in settings.items()},
        )

    def _route_over_the_hop(self) -> None:
        hop = self.namespace(HOP)
        netns.sysctl(hop, {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1})
        node = self.namespace(NODE)
        netns.ip(node, "route", "add", "10.91.0.0/16", "via", self.address(HOP))
        netns.ip(node, "route", "add", "fd91::/64", "via", self.address(HOP, is_ipv6=True))
        # What is asked on the far leg is answered over it, the near leg being closer to the node.
        for name in ROUTERS:
            namespace = self.namespace(name)
            far = self.address(HOP, is_far=True)
            netns.ip(namespace, *f"route add default via {far} dev far table 91".split())
            netns.ip(namespace, "rule", "add", "from", "10.91.0.0/16", "table", "91")
            far = self.address(HOP, is_ipv6=True, is_far=True)
            netns.ip(namespace, *f"-6 route add default via {far} dev far table 91".split())
            netns.ip(namespace, "-6", "rule", "add", "from", "fd91::/64", "table", "91")

    def _address_node(self, name: str, number: int, count: int = LINK_MAX) -> None:
        netns.ip_batch(self.namespace(name), list(self._link_addresses(number, count)))

    def _link_addresses(self, node: int, count: int) -> Iterator[str]:
        for number in range(1, count + 1):
            yield f"address add {self.link_address(number, node=node)}/16 dev eth0"
            six = self.link_address(number, node=node, is_ipv6=True)
            yield f"address add {six}/64 dev eth0 nodad"
