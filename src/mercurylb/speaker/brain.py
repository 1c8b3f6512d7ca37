"""The composition root of a speaker's brain: it watches, plans, and tells its announcer.

It runs as a child of the announcer and may crash: a new one takes its place and the wire does not
notice. So it keeps nothing that it could not learn again, and says every few seconds that it lives.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mercurylb import __version__
from mercurylb.api.configuration_state import CONFIG_CONDITION, SPEAKER_NAME_PREFIX
from mercurylb.api.service_l2_status import NODE_LABEL
from mercurylb.config.resources import NATIVE
from mercurylb.kube.access import AccessReviewer
from mercurylb.kube.client import KubeClient
from mercurylb.kube.configuration_report import ConfigurationReporter
from mercurylb.kube.credentials import load_credentials
from mercurylb.kube.events import EventRecorder
from mercurylb.kube.informers import Informers
from mercurylb.kube.kinds import (
    CONFIGURATION_STATES,
    PODS,
    SERVICE_BGP_STATUSES,
    SERVICE_L2_STATUSES,
)
from mercurylb.kube.patience import through_outages
from mercurylb.kube.watch import Selection
from mercurylb.kube.writer import Writer
from mercurylb.net.channel import Channel
from mercurylb.plan.bgp_decision import BgpReason
from mercurylb.plan.desired import Observation, Renewal
from mercurylb.plan.layer2 import Layer2Reason
from mercurylb.speaker.bgp_backend import make_backend
from mercurylb.speaker.bgp_reporter import BgpReporter
from mercurylb.speaker.l2_status import Author, owner_reference
from mercurylb.speaker.member_report import MemberReporter
from mercurylb.speaker.metrics import SpeakerMetrics
from mercurylb.speaker.reporter import Reporter
from mercurylb.speaker.session_reporter import SessionReporter
from mercurylb.speaker.stores import Identity, Stores, watched_stores
from mercurylb.speaker.view import View
from mercurylb.telemetry import logs as log
from mercurylb.telemetry.api_metrics import add_api_metrics
from mercurylb.telemetry.daemon import (
    Stopped,
    run_until_stopped,
    start_servers,
    stop_on_signal,
)
from mercurylb.telemetry.daemon_flags import known_namespace, known_pod
from mercurylb.telemetry.metrics import Registry, add_process_metrics
from mercurylb.telemetry.tls import tls_options_of

if TYPE_CHECKING:
    import socket

    from mercurylb.api.configuration_state import ConfigurationState
    from mercurylb.api.meta import OwnerReference
    from mercurylb.api.pod import Pod
    from mercurylb.api.service_bgp_status import ServiceBGPStatus
    from mercurylb.api.service_l2_status import ServiceL2Status
    from mercurylb.kube.store import Store
    from mercurylb.speaker.settings import SpeakerSettings
    from mercurylb.speaker.step import Step

COMPONENT = "metallb-speaker"
RENEWAL_INTERVAL_S = 5.0
LABEL_MAX = 63
"""Longest value of a label."""
_MILD = (Layer2Reason.SHARED_IP_WITH_SERVICE_SELECTOR, BgpReason.TOO_MANY_COMMUNITIES)
HEALTH_HOST = "127.0.0.1"
"""The pod shares the node's network: only the node itself may ask."""


def run(settings: SpeakerSettings, sock: socket.socket) -> int:
    """Run until told to stop, or until the announcer is gone; return the exit code."""
    log.configure(log.parse_level(settings.log_level) or log.Level.INFO)
    return run_until_stopped(_run(settings, sock))


async def _run(settings: SpeakerSettings, sock: socket.socket) -> None:
    tls_options_of(settings)  # A bad flag ends the program before anything is asked of anybody.
    credentials = await load_credentials(os.environ)
    namespace = known_namespace(settings.namespace or credentials.namespace())
    known_pod(settings.pod_name)
    async with KubeClient(credentials, user_agent=f"mercurylb-speaker/{__version__}") as client:
        await _Brain(settings, client, sock, namespace=namespace).run()


@dataclass(frozen=True, slots=True)
class _Reporters:
    """What the brain tells Kubernetes, in the name of its pod."""

    services: Reporter
    bgp: BgpReporter
    sessions: SessionReporter
    configuration: ConfigurationReporter
    members: MemberReporter

    @property
    def announced(self) -> frozenset[str]:
        """Give the services that this node announces in any way."""
        return self.services.announced | self.bgp.announced


class _Brain:
    """The parts, and how they are tied together."""

    def __init__(
        self,
        settings: SpeakerSettings,
        client: KubeClient,
        sock: socket.socket,
        *,
        namespace: str,
    ) -> None:
        dice = self._dice = random.SystemRandom()
        node = settings.node_name
        self._settings = settings
        self._client = client
        self._sock = sock
        self._namespace = namespace
        self._channel: Channel[Observation] | None = None
        self._unreported: Observation | None = None
        self._rejection = ""
        self._has_announcer = False
        self._registry = Registry()
        add_process_metrics(self._registry)
        self._metrics = SpeakerMetrics(self._registry)
        self._informers = Informers(client, random=dice, log=log)
        stores, self._statuses, self._states = self._stores(namespace)
        self._bgp_statuses = self._own_bgp_statuses(namespace)
        identity = Identity(
            node=node,
            lb_class=settings.lb_class,
            ignore_exclude_lb=settings.ignore_exclude_lb,
            has_membership=settings.has_membership,
            backend=os.environ.get("METALLB_BGP_TYPE", NATIVE),
            passes_secrets=settings.frrk8s_secret_passthrough,
        )
        self._view = View(stores, identity)
        self._writer = Writer(client, random=dice, log=log)
        add_api_metrics(self._registry, writes=self._writer.counts, watches=self._informers.counts)
        self._recorder = EventRecorder(client, component=COMPONENT, host=node, random=dice, log=log)
        self._backend = make_backend(
            identity.backend,
            settings,
            os.environ,
            client=client,
            writer=self._writer,
            namespace=namespace,
            random=dice,
            on_observed=self._informers.wakeup.ring,
        )
        self._state_key = f"{namespace}/{SPEAKER_NAME_PREFIX}{node}"

    def _reporters(self, owner: OwnerReference) -> _Reporters:
        node, namespace = self._settings.node_name, self._namespace
        author = Author(node=node, namespace=namespace, pod=owner)
        return _Reporters(
            Reporter(
                self._view,
                self._statuses,
                author=author,
                writer=self._writer,
                recorder=self._recorder,
                metrics=self._metrics,
            ),
            BgpReporter(
                self._view,
                self._bgp_statuses,
                author=author,
                writer=self._writer,
                recorder=self._recorder,
                metrics=self._metrics,
            ),
            SessionReporter(self._writer, author=author, wakeup=self._informers.wakeup),
            ConfigurationReporter(
                self._writer,
                namespace=namespace,
                name=f"{SPEAKER_NAME_PREFIX}{node}",
                component="speaker",
                condition_type=CONFIG_CONDITION,
                field_manager="configReconciler",
                node=node,
                owner=owner,
            ),
            MemberReporter(self._writer),
        )

    def _stores(
        self, namespace: str
    ) -> tuple[Stores, Store[ServiceL2Status], Store[ConfigurationState]]:
        add, here = self._informers.add, Selection(namespace=namespace)
        own_state = Selection(
            namespace=namespace,
            fields=f"metadata.name={SPEAKER_NAME_PREFIX}{self._settings.node_name}",
        )
        stores = watched_stores(
            self._informers, namespace=namespace, speakers=self._settings.ml_labels
        )
        return stores, add(SERVICE_L2_STATUSES, here), add(CONFIGURATION_STATES, own_state)

    def _own_bgp_statuses(self, namespace: str) -> Store[ServiceBGPStatus]:
        """Watch this node's objects; a name that is no label's value has none of them."""
        node = self._settings.node_name
        labels = f"{NODE_LABEL}={node}" if len(node) <= LABEL_MAX else ""
        return self._informers.add(SERVICE_BGP_STATUSES, Selection(namespace, labels))

    async def run(self) -> None:
        """Run everything until the first part ends.

        The kubelet gets its answers from the start on, also while the API server is away.
        """
        self._channel = Channel(
            self._sock, Observation, on_message=self._on_observation, on_closed=self._on_closed
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(stop_on_signal())
            start_servers(
                group,
                self._settings,
                self._registry,
                authorize=AccessReviewer(self._client, log=log).status_of,
                ready={
                    "caches": lambda: "" if self._informers.has_synced else "not filled yet",
                    "announcer": lambda: "" if self._has_announcer else "has not answered yet",
                },
                health_host=HEALTH_HOST,
            )
            pod = await through_outages(self._own_pod, self._dice, log=log)
            reporters = self._reporters(owner_reference(pod))
            self._informers.start(group)
            group.create_task(self._writer.run())
            group.create_task(self._recorder.run())
            group.create_task(reporters.sessions.run(self._client, random=self._dice))
            if self._backend is not None:
                group.create_task(self._backend.run())
            group.create_task(self._renew(self._channel))
            group.create_task(self._plan(self._channel, reporters))

    async def _own_pod(self) -> Pod:
        return await self._client.get(PODS, self._settings.pod_name, namespace=self._namespace)

    async def _plan(self, channel: Channel[Observation], reporters: _Reporters) -> None:
        """Plan whenever the bell rings, from the moment on when every store is complete."""
        await self._informers.wait_synced()
        log.info("speaker.caches_filled")
        while not channel.is_closed:
            self._step(channel, reporters)
            await self._informers.wakeup.wait()
        raise Stopped

    def _step(self, channel: Channel[Observation], reporters: _Reporters) -> None:
        for key in self._states.take_dirty():
            reporters.configuration.observe(self._states.get(key))
        step = self._view.step(reporters.announced)
        self._metrics.config.updates.add(step.looked_at)
        if step.was_compiled:
            self._note_configuration(step, reporters.configuration)
        for decision in step.refusals:
            tell = log.warning if decision.reason in _MILD else log.error
            reason, detail = decision.reason, decision.detail
            tell("speaker.service_refused", service=decision.service, reason=reason, detail=detail)
        if step.has_changed:
            desired = self._view.desired
            channel.send(desired)
            log.debug(
                "speaker.desired",
                revision=desired.revision,
                services=len(desired.layer2),
                prefixes=sum(len(group.prefixes) for group in desired.bgp_routes),
            )
        if step.has_bgp_changed and self._backend is not None:
            self._backend.apply(self._view.wanted_bgp)
        reporters.bgp.on_step(step)
        if self._backend is not None:
            reporters.sessions.step(self._backend.observe())
        if self._unreported is not None:
            observation, self._unreported = self._unreported, None
            reporters.services.on_observation(observation)
            if self._backend is None:
                reporters.sessions.step(observation.sessions)
            state = self._states.get(self._state_key)
            reporters.members.step(observation.members, state, time.monotonic())
        else:
            reporters.services.write_statuses()

    def _note_configuration(self, step: Step, reporter: ConfigurationReporter) -> None:
        """Tell how the newest configuration fared; the same refusal is logged once."""
        self._metrics.config.note_config(
            is_accepted=not step.error, problems=len(step.error.splitlines())
        )
        self._metrics.config.errors.add(step.is_in_use)
        reporter.report(step.error)
        if step.error and step.error != self._rejection:
            log.error("config.rejected", problems=step.error.splitlines())
        elif step.is_loaded:
            log.info("config.loaded", revision=self._view.desired.revision)
        self._rejection = step.error

    async def _renew(self, channel: Channel[Observation]) -> None:
        while True:
            channel.send(Renewal(self._view.desired.revision))
            await asyncio.sleep(RENEWAL_INTERVAL_S)

    def _on_observation(self, observation: Observation) -> None:
        self._unreported = observation
        self._has_announcer = True
        if self._informers.has_synced:
            self._informers.wakeup.ring()

    def _on_closed(self) -> None:
        log.warning("speaker.announcer_gone", reason=self._channel.reason if self._channel else "")
        self._informers.wakeup.ring()
