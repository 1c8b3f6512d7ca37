"""What is told about services, and how often."""

from __future__ import annotations

import pytest

from tests.unit.controller.cluster import Cluster


@pytest.fixture
def cluster() -> Cluster:
    """Give a cluster with a pool of two addresses."""
    made = Cluster()
    made.pool("main", "192.0.2.0/31")
    return made


def test_a_pending_service_hears_the_true_reason_once(cluster: Cluster) -> None:
    """The event names the pool and the holder, and is not repeated while nothing changes."""
    cluster.pool("main", "192.0.2.1/32")
    cluster.service("web")
    cluster.step()
    cluster.service("second")
    cluster.step()
    cluster.step()
    (event,) = [event for event in cluster.out.events if event[0] == "default/second"]
    assert event[1] == "AllocationFailed"
    assert "default/web" in event[2]
    assert "main" in event[2]


@pytest.mark.rule("controller-6.3.deprecated")
def test_a_deprecated_annotation_is_told_with_the_write(cluster: Cluster) -> None:
    """One Warning per annotation of the old prefix, and none when nothing is written."""
    old = {"metallb.universe.tf/address-pool": "main"}
    cluster.service("web", annotations=old)
    cluster.step()
    assert cluster.events("web").count("deprecatedAnnotation") == 1
    cluster.answer("web")
    cluster.step()
    assert cluster.events("web").count("deprecatedAnnotation") == 1


@pytest.mark.rule("controller-6.5.once", "controller-6.5.source")
def test_an_event_is_told_again_when_service_or_reason_changed(cluster: Cluster) -> None:
    """Neither the own echo nor a status edit nor a waking up repeats it; a new wish does."""
    asks = {"metallb.io/address-pool": "none"}
    cluster.service("web", annotations=asks)
    cluster.step()
    cluster.answer("web")
    cluster.step()
    cluster.service("web", annotations=asks)
    cluster.service("other")
    cluster.step()
    cluster.delete_service("other")
    cluster.step()
    assert cluster.events("web") == ["AllocationFailed"]
    cluster.service("web", annotations=asks, ports=[{"port": 81}])
    cluster.step()
    assert cluster.events("web") == ["AllocationFailed"] * 2
    cluster.service("web", annotations={"metallb.io/address-pool": "nil"}, ports=[{"port": 81}])
    cluster.step()
    assert cluster.events("web") == ["AllocationFailed"] * 3


def test_a_missing_second_family_is_told_after_the_first_came() -> None:
    """A service that prefers two families gets one, and then hears why the other is missing."""
    cluster = Cluster()
    cluster.pool("main", "192.0.2.0/31")
    cluster.service("web", clusterIPs=["10.96.0.1", "fd00::1"], ipFamilyPolicy="PreferDualStack")
    cluster.step()
    cluster.answer("web")
    cluster.step()
    cluster.step()
    assert cluster.events("web") == ["IPAllocated", "AdditionalAssignFailed"]


def test_another_service_of_the_same_name_hears_for_itself(cluster: Cluster) -> None:
    """What the deleted one was told is forgotten with it."""
    asks = {"metallb.io/address-pool": "none"}
    for count in (1, 2):
        cluster.service("web", annotations=asks)
        cluster.step()
        assert cluster.events("web") == ["AllocationFailed"] * count
        cluster.delete_service("web")
        cluster.step()
