"""From what the stores say to addresses, events and writes: the controller's one pass.

Level triggered: a pass takes every dirty key at once. It decides by `plan.service` only, keeps the
book, and hands patches to the writer; it awaits nothing. Promises:

* until every store is complete nothing is decided: a restart adopts before it gives away;
* a configuration with problems changes nothing: the last good one stays;
* whoever waits is looked at again whenever an address could have become free, the oldest first;
* an event is told again only when the service or the reason changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mercurylb.allocator.book import Book
from mercurylb.api.ip_address_pool import IPAddressPoolStatus
from mercurylb.api.service import PREFER_DUAL_STACK
from mercurylb.config.compilation import Resources, compile_config
from mercurylb.kube.correlator import Reference
from mercurylb.kube.kinds import IP_ADDRESS_POOLS, SERVICES
from mercurylb.kube.operation import Operation, Verb, encode
from mercurylb.kube.writer import Outcome as WriteOutcome
from mercurylb.kube.writer import Result
from mercurylb.plan.decision import EventNote, Outcome, ServiceDecision, StatusPatch, diff
from mercurylb.plan.service import is_ours, plan_all, plan_deleted
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.allocator.usage import PoolCounters
    from mercurylb.api.community import Community
    from mercurylb.api.ip_address_pool import IPAddressPool
    from mercurylb.api.namespace import Namespace
    from mercurylb.api.service import Service
    from mercurylb.config.model import Config
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


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where decisions go."""

    writer: Writer
    recorder: EventRecorder
    reporter: ConfigurationReporter
    metrics: ControllerMetrics


class Reconciler:
    """Holds the book, and brings the cluster in line with it."""

    def __init__(self, stores: Stores, outlets: Outlets, *, lb_class: str, backend: str) -> None:
        self.book = Book()
        self.decisions: dict[str, ServiceDecision] = {}
        """The last decision about each service that is ours."""
        self._stores = stores
        self._outlets = outlets
        self._lb_class = lb_class
        self._backend = backend
        self._config: Config | None = None
        self._waiting: dict[str, None] = {}
        self._told: dict[str, tuple[EventNote, ...]] = {}

    def step(self) -> None:
        """Take in everything that changed, decide, and hand the writes over."""
        stores = self._stores
        dirty_pools = stores.pools.take_dirty()
        dirty_config = [
            dirty_pools,
            stores.namespaces.take_dirty(),
            stores.communities.take_dirty(),
        ]
        dirty = dict.fromkeys(stores.services.take_dirty())
        if any(dirty_config) and self._load_config():
            dirty |= dict.fromkeys(stores.services.objects)
        if self._config is None:
            return  # The first configuration will have every service looked at.
        self._decide(dirty)
        self._report_pools(dirty_pools)

    # --- the configuration -------------------------------------------------------------------

    def _load_config(self) -> bool:
        """Compile anew; tell whether another configuration is in force now."""
        stores, outlets = self._stores, self._outlets
        outlets.metrics.config.updates.add(1)
        unreadable = [
            f"{kind} {key}: {reason}"
            for kind, store in (("IPAddressPool", stores.pools), ("Community", stores.communities))
            for key, reason in sorted(store.problems.items())
        ]
        config, problems = compile_config(
            Resources(
                pools=tuple(stores.pools.objects.values()),
                communities=tuple(stores.communities.objects.values()),
                namespaces=tuple(stores.namespaces.objects.values()),
                backend=self._backend,
            )
        )
        error = "\n".join([*unreadable, *map(str, problems)])
        outlets.metrics.config.note_config(is_accepted=not error)
        outlets.reporter.report(error)
        if config is None or error:
            log.error("config.rejected", problems=error.splitlines())
            return False
        if config == self._config:
            return False
        self._config = config
        lost = self.book.set_pools(config.pools)
        log.info("config.loaded", pools=[pool.name for pool in config.pools], unplaced=len(lost))
        return True

    # --- services ----------------------------------------------------------------------------

    def _decide(self, dirty: dict[str, None]) -> None:
        """Decide about the dirty services, then about those that wait for what became free."""
        if self._release_gone(dirty):
            dirty |= self._waiting
        asked = set(dirty)
        while True:
            decisions = plan_all(self._ours(dirty), book=self.book)
            for decision in decisions:
                self._carry_out(decision, is_asked=decision.service in asked)
            if not any(decision.reprocess_all for decision in decisions):
                return
            dirty = {key: None for key in self._waiting if key not in dirty}
            if not dirty:
                return

    def _release_gone(self, dirty: dict[str, None]) -> bool:
        """Release what services held that are gone; tell whether anything became free."""
        was_freed = False
        for key in dirty:
            if self._stores.services.get(key) is None:
                was_freed |= plan_deleted(key, book=self.book)
                self._forget(key)
        return was_freed

    def _ours(self, keys: Iterable[str]) -> list[Service]:
        found = []
        for key in keys:
            service = self._stores.services.get(key)
            if service is None:
                continue
            is_held = self.book.holding(key) is not None
            if is_ours(service, self._lb_class, is_held=is_held):
                found.append(service)
            elif is_held:
                self.book.release(key)
                self._forget(key)
        return found

    def _forget(self, key: str) -> None:
        self.decisions.pop(key, None)
        self._waiting.pop(key, None)
        self._told.pop(key, None)
        self._outlets.writer.discard(_write_key(key))

    def _carry_out(self, decision: ServiceDecision, *, is_asked: bool) -> None:
        key = decision.service
        service = self._stores.services.get(key)
        if service is None:
            return
        self._outlets.metrics.config.updates.add(1)
        self.decisions[key] = decision
        if not decision.converged or _lacks_family(service, decision):
            self._waiting[key] = None
        else:
            self._waiting.pop(key, None)
        self._tell(service, decision, is_asked=is_asked)
        patch = diff(decision)
        if patch is None:
            self._outlets.writer.discard(_write_key(key))
        else:
            self._write(service, patch)

    def _tell(self, service: Service, decision: ServiceDecision, *, is_asked: bool) -> None:
        key = decision.service
        if is_asked or self._told.get(key) != decision.events:
            for note in decision.events:
                self._outlets.recorder.record(
                    _reference(service), note.type, note.reason, note.message
                )
        self._told[key] = decision.events
        if decision.outcome is Outcome.ASSIGNED:
            log.info(
                "alloc.assigned", service=key, pool=decision.pool, ips=list(decision.addresses)
            )
        elif not decision.converged:
            self._outlets.metrics.config.errors.add(1)
            log.info("alloc.pending", service=key, reason=decision.pending_reason)

    def _write(self, service: Service, patch: StatusPatch) -> None:
        key = service.metadata.key
        version = service.metadata.resource_version
        operation = Operation(
            Verb.MERGE, SERVICES, patch.name, patch.namespace, patch.body, subresource="status"
        )
        self._outlets.writer.submit(
            _write_key(key), operation, lambda outcome: self._on_written(key, version, outcome)
        )

    def _on_written(self, key: str, version: str, outcome: WriteOutcome) -> None:
        """Plan again after a conflict, or leave that to the newer version when it arrives."""
        if outcome.result is Result.CONFLICT:
            service = self._stores.services.get(key)
            if service is not None and service.metadata.resource_version != version:
                self._stores.services.mark_dirty((key,))
        elif outcome.result in (Result.REFUSED, Result.GIVEN_UP):
            self._outlets.metrics.config.errors.add(1)
            log.error("alloc.write_refused", service=key, error=outcome.error)

    # --- pools -------------------------------------------------------------------------------

    def _report_pools(self, dirty_pools: tuple[str, ...]) -> None:
        """Bring the counters of pools into their status and into the metrics."""
        changed = self.book.take_changed_pools()
        if not changed and not dirty_pools:
            return
        counters = {entry.pool: entry for entry in self.book.counters()}
        self._outlets.metrics.note_pools(counters.values())
        for key, pool in self._stores.pools.objects.items():
            found = counters.get(pool.metadata.name)
            if found is None:
                continue
            status = _pool_status(found)
            if pool.status == status:
                self._outlets.writer.discard(f"IPAddressPool {key}")
                continue
            operation = Operation(
                Verb.MERGE,
                IP_ADDRESS_POOLS,
                pool.metadata.name,
                pool.metadata.namespace,
                encode({"status": status}),
                subresource="status",
            )
            self._outlets.writer.submit(f"IPAddressPool {key}", operation)


def _pool_status(counters: PoolCounters) -> IPAddressPoolStatus:
    return IPAddressPoolStatus(
        assigned_ipv4=counters.ipv4_in_use,
        assigned_ipv6=counters.ipv6_in_use,
        available_ipv4=counters.ipv4_available,
        available_ipv6=counters.ipv6_available,
    )


def _lacks_family(service: Service, decision: ServiceDecision) -> bool:
    is_single = len(decision.addresses) == 1
    return is_single and service.wish.ip_family_policy == PREFER_DUAL_STACK


def _write_key(key: str) -> str:
    return f"Service {key}"


def _reference(service: Service) -> Reference:
    metadata = service.metadata
    return Reference(
        api_version="v1",
        kind="Service",
        name=metadata.name,
        namespace=metadata.namespace,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
    )
