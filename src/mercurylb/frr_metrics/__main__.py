"""`mercurylb-frr-metrics`: shows what FRR knows of its sessions as Prometheus metrics."""

from __future__ import annotations

import asyncio
import os
import sys

from mercurylb import __version__
from mercurylb.frr_metrics.exporter import Exporter, ExporterServer
from mercurylb.frr_metrics.families import Families
from mercurylb.frr_metrics.settings import ExporterSettings, parse_settings
from mercurylb.frr_metrics.terminal import Terminal
from mercurylb.kube.access import AccessReviewer
from mercurylb.kube.client import KubeClient
from mercurylb.kube.credentials import load_credentials
from mercurylb.telemetry import logs as log
from mercurylb.telemetry.daemon import run_until_stopped, stop_on_signal
from mercurylb.telemetry.metrics import Registry, add_process_metrics
from mercurylb.telemetry.tls import tls_options_of


async def serve(settings: ExporterSettings) -> None:
    """Answer until told to stop."""
    options = tls_options_of(settings)
    registry = Registry()
    add_process_metrics(registry)
    exporter = Exporter(Terminal(settings.vty_socket_dir), Families(registry))
    credentials = await load_credentials(os.environ)
    async with KubeClient(credentials, user_agent=f"mercurylb-frr-metrics/{__version__}") as client:
        server = ExporterServer(
            settings.metrics_bind_address,
            settings.metrics_port,
            registry,
            authorize=AccessReviewer(client, path=settings.metrics_path, log=log).status_of,
            options=options,
            certificate_dir="/" if settings.tls_cert_file else "",
            certificate_names=(settings.tls_cert_file, settings.tls_private_key_file),
            path=settings.metrics_path,
        )
        server.exporter = exporter
        async with asyncio.TaskGroup() as group:
            group.create_task(stop_on_signal())
            group.create_task(server.run())


def main() -> None:
    """Parse the command line, run, and exit."""
    settings = parse_settings(sys.argv[1:], os.environ)
    log.configure(log.Level.ERROR)
    sys.exit(run_until_stopped(serve(settings)))


if __name__ == "__main__":
    main()
