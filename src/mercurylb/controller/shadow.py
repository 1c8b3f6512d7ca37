"""The controller in shadow mode: it watches what another one does, and says where it would differ.

It has no writer, no recorder of events, no lease and no webhooks; nothing here could write. What
the statuses say is compared with the first pass of a controller of ours, made anew at each look.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from mercurylb.api.configuration_state import CONTROLLER_NAME
from mercurylb.config.compilation import compile_config
from mercurylb.config.problem import summarize
from mercurylb.config.resources import Resources
from mercurylb.kube.access import AccessReviewer
from mercurylb.kube.backoff import CONTROLLER_CAP_S
from mercurylb.kube.informers import Informers
from mercurylb.kube.kinds import (
    COMMUNITIES,
    CONFIGURATION_STATES,
    IP_ADDRESS_POOLS,
    NAMESPACES,
    SERVICES,
)
from mercurylb.kube.watch import Selection
from mercurylb.plan.shadow import compare_configuration, compare_services
from mercurylb.telemetry import logs as log
from mercurylb.telemetry.shadow import tell_until_stopped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.controller.settings import ControllerSettings
    from mercurylb.kube.client import KubeClient
    from mercurylb.plan.shadow import Difference


async def run_shadow(
    settings: ControllerSettings, client: KubeClient, *, namespace: str, backend: str
) -> None:
    """Watch until told to stop."""
    await _Shadow(settings, client, namespace=namespace, backend=backend).run()


class _Shadow:
    """One run of the program."""

    def __init__(
        self, settings: ControllerSettings, client: KubeClient, *, namespace: str, backend: str
    ) -> None:
        self._settings = settings
        self._client = client
        self._namespace = namespace
        self._backend = backend
        self._informers = Informers(
            client, random=random.SystemRandom(), log=log, retry_cap_s=CONTROLLER_CAP_S
        )
        add, here = self._informers.add, Selection(namespace=namespace)
        self._services = add(SERVICES)
        self._namespaces = add(NAMESPACES)
        self._pools = add(IP_ADDRESS_POOLS, here)
        self._communities = add(COMMUNITIES, here)
        self._states = add(
            CONFIGURATION_STATES,
            Selection(namespace=namespace, fields=f"metadata.name={CONTROLLER_NAME}"),
        )

    async def run(self) -> None:
        """Look, tell, and wait for the next change."""
        await tell_until_stopped(
            self._settings,
            self._informers,
            self._look,
            authorize=AccessReviewer(self._client, log=log).status_of,
            on_filled=lambda: log.info("controller.caches_filled"),
            namespace=self._namespace,
        )

    def _look(self) -> Iterator[Difference]:
        config, problems = compile_config(
            Resources(
                pools=tuple(self._pools.objects.values()),
                communities=tuple(self._communities.objects.values()),
                namespaces=tuple(self._namespaces.objects.values()),
                backend=self._backend,
            )
        )
        unreadable = [*self._pools.problems.values(), *self._communities.problems.values()]
        lines = [*unreadable, *([summarize(problems)] if problems else [])]
        state = self._states.get(f"{self._namespace}/{CONTROLLER_NAME}")
        yield from compare_configuration(CONTROLLER_NAME, "\n".join(lines), state)
        if config is not None and not lines:
            yield from compare_services(
                tuple(self._services.objects.values()),
                config.pools,
                lb_class=self._settings.lb_class,
            )
