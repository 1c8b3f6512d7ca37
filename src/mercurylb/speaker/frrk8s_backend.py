"""The `frr-k8s` backend: one FRRConfiguration of this node, and what frr-k8s says of its sessions.

Level triggered: what the object is to say follows from the last thing wanted, what it says from the
last observation or answer, and only a difference is written. So a change or deletion by hand is put
right. An API server fills in defaults; what it made of our last write counts as what we wanted.

Until something is wanted for the first time the object stays as it is: a speaker that starts again
does not take the sessions down. It also stays when the speaker ends.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mercurylb.bgp.report import SessionReport
from mercurylb.errors import ConfigError
from mercurylb.frr.object import (
    API_VERSION,
    KIND,
    configuration_name,
    frr_configuration,
    plain,
    retracted,
)
from mercurylb.frr.session import target_of
from mercurylb.frr.session_state import NO_BFD, NODE_LABEL, BGPSessionState
from mercurylb.frr.session_state import target_of as target_in_state
from mercurylb.kube.informers import Informers
from mercurylb.kube.operation import Operation, Verb, encode
from mercurylb.kube.resource import Resource
from mercurylb.kube.watch import Selection
from mercurylb.kube.writer import Outcome, Result
from mercurylb.speaker.frr_intent import sound_intent
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from mercurylb.config.model import Peer
    from mercurylb.kube.client import KubeClient
    from mercurylb.kube.writer import Writer
    from mercurylb.plan.bgp_wanted import BgpWanted

GROUP: Final = "frrk8s.metallb.io"
DEBOUNCE_S: Final = 0.1
"""MetalLB 0.16 waits for 3 s."""
REFUSED_RETRY_S: Final = 5.0


class Metadata(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Everything in the metadata that a replacement has to keep."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: tuple[dict[str, Any], ...] | None = None
    finalizers: tuple[str, ...] | None = None


class FRRConfiguration(msgspec.Struct, frozen=True, omit_defaults=True):
    """The object as it is; its spec as JSON values."""

    metadata: Metadata = Metadata()
    spec: dict[str, Any] | None = None


CONFIGURATIONS: Final = Resource(GROUP, "v1beta1", "frrconfigurations", KIND, FRRConfiguration)
SESSION_STATES: Final = Resource(
    GROUP, "v1beta1", "bgpsessionstates", "BGPSessionState", BGPSessionState
)


class FrrK8sBackend:
    """Keeps the node's FRRConfiguration as it is wanted."""

    def __init__(  # noqa: PLR0913 (which object, and whom it talks to)
        self,
        client: KubeClient,
        writer: Writer,
        *,
        node: str,
        namespace: str,
        passes_secrets: bool,
        random: Random,
        on_observed: Callable[[], None] = lambda: None,
    ) -> None:
        self._writer = writer
        self._node = node
        self._namespace = namespace
        self._passes_secrets = passes_secrets
        self._on_observed = on_observed
        self._name = configuration_name(node)
        name = f"metadata.name={self._name}"
        # Watched apart: where frr-k8s is missing, the speaker goes on with everything else.
        self._configurations = Informers(client, random=random, log=log)
        self._found = self._configurations.add(
            CONFIGURATIONS, Selection(namespace=namespace, fields=name)
        )
        self._reports = Informers(client, random=random, log=log)
        self._states = self._reports.add(
            SESSION_STATES, Selection(namespace=namespace, labels=f"{NODE_LABEL}={node}")
        )
        self._peers: tuple[Peer, ...] = ()
        self._wanted: dict[str, Any] | None = None
        self._observed: FRRConfiguration | None = None
        self._answered: tuple[object, object] = (None, None)
        """What was wanted at the last write, and what the API server made of it."""
        self._is_writing = False
        self._is_waiting = False

    def apply(self, wanted: BgpWanted) -> None:
        """Take what is wanted; what the object cannot say leaves it as it is."""
        try:
            spec = frr_configuration(
                sound_intent(wanted), node=self._node, passes_secrets=self._passes_secrets
            )
        except ConfigError as error:
            log.error("frr.configuration_refused", error=error)
            return
        self._peers = wanted.peers
        values = plain(spec)
        if values == self._wanted:
            return
        self._wanted = values
        if log.is_enabled(log.Level.DEBUG):
            log.debug("frr.configuration_wanted", configuration=plain(retracted(spec)))
        self._put_right_in(DEBOUNCE_S)

    def observe(self) -> tuple[SessionReport, ...]:
        """Give what frr-k8s says of this node's sessions, by the names of their peers."""
        by_target = {(target_of(peer), peer.vrf): peer for peer in self._peers}
        found = []
        for state in self._states.objects.values():
            status = state.status
            peer = by_target.get((target_in_state(status.peer), status.vrf)) if status else None
            if status is None or peer is None:
                continue
            found.append(
                SessionReport(
                    name=peer.name,
                    peer=target_of(peer),
                    state=status.bgp_status,
                    since_s=0.0,
                    vrf=peer.vrf,
                    asn=peer.local_asn or peer.my_asn,
                    peer_asn=peer.peer_asn,
                    bfd="" if status.bfd_status == NO_BFD else status.bfd_status,
                )
            )
        return tuple(sorted(found, key=lambda report: report.name))

    async def run(self) -> None:
        """Watch the object and the sessions until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._configurations.start(group)
            self._reports.start(group)
            group.create_task(self._watch_configuration())
            group.create_task(self._watch_sessions())

    async def _watch_configuration(self) -> None:
        await self._configurations.wait_synced()
        while True:
            self._found.take_dirty()
            self._observe(self._found.get(f"{self._namespace}/{self._name}"))
            await self._configurations.wakeup.wait()

    async def _watch_sessions(self) -> None:
        states: dict[str, str] = {}
        while True:
            await self._reports.wakeup.wait()
            self._states.take_dirty()
            for report in self.observe():
                if states.get(report.name) != report.state:
                    states[report.name] = report.state
                    log.info("frr.session_changed", peer=report.name, state=report.state)
            self._on_observed()

    def _observe(self, found: FRRConfiguration | None) -> None:
        if found is None or not _is_older(found, self._observed):
            self._observed = found
        self._put_right()

    def _put_right_in(self, delay_s: float) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            asyncio.get_running_loop().call_later(delay_s, self._end_waiting)

    def _end_waiting(self) -> None:
        self._is_waiting = False
        self._put_right()

    def _put_right(self) -> None:
        if self._wanted is None or self._is_writing or not self._found.has_synced:
            return
        if self._is_waiting:
            return  # It will be looked at again soon.
        metadata = Metadata(name=self._name, namespace=self._namespace)
        verb, name = Verb.CREATE, ""
        if self._observed is not None:
            spec = self._observed.spec
            if spec == self._wanted or (self._wanted, spec) == self._answered:
                return
            metadata = self._observed.metadata
            verb, name = Verb.REPLACE, self._name
        wanted = self._wanted
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": wanted}
        operation = Operation(verb, CONFIGURATIONS, name, self._namespace, encode(body))
        self._is_writing = True
        self._writer.submit(
            f"{KIND} {self._name}", operation, lambda outcome: self._on_written(outcome, wanted)
        )

    def _on_written(self, outcome: Outcome, wanted: dict[str, Any]) -> None:
        self._is_writing = False
        if outcome.result is Result.DONE:
            written = CONFIGURATIONS.decoder.decode(outcome.body)
            self._answered = (wanted, written.spec)
            log.info("frr.configuration_written", object=f"{KIND} {self._namespace}/{self._name}")
            self._observe(written)
        elif outcome.result is Result.VANISHED and outcome.operation.verb is Verb.REPLACE:
            self._observe(None)
        elif outcome.result is Result.CONFLICT:
            self._put_right_in(DEBOUNCE_S)  # The watch shows meanwhile what is there by now.
        elif outcome.result is not Result.SUPERSEDED:
            log.error(
                "frr.configuration_write_refused",
                msg="the API server does not take it, or there is no frr-k8s; tried again",
                object=f"{KIND} {self._namespace}/{self._name}",
                reason=str(outcome.error),
            )
            self._put_right_in(REFUSED_RETRY_S)


def _is_older(found: FRRConfiguration, known: FRRConfiguration | None) -> bool:
    """Tell whether this is the past: a watch may lag behind the answers of our writes."""
    if known is None or known.metadata.uid != found.metadata.uid:
        return False
    ours, theirs = known.metadata.resource_version, found.metadata.resource_version
    return ours.isdecimal() and theirs.isdecimal() and int(theirs) < int(ours)
