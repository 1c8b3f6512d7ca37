"""From what the stores say to addresses, events and writes: the controller's one pass.

Level triggered: a pass takes every dirty key at once. It decides by `plan.service` only, keeps the
book, and hands patches to the writer; it awaits nothing. Of many services it decides about a batch
and has itself called again, so that the first patches are answered while the last are planned.
Promises:

* the first pass looks at everything: a start, or a stand-by's promotion, adopts before it gives;
* a configuration with problems changes nothing: the last good one stays;
* whoever waits is looked at again whenever an address could have become free, the oldest first;
* an event is told again only when the service or the reason changed;
* what the watch brings back of our own writes is not planned again;
* no status shows an address before its former holder's status has stopped to (`handover`).

It lives for one term of leadership: whoever loses the lease closes it and makes another.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from mercurylb.allocator.book import Book
from mercurylb.api.ip_address_pool import IPAddressPoolStatus
from mercurylb.api.service import PREFER_DUAL_STACK
from mercurylb.config.compilation import Resources, compile_config
from mercurylb.config.problem import summarize
from mercurylb.controller.echo import Wish, is_echo, wish_of
from mercurylb.controller.handover import Handover
from mercurylb.kube.correlator import Reference
from mercurylb.kube.kinds import IP_ADDRESS_POOLS, SERVICES
from mercurylb.kube.operation import Operation, Verb, encode
from mercurylb.kube.writer import Outcome as WriteOutcome
from mercurylb.kube.writer import Result
from mercurylb.plan.decision import EventNote, Outcome, ServiceDecision, StatusPatch, diff
from mercurylb.plan.patch import patch_decided
from mercurylb.plan.service import adopt_all, is_ours, plan_all, plan_deleted
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mercurylb.allocator.usage import PoolCounters
    from mercurylb.api.community import Community
    from mercurylb.api.ip_address_pool import IPAddressPool
    from mercurylb.api.meta import ObjectMeta
    from mercurylb.api.namespace import Namespace
    from mercurylb.api.service import Service
    from mercurylb.config.model import Config
    from mercurylb.controller.metrics import ControllerMetrics
    from mercurylb.kube.configuration_report import ConfigurationReporter
    from mercurylb.kube.events import EventRecorder
    from mercurylb.kube.store import Store
    from mercurylb.kube.writer import Writer

BATCH_MAX: Final = 250
"""Services decided about in one pass, some 30 ms; requests go out and answers come in between."""
WRITES_MAX: Final = 500
"""Writes of services under way or waiting beyond which nobody is decided about: what was decided is
kept until it is written, and the API server has enough to do."""
ROUNDS_MAX: Final = 8
"""How often in one pass those that wait are asked again because of one another."""
UNREADABLE_MAX: Final = 100
"""Objects that do not decode and are named in a report."""
REFUSED_RETRY_S: Final = 1.0
REFUSED_RETRY_MAX_S: Final = 300.0
"""A write that the API server refuses is planned again, ever more seldom."""


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


class Reconciler:
    """Holds the book, and brings the cluster in line with it."""

    def __init__(
        self,
        stores: Stores,
        outlets: Outlets,
        *,
        lb_class: str,
        backend: str,
        now: Callable[[], str],
    ) -> None:
        self.book = Book()
        self._stores = stores
        self._outlets = outlets
        self._lb_class = lb_class
        self._backend = backend
        self._now = now
        """Gives the time as RFC 3339 text, for conditions."""
        self._config: Config | None = None
        self._inputs: object = None
        self._queue: dict[str, None] = {}
        """Services to be decided about, in this order."""
        self._retries: dict[str, None] = {}
        """Services to be decided about again once the queue is empty: something became free."""
        self._waiting: dict[str, None] = {}
        self._told: dict[str, tuple[tuple[EventNote, ...], Wish]] = {}
        """Of services that were told why they wait."""
        self._written: dict[str, tuple[Service, ServiceDecision]] = {}
        """What was planned for and decided where a write is under way."""
        self._refusals: dict[str, int] = {}
        self._handover = Handover()
        self._write_count = 0
        """Writes of services that have no outcome yet."""
        self._is_closed = False

    def step(self) -> None:
        """Take in everything that changed, decide, and hand the writes over."""
        stores = self._stores
        dirty_pools = stores.pools.take_dirty()
        dirty_config = (
            dirty_pools,
            stores.namespaces.take_dirty(),
            stores.communities.take_dirty(),
        )
        changed = stores.services.take_dirty()
        dirty = dict.fromkeys(changed)
        is_first = self._inputs is None
        if (is_first or any(dirty_config)) and self._load_config():
            dirty |= dict.fromkeys(stores.services.objects)
        else:
            dirty = {key: None for key in dirty if not self._is_echo(key)}
        for key in changed:
            free = self._handover.on_changed(key, stores.services.get(key))
            dirty |= dict.fromkeys(free)
        if self._config is None:
            return  # The first configuration will have every service looked at.
        self._decide(dirty)
        self._report_pools(dirty_pools, is_first=is_first)

    def close(self) -> None:
        """Drop everything: somebody else decides from now on."""
        self._is_closed = True
        self._outlets.writer.discard_all()
        self._outlets.recorder.forget_all()
        self._outlets.metrics.note_pools(())

    # --- the configuration -------------------------------------------------------------------

    def _load_config(self) -> bool:
        """Compile anew if something changed that matters; tell whether another one is in force."""
        stores, outlets = self._stores, self._outlets
        inputs = self._config_inputs()
        if inputs == self._inputs:
            return False
        self._inputs = inputs
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
        error = "\n".join([*unreadable[:UNREADABLE_MAX], *filter(None, [summarize(problems)])])
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

    def _config_inputs(self) -> object:
        """Give what tells two configurations apart: generations, labels, and what is unreadable.

        A pool's own status, labels and annotations do not count, nor does a namespace's status.
        """
        stores = self._stores
        return (
            {key: _generation(pool.metadata) for key, pool in stores.pools.objects.items()},
            {key: item.metadata.labels for key, item in stores.namespaces.objects.items()},
            {key: _generation(item.metadata) for key, item in stores.communities.objects.items()},
            dict(stores.pools.problems),
            dict(stores.communities.problems),
        )

    # --- services ----------------------------------------------------------------------------

    def _decide(self, dirty: dict[str, None]) -> None:
        """Decide about the dirty services, then about those that wait for what became free.

        What is more than a batch is left for the next pass; the bell rings for it.
        """
        if self._release_gone(dirty):
            self._retries |= self._waiting
        self._enqueue(dirty)
        for _ in range(ROUNDS_MAX):
            if not self._queue:
                retries, self._retries = self._retries, {}
                self._enqueue({key: None for key in retries if key in self._waiting})
            if self._write_count >= WRITES_MAX:
                return  # The outcome of a write rings the bell.
            batch = list(islice(self._queue, BATCH_MAX))
            self._decide_batch(batch)
            if len(batch) == BATCH_MAX or not (self._queue or self._retries):
                break
        if self._queue or self._retries:
            self._stores.services.wakeup.ring()

    def _enqueue(self, dirty: dict[str, None]) -> None:
        """Line up who is to be decided about; all have what they may keep before anybody is.

        Those who were in the queue stay where they are, unless there are many newcomers.
        """
        self._queue |= dirty
        many = len(dirty) > BATCH_MAX
        services = adopt_all(self._ours(tuple(self._queue if many else dirty)), book=self.book)
        for service in services:
            if service.ingress:
                held = self.book.holding(service.metadata.key)
                self._note_leaving(service, map(str, held.addresses) if held else ())
        if many:
            self._queue = {service.metadata.key: None for service in services}

    def _decide_batch(self, keys: Sequence[str]) -> None:
        for key in keys:
            del self._queue[key]
        decisions = plan_all(self._ours(keys), book=self.book, now=self._now())
        for decision in decisions:
            service = self._stores.services.get(decision.service)
            if service is not None:
                self._note_leaving(service, decision.addresses)
        for decision in decisions:
            self._carry_out(decision)
        self._retries |= self._waiting_before_last_release(decisions)

    def _waiting_before_last_release(self, decisions: Sequence[ServiceDecision]) -> dict[str, None]:
        """Give those that wait and were not decided since something was given up."""
        later = set[str]()
        for decision in reversed(decisions):
            later.add(decision.service)
            if decision.reprocess_all:
                return {key: None for key in self._waiting if key not in later}
        return {}

    def _note_leaving(self, service: Service, addresses: Iterable[str]) -> None:
        """Note what a service may show although it is not to have it any more."""
        self._stores.services.mark_dirty(self._handover.on_decided(service, addresses))

    def _is_echo(self, key: str) -> bool:
        """Tell whether a service is as our last write made it."""
        expected = self._written.get(key)
        service = self._stores.services.get(key)
        if expected is None or service is None or not is_echo(service, *expected):
            return False
        del self._written[key]
        return True

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
        for memory in (self._queue, self._waiting, self._told, self._written, self._refusals):
            memory.pop(key, None)
        self._stores.services.mark_dirty(self._handover.on_changed(key, None))
        self._outlets.writer.discard(_write_key(key))

    def _carry_out(self, decision: ServiceDecision) -> None:
        key = decision.service
        service = self._stores.services.get(key)
        if service is None:
            return
        self._outlets.metrics.config.updates.add(1)
        if not decision.converged or _lacks_family(service, decision):
            self._waiting[key] = None
        else:
            self._waiting.pop(key, None)
        self._tell(service, decision)
        patch = diff(decision)
        if patch is None:
            self._written.pop(key, None)
            self._outlets.writer.discard(_write_key(key))
        elif holders := self._handover.former_holders(key, decision.addresses):
            self._handover.wait(key, holders)
            self._written.pop(key, None)
            self._withdraw(service, decision)
        else:
            if _lacks_family(service, decision):
                # Its echo is looked at, and then it is told why the family is missing.
                self._written.pop(key, None)
            else:
                self._written[key] = service, decision
            self._write(service, patch, decision.addresses)

    def _withdraw(self, service: Service, decision: ServiceDecision) -> None:
        """Have a service that waits for others at least stop showing what others may wait for."""
        self._outlets.writer.discard(_write_key(service.metadata.key))
        if self._handover.shown(service).difference(decision.addresses):
            patch = patch_decided(service, None, wait=None, now=self._now())
            if patch is not None:
                self._write(service, patch, ())

    def _tell(self, service: Service, decision: ServiceDecision) -> None:
        key = decision.service
        events = decision.events
        told = (events, wish_of(service)) if events else None
        before = self._told.get(key)
        if told != before:
            for note in events:
                self._outlets.recorder.record(
                    _reference(service), note.type, note.reason, note.message
                )
        if told is None or decision.outcome is Outcome.ASSIGNED:
            self._told.pop(key, None)
        else:
            self._told[key] = told
        if decision.outcome is Outcome.ASSIGNED:
            log.info(
                "alloc.assigned", service=key, pool=decision.pool, ips=list(decision.addresses)
            )
        elif not decision.converged:
            self._outlets.metrics.config.errors.add(1)
            log.info("alloc.pending", service=key, reason=decision.pending_reason)

    def _write(self, service: Service, patch: StatusPatch, addresses: tuple[str, ...]) -> None:
        key = service.metadata.key
        version = service.metadata.resource_version
        operation = Operation(
            Verb.MERGE, SERVICES, patch.name, patch.namespace, patch.body, subresource="status"
        )
        self._handover.on_write(service, addresses)

        self._write_count += 1

        def on_outcome(outcome: WriteOutcome) -> None:
            self._write_count -= 1
            if self._queue and self._write_count < WRITES_MAX:
                self._stores.services.wakeup.ring()
            if outcome.result is not Result.DONE:
                self._handover.on_write_failed(key, version, addresses)
                free = self._handover.on_changed(key, self._stores.services.get(key))
                self._stores.services.mark_dirty(free)
            self._on_written(key, version, outcome)

        self._outlets.writer.submit(_write_key(key), operation, on_outcome)

    def _on_written(self, key: str, version: str, outcome: WriteOutcome) -> None:
        """Plan again after a conflict, or leave that to the newer version when it arrives."""
        if self._is_closed:
            return
        if outcome.result is Result.DONE:
            self._refusals.pop(key, None)
            return
        if outcome.result in (Result.SUPERSEDED, Result.FENCED):
            return
        self._written.pop(key, None)
        if outcome.result is Result.CONFLICT:
            service = self._stores.services.get(key)
            if service is not None and service.metadata.resource_version != version:
                self._stores.services.mark_dirty((key,))
        elif outcome.result in (Result.REFUSED, Result.GIVEN_UP):
            self._outlets.metrics.config.errors.add(1)
            log.error("alloc.write_refused", service=key, error=outcome.error)
            self._retry_later(key)

    def _retry_later(self, key: str) -> None:
        count = self._refusals[key] = self._refusals.get(key, 0) + 1
        delay_s = min(REFUSED_RETRY_S * 2.0 ** min(count - 1, 16), REFUSED_RETRY_MAX_S)
        self._outlets.later(delay_s, lambda: self._stores.services.mark_dirty((key,)))

    # --- pools -------------------------------------------------------------------------------

    def _report_pools(self, dirty_pools: tuple[str, ...], *, is_first: bool) -> None:
        """Bring the counters of pools into their status and into the metrics."""
        changed = self.book.take_changed_pools()
        if not changed and not dirty_pools and not is_first:
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
            self._outlets.writer.submit(
                f"IPAddressPool {key}",
                operation,
                partial(self._on_pool_written, key),
            )

    def _on_pool_written(self, key: str, outcome: WriteOutcome) -> None:
        """Write a refused status again after a while; a pool that is gone needs none."""
        if outcome.result in (Result.REFUSED, Result.CONFLICT) and not self._is_closed:
            log.error("alloc.pool_write_refused", pool=key, error=outcome.error)
            self._outlets.later(REFUSED_RETRY_S, lambda: self._stores.pools.mark_dirty((key,)))


def _generation(metadata: ObjectMeta) -> tuple[str, str | int]:
    return metadata.uid, metadata.generation or metadata.resource_version


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
