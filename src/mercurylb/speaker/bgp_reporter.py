"""What this node announces by BGP, told to Kubernetes: events, ServiceBGPStatus objects, log lines.

Whether a service is announced follows from the decision alone, and to whom from the routes that are
wanted: a session that is down changes neither (spec: bgp §7, §8). How sessions stand is told by
`session_reporter`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.kube.events import NORMAL, EventRecorder
from mercurylb.speaker.bgp_status import CREATES, diff
from mercurylb.speaker.reporter import DELETED, IP_CHANGED, OTHER_CLASS
from mercurylb.speaker.service_event import record_on
from mercurylb.speaker.status_keeper import StatusKeeper
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from mercurylb.api.service_bgp_status import ServiceBGPStatus
    from mercurylb.kube.store import Store
    from mercurylb.kube.writer import Writer
    from mercurylb.plan.bgp_decision import BgpReason
    from mercurylb.speaker.l2_status import Author
    from mercurylb.speaker.metrics import SpeakerMetrics
    from mercurylb.speaker.step import Step
    from mercurylb.speaker.view import View

_PROTOCOL: Final = "bgp"


class BgpReporter:
    """Tells what this node announces by BGP."""

    def __init__(  # noqa: PLR0913 (its collaborators)
        self,
        view: View,
        statuses: Store[ServiceBGPStatus],
        *,
        author: Author,
        writer: Writer,
        recorder: EventRecorder,
        metrics: SpeakerMetrics,
    ) -> None:
        self._view = view
        self._author = author
        self._recorder = recorder
        self._keeper = StatusKeeper(statuses, writer, creates=CREATES)
        self._announced: dict[str, tuple[str, ...]] = {}
        metrics.watch_bgp(self._announced, node=author.node)
        self._peers: frozenset[str] = frozenset()
        self._obstacle: BgpReason | None = None

    @property
    def announced(self) -> frozenset[str]:
        """Give the services that this node announces by BGP."""
        return frozenset(self._announced)

    def on_step(self, step: Step) -> None:
        """Tell what changed by a step, and put status objects right."""
        if step.has_bgp_changed:
            self._tell_peers()
        self._tell_obstacle()
        for service in sorted(step.planned):
            decision = self._view.bgp_decisions.get(service)
            is_announced = decision is not None and decision.reason is None
            self._note(service, decision.addresses if decision and is_announced else ())
        self._write(step.published)

    def _note(self, service: str, addresses: tuple[str, ...]) -> None:
        before = self._announced.get(service, ())
        if before == addresses:
            return
        is_other = set(before) != set(addresses)
        if before and is_other:
            self._tell_withdrawn(service, before, has_others=bool(addresses))
        if addresses:
            self._announced[service] = addresses
            if is_other:
                self._tell_announced(service, addresses)
        else:
            del self._announced[service]

    def _write(self, published: frozenset[str]) -> None:
        """Bring ServiceBGPStatus objects in line, of the services for which anything changed.

        Without a configuration nothing is known, and the announcer may go on with what it has.
        """
        if self._view.config is None:
            return
        touched = published | self._keeper.take_dirty()
        if not touched:
            return
        peers = {service: self._view.routes.peers_of(service) for service in touched}
        operations = diff(
            {service: names for service, names in peers.items() if names},
            self._keeper.items_of(touched),
            author=self._author,
        )
        self._keeper.submit(operations)

    def _tell_peers(self) -> None:
        peers = frozenset(self._view.peer_names)
        for name in sorted(self._peers - peers):
            log.info("speaker.peer_removed", peer=name)
        for name in sorted(peers - self._peers):
            log.info("speaker.peer_added", peer=name)
        self._peers = peers

    def _tell_obstacle(self) -> None:
        """Say once for all services that the node itself may not announce."""
        obstacle = self._view.bgp_obstacle
        if obstacle is not None and obstacle is not self._obstacle:
            log.warning("speaker.node_announces_nothing", reason=obstacle.value)
        self._obstacle = obstacle

    def _tell_announced(self, service: str, addresses: tuple[str, ...]) -> None:
        log.info(
            "speaker.service_announced", service=service, ips=list(addresses), protocol=_PROTOCOL
        )
        message = f'announcing from node "{self._author.node}" with protocol "{_PROTOCOL}"'
        known = self._view.service(service)
        record_on(known, self._recorder, NORMAL, "nodeAssigned", message)

    def _tell_withdrawn(
        self, service: str, addresses: tuple[str, ...], *, has_others: bool
    ) -> None:
        log.info(
            "speaker.service_withdrawn",
            service=service,
            ips=list(addresses),
            protocol=_PROTOCOL,
            reason=IP_CHANGED if has_others else self._why_withdrawn(service),
        )

    def _why_withdrawn(self, service: str) -> str:
        decision = self._view.bgp_decisions.get(service)
        if decision is not None and decision.reason is not None:
            return decision.reason.value
        return DELETED if self._view.service(service) is None else OTHER_CLASS
