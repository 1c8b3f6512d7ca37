"""The controller's metric families, named as the original's (spec: metrics §1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.controller.stopwatch import BOUNDS_S, Stopwatch
from mercurylb.telemetry.daemon import ConfigMetrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.allocator.usage import PoolCounters
    from mercurylb.telemetry.metrics import Registry

_FAMILIES: tuple[tuple[str, str, str], ...] = (
    ("addresses_total", "total", "Number of usable addresses of the pool."),
    ("ipv4_addresses_total", "ipv4", "Number of usable IPv4 addresses of the pool."),
    ("ipv6_addresses_total", "ipv6", "Number of usable IPv6 addresses of the pool."),
    ("addresses_in_use_total", "in_use", "Number of addresses in use."),
    ("ipv4_addresses_in_use_total", "ipv4_in_use", "Number of IPv4 addresses in use."),
    ("ipv6_addresses_in_use_total", "ipv6_in_use", "Number of IPv6 addresses in use."),
)
"""End of the name, the counter shown, and what it is."""


class ControllerMetrics:
    """Everything a controller exposes besides its process figures."""

    def __init__(self, registry: Registry) -> None:
        self.config = ConfigMetrics(registry)
        self._pools = [
            (registry.gauge(f"metallb_allocator_{name}", text, ("pool",)), counter)
            for name, counter, text in _FAMILIES
        ]
        self.leader = registry.gauge(
            "mercurylb_controller_leader", "1 while this replica acts, 0 while it stands by."
        )
        self.pending = registry.gauge(
            "mercurylb_allocator_services_pending", "Services that wait for an address."
        )
        self.assignment = Stopwatch(
            registry.histogram(
                "mercurylb_allocator_assignment_seconds",
                "From a service's being looked at to its addresses' being written.",
                BOUNDS_S,
            )
        )

    def note_pools(self, counters: Iterable[PoolCounters]) -> None:
        """Replace the series of all pools; those of a removed pool go."""
        found = list(counters)
        for family, counter in self._pools:
            family.replace({(entry.pool,): getattr(entry, counter) for entry in found})
