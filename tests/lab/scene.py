"""What end-to-end tests put on the shared lab's stage, and how they look at what comes of it.

A scene belongs to one test: the objects it makes bear the test's own names, and all of them go at
its end, so that the next test finds a cluster without pools and services.
"""

from __future__ import annotations

import hashlib
import itertools
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from lab import netns
from lab.cluster import PATIENCE_S
from lab.errors import ApiError
from lab.status import who_answers
from mercurylb.layer2 import arp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lab.light import LightLab

HOME: Final = "metallb"
_GROUP: Final = f"/apis/metallb.io/v1beta1/namespaces/{HOME}"
_NUMBERS: Final = itertools.count(1)
_BLOCKS: Final = itertools.cycle(range(112, 248, 8))

Json = dict[str, Any]

BOTH: Final[Json] = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"]}
"""What a service asks for that wants an address of each family."""


class Scene:
    """The objects of one test."""

    def __init__(self, lab: LightLab) -> None:
        self.lab = lab
        self.name = f"t{next(_NUMBERS)}"
        self.block = next(_BLOCKS)
        """Eight addresses of the LAN that are this test's own begin with this number."""
        self._paths: list[str] = []
        self._pods: list[str] = []

    # --- making things ----------------------------------------------------------------------

    def ip4(self, offset: int = 0) -> str:
        """Give an IPv4 address of the test's own."""
        return f"192.168.111.{self.block + offset}"

    def ip6(self, offset: int = 0) -> str:
        """Give an IPv6 address of the test's own."""
        return f"fd00:111::5:{self.block + offset:x}"

    def create(self, path: str, body: Json) -> Json:
        """Create an object that goes with the scene."""
        made: Json = self.lab.api.post(path, body)
        self._paths.append(f"{path}/{made['metadata']['name']}")
        return made

    def pool(self, *ranges: str, name: str = "", **spec: Any) -> str:
        """Create a pool; without a range it has one IPv4 address."""
        name = name or f"{self.name}-pool"
        self.create(
            f"{_GROUP}/ipaddresspools",
            {
                "apiVersion": "metallb.io/v1beta1",
                "kind": "IPAddressPool",
                "metadata": {"name": name},
                "spec": {"addresses": list(ranges) or [f"{self.ip4()}/32"], **spec},
            },
        )
        return name

    def set_pool(self, name: str, *ranges: str) -> None:
        """Give a pool other ranges."""
        path = f"{_GROUP}/ipaddresspools/{name}"
        self.lab.api.merge(path, {"spec": {"addresses": list(ranges)}})

    def advertise(self, *, name: str = "", **spec: Any) -> str:
        """Create an L2Advertisement, of every pool unless told."""
        name = name or f"{self.name}-l2"
        self.create(
            f"{_GROUP}/l2advertisements",
            {
                "apiVersion": "metallb.io/v1beta1",
                "kind": "L2Advertisement",
                "metadata": {"name": name},
                "spec": spec,
            },
        )
        return name

    def service(
        self,
        suffix: str = "a",
        *,
        namespace: str = "default",
        annotations: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        port: int = 80,
        **spec: Any,
    ) -> str:
        """Create a service of type LoadBalancer; give its key."""
        name = f"{self.name}-{suffix}"
        self.create(
            f"/api/v1/namespaces/{namespace}/services",
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {
                    "name": name,
                    "annotations": dict(annotations or {}),
                    "labels": dict(labels or {}),
                },
                "spec": {
                    "type": "LoadBalancer",
                    "selector": {"app": "web"},
                    "ports": [{"name": "http", "port": port, "targetPort": 8080}],
                    **spec,
                },
            },
        )
        return f"{namespace}/{name}"

    def announce(self, app: str) -> str:
        """Put a service with an address of each family on the stage; wait for its first owner."""
        self.pool(f"{self.ip4()}/32", f"{self.ip6()}/128")
        self.advertise()
        key = self.service(selector={"app": app}, **BOTH)
        self.wait_addresses(key)
        self.wait_endpoints(key)
        self.wait_owner(self.ip4(), self.ranking(self.ip4())[0])
        return key

    def namespace(self, suffix: str, labels: Mapping[str, str] | None = None) -> str:
        """Create a namespace."""
        name = f"{self.name}-{suffix}"
        metadata = {"name": name, "labels": dict(labels or {})}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        self.create("/api/v1/namespaces", body)
        return name

    def web(self, node: str, app: str, *, urgent: bool = False) -> str:
        """Run a web pod on a node, before ordinary processes when urgent."""
        name = f"{self.name}-{node}"
        self.lab.web(name, node, labels={"app": app}, urgent=urgent)
        self._pods.append(name)
        return name

    def remove_pod(self, name: str) -> None:
        """End a pod of the scene."""
        self.lab.pods.remove(name)
        self._pods.remove(name)

    def delete(self, key: str) -> None:
        """Delete a service."""
        self.lab.api.delete(service_path(key))

    def patch(self, key: str, patch: Json) -> None:
        """Change a service."""
        self.lab.api.merge(service_path(key), patch)

    def shout(self, address: str) -> str:
        """Let the client announce an IPv4 address as its own, once; give its MAC address."""
        mac = self.lab.site.plan.client.mac
        frames = arp.gratuitous(bytes.fromhex(mac.replace(":", "")), socket.inet_aton(address))
        with netns.inside(self.lab.site.namespace("client")):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with sock:
            sock.bind(("eth0", 0))
            for frame in frames:
                sock.send(frame)
        return mac

    def close(self) -> None:
        """Remove everything that the test made."""
        for path in reversed(self._paths):
            with suppress(ApiError):
                self.lab.api.delete(path)
        for pod in list(self._pods):
            self.remove_pod(pod)

    # --- looking at things ------------------------------------------------------------------

    def get(self, key: str) -> Json:
        """Read a service."""
        found: Json = self.lab.api.get(service_path(key))
        return found

    def addresses(self, key: str) -> list[str]:
        """Give the addresses in a service's status."""
        ingress = self.get(key)["status"]["loadBalancer"].get("ingress", [])
        return [entry["ip"] for entry in ingress]

    def wait_addresses(
        self, key: str, wanted: Sequence[str] | None = None, *, timeout_s: float = PATIENCE_S
    ) -> list[str]:
        """Wait until a service has addresses, or exactly these."""
        if wanted is None:
            return self.lab.wait_for(lambda: self.addresses(key), timeout_s=timeout_s)
        self.until(lambda: self.addresses(key) == list(wanted), f"{key} has {wanted}", timeout_s)
        return list(wanted)

    def wait_endpoints(self, key: str, *, timeout_s: float = 40.0) -> None:
        """Wait for the service's ready endpoints: Kubernetes' own work, slow after an outage."""
        namespace, _, name = key.partition("/")
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        selector = f"labelSelector=kubernetes.io/service-name%3D{name}"

        def has_any() -> bool:
            slices = self.lab.api.get(f"{path}?{selector}")["items"]
            return any(
                endpoint["conditions"].get("ready")
                for item in slices
                for endpoint in item.get("endpoints") or ()
            )

        self.until(has_any, f"{key} has endpoints", timeout_s)

    def until(
        self, condition: Callable[[], object], what: str = "", timeout_s: float = PATIENCE_S
    ) -> None:
        """Wait for a condition."""
        self.lab.wait_for(condition, what=what, timeout_s=timeout_s)

    def events(self, key: str, reason: str = "") -> list[Json]:
        """Give the events about a service."""
        namespace, _, name = key.partition("/")
        selector = f"involvedObject.name={name}"
        path = f"/api/v1/namespaces/{namespace}/events?fieldSelector={selector}"
        items: list[Json] = self.lab.api.get(path)["items"]
        return [item for item in items if not reason or item["reason"] == reason]

    def wait_event(self, key: str, reason: str, *, about: str = "") -> Json:
        """Wait for an event whose message contains a text."""

        def find() -> Json | None:
            found = self.events(key, reason)
            return next((event for event in found if about in event["message"]), None)

        event: Json | None = self.lab.wait_for(find, what=f"event {reason} {about}")
        assert event is not None
        return event

    def pool_status(self, name: str) -> Json:
        """Give a pool's counters."""
        status: Json = self.lab.api.get(f"{_GROUP}/ipaddresspools/{name}").get("status", {})
        return status

    def state(self, name: str = "controller") -> Json:
        """Give the status of a ConfigurationState."""
        path = f"{_GROUP}/configurationstates/{name}"
        status: Json = self.lab.api.get(path).get("status", {})
        return status

    def l2_status(self, key: str) -> list[Json]:
        """Give what ServiceL2Status objects say about a service."""
        items = self.lab.api.get(f"{_GROUP}/servicel2statuses")["items"]
        name = key.partition("/")[2]
        return [
            item["status"] for item in items if item.get("status", {}).get("serviceName") == name
        ]

    def who(self, address: str) -> list[str]:
        """Ask once who answers for an address."""
        return who_answers(self.lab.site, address)

    def wait_owner(self, address: str, node: str | None, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait until exactly this node answers, or nobody."""
        wanted = [] if node is None else [node]
        self.until(lambda: self.who(address) == wanted, f"{address} by {wanted}", timeout_s)

    def ranking(self, address: str, nodes: Iterable[str] = ("n1", "n2", "n3")) -> list[str]:
        """Give the nodes in the order in which they may answer for an address."""
        return sorted(nodes, key=lambda n: hashlib.sha256(f"{n}#{address}".encode()).digest())

    def owner_watch_ready(self, watch: Any, count: int = 20) -> None:
        """Wait until a watch has seen some answers."""
        self.until(lambda: watch.report().answered >= count, "answers are seen")

    def quiet(self, watch: Any, seconds: float) -> None:
        """Let an observer go on for a time on its own clock."""
        lines = watch.lines()
        begin = lines[-1]["t"] if lines else 0.0
        self.until(
            lambda: (seen := watch.lines()) and seen[-1]["t"] >= (begin or seen[0]["t"]) + seconds,
            "observation goes on",
            seconds + PATIENCE_S,
        )


def service_path(key: str) -> str:
    """Give the API path of a service."""
    namespace, _, name = key.partition("/")
    return f"/api/v1/namespaces/{namespace}/services/{name}"
