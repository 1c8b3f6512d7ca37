"""A reconciler on stores that a test fills, and outlets that keep what they are given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import msgspec

from mercurylb.api.community import Community
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.namespace import Namespace
from mercurylb.api.service import Service
from mercurylb.controller.metrics import ControllerMetrics
from mercurylb.controller.reconciler import Reconciler
from mercurylb.controller.surroundings import Outlets, Stores
from mercurylb.kube.reflector import Applied, Deleted
from mercurylb.kube.store import Store, Wakeup
from mercurylb.kube.writer import Outcome, Result
from mercurylb.telemetry.metrics import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.kube.operation import Operation


@dataclass
class Recording:
    """Stands for writer, recorder and reporter: keeps what it is given."""

    operations: dict[str, Operation] = field(default_factory=dict)
    callbacks: dict[str, Callable[[Outcome], None]] = field(default_factory=dict)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    timers: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def submit(
        self,
        key: str,
        operation: Operation,
        on_outcome: Callable[[Outcome], None] | None = None,
    ) -> None:
        self.operations[key] = operation
        if on_outcome is not None:
            self.callbacks[key] = on_outcome

    def discard(self, key: str) -> None:
        self.operations.pop(key, None)

    def record(self, about: Any, type_: str, reason: str, message: str) -> None:
        del type_
        self.events.append((f"{about.namespace}/{about.name}", reason, message))

    def report(self, error: str) -> None:
        self.reports.append(error)

    def discard_all(self) -> None:
        self.operations.clear()

    def forget_all(self) -> None:
        self.events.clear()

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        self.timers.append((delay_s, call))


class Cluster:
    """A reconciler on stores that the test fills."""

    def __init__(self, lb_class: str = "", backend: str = "native") -> None:
        bell = Wakeup()
        self.services: Store[Service] = Store(bell)
        self.pools: Store[IPAddressPool] = Store(bell)
        self.communities: Store[Community] = Store(bell)
        self.namespaces: Store[Namespace] = Store(bell)
        self.out = Recording()
        self.registry = Registry()
        self._version = 0
        self._generations: dict[tuple[str, object], int] = {}
        self._specs: dict[tuple[str, object], dict[str, object]] = {}
        self._lb_class = lb_class
        self._backend = backend
        self.namespace("default")
        self.reconciler = self.restarted()

    def restarted(self) -> Reconciler:
        """Make a reconciler that knows nothing but what the stores have."""
        fake = cast("Any", self.out)
        self.registry = Registry()
        self.reconciler = Reconciler(
            Stores(self.services, self.namespaces, self.pools, self.communities),
            Outlets(fake, fake, fake, ControllerMetrics(self.registry), self.out.later),
            lb_class=self._lb_class,
            backend=self._backend,
            now=lambda: "2026-11-23T12:00:00Z",
        )
        return self.reconciler

    def step(self) -> None:
        """Make a pass."""
        self.reconciler.step()

    def namespace(self, name: str, **labels: str) -> None:
        """Create or relabel a namespace."""
        self._put(self.namespaces, Namespace, "", name, {}, labels=labels)

    def pool(
        self, name: str, *addresses: str, status: dict[str, int] | None = None, **spec: object
    ) -> None:
        """Create or change a pool; with a status only that changes."""
        spec = {"addresses": list(addresses), **spec}
        self._put(self.pools, IPAddressPool, "metallb", name, spec, status)

    def delete_pool(self, name: str) -> None:
        """Delete a pool."""
        self.pools.apply(Deleted(f"metallb/{name}"))

    def community(self, name: str, **aliases: str) -> None:
        """Create or change a community."""
        entries = [{"name": alias, "value": value} for alias, value in aliases.items()]
        self._put(self.communities, Community, "metallb", name, {"communities": entries})

    def service(
        self,
        name: str,
        *,
        holds: tuple[str, ...] = (),
        annotations: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
        namespace: str = "default",
        **spec: object,
    ) -> None:
        """Create or change a service."""
        spec = {"type": "LoadBalancer", "clusterIPs": ["10.96.0.9"], **spec}
        spec.setdefault("ports", [{"port": 80}])
        status = {"loadBalancer": {"ingress": [{"ip": ip} for ip in holds]}}
        self._put(
            self.services,
            Service,
            namespace,
            name,
            spec,
            status,
            annotations=annotations,
            labels=labels,
        )

    def delete_service(self, name: str) -> None:
        """Delete a service."""
        self.services.apply(Deleted(f"default/{name}"))

    def operation(self, name: str) -> Operation | None:
        """Give what is to be written about a service."""
        return self.out.operations.get(f"Service default/{name}")

    def patch(self, name: str) -> dict[str, Any]:
        """Give the body of what is to be written about a service."""
        operation = self.operation(name)
        assert operation is not None
        body: dict[str, Any] = msgspec.json.decode(operation.body)
        return body

    def addresses(self, name: str) -> list[str] | None:
        """Give what would be written into a service's status; None if nothing would."""
        if self.operation(name) is None:
            return None
        balancer = self.patch(name).get("status", {}).get("loadBalancer")
        if balancer is None:
            return None
        return [entry["ip"] for entry in balancer.get("ingress") or ()]

    def answer(self, name: str, result: Result = Result.DONE) -> None:
        """End the write about a service; when it is done, the watch brings it back."""
        key = f"Service default/{name}"
        operation = self.out.operations.pop(key)
        if result is Result.DONE:
            self._merge(name, msgspec.json.decode(operation.body))
        self.out.callbacks.pop(key)(Outcome(key, operation, result))

    def events(self, name: str) -> list[str]:
        """Give the reasons told about a service."""
        return [reason for key, reason, _ in self.out.events if key == f"default/{name}"]

    def metric(self, name: str) -> float:
        """Give a metric without labels."""
        for line in self.registry.render().decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        return 0.0

    def _merge(self, name: str, patch: dict[str, Any]) -> None:
        before = self.services.get(f"default/{name}")
        assert before is not None
        document = msgspec.to_builtins(before)
        annotations = {**(document["metadata"].get("annotations") or {})}
        for key, text in patch["metadata"].get("annotations", {}).items():
            if text is None:
                annotations.pop(key, None)
            else:
                annotations[key] = text
        self._version += 1
        document["metadata"] |= {
            "annotations": annotations,
            "resourceVersion": str(self._version),
        }
        document["status"] = {**(document.get("status") or {}), **patch.get("status", {})}
        self.services.apply(Applied(f"default/{name}", msgspec.convert(document, Service)))

    def _put(  # noqa: PLR0913 (the parts of an object)
        self,
        store: Any,
        kind: Any,
        namespace: str,
        name: str,
        *parts: Any,
        annotations: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        spec, status = (*parts, None)[:2]
        self._version += 1
        key = f"{namespace}/{name}" if namespace else name
        generation = self._generations.get((key, kind), 0)
        if self._specs.get((key, kind)) != spec:
            generation += 1
        self._specs[(key, kind)] = spec
        self._generations[(key, kind)] = generation
        metadata = {
            "name": name,
            "namespace": namespace,
            "resourceVersion": str(self._version),
            "uid": name,
            "generation": generation,
            "creationTimestamp": f"2026-01-01T00:00:{self._version % 60:02d}Z",
            "labels": labels or {},
            "annotations": annotations or {},
        }
        document: dict[str, object] = {"metadata": metadata, "spec": spec}
        if status is not None:
            document["status"] = status
        store.apply(Applied(key, msgspec.convert(document, kind)))
