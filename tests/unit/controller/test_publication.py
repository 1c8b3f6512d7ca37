"""What is written into the statuses of services, and what follows from the answers."""

from __future__ import annotations

import msgspec
import pytest

from mercurylb.errors import ApiError, Conflict
from mercurylb.kube.operation import Verb
from mercurylb.kube.reflector import Restarted
from mercurylb.kube.writer import Outcome, Result
from tests.unit.controller.cluster import Cluster

POOL = "metallb.io/ip-allocated-from-pool"


@pytest.fixture
def cluster() -> Cluster:
    """Give a cluster with a pool of two addresses."""
    made = Cluster()
    made.pool("main", "192.0.2.0/31")
    return made


@pytest.mark.rule("controller-6.1.success", "controller-6.3.unchanged", "controller-6.3.one-write")
def test_a_handled_service_is_written_once_and_left_alone(cluster: Cluster) -> None:
    """Addresses and annotation travel in one merge patch of the status; its echo writes nothing."""
    cluster.service("web")
    cluster.step()
    operation = cluster.operation("web")
    assert operation is not None
    assert (operation.verb, operation.subresource) == (Verb.MERGE, "status")
    patch = cluster.patch("web")
    assert patch["metadata"]["annotations"] == {POOL: "main"}
    assert patch["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.0"}]
    cluster.answer("web")
    handled = cluster.metric("metallb_k8s_client_updates_total")
    cluster.step()
    assert cluster.operation("web") is None
    assert cluster.metric("metallb_k8s_client_updates_total") == handled
    cluster.service("web", holds=("192.0.2.0",), annotations={POOL: "main", "x": "y"})
    cluster.step()
    assert cluster.metric("metallb_k8s_client_updates_total") == handled + 1


@pytest.mark.rule("controller-6.4.untouched")
def test_nothing_but_status_and_one_annotation_is_written(cluster: Cluster) -> None:
    """Neither spec nor labels nor finalizers are in the patch."""
    cluster.service("web", labels={"a": "b"})
    cluster.step()
    patch = cluster.patch("web")
    assert set(patch) == {"metadata", "status"}
    assert set(patch["metadata"]) == {"resourceVersion", "annotations"}
    assert set(patch["status"]) <= {"loadBalancer", "conditions"}


@pytest.mark.rule("controller-6.3.ipmode")
def test_an_entry_with_the_default_mode_is_what_we_wrote(cluster: Cluster) -> None:
    """The API server's ipMode VIP is no difference."""
    cluster.service("web", annotations={POOL: "main"})
    document = msgspec.to_builtins(cluster.services.get("default/web"))
    cluster.step()
    cluster.answer("web")
    shown = cluster.services.get("default/web")
    assert shown is not None
    document = msgspec.to_builtins(shown)
    document["metadata"]["resourceVersion"] = "999"
    document["status"]["loadBalancer"]["ingress"] = [{"ip": "192.0.2.0", "ipMode": "VIP"}]
    echo = msgspec.convert(document, type(shown))
    cluster.services.apply(Restarted({"default/web": echo}))
    cluster.step()
    assert cluster.operation("web") is None


def test_an_address_is_withdrawn_before_another_service_shows_it(cluster: Cluster) -> None:
    """While one status shows it, or a write may make it show it, no other one does."""
    cluster.pool("main", "192.0.2.1/32")
    cluster.service("web")
    cluster.service("second")
    cluster.step()
    assert cluster.addresses("web") == ["192.0.2.1"]  # On its way, not seen yet.
    cluster.service("web", type="ClusterIP")
    cluster.step()
    assert cluster.addresses("second") == ["192.0.2.1"]
    cluster.service("second", holds=("192.0.2.1",), type="ClusterIP")
    cluster.service("third")
    cluster.step()
    assert cluster.addresses("second") == []
    assert cluster.addresses("third") is None
    cluster.delete_service("second")
    cluster.step()
    assert cluster.addresses("third") == ["192.0.2.1"]


def test_two_services_may_exchange_their_addresses(cluster: Cluster) -> None:
    """Each would wait for the other; so both withdraw first."""
    cluster.pool("main", "192.0.2.0/30")
    first, second = "192.0.2.1", "192.0.2.2"
    wants = {"loadBalancerIP": first}, {"loadBalancerIP": second}
    cluster.service("a", holds=(first,), **wants[0])
    cluster.service("b", holds=(second,), **wants[1])
    cluster.step()
    cluster.service("a", holds=(first,), **wants[1])
    cluster.service("b", holds=(second,), **wants[0])
    cluster.step()
    assert (cluster.addresses("a"), cluster.addresses("b")) == ([], [])
    cluster.service("a", **wants[1])
    cluster.service("b", **wants[0])
    cluster.step()
    assert (cluster.addresses("a"), cluster.addresses("b")) == ([second], [first])


@pytest.mark.rule("controller-6.1.error")
def test_a_refused_write_is_planned_again_ever_later(cluster: Cluster) -> None:
    """It counts as an error; the address stays reserved, and a success ends the series."""
    cluster.service("web")
    cluster.step()
    delays = []
    for _ in range(3):
        key = "Service default/web"
        error = ApiError(422, "Invalid", "no")
        operation = cluster.out.operations.pop(key)
        cluster.out.callbacks.pop(key)(Outcome(key, operation, Result.REFUSED, error=error))
        delay_s, call = cluster.out.timers.pop()
        delays.append(delay_s)
        call()
        cluster.step()
        assert cluster.addresses("web") == ["192.0.2.0"]
    assert delays == [1.0, 2.0, 4.0]
    assert cluster.metric("metallb_k8s_client_update_errors_total") == 3
    cluster.answer("web")
    assert not cluster.out.timers
    cluster.step()
    cluster.service("web", type="ClusterIP", holds=("192.0.2.0",))
    cluster.step()
    cluster.answer("web", Result.REFUSED)
    assert [delay_s for delay_s, _ in cluster.out.timers] == [1.0]


@pytest.mark.rule("controller-6.3.conflict")
def test_a_conflict_waits_for_the_newer_version(cluster: Cluster) -> None:
    """With the newer version here it is decided at once, else when that arrives."""
    cluster.service("web")
    cluster.step()
    cluster.answer("web", Result.CONFLICT)
    cluster.step()
    assert cluster.operation("web") is None
    cluster.service("web", labels={"newer": "yes"})
    cluster.step()
    assert cluster.addresses("web") == ["192.0.2.0"]


def test_a_conflict_is_planned_again_when_the_newer_version_is_here(cluster: Cluster) -> None:
    """The write is repeated against the version the store has by then, and keeps the address."""
    cluster.service("web")
    cluster.step()
    key = "Service default/web"
    operation, callback = cluster.out.operations[key], cluster.out.callbacks[key]
    cluster.service("web", ports=[{"port": 81}])
    cluster.step()
    cluster.out.operations.clear()
    refused = Outcome(key, operation, Result.CONFLICT, error=Conflict(409, "Conflict", "changed"))
    callback(refused)
    cluster.step()
    assert cluster.addresses("web") == ["192.0.2.0"]


def test_a_write_that_failed_lets_the_next_holder_go_on() -> None:
    """Until then it may have made a status show the address that somebody else has by now."""
    cluster = Cluster()
    cluster.pool("main", "192.0.2.1/32")
    cluster.service("old")
    cluster.step()
    key = "Service default/old"
    operation, callback = cluster.out.operations[key], cluster.out.callbacks[key]
    cluster.pool("main", "192.0.2.2/32")
    cluster.step()
    assert cluster.addresses("old") == ["192.0.2.2"]
    cluster.pool("next", "192.0.2.1/32")
    cluster.service("new")
    cluster.step()
    assert cluster.addresses("new") is None
    callback(Outcome(key, operation, Result.REFUSED, error=ApiError(422, "Invalid", "no")))
    cluster.step()
    assert cluster.addresses("new") == ["192.0.2.1"]
