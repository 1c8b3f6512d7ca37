"""From a decision about a service to its status: what is written, when, and what came of it.

* No status shows an address before its former holder's status has stopped to (`handover`): whoever
  waits for that withdraws meanwhile what it is not to have, and is decided about again afterwards.
* What the watch brings back of our own writes is not planned again (`echo`). One exception: who got
  one address of two is, since the reason why there is no other one is told then.
* A conflict is planned again with the version that caused it; a write that the API server refuses
  is planned again too, ever more seldom.
* What is written is what was decided last: a service that says already what it should has the write
  withdrawn that still waits.
* Every write that was handed over is counted until its outcome is known; with too many of them
  nobody should be decided about, and the bell rings when there is room again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.controller.echo import is_echo
from mercurylb.controller.handover import Handover
from mercurylb.kube.kinds import SERVICES
from mercurylb.kube.operation import Operation, Verb
from mercurylb.kube.writer import Outcome, Result
from mercurylb.plan.decision import diff
from mercurylb.plan.patch import patch_decided
from mercurylb.plan.service import lacks_family
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mercurylb.api.service import Service
    from mercurylb.controller.surroundings import Outlets
    from mercurylb.kube.store import Store
    from mercurylb.plan.decision import ServiceDecision, StatusPatch

WRITES_MAX: Final = 500
"""Writes of services under way or waiting beyond which nobody is decided about: what was decided is
kept until it is written, and the API server has enough to do."""
REFUSED_RETRY_S: Final = 1.0
REFUSED_RETRY_MAX_S: Final = 300.0
"""A write that the API server refuses is planned again, ever more seldom."""


class Publisher:
    """Makes the statuses of services say what was decided."""

    def __init__(
        self, services: Store[Service], outlets: Outlets, *, now: Callable[[], str]
    ) -> None:
        self._services = services
        self._outlets = outlets
        self._now = now
        self._handover = Handover()
        self._written: dict[str, tuple[Service, ServiceDecision]] = {}
        """What was planned for and decided where a write is under way."""
        self._refusals: dict[str, int] = {}
        self._write_count = 0
        """Writes that have no outcome yet."""
        self._is_closed = False

    @property
    def is_full(self) -> bool:
        """Tell whether outcomes should be awaited before more is decided."""
        return self._write_count >= WRITES_MAX

    def take_echo(self, key: str) -> bool:
        """Tell whether a service is as our last write made it; that is asked once per write."""
        expected = self._written.get(key)
        service = self._services.get(key)
        if expected is None or service is None or not is_echo(service, *expected):
            return False
        del self._written[key]
        return True

    def on_changed(self, key: str) -> list[str]:
        """Take what the store says of a service; gives those that need not wait any more."""
        return self._handover.on_changed(key, self._services.get(key))

    def on_decided(self, service: Service, addresses: Iterable[str]) -> None:
        """Take what a service is to have from now on, before anything of it is published.

        Whatever else its status may show is left by it, and nobody else shows that until it is.
        """
        self._services.mark_dirty(self._handover.on_decided(service, addresses))

    def publish(self, service: Service, decision: ServiceDecision) -> None:
        """Have the status say what was decided, or as much of it as may be said now."""
        key = decision.service
        patch = diff(decision)
        if patch is None:
            self._written.pop(key, None)
            self._outlets.writer.discard(_write_key(key))
        elif holders := self._handover.former_holders(key, decision.addresses):
            self._handover.wait(key, holders)
            self._written.pop(key, None)
            self._withdraw(service, decision)
        else:
            if lacks_family(service, decision):
                # Its echo is looked at, and then it is told why the family is missing.
                self._written.pop(key, None)
            else:
                self._written[key] = service, decision
            self._write(service, patch, decision.addresses)

    def forget(self, key: str) -> None:
        """Forget a service that is none of ours any more; it shows nothing of ours either."""
        self._written.pop(key, None)
        self._refusals.pop(key, None)
        self._services.mark_dirty(self._handover.on_changed(key, None))
        self._outlets.writer.discard(_write_key(key))

    def close(self) -> None:
        """Take no notice of late answers."""
        self._is_closed = True

    def _withdraw(self, service: Service, decision: ServiceDecision) -> None:
        """Have a service that waits for others at least stop showing what others may wait for."""
        self._outlets.writer.discard(_write_key(service.metadata.key))
        if self._handover.shown(service).difference(decision.addresses):
            patch = patch_decided(service, None, wait=None, now=self._now())
            if patch is not None:
                self._write(service, patch, ())

    def _write(self, service: Service, patch: StatusPatch, addresses: tuple[str, ...]) -> None:
        key = service.metadata.key
        version = service.metadata.resource_version
        operation = Operation(
            Verb.MERGE, SERVICES, patch.name, patch.namespace, patch.body, subresource="status"
        )
        self._handover.on_write(service, addresses)
        self._write_count += 1

        def on_outcome(outcome: Outcome) -> None:
            self._write_count -= 1
            if self._write_count == WRITES_MAX - 1:
                self._services.wakeup.ring()  # There is room again.
            if outcome.result is not Result.DONE:
                self._handover.on_write_failed(key, version, addresses)
                self._services.mark_dirty(self.on_changed(key))
            self._on_written(key, version, outcome)

        self._outlets.writer.submit(_write_key(key), operation, on_outcome)

    def _on_written(self, key: str, version: str, outcome: Outcome) -> None:
        """Plan again after a conflict, or leave that to the newer version when it arrives."""
        if self._is_closed:
            return
        if outcome.result is Result.DONE:
            self._refusals.pop(key, None)
            self._outlets.metrics.assignment.end(key)
            return
        if outcome.result in (Result.SUPERSEDED, Result.FENCED):
            return
        self._written.pop(key, None)
        if outcome.result is Result.CONFLICT:
            service = self._services.get(key)
            if service is not None and service.metadata.resource_version != version:
                self._services.mark_dirty((key,))
        elif outcome.result in (Result.REFUSED, Result.GIVEN_UP):
            self._outlets.metrics.config.errors.add(1)
            log.error("alloc.write_refused", service=key, error=outcome.error)
            self._retry_later(key)

    def _retry_later(self, key: str) -> None:
        count = self._refusals[key] = self._refusals.get(key, 0) + 1
        delay_s = min(REFUSED_RETRY_S * 2.0 ** min(count - 1, 16), REFUSED_RETRY_MAX_S)
        self._outlets.later(delay_s, lambda: self._services.mark_dirty((key,)))


def _write_key(key: str) -> str:
    return f"Service {key}"
