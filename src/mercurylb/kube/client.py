"""The HTTP client of the API server: requests and streams over one session, errors as our own.

Typed where it matters: give a `Resource` and get its struct. There is no client-side rate limit;
the server's own 429 with Retry-After is obeyed: `KubeClient` waits it out when the caller allows
for patience (single reads and writes of a starting program), and raises it to those who have
better to do meanwhile (`watcher`, `writer`).

A 401 makes the credentials read their source again and the request is tried once more: tokens
rotate. Neither headers nor bodies are ever logged or put into an exception.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import msgspec
from yarl import URL

from mercurylb.errors import ApiError, KubeError, Unreachable, WireError
from mercurylb.kube.answer import error_from
from mercurylb.kube.operation import Operation, Verb, encode
from mercurylb.kube.watch import EVERYTHING, PAGE_LIMIT, Selection, decode_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mercurylb.kube.credentials import Credentials
    from mercurylb.kube.resource import Resource, T

CONNECT_TIMEOUT_S = 3.0
"""TLS included; a first packet that is lost is sent again after 1 s."""
REQUEST_TIMEOUT_S = 30.0
PATIENCE_S = 10.0
"""How long a single request waits, in sum, for a server that asks for it."""
_USER_TIMEOUT_MS = 15_000
_ERROR_BODY_BYTES_MAX = 65_536
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 3),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS),
)
_BROKEN = (aiohttp.ClientError, TimeoutError, OSError)


def _open_socket(address: tuple[Any, ...]) -> socket.socket:
    """Make a socket that notices within seconds that the other end is gone without a word.

    The kernel asks, this program does not wake up for it. Noticed late, a server that was cut off
    and is back would go on with its own retransmissions, which by then are many seconds apart.
    """
    family, kind, protocol, _name, _address = address
    made = socket.socket(family, kind, protocol)
    for option in _KEEPALIVE:
        made.setsockopt(*option)
    return made


class Stream:
    """The body of a watch, in chunks as they come."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._content = response.content

    async def read(self) -> bytes:
        """Give the next bytes, empty at the end; raise Unreachable on a break or long silence."""
        try:
            return await self._content.readany()
        except _BROKEN as error:
            raise Unreachable(f"watch broke off: {_text(error)}") from error

    def abort(self) -> None:
        """Cut the connection; whoever reads gets Unreachable."""
        _abort(self._response)


class Listing(msgspec.Struct, frozen=True):
    """The raw objects of a complete list."""

    items: tuple[msgspec.Raw, ...]
    resource_version: str


class KubeClient:
    """A session with the API server; use as `async with`."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        user_agent: str = "mercurylb",
        patience_s: float = PATIENCE_S,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self._credentials = credentials
        self._user_agent = user_agent
        self._patience_s = patience_s
        self._timeout = aiohttp.ClientTimeout(
            total=request_timeout_s, sock_connect=CONNECT_TIMEOUT_S
        )
        self._base = credentials.server.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        context = self._credentials.ssl_context()
        # Concurrency is bounded by those who ask (writer, one stream per watch), not by the pool.
        connector = aiohttp.TCPConnector(
            ssl=True if context is None else context,
            limit=0,
            keepalive_timeout=60,
            socket_factory=_open_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # Compression costs more on a cluster's network than it saves.
            headers={"Accept-Encoding": "identity", "User-Agent": self._user_agent},
        )
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
            # Aborted transports close their sockets in the loop's next round.
            await asyncio.sleep(0)

    @property
    def namespace(self) -> str | None:
        """Give the namespace the credentials belong to, if they say."""
        return self._credentials.namespace()

    async def get(self, resource: Resource[T], name: str, *, namespace: str = "") -> T:
        """Read one object."""
        path = resource.path(namespace=namespace, name=name)
        return _decoded(resource, await self._request("GET", path))

    async def list(self, resource: Resource[T], selection: Selection = EVERYTHING) -> list[T]:
        """Read all objects of a kind, page by page; raise WireError when one cannot be read."""
        raws = await self.list_raw(resource, selection)
        return [_decoded(resource, raw) for raw in raws.items]

    async def list_raw(self, resource: Resource[Any], selection: Selection = EVERYTHING) -> Listing:
        """Read all objects of a kind without decoding them."""
        params = {**selection.params(), "limit": str(PAGE_LIMIT)}
        items: list[msgspec.Raw] = []
        while True:
            body = await self.list_page(resource, selection.namespace, params)
            page = decode_page(body)
            items += page.items or ()
            if not page.metadata.next:
                return Listing(tuple(items), page.metadata.resource_version)
            params["continue"] = page.metadata.next

    async def list_page(
        self,
        resource: Resource[Any],
        namespace: str,
        params: Mapping[str, str],
        *,
        patience_s: float | None = None,
    ) -> bytes:
        """Read one page of a list, undecoded."""
        path = resource.path(namespace=namespace)
        return await self._request("GET", path, params=params, patience_s=patience_s)

    async def read(self, path: str) -> bytes:
        """Read what is no object, such as the description of a group's kinds."""
        return await self._request("GET", path)

    async def create(self, resource: Resource[T], body: object, *, namespace: str = "") -> T:
        """Create an object (any struct or JSON value) and give what the server made of it."""
        operation = Operation(Verb.CREATE, resource, namespace=namespace, body=encode(body))
        return _decoded(resource, await self.perform(operation))

    async def replace(
        self,
        resource: Resource[T],
        name: str,
        body: object,
        *,
        namespace: str = "",
        subresource: str | None = None,
    ) -> T:
        """Replace an object; raise Conflict when its resource version is not the current one."""
        operation = Operation(
            Verb.REPLACE, resource, name, namespace, encode(body), subresource=subresource
        )
        return _decoded(resource, await self.perform(operation))

    async def patch(  # noqa: PLR0913 (they name one object and one kind of patch)
        self,
        resource: Resource[T],
        name: str,
        body: object,
        *,
        namespace: str = "",
        verb: Verb = Verb.MERGE,
        subresource: str | None = None,
        field_manager: str = "",
    ) -> T:
        """Change an object by a merge patch, a JSON patch or a server-side apply."""
        operation = Operation(
            verb, resource, name, namespace, encode(body), subresource, field_manager
        )
        return _decoded(resource, await self.perform(operation))

    async def delete(self, resource: Resource[Any], name: str, *, namespace: str = "") -> None:
        """Delete an object."""
        await self.perform(Operation(Verb.DELETE, resource, name, namespace))

    async def perform(self, operation: Operation, *, patience_s: float | None = None) -> bytes:
        """Carry out an operation and give the answer's body."""
        return await self._request(
            operation.verb.method,
            operation.path,
            params=operation.params,
            body=operation.body,
            content_type=operation.verb.content_type,
            patience_s=patience_s,
        )

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, params: Mapping[str, str], *, silence_max_s: float
    ) -> AsyncIterator[Stream]:
        """Open a watch; it breaks when nothing at all arrives for `silence_max_s`."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=silence_max_s
        )
        response = await self._answer("GET", path, params=params, timeout=timeout)
        try:
            if response.status >= 400:  # noqa: PLR2004 (HTTP: an error)
                raise await _error_of(response)
            yield Stream(response)
        finally:
            _abort(response)

    async def _request(  # noqa: PLR0913 (the parts of a request)
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes = b"",
        content_type: str = "",
        patience_s: float | None = None,
    ) -> bytes:
        patience_left_s = self._patience_s if patience_s is None else patience_s
        headers = {"Content-Type": content_type} if body else {}
        while True:
            try:
                return await self._once(method, path, params=params, body=body, headers=headers)
            except ApiError as error:
                wait_s = error.retry_after_s
                if error.status != 429 or wait_s is None or wait_s > patience_left_s:  # noqa: PLR2004
                    raise
                patience_left_s -= max(wait_s, 0.1)
                await asyncio.sleep(wait_s)

    async def _once(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        body: bytes,
        headers: dict[str, str],
    ) -> bytes:
        response = await self._answer(
            method, path, params=params, body=body, headers=headers, timeout=self._timeout
        )
        async with response:
            if response.status >= 400:  # noqa: PLR2004 (HTTP: an error)
                raise await _error_of(response)
            try:
                return await response.read()
            except _BROKEN as error:
                raise Unreachable(f"{method} {path}: {_text(error)}") from error

    async def _answer(  # noqa: PLR0913 (the parts of a request)
        self,
        method: str,
        path: str,
        *,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 (aiohttp's own, it has more than one clock)
        params: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise Unreachable("the client is not open")
        url = URL(self._base + path, encoded=True)
        for is_last in (False, True):
            authorization = await self._credentials.authorization()
            sent = {
                **(headers or {}),
                **({"Authorization": authorization} if authorization else {}),
            }
            try:
                response = await self._session.request(
                    method,
                    url,
                    params=params,
                    data=body or None,
                    headers=sent,
                    timeout=timeout,
                    allow_redirects=False,
                )
            except _BROKEN as error:
                raise Unreachable(f"{method} {path}: {_text(error)}") from error
            if response.status != 401 or is_last or not await self._renewed(response):  # noqa: PLR2004
                return response
            response.release()
        raise AssertionError("unreachable: the second round always returns")

    async def _renewed(self, response: aiohttp.ClientResponse) -> bool:
        try:
            return await self._credentials.renew()
        except KubeError as error:
            response.release()
            raise Unreachable(f"credentials cannot be renewed: {error}") from error


def _abort(response: aiohttp.ClientResponse) -> None:
    """Cut the connection of an unfinished watch: it cannot be reused.

    A TLS goodbye would wait for an answer, and a half-open server never gives one.
    """
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


async def _error_of(response: aiohttp.ClientResponse) -> ApiError:
    body = b""
    with contextlib.suppress(*_BROKEN):
        while len(body) < _ERROR_BODY_BYTES_MAX and (chunk := await response.content.readany()):
            body += chunk
    return error_from(response.status, response.headers, body)


def _decoded(resource: Resource[T], body: bytes | msgspec.Raw) -> T:
    try:
        return resource.decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError(resource.kind, str(error)) from error


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
