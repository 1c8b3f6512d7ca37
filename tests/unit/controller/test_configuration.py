"""When the controller looks at the configuration, and what follows from it."""

from __future__ import annotations

import pytest

from mercurylb.controller.configuration import UNREADABLE_MAX
from mercurylb.kube.reflector import Unreadable
from tests.unit.controller.cluster import Cluster

UPDATES = "metallb_k8s_client_updates_total"
LOADED = "metallb_k8s_client_config_loaded_bool"
STALE = "metallb_k8s_client_config_stale_bool"


@pytest.fixture
def cluster() -> Cluster:
    """Give a cluster with a pool, at rest."""
    made = Cluster()
    made.pool("main", "192.0.2.0/30")
    made.step()
    return made


@pytest.mark.rule("controller-4.updates", "controller-4.loaded", "controller-2.no-pools")
def test_the_first_look_needs_no_pool() -> None:
    """Namespaces always exist, so there is a first look, and an empty configuration is one."""
    cluster = Cluster()
    cluster.step()
    assert cluster.metric(UPDATES) == 1
    assert (cluster.metric(LOADED), cluster.metric(STALE)) == (1, 0)
    assert cluster.out.reports == [""]


@pytest.mark.rule("controller-4.stale", "controller-4.metrics")
def test_a_rejected_configuration_is_stale(cluster: Cluster) -> None:
    """The last good pools go on; the gauge and the report say so, until it is mended."""
    cluster.pool("main", "192.0.2.0/99")
    cluster.service("web")
    cluster.step()
    assert (cluster.metric(LOADED), cluster.metric(STALE)) == (1, 1)
    assert "IPAddressPool metallb/main: spec.addresses[0]" in cluster.out.reports[-1]
    assert cluster.addresses("web") == ["192.0.2.0"]
    cluster.pool("main", "192.0.2.0/30")
    cluster.step()
    assert (cluster.metric(LOADED), cluster.metric(STALE)) == (1, 0)
    assert cluster.out.reports[-1] == ""


def test_a_bad_pool_leaves_the_last_good_configuration(cluster: Cluster) -> None:
    """Problems are reported with object and field; addresses stay, new services are served."""
    cluster.service("web")
    cluster.step()
    cluster.pool("main", "192.0.2.0/33")
    cluster.step()
    assert "IPAddressPool metallb/main: spec.addresses[0]" in cluster.out.reports[-1]
    assert cluster.addresses("web") == ["192.0.2.0"]
    cluster.delete_service("web")
    cluster.service("next")
    cluster.step()
    assert cluster.addresses("next") == ["192.0.2.0"]


def test_an_unreadable_pool_leaves_the_last_good_configuration(cluster: Cluster) -> None:
    """A pool that does not even decode is a problem like any other."""
    cluster.service("web")
    cluster.step()
    cluster.pools.apply(Unreadable("metallb/main", "spec.addresses: not a list"))
    cluster.pool("next", "198.51.100.0/31")
    cluster.step()
    assert "metallb/main" in cluster.out.reports[-1]
    assert cluster.reconciler.book.holding("default/web") is not None
    assert list(cluster.reconciler.book.usages) == ["main"]


@pytest.mark.rule("controller-2.invalid-first")
def test_an_invalid_first_configuration_is_not_loaded() -> None:
    """Nothing was ever loaded, so nothing is touched; once valid, all services are looked at."""
    cluster = Cluster()
    cluster.pool("main", "nonsense")
    cluster.service("web")
    cluster.step()
    assert (cluster.metric(LOADED), cluster.metric(STALE)) == (0, 1)
    assert cluster.operation("web") is None
    cluster.pool("main", "192.0.2.0/30")
    cluster.step()
    assert cluster.addresses("web") == ["192.0.2.0"]


@pytest.mark.rule("controller-4.equal", "controller-7.community")
def test_an_equal_configuration_changes_nothing_and_is_reported(cluster: Cluster) -> None:
    """A community that pools do not care about has nobody looked at."""
    cluster.service("web")
    cluster.step()
    cluster.answer("web")
    cluster.step()
    before, reports = cluster.metric(UPDATES), len(cluster.out.reports)
    cluster.community("names", alias="65535:666")
    cluster.step()
    assert cluster.metric(UPDATES) == before + 1
    assert cluster.out.reports[reports:] == [""]


@pytest.mark.rule("controller-4.reprocess", "controller-7.pools")
def test_another_configuration_has_all_services_looked_at(cluster: Cluster) -> None:
    """Also those that have what they need, as it may not be allowed any more."""
    for name in ("a", "b"):
        cluster.service(name)
    cluster.step()
    for name in ("a", "b"):
        cluster.answer(name)
    cluster.step()
    before = cluster.metric(UPDATES)
    cluster.pool("main", "192.0.2.1-192.0.2.3")
    cluster.step()
    assert cluster.metric(UPDATES) == before + 3
    assert cluster.addresses("a") == ["192.0.2.2"]
    assert cluster.operation("b") is None


@pytest.mark.rule("controller-4.namespace-labels")
def test_a_namespace_without_another_label_triggers_nothing(cluster: Cluster) -> None:
    """Its status or its annotations are none of our business."""
    before = cluster.metric(UPDATES)
    cluster.namespace("default")
    cluster.step()
    assert cluster.metric(UPDATES) == before


@pytest.mark.rule("controller-4.pool-generation")
def test_a_pool_of_the_same_generation_triggers_nothing(cluster: Cluster) -> None:
    """Its own counters come back without another look; deletion and creation do look."""
    before = cluster.metric(UPDATES)
    cluster.pool("main", "192.0.2.0/30", status={"assignedIPv4": 7})
    cluster.step()
    assert cluster.metric(UPDATES) == before
    cluster.delete_pool("main")
    cluster.step()
    assert cluster.metric(UPDATES) == before + 1
    cluster.pool("main", "192.0.2.0/30")
    cluster.step()
    assert cluster.metric(UPDATES) == before + 2


@pytest.mark.rule("controller-7.namespace")
def test_a_relabelled_namespace_moves_its_services() -> None:
    """A pool for namespaces by label: who comes in gets addresses, who goes out loses them."""
    cluster = Cluster()
    cluster.namespace("elsewhere", team="a")
    selector = {"namespaceSelectors": [{"matchLabels": {"team": "a"}}]}
    cluster.pool("main", "192.0.2.1/32", serviceAllocation=selector)
    cluster.service("web")
    cluster.step()
    assert cluster.addresses("web") is None
    cluster.namespace("default", team="a")
    cluster.step()
    assert cluster.addresses("web") == ["192.0.2.1"]
    cluster.answer("web")
    cluster.step()
    before = cluster.metric(UPDATES)
    cluster.namespace("default", team="a", mood="good")
    cluster.step()
    assert cluster.metric(UPDATES) == before + 1  # The look at the configuration, at no service.
    cluster.namespace("default", team="b")
    cluster.step()
    assert cluster.addresses("web") == []


@pytest.mark.rule("controller-9.native")
@pytest.mark.parametrize("backend", ["native", "frr-k8s"])
def test_a_large_community_blocks_no_backend(backend: str) -> None:
    """Every backend knows large communities, so pools are loaded."""
    cluster = Cluster(backend=backend)
    cluster.pool("main", "192.0.2.0/30")
    cluster.community("names", alias="large:1:2:3")
    cluster.step()
    assert cluster.out.reports[-1] == ""


def test_a_thousand_problems_make_a_bounded_report() -> None:
    """The first are named, the others counted."""
    cluster = Cluster()
    for number in range(1000):
        cluster.pool(f"p{number}", "nonsense")
    cluster.step()
    report = cluster.out.reports[-1]
    assert len(report) < 32_768
    assert "more problems" in report


def test_a_thousand_unreadable_objects_make_a_bounded_report() -> None:
    """As many are named as a report has room for."""
    cluster = Cluster()
    for number in range(1000):
        cluster.pools.apply(Unreadable(f"metallb/p{number}", "spec.addresses: not a list"))
    cluster.step()
    assert len(cluster.out.reports[-1].splitlines()) == UNREADABLE_MAX
