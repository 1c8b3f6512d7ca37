"""What a reconciler works with: the stores it reads, and the outlets its decisions go to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.api.community import Community
    from mercurylb.api.ip_address_pool import IPAddressPool
    from mercurylb.api.namespace import Namespace
    from mercurylb.api.service import Service
    from mercurylb.controller.metrics import ControllerMetrics
    from mercurylb.kube.configuration_report import ConfigurationReporter
    from mercurylb.kube.events import EventRecorder
    from mercurylb.kube.store import Store
    from mercurylb.kube.writer import Writer


@dataclass(frozen=True, slots=True)
class Stores:
    """The local copies a controller decides with; all ring one bell."""

    services: Store[Service]
    namespaces: Store[Namespace]
    pools: Store[IPAddressPool]
    communities: Store[Community]

    @property
    def all(self) -> tuple[Store[Any], ...]:
        """Give every store."""
        return self.services, self.namespaces, self.pools, self.communities


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where decisions go."""

    writer: Writer
    recorder: EventRecorder
    reporter: ConfigurationReporter
    metrics: ControllerMetrics
    later: Callable[[float, Callable[[], None]], object]
    """Has something called after so many seconds."""
