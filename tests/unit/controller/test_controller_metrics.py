"""The gauges of the pools (spec: allocator §10)."""

from __future__ import annotations

import pytest

from mercurylb.allocator.usage import PoolCounters
from mercurylb.controller.metrics import ControllerMetrics
from mercurylb.telemetry.metrics import Registry

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
