"""A scene in which the lab's router speaks BGP with the nodes.

Addresses are of networks that nobody has, so whoever wants to reach them asks the router.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lab.errors import ApiError
from lab.router import RouterOptions, spread
from tests.lab.scene import HOME, Json, Scene

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.light import LightLab

NODE_ASN: Final = 64500
ROUTER_ASN: Final = 64501
OPTIONS: Final = RouterOptions(asn=ROUTER_ASN, node_asn=NODE_ASN)
"""Of the router: no BFD, hold time as the nodes want it."""
V1: Final = f"/apis/metallb.io/v1beta1/namespaces/{HOME}"
V2: Final = f"/apis/metallb.io/v1beta2/namespaces/{HOME}"
STATES: Final = f"/apis/mercurylb.io/v1alpha1/namespaces/{HOME}/bgpsessions"
_LAST: Final = itertools.count(1)


class BgpScene(Scene):
    """The objects of one test beside a router."""

    def __init__(self, lab: LightLab) -> None:
        super().__init__(lab)
        self.number = next(_LAST)
        self.router = lab.bgp

    @property
    def far4(self) -> str:
        """An IPv4 address that only the router has a way to."""
        return f"198.51.100.{self.number}"

    @property
    def far6(self) -> str:
        """An IPv6 address that only the router has a way to."""
        return f"2001:db8:100::{self.number:x}"

    def peer(self, name: str = "", **spec: Any) -> str:
        """Create the BGPPeer of the router."""
        name = name or f"{self.name}-peer"
        own = {"myASN": NODE_ASN, "peerASN": ROUTER_ASN, "peerAddress": self.lab.router.ipv4}
        self.create(
            f"{V2}/bgppeers",
            {
                "apiVersion": "metallb.io/v1beta2",
                "kind": "BGPPeer",
                "metadata": {"name": name},
                "spec": {**own, **spec},
            },
        )
        return name

    def profile(self, name: str = "fast", **spec: Any) -> str:
        """Create a BFDProfile, of 3 x 50 ms unless told."""
        own = {"receiveInterval": 50, "transmitInterval": 50, "detectMultiplier": 3}
        self.create(
            f"{V1}/bfdprofiles",
            {
                "apiVersion": "metallb.io/v1beta1",
                "kind": "BFDProfile",
                "metadata": {"name": name},
                "spec": {**own, **spec},
            },
        )
        return name

    def advertise_bgp(self, **spec: Any) -> str:
        """Create a BGPAdvertisement of every pool unless told."""
        name = f"{self.name}-bgp"
        self.create(
            f"{V1}/bgpadvertisements",
            {
                "apiVersion": "metallb.io/v1beta1",
                "kind": "BGPAdvertisement",
                "metadata": {"name": name},
                "spec": spec,
            },
        )
        return name

    def secret(self, name: str, password: str) -> None:
        """Create the secret of a password."""
        self.create(
            f"/api/v1/namespaces/{HOME}/secrets",
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/basic-auth",
                "metadata": {"name": name},
                "data": {"password": base64.b64encode(password.encode()).decode()},
            },
        )

    def set_secret(self, name: str, password: str) -> None:
        """Change a password."""
        data = {"password": base64.b64encode(password.encode()).decode()}
        self.lab.api.merge(f"/api/v1/namespaces/{HOME}/secrets/{name}", {"data": data})

    def stage(self, *, families: Sequence[str] = ("IPv4",), **service: Any) -> str:
        """Give the scene a pool, an advertisement and a service; wait for its addresses."""
        ranges = {"IPv4": f"{self.far4}/32", "IPv6": f"{self.far6}/128"}
        self.pool(*(ranges[family] for family in families))
        self.advertise_bgp()
        policy = "RequireDualStack" if len(families) > 1 else "SingleStack"
        key = self.service(ipFamilies=list(families), ipFamilyPolicy=policy, **service)
        self.wait_addresses(key)
        self.wait_endpoints(key)
        return key

    def wait_sessions(self, nodes: Sequence[str] | None = None, *, timeout_s: float = 20.0) -> None:
        """Wait until exactly these nodes have a session, all unless told."""
        wanted = sorted(self.lab.nodes if nodes is None else nodes)
        self.until(
            lambda: self.router.established() == wanted, f"sessions with {wanted}", timeout_s
        )

    def wait_hops(
        self, nodes: Sequence[str] | None = None, *, address: str = "", timeout_s: float = 20.0
    ) -> None:
        """Wait until the router's kernel sends an address to exactly these nodes."""
        wanted = sorted(self.lab.nodes if nodes is None else nodes)
        where = address or self.far4
        self.until(
            lambda: self.router.next_hops(where) == wanted, f"{where} over {wanted}", timeout_s
        )

    def flows(self, address: str, count: int) -> dict[str, int]:
        """Open connections from the client; count by which nodes the router sent them."""
        shape = f"http://[{address}]/" if ":" in address else f"http://{address}/"
        with self.lab.observe.capture(host="router", only="tcp", address=address) as watch:
            self.until(lambda: self._is_seen(shape, watch), "the capture sees connections")
            before = spread(watch.lines(), self.lab.site.plan, address)
            for _ in range(count):
                self.lab.client.http_get(shape)
            total = sum(before.values()) + count
            self.until(
                lambda: sum(spread(watch.lines(), self.lab.site.plan, address).values()) >= total,
                "every connection is seen",
            )
            after = spread(watch.lines(), self.lab.site.plan, address)
        return {node: after[node] - before.get(node, 0) for node in after}

    def _is_seen(self, url: str, watch: Any) -> bool:
        self.lab.client.http_get(url)
        return any(line["kind"] == "tcp" for line in watch.lines())

    def bgp_status(self, key: str) -> dict[str, list[str]]:
        """Give the peers that ServiceBGPStatus objects name for a service, by node."""
        items = self.lab.api.get(f"{V1}/servicebgpstatuses")["items"]
        name = key.partition("/")[2]
        return {
            item["status"]["node"]: item["status"].get("peers", [])
            for item in items
            if item.get("status", {}).get("serviceName") == name
        }

    def session_states(self) -> list[Json]:
        """Give the BGPSession objects' statuses; none where the kind is not known."""
        try:
            items = self.lab.api.get(STATES)["items"]
        except ApiError:
            return []
        return [item.get("status", {}) for item in items]


def tell(line: Mapping[str, Any]) -> None:
    """Print figures, and write them down where MERCURYLB_BGP_FIGURES names a file."""
    text = json.dumps(line) + "\n"
    sys.stdout.write(text)
    if file := os.environ.get("MERCURYLB_BGP_FIGURES"):
        with Path(file).open("a") as out:
            out.write(text)
