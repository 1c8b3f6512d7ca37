"""A speaker's brain without a cluster: objects go in, decisions and writes come out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from mercurylb.api.bgp_advertisement import BGPAdvertisement
from mercurylb.api.bgp_peer import BGPPeer
from mercurylb.api.meta import OwnerReference
from mercurylb.api.service import Service
from mercurylb.api.service_bgp_status import ServiceBGPStatus
from mercurylb.kube.operation import Operation, Verb
from mercurylb.kube.reflector import Applied, Deleted
from mercurylb.kube.store import Store
from mercurylb.kube.writer import Outcome, Result
from mercurylb.speaker.bgp_reporter import BgpReporter
from mercurylb.speaker.l2_status import Author
from mercurylb.speaker.metrics import SpeakerMetrics
from mercurylb.telemetry.metrics import Registry
from tests.unit.speaker.test_view import Cluster

if TYPE_CHECKING:
    from mercurylb.speaker.step import Step
    from mercurylb.speaker.stores import Identity

OWNER = OwnerReference("v1", "Pod", "speaker-iris1", "uid-1")
PEER = {"myASN": 64512, "peerASN": 64513}


class BgpCluster(Cluster):
    """The cluster of `Cluster`, whose services are announced by BGP."""

    def __init__(self, identity: Identity | None = None) -> None:
        super().__init__(identity)
        self.stores.l2_advertisements.apply(Deleted("default/all"))
        self.advertisement("all")

    def peer(self, name: str, address: str = "192.0.2.250", **spec: Any) -> None:
        """Create or change a peer."""
        self.put(self.stores.bgp_peers, BGPPeer, name, {**PEER, "peerAddress": address, **spec})

    def advertisement(self, name: str, **spec: Any) -> None:
        """Create or change an advertisement."""
        self.put(self.stores.bgp_advertisements, BGPAdvertisement, name, spec)

    def lb(self, name: str, *addresses: str, endpoints: str = "iris1", **spec: Any) -> None:
        """Create or change a service that has addresses, and its endpoints on some nodes."""
        spec = {"type": "LoadBalancer", "clusterIPs": ["10.96.0.9"], **spec}
        status = {"loadBalancer": {"ingress": [{"ip": address} for address in addresses]}}
        self.put(self.stores.services, Service, name, spec, status=status)
        self.endpoints(name, *endpoints.split())

    def delete(self, kind: str, name: str) -> None:
        """Delete an object of the store with that name."""
        getattr(self.stores, kind).apply(Deleted(f"default/{name}"))

    @property
    def sent(self) -> dict[str, list[str]]:
        """Give the prefixes that each peer is to have, those on their way out left out."""
        found: dict[str, list[str]] = {
            peer.settings.name: [] for peer in self.view.desired.bgp_peers
        }
        for group in self.view.desired.bgp_routes:
            for peer in group.peers:
                found[peer] += group.prefixes if not group.is_leaving else ()
        return found


class Scene:
    """A reporter of node iris1 beside the cluster, with what it writes and records."""

    def __init__(self, cluster: BgpCluster | None = None) -> None:
        self.cluster = cluster or BgpCluster()
        self.statuses: Store[ServiceBGPStatus] = Store()
        self.events: list[str] = []
        self.writes: list[tuple[str, Operation]] = []
        self.callbacks: dict[str, Any] = {}
        self.registry = Registry()
        fake = cast("Any", self)
        self.reporter = BgpReporter(
            self.cluster.view,
            self.statuses,
            author=Author(node="iris1", namespace="metallb", pod=OWNER),
            writer=fake,
            recorder=fake,
            metrics=SpeakerMetrics(self.registry),
        )

    def submit(self, key: str, operation: Operation, on_outcome: Any = None) -> None:
        self.writes.append((key, operation))
        self.callbacks[key] = on_outcome

    def record(self, about: Any, type_: str, reason: str, message: str) -> None:
        self.events.append(f"{type_} {reason} {about.name}: {message}")

    def step(self) -> Step:
        """Plan and tell."""
        step = self.cluster.view.step(self.reporter.announced)
        self.reporter.on_step(step)
        return step

    def written(self) -> list[tuple[str, Any]]:
        """Give verb and what it is about of each write since the last call; all is done then."""
        found = []
        for key, operation in self.writes:
            made = {"name": f"bgp-{key.rpartition('/')[2]}", "namespace": "metallb"}
            body = msgspec.json.encode({"metadata": made})
            self.callbacks[key](Outcome(key, operation, Result.DONE, body))
            body = msgspec.json.decode(operation.body) if operation.body else {}
            if operation.verb is Verb.CREATE:
                found.append(("CREATE", key.removeprefix("bgp create ")))
            elif "status" in body:
                found.append((operation.name, body["status"]["peers"]))
            else:
                found.append((operation.verb.name, operation.name))
        self.writes.clear()
        return sorted(found, key=str)

    def arrive(  # noqa: PLR0913 (what an object may be like)
        self,
        name: str,
        service: str,
        peers: list[str] | None = None,
        *,
        node: str = "iris1",
        drop: str = "",
        owner: bool = True,
    ) -> None:
        """Let the watch bring an object, with its status if there are peers."""
        labels = {
            "metallb.io/node": node,
            "metallb.io/service-name": service,
            "metallb.io/service-namespace": "default",
        }
        labels.pop(drop, None)
        metadata: dict[str, Any] = {"name": name, "namespace": "metallb", "labels": labels}
        if owner:
            metadata["ownerReferences"] = [msgspec.to_builtins(OWNER)]
        document: dict[str, Any] = {"metadata": metadata}
        if peers is not None:
            document["status"] = {
                "node": node,
                "serviceName": service,
                "serviceNamespace": "default",
                "peers": peers,
            }
        item = msgspec.convert(document, ServiceBGPStatus)
        self.statuses.apply(Applied(f"metallb/{name}", item))

    def metric(self, name: str) -> list[str]:
        """Give the lines of a metric, without its help."""
        lines = self.registry.render().decode().splitlines()
        return [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
