"""Pods of the light profile: a real network namespace each, a process in it, a Pod object for it.

A node's pods hang on a bridge ``cni0`` in the node, as the usual CNI plugin does it, with the
node's pod networks.  The Pod object is Running and Ready as soon as its process is started; the
real endpoint-slice controller makes the rest of it.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from lab import binaries, netns, objects, topology
from lab.errors import LabError
from lab.objects import PodPlan
from lab.observe.watch import urgent_argv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.apiclient import ApiClient
    from lab.site import Site
    from lab.topology import NodePlan

BRIDGE: Final = "cni0"
_FIRST_ADDRESS: Final = 2
_LAST_ADDRESS: Final = 250


@dataclass(frozen=True, slots=True)
class Placed:
    """A pod's place in the network: its host name in the lab and its addresses."""

    host: str
    node: str
    number: int
    ipv4: str
    ipv6: str


def rfc3339() -> str:
    """Return the present moment as Kubernetes writes it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Pods:
    """The pods of one light lab."""

    def __init__(self, site: Site, api: ApiClient) -> None:
        self._site = site
        self._api = api

    def place(self, name: str, node: NodePlan) -> Placed:
        """Make a pod's namespace on a node and give it addresses."""
        file = self._site.folder("pods") / f"{name}.json"
        if file.exists():
            raise LabError(f"pod {name} exists already")
        used = {place.number for place in self.all() if place.node == node.name}
        number = next(n for n in range(_FIRST_ADDRESS, _LAST_ADDRESS) if n not in used)
        placed = Placed(
            host=f"pod-{name}",
            node=node.name,
            number=number,
            ipv4=node.pod_gateway4[: node.pod_gateway4.rindex(".") + 1] + str(number),
            ipv6=node.pod_cidr6.removesuffix("/64") + f"{number:x}",
        )
        self._wire(placed, node)
        file.write_text(json.dumps(asdict(placed)))
        return placed

    def all(self) -> list[Placed]:
        """List every placed pod."""
        files = sorted(self._site.folder("pods").glob("*.json"))
        return [Placed(**json.loads(file.read_text())) for file in files]

    def register(self, plan: PodPlan, *, ready: bool = True) -> None:
        """Create the Pod object and make it Running."""
        path = f"/api/v1/namespaces/{plan.namespace}/pods"
        # The controller that makes default accounts takes seconds after a cluster's start.
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": plan.service_account},
        }
        self._api.create(f"/api/v1/namespaces/{plan.namespace}/serviceaccounts", account)
        self._api.post(path, objects.pod(plan))
        status = objects.pod_status(plan, rfc3339(), ready=ready)
        self._api.merge(f"{path}/{plan.name}/status", status)

    def set_ready(self, name: str, ready: bool, *, namespace: str = "default") -> None:  # noqa: FBT001
        """Make a Pod ready or not, as a kubelet's probe would."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        conditions = self._api.get(path)["status"]["conditions"]
        for condition in conditions:
            if condition["type"] in ("Ready", "ContainersReady"):
                condition["status"] = "True" if ready else "False"
                condition["lastTransitionTime"] = rfc3339()
        self._api.merge(f"{path}/status", {"status": {"conditions": conditions}})

    def web(  # noqa: PLR0913  (what a pod is)
        self,
        name: str,
        node: NodePlan,
        *,
        labels: Mapping[str, str],
        namespace: str = "default",
        port: int = 8080,
        urgent: bool = False,
    ) -> Placed:
        """Run the lab's web and echo server as a pod on a node, before others when urgent."""
        placed = self.place(name, node)
        words = ["--port", str(port), "--name", name, "--node", node.name]
        argv = [*(urgent_argv() if urgent else ()), *binaries.helper_argv("lab.serve", *words)]
        self._site.start(f"pod-{name}", placed.host, argv, env=binaries.helper_env())
        ports = [
            {"name": "http", "containerPort": port, "protocol": "TCP"},
            {"name": "echo", "containerPort": port, "protocol": "UDP"},
        ]
        self.register(
            PodPlan(
                name=name,
                namespace=namespace,
                node=node.name,
                host_ip=node.ipv4,
                ips=(placed.ipv4, placed.ipv6),
                labels=labels,
                ports=ports,
            )
        )
        return placed

    def remove(self, name: str, *, namespace: str = "default") -> None:
        """End a pod: its object, its process, its namespace."""
        self._api.delete(f"/api/v1/namespaces/{namespace}/pods/{name}")
        process = self._site.processes.get(f"pod-{name}")
        if process is not None:
            process.kill()
            self._site.processes.forget(process.name)
        netns.delete(self._site.plan.namespace(f"pod-{name}"))
        (self._site.folder("pods") / f"{name}.json").unlink(missing_ok=True)

    def _wire(self, placed: Placed, node: NodePlan) -> None:
        pod_ns = self._site.plan.namespace(placed.host)
        node_ns = self._site.plan.namespace(node.name)
        if not any(row["ifname"] == BRIDGE for row in netns.ip_json(node_ns, "link", "show")):
            _make_bridge(node_ns, node)
        topology.make_namespace(pod_ns, forwards=False)
        cable = f"pod{placed.number}"
        netns.ip_batch(
            node_ns,
            [
                f"link add {cable} type veth peer name eth0 netns {pod_ns}",
                f"link set {cable} master {BRIDGE}",
                f"link set {cable} type bridge_slave hairpin on",
                f"link set {cable} up",
            ],
        )
        netns.ip_batch(
            pod_ns,
            [
                "link set eth0 up",
                f"addr add {placed.ipv4}/24 dev eth0",
                f"addr add {placed.ipv6}/64 dev eth0 nodad",
                f"route add default via {node.pod_gateway4}",
                f"route add ::/0 via {node.pod_gateway6}",
            ],
        )


def _make_bridge(node_ns: str, node: NodePlan) -> None:
    netns.ip_batch(
        node_ns,
        [
            f"link add {BRIDGE} type bridge stp_state 0 forward_delay 0",
            f"link set {BRIDGE} up",
            f"addr add {node.pod_gateway4}/24 dev {BRIDGE}",
            f"addr add {node.pod_gateway6}/64 dev {BRIDGE} nodad",
        ],
    )
