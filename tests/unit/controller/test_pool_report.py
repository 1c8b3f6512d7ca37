"""IPAddressPool.status: written when it is not what it should be (spec: api §8.1)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgspec
import pytest

from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.controller.surroundings import Stores
from mercurylb.kube.reflector import Applied, Deleted
from mercurylb.kube.writer import Outcome, Result
from tests.unit.controller.cluster import Cluster

POOL = "IPAddressPool metallb/main"
FREE = {"assignedIPv4": 0, "assignedIPv6": 0, "availableIPv4": 2, "availableIPv6": 0}
ONE_USED = {**FREE, "assignedIPv4": 1, "availableIPv4": 1}


class Scene(Cluster):
    """A cluster with one pool of two addresses, whose status the test plays back."""

    def __init__(self) -> None:
        super().__init__()
        self.seen(None)

    def seen(self, status: dict[str, int] | None) -> None:
        """Let the watch bring the pool with a status."""
        spec = {"addresses": ["192.0.2.0/31"]}
        self._put(self.pools, IPAddressPool, "metallb", "main", spec, status)

    def step(self) -> dict[str, Any] | None:
        """Make a pass and give the status it would write; None if none."""
        self.reconciler.step()
        operation = self.out.operations.get(POOL)
        if operation is None:
            return None
        assert operation.subresource == "status"
        status: dict[str, Any] = msgspec.json.decode(operation.body)["status"]
        return status

    def arrive(self) -> None:
        """Let the write succeed and its echo come by the watch."""
        operation = self.out.operations.pop(POOL)
        self.out.callbacks[POOL](Outcome(POOL, operation, Result.DONE))
        self.seen(msgspec.json.decode(operation.body)["status"])

    def end(self, result: Result) -> None:
        """Let the write end in some other way."""
        self.out.callbacks[POOL](Outcome(POOL, self.out.operations.pop(POOL), result))


@pytest.fixture
def scene() -> Scene:
    """Give a cluster whose pool was just created."""
    return Scene()


@pytest.mark.rule(
    "api-8.1.writer",
    "api-8.1.equal",
    "controller-4.status-counters",
    "controller-4.status-created",
)
def test_written_when_it_differs_and_only_then(scene: Scene) -> None:
    """At the creation and when a counter changes; the echo of a write is not answered."""
    assert scene.step() == FREE
    scene.arrive()
    assert scene.step() is None
    scene.service("web")
    assert scene.step() == ONE_USED
    scene.arrive()
    assert scene.step() is None
    scene.delete_service("web")
    assert scene.step() == FREE


@pytest.mark.rule("api-8.1.edited", "controller-4.status-edited")
@pytest.mark.parametrize("edited", [None, {**FREE, "availableIPv4": 7}, ONE_USED])
def test_a_status_edited_by_hand_is_put_right(scene: Scene, edited: dict[str, int] | None) -> None:
    """Whatever somebody writes there, the counters come back."""
    scene.step()
    scene.arrive()
    scene.seen(edited)
    assert scene.step() == FREE


def test_a_status_that_is_right_again_is_not_written(scene: Scene) -> None:
    """A write that became needless while it waited is withdrawn."""
    assert scene.step() == FREE
    scene.seen(FREE)
    assert scene.step() is None


@pytest.mark.rule("api-8.1.gone", "controller-4.status-gone")
def test_a_pool_that_is_gone_is_forgotten(scene: Scene) -> None:
    """A write that finds no pool is not repeated, nor is any other needed."""
    scene.step()
    scene.end(Result.VANISHED)
    assert scene.out.timers == []
    scene.pools.apply(Deleted("metallb/main"))
    assert scene.step() is None


@pytest.mark.rule("controller-4.status-retry")
@pytest.mark.parametrize("result", [Result.REFUSED, Result.CONFLICT])
def test_a_refused_write_is_repeated_after_a_while(scene: Scene, result: Result) -> None:
    """Not at once, and with what is right by then."""
    scene.step()
    scene.end(result)
    assert scene.step() is None
    ((delay_s, call),) = scene.out.timers
    assert delay_s > 0
    call()
    assert scene.step() == FREE


@pytest.mark.rule("api-8.4.scope")
def test_the_controller_judges_what_addresses_come_from() -> None:
    """It is not even given what only speakers can judge: advertisements, peers, profiles, nodes."""
    assert {field.name for field in fields(Stores)} == {
        "services",
        "namespaces",
        "pools",
        "communities",
    }


def test_an_odd_status_is_no_obstacle(scene: Scene) -> None:
    """A status that lacks counters, as an older program may have left it, is completed."""
    raw = {
        "metadata": {"name": "main", "namespace": "metallb", "resourceVersion": "77"},
        "spec": {"addresses": ["192.0.2.0/31"]},
        "status": {"availableIPv4": 9},
    }
    scene.pools.apply(Applied("metallb/main", msgspec.convert(raw, IPAddressPool)))
    assert scene.step() == FREE


@pytest.mark.rule("api-8.1.writer", "allocator-10.status")
def test_pool_counters_reach_status_and_metrics(scene: Scene) -> None:
    """The pool's status and the gauges show what is in use."""
    scene.service("web")
    assert scene.step() == ONE_USED
    text = scene.registry.render().decode()
    assert 'metallb_allocator_addresses_in_use_total{pool="main"} 1' in text


@pytest.mark.rule("controller-4.status-created", "controller-4.status-counters")
def test_a_new_pool_gets_its_counters(scene: Scene) -> None:
    """All four, before anybody has an address of it."""
    scene.pool("next", "198.51.100.0/31", "2001:db8::/127")
    scene.step()
    operation = scene.out.operations["IPAddressPool metallb/next"]
    assert (operation.subresource, b'"availableIPv6":2' in operation.body) == ("status", True)


def test_a_closed_term_repeats_nothing(scene: Scene) -> None:
    """An answer that comes late is the next term's business."""
    scene.step()
    operation = scene.out.operations[POOL]
    scene.reconciler.close()
    scene.out.callbacks[POOL](Outcome(POOL, operation, Result.REFUSED))
    assert scene.out.timers == []
