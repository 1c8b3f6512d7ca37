"""The composition root of the controller: its parts, started together and stopped together."""

from __future__ import annotations

import asyncio
import os
import random
from typing import TYPE_CHECKING

from mercurylb import __version__
from mercurylb.api.configuration_state import CONTROLLER_NAME, POOL_CONDITION
from mercurylb.api.meta import OwnerReference
from mercurylb.config.resources import NATIVE
from mercurylb.controller.memberlist_secret import ensure_secret
from mercurylb.controller.metrics import ControllerMetrics
from mercurylb.controller.precedence import AfterWrites
from mercurylb.controller.reconciler import Outlets, Reconciler, Stores
from mercurylb.kube.access import AccessReviewer
from mercurylb.kube.client import KubeClient
from mercurylb.kube.configuration_report import ConfigurationReporter
from mercurylb.kube.credentials import load_credentials
from mercurylb.kube.events import EventRecorder
from mercurylb.kube.informers import Informers
from mercurylb.kube.kinds import (
    COMMUNITIES,
    CONFIGURATION_STATES,
    IP_ADDRESS_POOLS,
    NAMESPACES,
    PODS,
    SERVICES,
)
from mercurylb.kube.watch import Selection
from mercurylb.kube.writer import Writer
from mercurylb.telemetry import logs as log
from mercurylb.telemetry.daemon import run_until_stopped, start_servers, stop_on_signal
from mercurylb.telemetry.flags import FlagError
from mercurylb.telemetry.metrics import Registry, add_process_metrics

if TYPE_CHECKING:
    from mercurylb.api.configuration_state import ConfigurationState
    from mercurylb.controller.settings import ControllerSettings
    from mercurylb.kube.store import Store

COMPONENT = "metallb-controller"


def run(settings: ControllerSettings) -> int:
    """Run until told to stop; return the exit code."""
    log.configure(log.parse_level(settings.log_level) or log.Level.INFO)
    log.info("controller.starting", version=__version__)
    return run_until_stopped(_run(settings))


async def _run(settings: ControllerSettings) -> None:
    credentials = await load_credentials(os.environ)
    namespace = settings.namespace or credentials.namespace()
    if not namespace:
        raise FlagError(
            "the namespace of the configuration is not known: give --namespace or METALLB_NAMESPACE"
        )
    async with KubeClient(credentials, user_agent=f"mercurylb-controller/{__version__}") as client:
        owner = await _own_pod(client, namespace=namespace, name=settings.pod_name)
        if settings.ml_secret_name:
            await ensure_secret(
                client,
                namespace=namespace,
                name=settings.ml_secret_name,
                deployment=settings.deployment,
            )
        await _serve(settings, client, namespace=namespace, owner=owner)


async def _own_pod(client: KubeClient, *, namespace: str, name: str) -> OwnerReference | None:
    if not name:
        log.warning(
            "controller.pod_unknown",
            msg="objects of ours will outlive this program: give --pod-name or METALLB_POD_NAME",
        )
        return None
    pod = await client.get(PODS, name, namespace=namespace)
    return OwnerReference(api_version="v1", kind="Pod", name=name, uid=pod.metadata.uid)


async def _serve(
    settings: ControllerSettings,
    client: KubeClient,
    *,
    namespace: str,
    owner: OwnerReference | None,
) -> None:
    dice = random.SystemRandom()
    registry = Registry()
    add_process_metrics(registry)
    informers = Informers(client, random=dice, log=log)
    here = Selection(namespace=namespace)
    stores = Stores(
        services=informers.add(SERVICES),
        namespaces=informers.add(NAMESPACES),
        pools=informers.add(IP_ADDRESS_POOLS, here),
        communities=informers.add(COMMUNITIES, here),
    )
    states = informers.add(
        CONFIGURATION_STATES,
        Selection(namespace=namespace, fields=f"metadata.name={CONTROLLER_NAME}"),
    )
    writer = Writer(client, random=dice, log=log)
    recorder = EventRecorder(AfterWrites(client, writer), component=COMPONENT, random=dice, log=log)
    reporter = ConfigurationReporter(
        writer,
        namespace=namespace,
        name=CONTROLLER_NAME,
        component="controller",
        condition_type=POOL_CONDITION,
        field_manager="poolReconciler",
        owner=owner,
    )
    reconciler = Reconciler(
        stores,
        Outlets(writer, recorder, reporter, ControllerMetrics(registry)),
        lb_class=settings.lb_class,
        backend=os.environ.get("METALLB_BGP_TYPE", NATIVE),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(stop_on_signal())
        start_servers(
            group,
            settings,
            registry,
            authorize=AccessReviewer(client, log=log).status_of,
            ready={"caches": lambda: "" if informers.has_synced else "not filled yet"},
        )
        informers.start(group)
        group.create_task(writer.run())
        group.create_task(recorder.run())
        group.create_task(_reconcile(informers, reconciler, reporter, states))


async def _reconcile(
    informers: Informers,
    reconciler: Reconciler,
    reporter: ConfigurationReporter,
    states: Store[ConfigurationState],
) -> None:
    """Make a pass whenever the bell rings, from the moment on when every store is complete."""
    await informers.wait_synced()
    log.info("controller.caches_filled")
    while True:
        if any(states.get(key) is None for key in states.take_dirty()):
            reporter.repeat()
        reconciler.step()
        await informers.wakeup.wait()
