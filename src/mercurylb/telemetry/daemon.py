"""What every daemon does besides its work: answer the kubelet, show metrics, and stop when told.

A signal only sets an event; the one task group of the program ends by `Stopped`, which cancels
everything in order.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Protocol

from mercurylb.errors import MercuryError
from mercurylb.telemetry import logs as log
from mercurylb.telemetry.server import Authorize, Check, HealthServer, MetricsServer
from mercurylb.telemetry.tls import TlsSettings, tls_options_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from mercurylb.telemetry.metrics import Registry

EVERYWHERE = "0.0.0.0"  # noqa: S104 (the original's ports are reachable from outside the pod)


class ServerSettings(TlsSettings, Protocol):
    """The part of a program's settings that is about its servers."""

    @property
    def port(self) -> int:
        """Port of /metrics; 0 is off."""

    @property
    def health_probe_port(self) -> int:
        """Port of the probes."""

    @property
    def metrics_cert_dir(self) -> str:
        """Value of its flag."""


class Stopped(Exception):  # noqa: N818 (no error)
    """The program was told to stop."""


def run_until_stopped(program: Coroutine[object, object, None]) -> int:
    """Run a program's one coroutine to its end and return the exit code.

    0 after a signal; 1 after an error of ours, which is logged once, here, or after a defect,
    which is logged with its traceback.
    """
    try:
        asyncio.run(program)
    except (Stopped, MercuryError, BaseExceptionGroup) as raised:
        return _exit_code(raised)
    return 0


def _exit_code(raised: BaseException) -> int:
    grouped = raised if isinstance(raised, BaseExceptionGroup) else BaseExceptionGroup("", [raised])
    expected, bugs = grouped.split((Stopped, MercuryError))
    if bugs is not None:
        log.error("daemon.broken", exc_info=bugs)
        return 1
    errors = expected.split(Stopped)[1] if expected is not None else None
    if errors is None:
        log.info("daemon.stopped")
        return 0
    for error in _leaves(errors):
        log.error("daemon.failed", error=error)
    return 1


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def wait_for_signal() -> None:
    """Wait for SIGTERM or SIGINT."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()


async def stop_on_signal() -> None:
    """Wait for SIGTERM or SIGINT, then end the task group this runs in."""
    await wait_for_signal()
    raise Stopped


def start_servers(  # noqa: PLR0913 (two servers, and whom they answer)
    group: asyncio.TaskGroup,
    settings: ServerSettings,
    registry: Registry,
    *,
    authorize: Authorize,
    ready: Mapping[str, Check],
    health_host: str = EVERYWHERE,
) -> None:
    """Serve health and metrics, as tasks of the group.

    Liveness has no check of its own: an answer at all proves that the loop turns.
    """
    health = HealthServer(health_host, settings.health_probe_port, live={}, ready=ready)
    group.create_task(health.run())
    if settings.port == 0:
        return
    metrics = MetricsServer(
        EVERYWHERE,
        settings.port,
        registry,
        authorize=authorize,
        options=tls_options_of(settings),
        certificate_dir=settings.metrics_cert_dir,
    )
    group.create_task(metrics.run())


class ConfigMetrics:
    """The families that say how a program stands with its configuration."""

    def __init__(self, registry: Registry) -> None:
        self.updates = registry.counter(
            "metallb_k8s_client_updates_total", "Number of k8s object updates that were processed."
        )
        self.errors = registry.counter(
            "metallb_k8s_client_update_errors_total",
            "Number of k8s object updates that failed for some reason.",
        )
        self._loaded = registry.gauge(
            "metallb_k8s_client_config_loaded_bool",
            "1 if a configuration was successfully loaded at least once.",
        )
        self._stale = registry.gauge(
            "metallb_k8s_client_config_stale_bool",
            "1 if running on a stale configuration, because the latest one failed to load.",
        )

        self._problems = registry.gauge(
            "mercurylb_config_problems",
            "Problems of the newest configuration; 0 if it is in force.",
        )

    def note_config(self, *, is_accepted: bool, problems: int = 0) -> None:
        """Take that a configuration was looked at, and how many problems it has."""
        self._problems.set(0 if is_accepted else max(problems, 1))
        if is_accepted:
            self._loaded.set(1)
        self._stale.set(0 if is_accepted else 1)
