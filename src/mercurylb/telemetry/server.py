"""The two small servers of a program: health over HTTP, metrics over HTTPS.

Health: `/healthz` and `/readyz` run named checks; each gives an empty text, or what is wrong. 200
with `ok`, or 503 naming every check that failed.

Metrics: `/metrics` for whoever brings a bearer token that `authorize` answers with 200.
`authorize` is handed in (the API server decides, this room does not know it) and gives an HTTP
status.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

from aiohttp.web_response import Response
from aiohttp.web_server import Server

from mercurylb.errors import LinkError
from mercurylb.telemetry import logs as log
from mercurylb.telemetry.certificate import (
    CERTIFICATE_NAMES,
    CertificateDir,
    load_self_signed,
)
from mercurylb.telemetry.metrics import CONTENT_TYPE, Registry
from mercurylb.telemetry.tls import TlsOptions, server_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp.web_request import BaseRequest

Check: TypeAlias = "Callable[[], str]"
Authorize: TypeAlias = "Callable[[str], Awaitable[int]]"

PORT_RETRY_S = 5.0
_OK = 200
_KEEPALIVE_S = 75.0
_TEXTS = {401: "Unauthorized", 403: "Forbidden", 500: "Internal Server Error"}


class _Listener:
    """A port that answers GET requests until its task is cancelled."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        """The port really bound, once `started` is set."""
        self.started = asyncio.Event()

    async def answer(self, request: BaseRequest) -> Response:
        raise NotImplementedError

    async def serve(self, context: ssl.SSLContext | None) -> None:
        server = Server(self._answer, access_log=None, keepalive_timeout=_KEEPALIVE_S)
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(server, self.host, self.port, ssl=context)
        except OSError as error:
            where = f"{self.host}:{self.port}"
            raise LinkError(where, f"cannot listen: {error}", errno=error.errno) from error
        try:
            self.port = listener.sockets[0].getsockname()[1]
            self.started.set()
            await asyncio.get_running_loop().create_future()
        finally:
            listener.close()
            server.pre_shutdown()  # A scraper's connection that waits for the next time.
            await server.shutdown(timeout=1.0)

    async def _answer(self, request: BaseRequest) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return Response(status=405, text="Method Not Allowed\n", headers={"Allow": "GET, HEAD"})
        return await self.answer(request)


class HealthServer(_Listener):
    """What the kubelet asks."""

    def __init__(
        self, host: str, port: int, *, live: Mapping[str, Check], ready: Mapping[str, Check]
    ) -> None:
        super().__init__(host, port)
        self._checks = {"/healthz": live, "/readyz": ready}

    async def run(self) -> None:
        """Answer until cancelled; raise LinkError when the port cannot be had."""
        await self.serve(None)

    async def answer(self, request: BaseRequest) -> Response:
        """Run the checks of the path asked for."""
        checks = self._checks.get(request.path)
        if checks is None:
            return Response(status=404, text="Not Found\n")
        failed = [f"{name}: {wrong}\n" for name, check in checks.items() if (wrong := check())]
        if failed:
            return Response(status=503, text="".join(failed))
        return Response(text="ok")


class MetricsServer(_Listener):
    """What Prometheus asks."""

    def __init__(  # noqa: PLR0913 (an address, what to show, and to whom)
        self,
        host: str,
        port: int,
        registry: Registry,
        *,
        authorize: Authorize,
        options: TlsOptions,
        certificate_dir: str = "",
        certificate_names: tuple[str, str] = CERTIFICATE_NAMES,
        path: str = "/metrics",
    ) -> None:
        super().__init__(host, port)
        self._registry = registry
        self._authorize = authorize
        self._options = options
        self._certificate_dir = certificate_dir
        self._certificate_names = certificate_names
        self._path = path

    async def run(self) -> None:
        """Answer until cancelled; a port that somebody else has is waited for."""
        context = server_context(self._options)
        directory = None
        if self._certificate_dir:
            directory = CertificateDir(self._certificate_dir, names=self._certificate_names)
        if directory is None or not directory.load_into(context):
            await load_self_signed(context)
        async with asyncio.TaskGroup() as group:
            if directory is not None:
                group.create_task(directory.run(context))
            group.create_task(self._serve_patiently(context))

    async def _serve_patiently(self, context: ssl.SSLContext) -> None:
        """Serve as soon as the port can be had: the program's own work needs no metrics."""
        told = ""
        while True:
            try:
                await self.serve(context)
            except LinkError as error:
                if str(error) != told:
                    told = str(error)
                    log.error(
                        "metrics.port_taken",
                        msg="the program goes on without metrics and tries again",
                        error=told,
                        todo="give it another --port, or end who has it: another load balancer?",
                    )
                await asyncio.sleep(PORT_RETRY_S)

    async def refresh(self) -> None:
        """Fetch what has to be fetched anew for each answer; nothing here."""

    async def answer(self, request: BaseRequest) -> Response:
        """Give the metrics to who may read them."""
        if request.path != self._path:
            return Response(status=404, text="Not Found\n")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        status = await self._authorize(token) if token and scheme.lower() == "bearer" else 401
        if status != _OK:
            return Response(status=status, text=_TEXTS.get(status, "Not available") + "\n")
        await self.refresh()
        try:
            body = self._registry.render()
        except Exception as error:  # noqa: BLE001 (a broken number must not end the program)
            log.error("metrics.scrape_failed", exc_info=error)
            return Response(status=500, text=_TEXTS[500] + "\n")
        return Response(body=body, headers={"Content-Type": CONTENT_TYPE})
