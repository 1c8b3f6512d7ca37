"""The speaker in shadow mode: no announcer at all, so that nothing can be sent.

It has no packet socket, is no member of anything and takes no part in BGP. It makes the decisions
of a speaker on its node, from the same objects and by the same plan, and compares them with what
the speakers in charge say in their status objects. Who of them lives is what their pods say.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

from mercurylb import __version__
from mercurylb.api.configuration_state import SPEAKER_NAME_PREFIX
from mercurylb.kube.access import AccessReviewer
from mercurylb.kube.client import KubeClient
from mercurylb.kube.credentials import load_credentials
from mercurylb.kube.informers import Informers
from mercurylb.kube.kinds import CONFIGURATION_STATES, SERVICE_BGP_STATUSES, SERVICE_L2_STATUSES
from mercurylb.kube.watch import Selection
from mercurylb.plan.shadow import compare_bgp, compare_configuration, compare_layer2
from mercurylb.speaker.start import backend_of
from mercurylb.speaker.stores import Identity, watched_stores
from mercurylb.speaker.view import View
from mercurylb.telemetry import logs as log
from mercurylb.telemetry.daemon import run_until_stopped
from mercurylb.telemetry.daemon_flags import known_namespace
from mercurylb.telemetry.flags import FlagError
from mercurylb.telemetry.shadow import tell_until_stopped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.plan.shadow import Difference
    from mercurylb.speaker.settings import SpeakerSettings


def run(settings: SpeakerSettings) -> int:
    """Run until told to stop; return the exit code."""
    return run_until_stopped(_run(settings))


async def _run(settings: SpeakerSettings) -> None:
    credentials = await load_credentials(os.environ)
    namespace = known_namespace(settings.namespace or credentials.namespace())
    if not settings.node_name:
        raise FlagError("must specify --node-name or METALLB_NODE_NAME")
    async with KubeClient(credentials, user_agent=f"mercurylb-speaker/{__version__}") as client:
        await _Shadow(settings, client, namespace=namespace).run()


class _Shadow:
    """One run of the program."""

    def __init__(self, settings: SpeakerSettings, client: KubeClient, *, namespace: str) -> None:
        node = settings.node_name
        self._settings = settings
        self._client = client
        self._node = node
        self._informers = Informers(client, random=random.SystemRandom(), log=log)
        self._stores = watched_stores(
            self._informers, namespace=namespace, speakers=settings.ml_labels
        )
        identity = Identity(
            node=node,
            lb_class=settings.lb_class,
            ignore_exclude_lb=settings.ignore_exclude_lb,
            has_membership=bool(settings.ml_labels),
            backend=backend_of(os.environ),
            passes_secrets=settings.frrk8s_secret_passthrough,
        )
        self._view = View(self._stores, identity)
        add, here = self._informers.add, Selection(namespace=namespace)
        self._l2_statuses = add(SERVICE_L2_STATUSES, here)
        self._bgp_statuses = add(SERVICE_BGP_STATUSES, here)
        self._state_name = f"{SPEAKER_NAME_PREFIX}{node}"
        self._state_key = f"{namespace}/{self._state_name}"
        self._states = add(
            CONFIGURATION_STATES,
            Selection(namespace=namespace, fields=f"metadata.name={self._state_name}"),
        )
        self._error = ""

    async def run(self) -> None:
        """Look, tell, and wait for the next change."""
        await tell_until_stopped(
            self._settings,
            self._informers,
            self._look,
            authorize=AccessReviewer(self._client, log=log).status_of,
            on_filled=lambda: log.info("speaker.caches_filled"),
            node=self._node,
        )

    def _look(self) -> Iterator[Difference]:
        step = self._view.step(())
        if step.was_compiled:
            self._error = step.error
        state = self._states.get(self._state_key)
        yield from compare_configuration(self._state_name, self._error, state)
        if self._view.config is None:
            return
        yield from compare_layer2(
            self._view.decisions,
            tuple(self._l2_statuses.objects.values()),
            node=self._node,
            live=self._live(),
        )
        peers = {service: self._view.routes.peers_of(service) for service in self._services()}
        statuses = tuple(self._bgp_statuses.objects.values())
        yield from compare_bgp(
            {service: names for service, names in peers.items() if names},
            statuses,
            node=self._node,
        )

    def _services(self) -> tuple[str, ...]:
        return tuple(self._view.bgp_decisions)

    def _live(self) -> frozenset[str]:
        """Give the nodes whose speaker works, or every node where speakers do not watch others."""
        if not self._settings.ml_labels:
            return frozenset(self._stores.nodes.objects)
        return frozenset(pod.node for pod in self._stores.pods.objects.values() if pod.is_ready)
