"""The controller's pass: what it writes, tells and keeps, when objects come, change and go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.namespace import Namespace
from mercurylb.api.service import Service
from mercurylb.controller.metrics import ControllerMetrics
from mercurylb.controller.reconciler import Outlets, Reconciler, Stores
from mercurylb.errors import Conflict
from mercurylb.kube.reflector import Applied, Deleted, Restarted, Unreadable
from mercurylb.kube.store import Store, Wakeup
from mercurylb.kube.writer import Outcome, Result
from mercurylb.telemetry.metrics import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.api.community import Community
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

    def __init__(self, lb_class: str = "") -> None:
        bell = Wakeup()
        self.services: Store[Service] = Store(bell)
        self.pools: Store[IPAddressPool] = Store(bell)
        self.communities: Store[Community] = Store(bell)
        namespaces: Store[Namespace] = Store(bell)
        self.out = Recording()
        fake = cast("Any", self.out)
        self.registry = Registry()
        self.reconciler = Reconciler(
            Stores(self.services, namespaces, self.pools, self.communities),
            Outlets(fake, fake, fake, ControllerMetrics(self.registry), self.out.later),
            lb_class=lb_class,
            backend="native",
            now=lambda: "2026-11-23T12:00:00Z",
        )
        self._version = 0
        namespaces.apply(
            Restarted({"default": msgspec.convert({"metadata": {"name": "default"}}, Namespace)})
        )

    def pool(self, name: str, *addresses: str) -> None:
        """Create or change a pool."""
        self._put(self.pools, IPAddressPool, "metallb", name, {"addresses": list(addresses)})

    def service(self, name: str, *, holds: tuple[str, ...] = (), **spec: object) -> None:
        """Create or change a service."""
        spec = {"type": "LoadBalancer", "clusterIPs": ["10.96.0.9"], **spec}
        spec.setdefault("ports", [{"port": 80}])
        status = {"loadBalancer": {"ingress": [{"ip": ip} for ip in holds]}}
        self._put(self.services, Service, "default", name, spec, status)

    def delete_service(self, name: str) -> None:
        """Delete a service."""
        self.services.apply(Deleted(f"default/{name}"))

    def addresses(self, name: str) -> list[str] | None:
        """Give what would be written into a service's status; None if nothing would."""
        operation = self.out.operations.get(f"Service default/{name}")
        if operation is None:
            return None
        balancer = msgspec.json.decode(operation.body)["status"].get("loadBalancer")
        if balancer is None:
            return None
        return [entry["ip"] for entry in balancer.get("ingress") or ()]

    def _put(self, store: Any, kind: Any, namespace: str, name: str, *parts: Any) -> None:
        self._version += 1
        metadata = {
            "name": name,
            "namespace": namespace,
            "resourceVersion": str(self._version),
            "uid": name,
            "creationTimestamp": f"2026-01-01T00:00:{self._version:02d}Z",
        }
        document = {"metadata": metadata, "spec": parts[0]}
        if len(parts) > 1:
            document["status"] = parts[1]
        key = f"{namespace}/{name}"
        store.apply(Applied(key, msgspec.convert(document, kind)))


@pytest.fixture
def cluster() -> Cluster:
    """Give a cluster with a pool of one address."""
    made = Cluster()
    made.pool("main", "192.0.2.1/32")
    return made


def test_a_service_gets_the_address_and_hears_of_it(cluster: Cluster) -> None:
    """One pass writes the address and tells the event."""
    cluster.service("web")
    cluster.reconciler.step()
    assert cluster.addresses("web") == ["192.0.2.1"]
    assert cluster.out.events == [("default/web", "IPAllocated", 'Assigned IP ["192.0.2.1"]')]


def test_a_pending_service_hears_the_true_reason_once(cluster: Cluster) -> None:
    """The event names the pool and the holder, and is not repeated while nothing changes."""
    cluster.service("web")
    cluster.reconciler.step()
    cluster.service("second")
    cluster.reconciler.step()
    cluster.reconciler.step()
    (event,) = [event for event in cluster.out.events if event[0] == "default/second"]
    assert event[1] == "AllocationFailed"
    assert "default/web" in event[2]
    assert "main" in event[2]


@pytest.mark.rule("controller-5.deletion", "allocator-13.deleted")
def test_who_waits_gets_what_a_deletion_frees(cluster: Cluster) -> None:
    """A released address goes to the waiting service in the same pass."""
    cluster.service("web")
    cluster.service("second")
    cluster.reconciler.step()
    cluster.delete_service("web")
    cluster.reconciler.step()
    assert cluster.addresses("second") == ["192.0.2.1"]


def test_who_waits_gets_what_a_change_of_type_frees(cluster: Cluster) -> None:
    """A service that stops being a load balancer is cleared, and the next one gets its address."""
    cluster.service("web")
    cluster.service("second")
    cluster.reconciler.step()
    cluster.service("web", holds=("192.0.2.1",), type="ClusterIP")
    cluster.reconciler.step()
    assert cluster.addresses("web") == []
    cluster.service("web", type="ClusterIP")
    cluster.reconciler.step()
    assert cluster.addresses("second") == ["192.0.2.1"]


def test_an_address_is_withdrawn_before_another_service_shows_it(cluster: Cluster) -> None:
    """While one status shows it, or a write may make it show it, no other one does."""
    cluster.service("web")
    cluster.service("second")
    cluster.reconciler.step()
    assert cluster.addresses("web") == ["192.0.2.1"]  # On its way, not seen yet.
    cluster.service("web", type="ClusterIP")
    cluster.reconciler.step()
    assert cluster.addresses("second") == ["192.0.2.1"]
    cluster.service("second", holds=("192.0.2.1",), type="ClusterIP")
    cluster.service("third")
    cluster.reconciler.step()
    assert cluster.addresses("second") == []
    assert cluster.addresses("third") is None
    cluster.delete_service("second")
    cluster.reconciler.step()
    assert cluster.addresses("third") == ["192.0.2.1"]


def test_two_services_may_exchange_their_addresses(cluster: Cluster) -> None:
    """Each would wait for the other; so both withdraw first."""
    cluster.pool("main", "192.0.2.0/30")
    first, second = "192.0.2.1", "192.0.2.2"
    wants = {"loadBalancerIP": first}, {"loadBalancerIP": second}
    cluster.service("a", holds=(first,), **wants[0])
    cluster.service("b", holds=(second,), **wants[1])
    cluster.reconciler.step()
    cluster.service("a", holds=(first,), **wants[1])
    cluster.service("b", holds=(second,), **wants[0])
    cluster.reconciler.step()
    assert (cluster.addresses("a"), cluster.addresses("b")) == ([], [])
    cluster.service("a", **wants[1])
    cluster.service("b", **wants[0])
    cluster.reconciler.step()
    assert (cluster.addresses("a"), cluster.addresses("b")) == ([second], [first])


def test_who_waits_gets_what_a_new_range_brings(cluster: Cluster) -> None:
    """A pool that grows is used at once; who has an address keeps it."""
    cluster.service("web")
    cluster.service("second")
    cluster.reconciler.step()
    cluster.pool("main", "192.0.2.1/32", "192.0.2.7/32")
    cluster.reconciler.step()
    assert cluster.addresses("web") == ["192.0.2.1"]
    assert cluster.addresses("second") == ["192.0.2.7"]


def test_a_restart_adopts_before_it_gives_away() -> None:
    """Whoever has an address in its status keeps it, even if an older one waits."""
    cluster = Cluster()
    cluster.pool("main", "192.0.2.1/32")
    cluster.service("older")
    cluster.service("holder", holds=("192.0.2.1",))
    cluster.reconciler.step()
    holding = cluster.reconciler.book.holding("default/holder")
    assert holding is not None
    assert cluster.reconciler.book.holding("default/older") is None


def test_a_bad_pool_leaves_the_last_good_configuration(cluster: Cluster) -> None:
    """Problems are reported with object and field; addresses stay, new services are served."""
    cluster.service("web")
    cluster.reconciler.step()
    cluster.pool("main", "192.0.2.0/33")
    cluster.reconciler.step()
    assert "IPAddressPool metallb/main: spec.addresses[0]" in cluster.out.reports[-1]
    assert cluster.addresses("web") == ["192.0.2.1"]
    cluster.delete_service("web")
    cluster.service("next")
    cluster.reconciler.step()
    assert cluster.addresses("next") == ["192.0.2.1"]


def test_an_unreadable_pool_leaves_the_last_good_configuration(cluster: Cluster) -> None:
    """A pool that does not even decode is a problem like any other."""
    cluster.service("web")
    cluster.reconciler.step()
    cluster.pools.apply(Unreadable("metallb/main", "spec.addresses: not a list"))
    cluster.reconciler.step()
    assert "metallb/main" in cluster.out.reports[-1]
    assert cluster.reconciler.book.holding("default/web") is not None


@pytest.mark.rule("allocator-12.events")
def test_nothing_is_touched_before_the_first_good_configuration() -> None:
    """While the first configuration is invalid no service is cleared; once mended, all run."""
    cluster = Cluster()
    cluster.pool("main", "nonsense")
    cluster.service("web", holds=("192.0.2.1",))
    cluster.service("new")
    cluster.reconciler.step()
    assert not cluster.out.operations
    cluster.pool("main", "192.0.2.1-192.0.2.2")
    cluster.reconciler.step()
    assert cluster.addresses("new") == ["192.0.2.2"]


@pytest.mark.rule("controller-5.alone")
def test_another_class_is_left_alone() -> None:
    """With --lb-class only services of that class are served."""
    cluster = Cluster(lb_class="ours")
    cluster.pool("main", "192.0.2.0/24")
    cluster.service("web")
    cluster.service("mine", loadBalancerClass="ours")
    cluster.reconciler.step()
    assert cluster.addresses("web") is None
    assert cluster.addresses("mine") == ["192.0.2.0"]


def test_a_conflict_is_planned_again_when_the_newer_version_is_here(cluster: Cluster) -> None:
    """The write is repeated against the version the store has by then, and keeps the address."""
    cluster.service("web")
    cluster.reconciler.step()
    operation = cluster.out.operations.pop("Service default/web")
    cluster.service("web", ports=[{"port": 81}])
    cluster.reconciler.step()
    cluster.out.operations.clear()
    refused = Outcome("", operation, Result.CONFLICT, error=Conflict(409, "Conflict", "changed"))
    callback = cluster.out.callbacks["Service default/web"]
    callback(refused)
    cluster.services.mark_dirty(("default/web",))
    cluster.reconciler.step()
    assert cluster.addresses("web") == ["192.0.2.1"]


@pytest.mark.rule("api-8.1.writer")
@pytest.mark.rule("allocator-10.status")
def test_pool_counters_reach_status_and_metrics(cluster: Cluster) -> None:
    """The pool's status and the gauges show what is in use."""
    cluster.service("web")
    cluster.reconciler.step()
    operation = cluster.out.operations["IPAddressPool metallb/main"]
    assert msgspec.json.decode(operation.body)["status"] == {
        "assignedIPv4": 1,
        "assignedIPv6": 0,
        "availableIPv4": 0,
        "availableIPv6": 0,
    }
    text = cluster.registry.render().decode()
    assert 'metallb_allocator_addresses_in_use_total{pool="main"} 1' in text
