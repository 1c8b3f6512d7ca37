"""The controller's pass: what it writes, tells and keeps, when objects come, change and go."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize(
    ("cluster_ips", "decisions"), [(["10.96.0.1"], 0), (["10.96.0.1", "fd00::1"], 1)]
)
def test_only_who_could_have_another_family_waits_for_one(
    cluster: Cluster, cluster_ips: list[str], decisions: int
) -> None:
    """A service of a single-stack cluster has all it can have, whatever it prefers."""
    cluster.pool("main", "192.0.2.0/31")
    cluster.service("web", clusterIPs=cluster_ips, ipFamilyPolicy="PreferDualStack")
    cluster.service("other")
    cluster.step()
    before = cluster.metric("metallb_k8s_client_updates_total")
    cluster.delete_service("other")
    cluster.step()
    assert cluster.metric("metallb_k8s_client_updates_total") == before + decisions
