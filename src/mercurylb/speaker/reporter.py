"""What the announcer sees, told to Kubernetes: events, ServiceL2Status objects, gauges, log lines.

Everything follows from the last observation and the last decisions; nothing is remembered but who
was announced before, because `nodeAssigned` is told on transitions only (spec: speaker §7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mercurylb.kube.correlator import Reference
from mercurylb.kube.events import NORMAL, WARNING, EventRecorder
from mercurylb.kube.operation import Verb
from mercurylb.kube.resource import Identified, key_of
from mercurylb.kube.writer import Outcome, Result, Writer
from mercurylb.speaker.l2_status import Announced, Author, diff
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from mercurylb.api.service_l2_status import ServiceL2Status
    from mercurylb.kube.store import Store
    from mercurylb.plan.desired import Observation, OwnedService
    from mercurylb.speaker.metrics import SpeakerMetrics
    from mercurylb.speaker.view import View

_PROTOCOL = "layer2"


class Reporter:
    """Tells what this node announces."""

    def __init__(  # noqa: PLR0913 (its collaborators)
        self,
        view: View,
        statuses: Store[ServiceL2Status],
        *,
        author: Author,
        writer: Writer,
        recorder: EventRecorder,
        metrics: SpeakerMetrics,
    ) -> None:
        self._view = view
        self._statuses = statuses
        self._author = author
        self._writer = writer
        self._recorder = recorder
        self._metrics = metrics
        self._owned: dict[str, OwnedService] = {}
        self._created: dict[str, str] = {}
        """Objects that were created and which the watch has not brought yet, by service."""

    @property
    def announced(self) -> frozenset[str]:
        """Give the services this node announces."""
        return frozenset(self._owned)

    def on_observation(self, observation: Observation) -> None:
        """Tell what changed since the last observation."""
        before, owned = self._owned, {entry.service: entry for entry in observation.owned}
        self._owned = owned
        self._metrics.note(observation, node=self._author.node)
        if owned == before:
            return
        for service in sorted(before.keys() - owned.keys()):
            self._tell_withdrawn(before[service])
        for service, entry in sorted(owned.items()):
            known = before.get(service)
            if known is None or set(known.addresses) != set(entry.addresses):
                self._tell_announced(entry)
            if entry.skipped and (known is None or known.skipped != entry.skipped):
                self._tell_skipped(entry)
        self.write_statuses()

    def write_statuses(self) -> None:
        """Bring the ServiceL2Status objects in line with what is announced."""
        self._forget_arrived()
        announced = [
            Announced(entry.service, self._interfaces(entry.service))
            for entry in self._owned.values()
            if len(entry.skipped) < len(entry.addresses)
        ]
        existing = self._statuses.objects.values()
        for key, operation in diff(announced, existing, author=self._author).items():
            service = key.removeprefix("create ")
            is_creation = operation.verb is Verb.CREATE
            if self._writer.is_busy(key) or (is_creation and service in self._created):
                continue
            if is_creation:
                self._writer.submit(key, operation, self._on_created)
            else:
                self._writer.submit(key, operation)

    def _on_created(self, outcome: Outcome) -> None:
        if outcome.result is Result.DONE:
            made = msgspec.json.decode(outcome.body, type=Identified).metadata
            self._created[outcome.key.removeprefix("create ")] = key_of(made)
            self._forget_arrived()
        elif outcome.result is not Result.SUPERSEDED:
            log.warning("speaker.status_refused", key=outcome.key, error=outcome.error)

    def _forget_arrived(self) -> None:
        self._created = {
            service: key for service, key in self._created.items() if key not in self._statuses
        }

    def _interfaces(self, service: str) -> tuple[str, ...] | None:
        decision = self._view.decisions.get(service)
        return decision.interfaces if decision is not None else None

    def _tell_announced(self, entry: OwnedService) -> None:
        log.info(
            "speaker.service_announced",
            service=entry.service,
            ips=list(entry.addresses),
            protocol=_PROTOCOL,
        )
        node = self._author.node
        message = f'announcing from node "{node}" with protocol "{_PROTOCOL}"'
        self._record(entry.service, NORMAL, "nodeAssigned", message)

    def _tell_skipped(self, entry: OwnedService) -> None:
        for address in entry.skipped:
            self._record(
                entry.service,
                WARNING,
                "announceFailed",
                f'the interfaces specified by LB IP "{address}" doesn\'t exist in assigned node '
                f'"{self._author.node}" with protocol "{_PROTOCOL}"',
            )

    def _tell_withdrawn(self, entry: OwnedService) -> None:
        decision = self._view.decisions.get(entry.service)
        if decision is None:
            reason = "serviceDeleted"
        else:
            reason = decision.reason.value if decision.reason else "notOwner"
        log.info(
            "speaker.service_withdrawn",
            service=entry.service,
            ips=list(entry.addresses),
            protocol=_PROTOCOL,
            reason=reason,
        )

    def _record(self, key: str, type_: str, reason: str, message: str) -> None:
        service = self._view.service(key)
        if service is None:
            return
        metadata = service.metadata
        about = Reference(
            api_version="v1",
            kind="Service",
            name=metadata.name,
            namespace=metadata.namespace,
            uid=metadata.uid,
            resource_version=metadata.resource_version,
        )
        self._recorder.record(about, type_, reason, message)
