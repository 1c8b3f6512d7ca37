"""From what the stores say to addresses, events and writes: the controller's one pass.

Level triggered: a pass takes every dirty key at once. It decides by `plan.service` only, keeps the
book, and hands the decisions on; it awaits nothing. Of many services it decides about a batch and
has itself called again, so that the first patches are answered while the last are planned.
Promises:

* the first pass looks at everything: a start, or a stand-by's promotion, adopts before it gives;
* nothing is decided before there was a good configuration, and everything when there is another;
* whoever waits is looked at again whenever an address could have become free, the oldest first.

What is promised of the configuration, of writes, of events and of counters stands where it is kept:
`configuration`, `publication`, `service_report`, `pool_report`.

It lives for one term of leadership: whoever loses the lease closes it and makes another.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from mercurylb.allocator.book import Book
from mercurylb.controller.configuration import Configuration
from mercurylb.controller.pool_report import PoolReporter
from mercurylb.controller.publication import Publisher
from mercurylb.controller.service_report import ServiceReporter
from mercurylb.plan.decision import Outcome
from mercurylb.plan.service import adopt_all, is_ours, plan_all, plan_deleted, still_waits
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mercurylb.api.service import Service
    from mercurylb.controller.surroundings import Outlets, Stores
    from mercurylb.plan.decision import ServiceDecision

BATCH_MAX: Final = 250
"""Services decided about in one pass, some 30 ms; requests go out and answers come in between."""
ROUNDS_MAX: Final = 8
"""How often in one pass those that wait are asked again because of one another."""


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
        self._now = now
        """Gives the time as RFC 3339 text, for conditions."""
        self._configuration = Configuration(stores, outlets, backend=backend)
        self._publisher = Publisher(stores.services, outlets, now=now)
        self._service_reporter = ServiceReporter(outlets)
        self._pool_reporter = PoolReporter(stores.pools, outlets, book=self.book)
        self._queue: dict[str, None] = {}
        """Services to be decided about, in this order."""
        self._retries: dict[str, None] = {}
        """Services to be decided about again once the queue is empty: something became free."""
        self._waiting: dict[str, None] = {}

    def step(self) -> None:
        """Take in everything that changed, decide, and hand the writes over."""
        stores = self._stores
        is_first = not self._configuration.is_read
        dirty_pools = stores.pools.take_dirty()
        dirty_config = dirty_pools, stores.namespaces.take_dirty(), stores.communities.take_dirty()
        changed = stores.services.take_dirty()
        if (is_first or any(dirty_config)) and self._has_other_config():
            dirty = dict.fromkeys((*changed, *stores.services.objects))
        else:
            dirty = {key: None for key in changed if not self._publisher.take_echo(key)}
        for key in changed:
            dirty |= dict.fromkeys(self._publisher.on_changed(key))
        if self._configuration.in_force is None:
            return  # The first configuration will have every service looked at.
        self._decide(dirty)
        self._outlets.metrics.pending.set(len(self._waiting))
        self._pool_reporter.report(is_due=is_first or bool(dirty_pools))

    def close(self) -> None:
        """Drop everything: somebody else decides from now on."""
        self._publisher.close()
        self._outlets.writer.discard_all()
        self._service_reporter.close()
        self._outlets.metrics.assignment.clear()
        self._outlets.metrics.pending.set(0)
        self._pool_reporter.close()

    def _has_other_config(self) -> bool:
        """Look at the configuration; if another one is in force, the book gets its pools."""
        config = self._configuration.refresh()
        if config is None:
            return False
        lost = self.book.set_pools(config.pools)
        log.info("config.loaded", pools=[pool.name for pool in config.pools], unplaced=len(lost))
        return True

    # --- the order of things -----------------------------------------------------------------

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
            if self._publisher.is_full:
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
        self._outlets.metrics.assignment.begin(dirty)
        many = len(dirty) > BATCH_MAX
        services = adopt_all(self._ours(tuple(self._queue if many else dirty)), book=self.book)
        for service in services:
            if service.ingress:
                held = self.book.holding(service.metadata.key)
                self._publisher.on_decided(service, map(str, held.addresses) if held else ())
        if many:
            self._queue = {service.metadata.key: None for service in services}

    # --- services ----------------------------------------------------------------------------

    def _decide_batch(self, keys: Sequence[str]) -> None:
        """Decide about some services, and only then hand the decisions on."""
        for key in keys:
            del self._queue[key]
        ours = self._ours(keys)
        for key in set(keys).difference(service.metadata.key for service in ours):
            self._outlets.metrics.assignment.drop(key)
        decisions = plan_all(ours, book=self.book, now=self._now())
        for decision in decisions:
            service = self._stores.services.get(decision.service)
            if service is not None:
                self._publisher.on_decided(service, decision.addresses)
        for decision in decisions:
            self._carry_out(decision)
        self._retries |= self._waiting_before_last_release(decisions)

    def _carry_out(self, decision: ServiceDecision) -> None:
        key = decision.service
        service = self._stores.services.get(key)
        if service is None:
            return
        self._outlets.metrics.config.updates.add(1)
        if still_waits(service, decision):
            self._waiting[key] = None
        else:
            self._waiting.pop(key, None)
        if decision.outcome is not Outcome.ASSIGNED:
            self._outlets.metrics.assignment.drop(key)
        self._service_reporter.report(service, decision)
        self._publisher.publish(service, decision)

    def _waiting_before_last_release(self, decisions: Sequence[ServiceDecision]) -> dict[str, None]:
        """Give those that wait and were not decided since something was given up."""
        later = set[str]()
        for decision in reversed(decisions):
            later.add(decision.service)
            if decision.reprocess_all:
                return {key: None for key in self._waiting if key not in later}
        return {}

    def _ours(self, keys: Iterable[str]) -> list[Service]:
        """Give those services that exist and are for us; the others hold nothing any more."""
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

    def _release_gone(self, dirty: dict[str, None]) -> bool:
        """Release what services held that are gone; tell whether anything became free."""
        was_freed = False
        for key in dirty:
            if self._stores.services.get(key) is None:
                was_freed |= plan_deleted(key, book=self.book)
                self._forget(key)
        return was_freed

    def _forget(self, key: str) -> None:
        self._queue.pop(key, None)
        self._waiting.pop(key, None)
        self._outlets.metrics.assignment.drop(key)
        self._service_reporter.forget(key)
        self._publisher.forget(key)
