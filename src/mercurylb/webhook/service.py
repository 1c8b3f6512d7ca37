"""The webhooks of a program, ready to run: server, certificate, and what answers."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Protocol

from mercurylb.telemetry.tls import TlsSettings, tls_options_of
from mercurylb.webhook import conversion
from mercurylb.webhook.admission import KINDS, AdmissionDesk
from mercurylb.webhook.files import DEFAULT_DIR, CertificateFiles
from mercurylb.webhook.keeper import CertificateKeeper
from mercurylb.webhook.server import CONVERSION_BYTES_MAX, PORT, Route, WebhookServer

if TYPE_CHECKING:
    from random import Random

    from mercurylb.kube.client import KubeClient
    from mercurylb.telemetry.metrics import Registry
    from mercurylb.webhook.rotation import Material

WIND_DOWN_S = 3.0
"""A pod that ends is asked until every kube-proxy has been told; the chart gives it longer than
that."""


class WebhookSettings(TlsSettings, Protocol):
    """The part of a program's settings that is about webhooks."""

    @property
    def webhook_secret(self) -> str:
        """Name of the certificate's secret."""

    @property
    def disable_cert_rotation(self) -> bool:
        """Whether somebody else keeps the certificate."""

    @property
    def cert_dir(self) -> str:
        """Where that certificate is."""

    @property
    def cert_service_name(self) -> str:
        """Service by which the API server finds us."""


class WebhookService:
    """Answers the API server until cancelled."""

    def __init__(  # noqa: PLR0913 (a program's parts)
        self,
        settings: WebhookSettings,
        client: KubeClient,
        *,
        namespace: str,
        backend: str,
        registry: Registry,
        random: Random,
        host: str | None = None,
        port: int = PORT,
    ) -> None:
        desk = AdmissionDesk(client, namespace=namespace, backend=backend)
        routes = {
            path: Route(functools.partial(desk.answer, resource))
            for path, resource in KINDS.items()
        }
        routes[conversion.PATH] = Route(conversion.convert, body_bytes_max=CONVERSION_BYTES_MAX)
        self.server = WebhookServer(
            routes, options=tls_options_of(settings), registry=registry, host=host, port=port
        )
        self.certificate: CertificateFiles | CertificateKeeper
        if settings.disable_cert_rotation:
            self.certificate = CertificateFiles(
                (settings.cert_dir, DEFAULT_DIR), serve=self.server.serve_with
            )
        else:
            lifetime = registry.gauge(
                "mercurylb_webhook_certificate_expiry_timestamp_seconds",
                "When the certificate of the webhooks ends, in seconds since the epoch.",
            )

            def serve(material: Material) -> None:
                self.server.serve_with(material.pair)
                lifetime.set(material.ends_at)

            self.certificate = CertificateKeeper(
                client,
                namespace=namespace,
                secret_name=settings.webhook_secret,
                dns_name=f"{settings.cert_service_name}.{namespace}.svc",
                serve=serve,
                random=random,
            )

    async def run(self) -> None:
        """Serve until cancelled; raise LinkError when the port cannot be had."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.certificate.run())
            group.create_task(self.server.run())

    async def wind_down(self) -> None:
        """Go on answering until the API server has been told of whoever comes after us."""
        if self.server.started.is_set():
            self.server.keeps_no_connection = True
            await asyncio.sleep(WIND_DOWN_S)

    def check(self) -> str:
        """Say why nobody is answered yet, or nothing."""
        if self.server.started.is_set():
            return ""
        return self.certificate.problem or "not listening yet"
