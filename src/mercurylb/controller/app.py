"""The composition root of the controller: its parts, started together and stopped together.

Every replica serves webhooks and keeps its caches warm; the one that holds the lease acts. The
order of a start is: who we are, the lease, the caches, the first pass. The lease comes before the
caches, so that a controller that is alone lists once; one that is promoted later lists anew before
it decides, since its copy may be older than its predecessor's last write.
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import TYPE_CHECKING

from mercurylb import __version__
from mercurylb.api.meta import OwnerReference
from mercurylb.config.resources import FRR, NATIVE
from mercurylb.controller.definitions import DefinitionCheck
from mercurylb.controller.desk import Desk
from mercurylb.controller.memberlist_secret import deployment_reference, ensure_secret
from mercurylb.controller.shadow import run_shadow
from mercurylb.kube.access import AccessReviewer
from mercurylb.kube.backoff import CONTROLLER_CAP_S
from mercurylb.kube.client import KubeClient
from mercurylb.kube.credentials import load_credentials
from mercurylb.kube.elector import Elector, SoleActor
from mercurylb.kube.informers import Informers
from mercurylb.kube.kinds import PODS
from mercurylb.kube.lease import ElectionConfig
from mercurylb.kube.patience import through_outages
from mercurylb.telemetry import logs as log
from mercurylb.telemetry.daemon import Stopped, run_until_stopped, start_servers, wait_for_signal
from mercurylb.telemetry.daemon_flags import known_namespace, known_pod
from mercurylb.telemetry.metrics import Registry, add_process_metrics
from mercurylb.telemetry.tls import tls_options_of
from mercurylb.webhook.service import WebhookService

if TYPE_CHECKING:
    from mercurylb.controller.settings import ControllerSettings
    from mercurylb.kube.store import Wakeup
    from mercurylb.telemetry.server import Check

LEASE = "mercurylb-controller"
WEBHOOK_LEASE = "mercurylb-webhook"
"""Of those who only serve webhooks: they must not take the lease of those who allocate."""
IN_FLIGHT_PATIENCE_S = 0.5
"""How long requests that are under way may take when the program is told to stop."""


def run(settings: ControllerSettings) -> int:
    """Run until told to stop; return the exit code."""
    log.configure(log.parse_level(settings.log_level) or log.Level.INFO)
    log.info("controller.starting", version=__version__)
    return run_until_stopped(_run(settings))


async def _run(settings: ControllerSettings) -> None:
    tls_options_of(settings)  # A bad flag ends the program before anything is asked of anybody.
    credentials = await load_credentials(os.environ)
    namespace = known_namespace(settings.namespace or credentials.namespace())
    backend = os.environ.get("METALLB_BGP_TYPE") or NATIVE
    if backend == FRR:
        log.warning("controller.backend_deprecated", backend=backend)
    if not settings.shadow:
        known_pod(settings.pod_name)
    async with KubeClient(credentials, user_agent=f"mercurylb-controller/{__version__}") as client:
        if settings.shadow:
            await run_shadow(settings, client, namespace=namespace, backend=backend)
            return
        app = _App(settings, client, namespace=namespace, backend=backend)
        await app.run()


class _App:
    """One run of the program."""

    def __init__(
        self, settings: ControllerSettings, client: KubeClient, *, namespace: str, backend: str
    ) -> None:
        self._settings = settings
        self._client = client
        self._namespace = namespace
        self._backend = backend
        self._dice = random.SystemRandom()
        self._deployment: OwnerReference | None = None

    async def run(self) -> None:
        """Run everything until told to stop.

        The kubelet gets its answers from the start on, also while the API server is away.
        """
        told = asyncio.create_task(wait_for_signal())
        informers = self._informers()
        registry = Registry()
        add_process_metrics(registry)
        ready: dict[str, Check] = {
            "caches": lambda: "" if informers.has_synced else "not filled yet"
        }
        webhooks = self._webhooks(registry) if self._settings.serves_webhooks else None
        if webhooks is not None:
            ready["webhooks"] = webhooks.check
        async with asyncio.TaskGroup() as group:
            start_servers(
                group,
                self._settings,
                registry,
                authorize=AccessReviewer(self._client, log=log).status_of,
                ready=ready,
            )
            owner = await self._prepared(told)
            elector = self._elector(owner, informers.wakeup)
            desk = Desk(
                informers,
                elector or SoleActor(self._client),
                allocates=self._settings.allocates,
                namespace=self._namespace,
                owner=owner,
                lb_class=self._settings.lb_class,
                backend=self._backend,
                registry=registry,
                dice=self._dice,
            )
            group.create_task(self._stop(told, desk, elector, webhooks))
            if webhooks is not None:
                group.create_task(webhooks.run())
            if elector is not None:
                group.create_task(elector.run())
                await elector.settled.wait()
            desk.start(group)
            group.create_task(DefinitionCheck(self._client, registry).run())

    async def _prepared(self, told: asyncio.Task[None]) -> OwnerReference:
        """Prepare, unless we are told to stop before that is done."""
        start = asyncio.create_task(self._prepare())
        await asyncio.wait((told, start), return_when=asyncio.FIRST_COMPLETED)
        if told.done():
            start.cancel()
            raise Stopped
        return start.result()

    async def _prepare(self) -> OwnerReference:
        """Do what has to be done before anything else; an API server that is away is waited for."""
        settings, namespace = self._settings, self._namespace
        pod = await through_outages(
            lambda: self._client.get(PODS, settings.pod_name, namespace=namespace),
            self._dice,
            log=log,
        )
        if settings.ml_secret_name:
            await through_outages(
                lambda: ensure_secret(
                    self._client,
                    namespace=namespace,
                    name=settings.ml_secret_name,
                    deployment=settings.deployment,
                ),
                self._dice,
                log=log,
            )
            self._deployment = await through_outages(
                lambda: deployment_reference(self._client, namespace, settings.deployment),
                self._dice,
                log=log,
            )
        return OwnerReference(
            api_version="v1", kind="Pod", name=settings.pod_name, uid=pod.metadata.uid
        )

    def _informers(self) -> Informers:
        return Informers(self._client, random=self._dice, log=log, retry_cap_s=CONTROLLER_CAP_S)

    def _elector(self, owner: OwnerReference, bell: Wakeup) -> Elector | None:
        if not self._settings.leader_elect:
            return None
        # A container that is started again is the same pod: it takes its own lease back at once.
        identity = f"{owner.name}_{owner.uid}"
        config = ElectionConfig(identity=identity, owner=self._deployment)
        return Elector(
            self._client,
            config,
            namespace=self._namespace,
            name=LEASE if self._settings.allocates else WEBHOOK_LEASE,
            bell=bell,
            random=self._dice,
            log=log,
        )

    def _webhooks(self, registry: Registry) -> WebhookService:
        return WebhookService(
            self._settings,
            self._client,
            namespace=self._namespace,
            backend=self._backend,
            registry=registry,
            random=self._dice,
        )

    async def _stop(
        self,
        told: asyncio.Task[None],
        desk: Desk,
        elector: Elector | None,
        webhooks: WebhookService | None,
    ) -> None:
        """Once told to, send nothing new, let what is under way end, and give the lease back."""
        await told
        desk.close()
        if elector is not None:
            await elector.release(in_flight_patience_s=IN_FLIGHT_PATIENCE_S)
        if webhooks is not None:
            await webhooks.wind_down()
        raise Stopped
