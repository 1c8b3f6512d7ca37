"""Where the controller's work is done while we lead, and laid down when we do not.

A stand-by keeps its caches true and forgets what is dirty, since whoever is promoted looks at
everything anyway. Each term of leadership has a reconciler and a reporter of its own, so nothing
that was believed in one term reaches the next: not the book, not a pending write, not an event.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from mercurylb.api.configuration_state import CONTROLLER_NAME, POOL_CONDITION
from mercurylb.controller.metrics import ControllerMetrics
from mercurylb.controller.precedence import AfterWrites
from mercurylb.controller.reconciler import Reconciler
from mercurylb.controller.surroundings import Outlets, Stores
from mercurylb.kube.configuration_report import ConfigurationReporter
from mercurylb.kube.events import EventRecorder
from mercurylb.kube.kinds import (
    COMMUNITIES,
    CONFIGURATION_STATES,
    IP_ADDRESS_POOLS,
    NAMESPACES,
    SERVICES,
)
from mercurylb.kube.watch import Selection
from mercurylb.kube.writer import Writer
from mercurylb.telemetry import logs as log
from mercurylb.telemetry.api_metrics import add_api_metrics

if TYPE_CHECKING:
    from random import Random

    from mercurylb.api.configuration_state import ConfigurationState
    from mercurylb.api.meta import OwnerReference
    from mercurylb.kube.elector import Leadership
    from mercurylb.kube.informers import Informers
    from mercurylb.kube.store import Store
    from mercurylb.telemetry.metrics import Registry

COMPONENT = "metallb-controller"
CONDITION_MANAGER = "poolReconciler"
WEBHOOK_MANAGER = "configurationStateReconciler"
"""Field managers; those who only serve webhooks have no condition, and do not undo the others'."""


class Desk:
    """Acts in the terms in which we lead."""

    def __init__(  # noqa: PLR0913 (what a controller is made of)
        self,
        informers: Informers,
        leadership: Leadership,
        *,
        allocates: bool,
        namespace: str,
        owner: OwnerReference,
        lb_class: str,
        backend: str,
        registry: Registry,
        dice: Random,
    ) -> None:
        self._informers = informers
        self._leadership = leadership
        self._allocates = allocates
        self._namespace = namespace
        self._owner = owner
        self._lb_class = lb_class
        self._backend = backend
        self._metrics = ControllerMetrics(registry)
        self._is_closed = False
        self._listed_in = 0
        """The term in which the caches began to be filled."""
        self._states: Store[ConfigurationState] = informers.add(
            CONFIGURATION_STATES,
            Selection(namespace=namespace, fields=f"metadata.name={CONTROLLER_NAME}"),
        )
        self._stores = self._add_stores() if allocates else None
        self._writer = Writer(leadership, random=dice, log=log)
        add_api_metrics(registry, writes=self._writer.counts, watches=informers.counts)
        self._recorder = EventRecorder(
            AfterWrites(leadership, self._writer), component=COMPONENT, random=dice, log=log
        )

    def start(self, group: asyncio.TaskGroup) -> None:
        """Fill the caches and begin, as tasks of the group."""
        self._listed_in = self._leadership.term
        self._informers.start(group)
        group.create_task(self._writer.run())
        group.create_task(self._recorder.run())
        group.create_task(self._run())

    def close(self) -> None:
        """Decide nothing any more."""
        self._is_closed = True
        self._writer.discard_all()
        self._recorder.forget_all()

    def _add_stores(self) -> Stores:
        add, here = self._informers.add, Selection(namespace=self._namespace)
        return Stores(
            services=add(SERVICES),
            namespaces=add(NAMESPACES),
            pools=add(IP_ADDRESS_POOLS, here),
            communities=add(COMMUNITIES, here),
        )

    async def _run(self) -> None:
        await self._informers.wait_synced()
        log.info("controller.caches_filled")
        while not self._is_closed:
            if self._leadership.term:
                await self._act(self._leadership.term)
            else:
                self._forget_dirty()
                await self._informers.wakeup.wait()

    def _forget_dirty(self) -> None:
        self._states.take_dirty()
        if self._stores is not None:
            for store in self._stores.all:
                store.take_dirty()

    async def _act(self, term: int) -> None:
        """Make a pass whenever the bell rings, for as long as the term lasts."""
        if term != self._listed_in:
            await self._informers.relist()
        if term != self._leadership.term:
            return
        self._metrics.leader.set(1)
        reporter = self._reporter()
        reconciler = self._reconciler(reporter)
        reporter.observe(self._states.get(f"{self._namespace}/{CONTROLLER_NAME}"))
        while term == self._leadership.term and not self._is_closed:
            for key in self._states.take_dirty():
                reporter.observe(self._states.get(key))
            if reconciler is not None:
                reconciler.step()
            # The bell may be rung already; whoever else has something to do is let through.
            await asyncio.sleep(0)
            await self._informers.wakeup.wait()
        self._metrics.leader.set(0)
        reporter.close()
        if reconciler is not None:
            reconciler.close()
        self._writer.discard_all()

    def _reporter(self) -> ConfigurationReporter:
        return ConfigurationReporter(
            self._writer,
            namespace=self._namespace,
            name=CONTROLLER_NAME,
            component="controller",
            condition_type=POOL_CONDITION,
            field_manager=CONDITION_MANAGER if self._allocates else WEBHOOK_MANAGER,
            owner=self._owner,
        )

    def _reconciler(self, reporter: ConfigurationReporter) -> Reconciler | None:
        if self._stores is None:
            return None
        return Reconciler(
            self._stores,
            Outlets(
                self._writer,
                self._recorder,
                reporter,
                self._metrics,
                asyncio.get_running_loop().call_later,
            ),
            lb_class=self._lb_class,
            backend=self._backend,
            now=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )
