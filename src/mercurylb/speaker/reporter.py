"""What the announcer sees, told to Kubernetes: events, ServiceL2Status objects, gauges, log lines.

Everything follows from the last observation and the last decisions; nothing is remembered but what
was told before, because events are for transitions only (spec: speaker §7).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from mercurylb.kube.events import NORMAL, WARNING, EventRecorder
from mercurylb.plan.testimony import Dispute, disputes_of, encode_disputes, read_disputes
from mercurylb.speaker.dispute import DisputeTeller
from mercurylb.speaker.l2_status import Announced, Author, diff
from mercurylb.speaker.service_event import record_on
from mercurylb.speaker.status_keeper import StatusKeeper
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.api.service_l2_status import ServiceL2Status
    from mercurylb.kube.store import Store
    from mercurylb.kube.writer import Writer
    from mercurylb.plan.desired import Observation, OwnedService
    from mercurylb.speaker.metrics import SpeakerMetrics
    from mercurylb.speaker.view import View

_PROTOCOL: Final = "layer2"

IP_CHANGED: Final = "loadBalancerIPChanged"
DELETED: Final = "serviceDeleted"
OTHER_CLASS: Final = "otherClass"
NOT_OWNER: Final = "notOwner"


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
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._teller = DisputeTeller(author.node)
        self._disputes: dict[str, tuple[Dispute, ...]] = {}
        self._view = view
        self._author = author
        self._recorder = recorder
        self._metrics = metrics
        self._owned: dict[str, OwnedService] = {}
        self._announced: dict[str, Announced] = {}
        self._keeper = StatusKeeper(statuses, writer, creates="create ")

    @property
    def announced(self) -> frozenset[str]:
        """Give the services this node announces."""
        return frozenset(self._owned)

    def on_observation(self, observation: Observation) -> None:
        """Tell what changed since the last observation."""
        before, owned = self._owned, {entry.service: entry for entry in observation.owned}
        self._owned = owned
        self._metrics.note(observation, node=self._author.node)
        for service in sorted(before.keys() - owned.keys()):
            self._teller.forget(service)
            self._tell_withdrawn(before[service], self._why_withdrawn(service))
        for service, entry in sorted(owned.items()):
            known = before.get(service)
            if known == entry:
                continue
            if known is None or set(known.addresses) != set(entry.addresses):
                if known is not None:
                    self._tell_withdrawn(known, IP_CHANGED)
                self._tell_announced(entry)
            if entry.skipped and (known is None or known.skipped != entry.skipped):
                self._tell_skipped(entry)
        self._note_disputes(observation)
        self.write_statuses()

    def _note_disputes(self, observation: Observation) -> None:
        """Sort who else claims what to the services, and tell what is new about it."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._wall_clock()))
        found: dict[str, tuple[Dispute, ...]] = {}
        for service, entry in self._owned.items() if observation.conflicts else ():
            told = self._told_disputes(service)
            disputes = disputes_of(observation.conflicts, entry.addresses, before=told, now=now)
            if disputes:
                found[service] = disputes
        self._disputes = found
        self._metrics.note_disputes(found.values())
        for event in self._teller.step(found, self._clock()):
            self._record(event.service, event.type, event.reason, event.message)

    def _told_disputes(self, service: str) -> tuple[Dispute, ...]:
        """Give what was told before: by this process, or by an earlier one in the object."""
        if service in self._disputes:
            return self._disputes[service]
        items = self._keeper.items_of((service,))
        return tuple(
            each for item in items if item.node == self._author.node for each in read_disputes(item)
        )

    def write_statuses(self) -> None:
        """Bring ServiceL2Status objects in line, of the services for which anything changed."""
        touched = self._keeper.take_dirty()
        announced = {
            entry.service: Announced(
                entry.service,
                self._interfaces(entry.service),
                encode_disputes(self._disputes.get(entry.service, ())),
            )
            for entry in self._owned.values()
            if len(entry.skipped) < len(entry.addresses)
        }
        touched |= {key for key, entry in announced.items() if self._announced.get(key) != entry}
        touched |= self._announced.keys() - announced.keys()
        self._announced = announced
        operations = diff(
            [announced[service] for service in touched if service in announced],
            self._keeper.items_of(touched),
            author=self._author,
        )
        self._keeper.submit(operations)

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
        self._metrics.takeovers.add(1)
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

    def _why_withdrawn(self, service: str) -> str:
        decision = self._view.decisions.get(service)
        if decision is not None:
            return decision.reason.value if decision.reason else NOT_OWNER
        return DELETED if self._view.service(service) is None else OTHER_CLASS

    def _tell_withdrawn(self, entry: OwnedService, reason: str) -> None:
        self._metrics.withdrawals.add(1, reason)
        log.info(
            "speaker.service_withdrawn",
            service=entry.service,
            ips=list(entry.addresses),
            protocol=_PROTOCOL,
            reason=reason,
        )

    def _record(self, key: str, type_: str, reason: str, message: str) -> None:
        record_on(self._view.service(key), self._recorder, type_, reason, message)
