"""What is told about the decisions on services: events, log lines, and the count of failures.

Deciding again is cheap and frequent, and mostly says the same again. So an event is told again only
when the service or the reason changed; an assignment ends the memory of why a service waited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.controller.echo import Wish, wish_of
from mercurylb.kube.correlator import Reference
from mercurylb.plan.decision import EventNote, Outcome
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from mercurylb.api.service import Service
    from mercurylb.controller.surroundings import Outlets
    from mercurylb.plan.decision import ServiceDecision


class ServiceReporter:
    """Tells what was decided, and remembers whom it told what."""

    def __init__(self, outlets: Outlets) -> None:
        self._recorder = outlets.recorder
        self._errors = outlets.metrics.config.errors
        self._told: dict[str, tuple[tuple[EventNote, ...], Wish]] = {}
        """Of services that were told why they wait."""

    def report(self, service: Service, decision: ServiceDecision) -> None:
        """Tell what was decided about a service, as far as it was not told before."""
        self._tell(service, decision)
        key = decision.service
        if decision.outcome is Outcome.ASSIGNED:
            log.info(
                "alloc.assigned", service=key, pool=decision.pool, ips=list(decision.addresses)
            )
        elif not decision.converged:
            self._errors.add(1)
            log.info("alloc.pending", service=key, reason=decision.pending_reason)

    def forget(self, key: str) -> None:
        """Forget a service that is none of ours any more."""
        self._told.pop(key, None)

    def close(self) -> None:
        """Drop what was not sent yet."""
        self._recorder.forget_all()

    def _tell(self, service: Service, decision: ServiceDecision) -> None:
        key = decision.service
        events = decision.events
        told = (events, wish_of(service)) if events else None
        if told != self._told.get(key):
            for note in events:
                self._recorder.record(_reference(service), note.type, note.reason, note.message)
        if told is None or decision.outcome is Outcome.ASSIGNED:
            self._told.pop(key, None)
        else:
            self._told[key] = told


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
