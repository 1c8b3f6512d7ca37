"""Services in the controller's passes: outcomes, classes and terms, rule by rule."""

from __future__ import annotations

import pytest

from mercurylb.errors import ApiError
from mercurylb.kube.writer import Outcome, Result
from tests.unit.controller.cluster import Cluster

POOL = "metallb.io/ip-allocated-from-pool"


@pytest.fixture
def cluster() -> Cluster:
    """Give a cluster with a pool of two addresses."""
    made = Cluster()
    made.pool("main", "192.0.2.0/31")
    return made


# --- classes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "wanted", "is_ours"),
    [
        pytest.param("", None, True, marks=pytest.mark.rule("controller-5.flag-none-class-none")),
        pytest.param("", "x", False, marks=pytest.mark.rule("controller-5.flag-none-class-x")),
        pytest.param("", "y", False, marks=pytest.mark.rule("controller-5.flag-none-class-y")),
        pytest.param("x", None, False, marks=pytest.mark.rule("controller-5.flag-x-class-none")),
        pytest.param("x", "x", True, marks=pytest.mark.rule("controller-5.flag-x-class-x")),
        pytest.param("x", "y", False, marks=pytest.mark.rule("controller-5.flag-x-class-y")),
    ],
)
def test_which_classes_are_handled(flag: str, wanted: str | None, *, is_ours: bool) -> None:
    """The flag's class and no other; without a flag those without a class."""
    cluster = Cluster(lb_class=flag)
    cluster.pool("main", "192.0.2.0/31")
    cluster.service("web", loadBalancerClass=wanted)
    cluster.step()
    assert (cluster.addresses("web") is not None) is is_ours


@pytest.mark.rule("controller-5.alone")
def test_a_service_of_another_class_keeps_its_status(cluster: Cluster) -> None:
    """Not even an address of ours in its status is cleared, and the address may be given away."""
    cluster.service("theirs", loadBalancerClass="x", holds=("192.0.2.0",))
    cluster.service("ours")
    cluster.step()
    assert cluster.operation("theirs") is None
    assert cluster.events("theirs") == []
    assert cluster.addresses("ours") == ["192.0.2.0"]


@pytest.mark.rule("controller-5.no-flag")
def test_a_foreign_status_is_cleared_without_a_flag(cluster: Cluster) -> None:
    """Whatever wrote it: a service without a class is ours."""
    cluster.service("web", holds=("203.0.113.9",), type="ClusterIP")
    cluster.step()
    assert cluster.addresses("web") == []


@pytest.mark.rule("controller-5.lost-class")
def test_a_service_that_loses_its_class_is_cleaned_up() -> None:
    """Kubernetes takes the class away with the type; address and annotation go all the same."""
    cluster = Cluster(lb_class="x")
    cluster.pool("main", "192.0.2.1/32")
    cluster.service("web", loadBalancerClass="x")
    cluster.step()
    cluster.answer("web")
    cluster.service("web", type="ClusterIP", holds=("192.0.2.1",), annotations={POOL: "main"})
    cluster.step()
    assert cluster.addresses("web") == []
    assert cluster.patch("web")["metadata"]["annotations"] == {POOL: None}


# --- outcomes --------------------------------------------------------------------------------


@pytest.mark.rule("controller-6.1.not-converged")
def test_a_service_that_gets_nothing_is_an_error_and_waits(cluster: Cluster) -> None:
    """It is counted once and not decided again until something changes."""
    cluster.service("web", annotations={"metallb.io/address-pool": "none"})
    cluster.step()
    assert cluster.metric("metallb_k8s_client_update_errors_total") == 1
    cluster.answer("web")
    cluster.step()
    cluster.step()
    assert cluster.metric("metallb_k8s_client_update_errors_total") == 1
    assert not cluster.out.timers


@pytest.mark.rule("controller-6.1.reprocess", "controller-6.2.held", "controller-7.deleted")
def test_a_deletion_has_those_that_wait_looked_at(cluster: Cluster) -> None:
    """The address of the one that went goes to the one that waits."""
    for name in "abc":
        cluster.service(name)
    cluster.step()
    cluster.delete_service("a")
    cluster.step()
    assert cluster.addresses("c") == ["192.0.2.0"]


@pytest.mark.rule("controller-6.2.other", "controller-6.2.quiet")
def test_the_deletion_of_one_that_held_nothing_changes_nothing(cluster: Cluster) -> None:
    """No event, no write, nobody is looked at."""
    cluster.service("plain", type="ClusterIP")
    cluster.step()
    handled = cluster.metric("metallb_k8s_client_updates_total")
    cluster.delete_service("plain")
    cluster.step()
    assert cluster.metric("metallb_k8s_client_updates_total") == handled
    assert cluster.out.events == []
    assert cluster.operation("plain") is None


@pytest.mark.rule("controller-5.deletion")
def test_a_deletion_frees_what_was_held_whatever_the_class() -> None:
    """Deletions are never filtered."""
    cluster = Cluster(lb_class="x")
    cluster.pool("main", "192.0.2.1/32")
    cluster.service("a", loadBalancerClass="x")
    cluster.service("b", loadBalancerClass="x")
    cluster.step()
    cluster.delete_service("a")
    cluster.step()
    assert cluster.addresses("b") == ["192.0.2.1"]


@pytest.mark.rule("controller-6.1.order")
def test_those_with_more_addresses_come_first() -> None:
    """At a start the one with two addresses keeps them against an older one with one of them."""
    cluster = Cluster()
    cluster.pool("main", "192.0.2.1/32", "2001:db8::1/128")
    cluster.service("older", holds=("192.0.2.1",))
    dual = {"clusterIPs": ["10.96.0.1", "fd00::1"], "ipFamilyPolicy": "RequireDualStack"}
    cluster.service("dual", holds=("192.0.2.1", "2001:db8::1"), **dual)
    cluster.step()
    held = cluster.reconciler.book.holding("default/dual")
    assert held is not None
    assert len(held.addresses) == 2
    assert cluster.addresses("older") == []


@pytest.mark.rule("controller-6.1.coalesce", "controller-1.one-at-a-time")
def test_many_changes_make_one_pass(cluster: Cluster) -> None:
    """A service that changed often, and a pool with it, are decided once, with what is last."""
    cluster.step()
    handled = cluster.metric("metallb_k8s_client_updates_total")
    for port in range(80, 90):
        cluster.service("web", ports=[{"port": port}])
    cluster.pool("main", "198.51.100.0/31")
    cluster.step()
    # One look at the configuration and one at the service.
    assert cluster.metric("metallb_k8s_client_updates_total") == handled + 2
    assert cluster.addresses("web") == ["198.51.100.0"]


@pytest.mark.rule("controller-2.gate", "controller-6.1.gate", "controller-6.3.not-loaded")
def test_nothing_is_decided_before_the_first_configuration() -> None:
    """Neither a service nor a deletion does anything while no configuration was accepted."""
    cluster = Cluster()
    cluster.pool("main", "nonsense")
    cluster.service("web", holds=("203.0.113.9",))
    cluster.service("gone")
    cluster.step()
    cluster.delete_service("gone")
    cluster.step()
    assert cluster.out.operations == {}
    assert cluster.out.events == []


@pytest.mark.rule("controller-6.3.partial-write")
def test_what_was_given_up_before_a_failure_is_written(cluster: Cluster) -> None:
    """A service that asks for an address of nobody loses its own in the same pass."""
    cluster.service("web", holds=("192.0.2.1",))
    cluster.step()
    asks = {"metallb.io/loadBalancerIPs": "203.0.113.1"}
    cluster.service("web", holds=("192.0.2.1",), annotations=asks)
    cluster.step()
    assert cluster.addresses("web") == []
    assert "AllocationFailed" in cluster.events("web")


@pytest.mark.rule("controller-6.3.lost", "controller-7.lost")
def test_a_lost_address_goes_to_who_waits(cluster: Cluster) -> None:
    """The address that a service gave up is offered to those that wait, in the same pass."""
    for name in "abc":
        cluster.service(name)
    cluster.step()
    cluster.answer("a")
    asks = {"metallb.io/address-pool": "other", POOL: "main"}
    cluster.service("a", holds=("192.0.2.0",), annotations=asks)
    cluster.step()
    held = cluster.reconciler.book.holding("default/c")
    assert held is not None
    assert [str(address) for address in held.addresses] == ["192.0.2.0"]


@pytest.mark.rule("controller-6.3.key", "controller-7.key")
def test_a_changed_sharing_key_lets_others_in() -> None:
    """Who waits to share an address gets it when the holder's key becomes the same."""
    cluster = Cluster()
    cluster.pool("main", "192.0.2.1/32")
    cluster.service("a", annotations={"metallb.io/allow-shared-ip": "one"})
    cluster.service("b", annotations={"metallb.io/allow-shared-ip": "two"}, ports=[{"port": 443}])
    cluster.step()
    assert cluster.addresses("b") is None
    cluster.service("a", annotations={"metallb.io/allow-shared-ip": "two"})
    cluster.step()
    assert cluster.addresses("b") == ["192.0.2.1"]


# --- terms of leadership -----------------------------------------------------------------------


def test_a_new_term_adopts_what_the_last_one_gave(cluster: Cluster) -> None:
    """Whoever is promoted looks at everything, keeps what is, and tells nothing again."""
    for name in ("a", "b"):
        cluster.service(name)
    cluster.step()
    for name in ("a", "b"):
        cluster.answer(name)
    cluster.reconciler.close()
    cluster.services.take_dirty()
    cluster.out.events.clear()
    cluster.restarted().step()
    assert cluster.operation("a") is None
    assert cluster.operation("b") is None
    assert cluster.out.events == []
    assert cluster.reconciler.book.holding("default/b") is not None


def test_a_closed_term_wants_nothing_any_more(cluster: Cluster) -> None:
    """What was to be written is dropped, and late answers have no effect."""
    cluster.service("web")
    cluster.step()
    callback = cluster.out.callbacks["Service default/web"]
    operation = cluster.out.operations["Service default/web"]
    cluster.reconciler.close()
    assert cluster.out.operations == {}
    assert cluster.out.events == []
    cluster.services.take_dirty()
    callback(Outcome("", operation, Result.REFUSED, error=ApiError(500, "x", "y")))
    assert not cluster.out.timers
    assert "metallb_allocator_addresses_total{" not in cluster.registry.render().decode()


@pytest.mark.rule("controller-6.6.all-removed")
def test_without_any_pool_the_status_is_emptied(cluster: Cluster) -> None:
    """Removing the last pool takes the addresses back; a new pool gives again."""
    cluster.service("web")
    cluster.step()
    cluster.answer("web")
    cluster.delete_pool("main")
    cluster.step()
    assert cluster.addresses("web") == []
    cluster.answer("web")
    cluster.pool("next", "198.51.100.1/32")
    cluster.step()
    assert cluster.addresses("web") == ["198.51.100.1"]


@pytest.mark.rule("controller-6.6.one-address")
def test_a_pool_of_one_address() -> None:
    """The second service is warned, and gets the address when the first is deleted."""
    cluster = Cluster()
    cluster.pool("main", "192.0.2.1/32")
    cluster.service("a")
    cluster.step()
    cluster.service("b")
    cluster.step()
    assert cluster.events("b") == ["AllocationFailed"]
    cluster.delete_service("a")
    cluster.step()
    assert cluster.addresses("b") == ["192.0.2.1"]


@pytest.mark.rule("controller-6.6.second-pool")
def test_a_second_pool_moves_nobody_until_the_first_goes(cluster: Cluster) -> None:
    """Who has an address keeps it, and moves when its pool is removed."""
    cluster.service("web")
    cluster.step()
    cluster.answer("web")
    cluster.pool("next", "198.51.100.1/32")
    cluster.step()
    assert cluster.operation("web") is None
    cluster.delete_pool("main")
    cluster.step()
    assert cluster.addresses("web") == ["198.51.100.1"]
