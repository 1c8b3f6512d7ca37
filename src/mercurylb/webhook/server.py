"""HTTPS on 9443 for the API server, with a bound on everything anybody else could send.

The port can be reached by every pod of a cluster, so: connections, header sizes, body sizes, bytes
held in memory, time for a TLS handshake, for the first request, and for a body are all limited.
What is over a limit or no question of ours gets a plain HTTP error, is counted, and is logged at
its first time of each kind.

The certificate is chosen at each handshake, so that another one is in use at once and without
closing the port. HTTP/2 stays off: one request at a time on a connection is easier to bound, and
the API server opens as many as it needs.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeAlias

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_exceptions import HTTPException
from aiohttp.web_response import Response
from aiohttp.web_server import Server

from mercurylb.errors import LinkError, MercuryError, WireError
from mercurylb.telemetry import logs as log
from mercurylb.telemetry.certificate import load_pem
from mercurylb.telemetry.tls import TlsOptions, server_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp.web_protocol import RequestHandler
    from aiohttp.web_request import BaseRequest

    from mercurylb.telemetry.metrics import Registry

PORT: Final = 9443
BODY_BYTES_MAX: Final = 8 * 1024 * 1024
"""An admission holds the new object (3 MiB at most) and the old one (etcd: 1.5 MiB)."""
CONVERSION_BYTES_MAX: Final = 32 * 1024 * 1024
"""A list in the other version is converted at once, all its objects in one question."""
HELD_BYTES_MAX: Final = 48 * 1024 * 1024
"""Of all bodies together."""
CONNECTIONS_MAX: Final = 192
"""Each holds a quarter of a mebibyte for TLS alone."""
HANDSHAKE_S: Final = 10.0
FIRST_REQUEST_S: Final = 15.0
BODY_S: Final = 10.0
KEEPALIVE_S: Final = 180.0
"""Longer than the API server keeps a connection (90 s), so that it is the one who closes."""
LINGER_S: Final = 1.0
SHUTDOWN_S: Final = 1.0
"""For answers that are under way when the program ends."""
PATIENCE_S: Final = 8.0
"""The API server waits for 10 s unless told otherwise."""
MARGIN_S: Final = 2.0
_READ_BYTES: Final = 65_536

Answerer: TypeAlias = "Callable[[bytes, float], Awaitable[bytes]]"


class RefusedError(MercuryError):
    """A request that is no question of ours."""

    def __init__(self, status: int, kind: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.kind = kind


class Route:
    """What answers at a path, and how long its question may be."""

    def __init__(self, answer: Answerer, *, body_bytes_max: int = BODY_BYTES_MAX) -> None:
        self.answer = answer
        self.body_bytes_max = body_bytes_max


class WebhookServer:
    """The listener; `serve_with` gives it a certificate before `run`."""

    def __init__(  # noqa: PLR0913 (an address, and what happens there)
        self,
        routes: Mapping[str, Route],
        *,
        options: TlsOptions,
        registry: Registry,
        host: str | None = None,
        port: int = PORT,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self.started = asyncio.Event()
        self.keeps_no_connection = False
        """Whoever asks is to connect anew the next time: somebody else will answer then."""
        self.host = host
        self.port = port
        """The port really bound, once `started` is set."""
        self._routes = routes
        self._options = options
        self._connections_max = connections_max
        self._context: ssl.SSLContext | None = None
        self._has_certificate = asyncio.Event()
        self._held_bytes = 0
        self._told: set[str] = set()
        self._answers = registry.counter(
            "mercurylb_webhook_requests_total", "Questions answered.", ("path",)
        )
        self._refusals = registry.counter(
            "mercurylb_webhook_refused_total", "Requests that were no questions.", ("reason",)
        )

    @property
    def has_certificate(self) -> bool:
        """Tell whether there is anything to serve with."""
        return self._context is not None

    def serve_with(self, pair: bytes) -> None:
        """Use this certificate and key (PEM) from now on; raise OSError when they do not fit."""
        context = server_context(self._options)
        load_pem(context, pair)
        self._context = context
        self._has_certificate.set()

    async def run(self) -> None:
        """Answer from the first certificate on; raise LinkError when the port cannot be had."""
        await self._has_certificate.wait()
        listening = server_context(self._options)
        listening.sni_callback = self._choose
        server = _BoundedServer(self)
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(
                server, self.host, self.port, ssl=listening, ssl_handshake_timeout=HANDSHAKE_S
            )
        except OSError as error:
            where = f"{self.host or '*'}:{self.port}"
            raise LinkError(where, f"cannot listen: {error}", errno=error.errno) from error
        try:
            self.port = listener.sockets[0].getsockname()[1]
            self.started.set()
            log.info("webhook.listening", port=self.port)
            await loop.create_future()
        finally:
            listener.close()
            server.pre_shutdown()  # Those that wait for a next question need no patience.
            await server.shutdown(timeout=SHUTDOWN_S)

    def _choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _base: ssl.SSLContext
    ) -> None:
        if self._context is not None:
            connection.context = self._context

    async def respond(self, request: BaseRequest) -> Response:
        """Answer one request, whatever it is."""
        try:
            return await self._respond(request)
        except RefusedError as refused:
            self.note_refusal(refused.kind, str(refused))
            response = Response(status=refused.status, text=f"{refused}\n")
            # What is left of the body would be read as the next request.
            response.force_close()
            return response

    async def _respond(self, request: BaseRequest) -> Response:
        route = self._routes.get(request.path)
        if route is None:
            raise RefusedError(404, "unknown_path", "nothing is answered at this path")
        if request.method != "POST":
            raise RefusedError(405, "method", "only POST is answered")
        if request.content_type != "application/json":
            raise RefusedError(415, "content_type", "the content type must be application/json")
        patience_s = _patience_s(request)
        body = bytearray()
        try:
            await self._read(request, body, route.body_bytes_max)
            answer = await route.answer(bytes(body), patience_s)
        except WireError as error:
            raise RefusedError(400, "malformed", str(error)[:1000]) from error
        finally:
            self._held_bytes -= len(body)
        self._answers.add(1, request.path)
        response = Response(body=answer, content_type="application/json")
        if self.keeps_no_connection:
            response.force_close()
        return response

    async def _read(self, request: BaseRequest, body: bytearray, body_bytes_max: int) -> None:
        """Read the body into `body`, whose length counts as held."""
        if (request.content_length or 0) > body_bytes_max:
            raise RefusedError(413, "too_large", f"the body has more than {body_bytes_max} bytes")
        try:
            async with asyncio.timeout(BODY_S):
                while chunk := await request.content.read(_READ_BYTES):
                    body += chunk
                    self._held_bytes += len(chunk)
                    if len(body) > body_bytes_max:
                        raise RefusedError(
                            413, "too_large", f"the body has more than {body_bytes_max} bytes"
                        )
                    if self._held_bytes > HELD_BYTES_MAX:
                        raise RefusedError(503, "busy", "too much to hold at once, try again")
        except TimeoutError as error:
            raise RefusedError(408, "slow", f"no whole body within {BODY_S:.0f} s") from error
        except (HttpProcessingError, OSError, ValueError, HTTPException) as error:
            raise RefusedError(400, "truncated", f"the body broke off: {error}") from error

    def note_refusal(self, kind: str, text: str) -> None:
        """Count a refusal, and log it if it is the first of its kind."""
        self._refusals.add(1, kind)
        if kind not in self._told:
            self._told.add(kind)
            log.warning("webhook.request_refused", kind=kind, reason=text[:300])


class _BoundedServer(Server):
    """aiohttp's server with few connections, none of which may stay silent at first."""

    def __init__(self, owner: WebhookServer) -> None:
        super().__init__(
            owner.respond,
            access_log=None,
            logger=_quiet_logger(owner),
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGER_S,
            read_bufsize=_READ_BYTES,
            # A small body that unpacks to a huge one is no business of ours.
            auto_decompress=False,
        )
        self._owner = owner

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > self._owner._connections_max:  # noqa: SLF001 (one thing, two classes)
            self._owner.note_refusal("connections", "too many connections at once")
            transport.abort()
            return
        loop = asyncio.get_running_loop()
        loop.call_later(FIRST_REQUEST_S, self._end_silent, handler, transport)

    def _end_silent(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        if handler in self.connections and not handler._request_count:  # noqa: SLF001 (aiohttp has no other word for it)
            self._owner.note_refusal("silent", "connected and asked nothing")
            transport.abort()


class _Counter(logging.Handler):
    """Takes what the HTTP library complains about as refusals instead of tracebacks."""

    def __init__(self, owner: WebhookServer) -> None:
        super().__init__()
        self._owner = owner

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            self._owner.note_refusal("no_http", str(error))
        elif record.levelno >= logging.WARNING:
            log.error("webhook.broken", msg=record.getMessage(), exc_info=error)


def _quiet_logger(owner: WebhookServer) -> logging.Logger:
    logger = logging.getLogger("mercurylb.webhook")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)  # Bytes that are no HTTP are only whispered about.
    logger.handlers[:] = [_Counter(owner)]
    return logger


def _patience_s(request: BaseRequest) -> float:
    """Give how long an answer may take: the API server says so in the query, as `10s`."""
    text = request.query.get("timeout", "").removesuffix("s")
    if text.isascii() and text.isdigit() and len(text) <= 3:  # noqa: PLR2004 (at most 30 s)
        return min(max(int(text) - MARGIN_S, 0.5), PATIENCE_S)
    return PATIENCE_S
