"""The controller's pass: what it writes, tells and keeps, when objects come, change and go."""

from __future__ import annotations

import msgspec
import pytest

from mercurylb.errors import Conflict
from mercurylb.kube.reflector import Unreadable
from mercurylb.kube.writer import Outcome, Result
from tests.unit.controller.cluster import Cluster


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
