"""The gauges of the pools (spec: allocator §10)."""

from __future__ import annotations

import pytest

from mercurylb.allocator.usage import PoolCounters
from mercurylb.controller.metrics import ControllerMetrics
from mercurylb.controller.stopwatch import Stopwatch
from mercurylb.telemetry.metrics import Registry
from tests.unit.controller.cluster import Cluster

FULL = PoolCounters("a", total=12, ipv4=4, ipv6=8, ipv4_in_use=1, ipv6_in_use=2)
NAMES = {
    "addresses_total": 12,
    "ipv4_addresses_total": 4,
    "ipv6_addresses_total": 8,
    "addresses_in_use_total": 3,
    "ipv4_addresses_in_use_total": 1,
    "ipv6_addresses_in_use_total": 2,
}


@pytest.mark.rule("allocator-10.metrics", "allocator-10.metric-unset")
def test_six_gauges_per_pool() -> None:
    """Capacities and what is in use, by the original's names; no gauge that is never set."""
    registry = Registry()
    ControllerMetrics(registry).note_pools([FULL])
    text = registry.render().decode()
    for name, value in NAMES.items():
        assert f'metallb_allocator_{name}{{pool="a"}} {value}' in text
    assert "services_allocated" not in text


@pytest.mark.rule("allocator-10.series")
def test_a_pool_that_is_gone_has_no_series() -> None:
    """What is told the next time replaces what was told before."""
    registry = Registry()
    metrics = ControllerMetrics(registry)
    metrics.note_pools([FULL])
    metrics.note_pools([])
    assert 'pool="a"' not in registry.render().decode()


def test_a_stopwatch_measures_who_gets_addresses() -> None:
    """From the first look on; who gets none is not measured, and nobody twice."""
    registry = Registry()
    now = 0.0
    watch = Stopwatch(registry.histogram("x", "X.", (1.0,)), clock=lambda: now)
    watch.begin(("a", "b", "c"))
    now = 2.0
    watch.begin(("a",))
    watch.drop("b")
    now = 3.0
    for key in ("a", "a", "b", "unknown"):
        watch.end(key)
    watch.clear()
    watch.end("c")
    assert 'x_bucket{le="1"} 0\nx_bucket{le="+Inf"} 1\nx_sum 3\n' in registry.render().decode()


def test_assignments_and_those_who_wait_are_shown() -> None:
    """One service gets the only address and is measured once it is written; another waits."""
    cluster = Cluster()
    cluster.pool("a", "192.0.2.1/32")
    cluster.service("first")
    cluster.step()
    cluster.service("second")
    cluster.step()

    def shown() -> tuple[float, float]:
        return (
            cluster.metric("mercurylb_allocator_assignment_seconds_count"),
            cluster.metric("mercurylb_allocator_services_pending"),
        )

    assert shown() == (0, 1)
    cluster.answer("first")
    assert shown() == (1, 1)
    cluster.delete_service("second")
    cluster.step()
    assert shown() == (1, 0)
