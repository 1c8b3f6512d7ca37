"""A small API server for the drivers: lists in pages, watches, writes, and fails on request."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiohttp import web

from mercurylb.kube.client import KubeClient
from mercurylb.kube.resource import Resource

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class Spec(msgspec.Struct, frozen=True):
    size: int = 0
    note: str = ""


class Thing(msgspec.Struct, frozen=True):
    metadata: Meta = Meta()
    spec: Spec = Spec()
    status: dict[str, Any] | None = None


THINGS = Resource("example.org", "v1", "things", "Thing", Thing)
PREFIX = "/apis/example.org/v1"


class StaticCredentials:
    """Plain HTTP and a token."""

    def __init__(self, server: str, token: str = "t0") -> None:
        self.server = server
        self.token = token
        self.next_token = token
        self.renewals = 0

    def ssl_context(self) -> ssl.SSLContext | None:
        return None

    async def authorization(self) -> str:
        return f"Bearer {self.token}"

    async def renew(self) -> bool:
        self.renewals += 1
        changed = self.token != self.next_token
        self.token = self.next_token
        return changed

    def namespace(self) -> str | None:
        return "default"


class FakeApi:
    """Things in namespaces, with history."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.version = 1000
        self.history: list[tuple[int, str, dict[str, Any]]] = []
        self.oldest = 1000
        self.failures: list[tuple[str, int, dict[str, str]]] = []
        self.requests: list[web.Request] = []
        self.in_flight = 0
        self.in_flight_max = 0
        self.delay_s = 0.0
        self.token: str | None = None
        self.watches: set[web.StreamResponse] = set()
        self.port = 0
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            self.break_watches()
            await runner.cleanup()

    @property
    def server(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def put(self, name: str, *, namespace: str = "default", **spec: Any) -> None:
        known = (namespace, name) in self.objects
        item = {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
        await self.change("MODIFIED" if known else "ADDED", item)

    async def remove(self, name: str, *, namespace: str = "default") -> None:
        await self.change("DELETED", self.objects[namespace, name])

    async def change(self, kind: str, item: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        item = json.loads(json.dumps(item))
        item["metadata"]["resourceVersion"] = str(self.version)
        key = (item["metadata"].get("namespace", ""), item["metadata"]["name"])
        if kind == "DELETED":
            self.objects.pop(key, None)
        else:
            self.objects[key] = item
        self.history.append((self.version, kind, item))
        async with self._changed:
            self._changed.notify_all()
        return item

    def compact(self) -> None:
        self.oldest = self.version + 1
        self.history.clear()

    def break_watches(self) -> None:
        for response in self.watches:
            request = response._req
            if request is not None and request.transport is not None:
                request.transport.abort()

    async def send_raw(self, data: bytes) -> None:
        for response in self.watches:
            await response.write(data)

    def fail_next(self, method: str, status: int, **headers: str) -> None:
        self.failures.append((method, status, {k.replace("_", "-"): v for k, v in headers.items()}))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            return await self._decide(request)
        finally:
            self.in_flight -= 1

    async def _decide(self, request: web.Request) -> web.StreamResponse:
        if self.token is not None and request.headers["Authorization"] != f"Bearer {self.token}":
            return _status(401, "Unauthorized")
        for index, (method, status, headers) in enumerate(self.failures):
            if method == request.method:
                del self.failures[index]
                return _status(status, "Injected", headers)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if request.method != "GET":
            return await self._write(request)
        parts = request.path.removeprefix(PREFIX).strip("/").split("/")
        namespace = parts[1] if parts[0] == "namespaces" else ""
        if "watch" in request.query:
            return await self._watch(request, namespace)
        if parts[-1] == "things":
            return self._list(request, namespace)
        item = self.objects.get((namespace, parts[-1]))
        return _status(404, "NotFound") if item is None else web.json_response(item)

    def _list(self, request: web.Request, namespace: str) -> web.Response:
        items = [o for (ns, _), o in sorted(self.objects.items()) if namespace in {"", ns}]
        start = int(request.query.get("continue", "0"))
        limit = int(request.query.get("limit", "500"))
        meta = {"resourceVersion": str(self.version)}
        if start + limit < len(items):
            meta["continue"] = str(start + limit)
        return web.json_response({"metadata": meta, "items": items[start : start + limit]})

    async def _watch(self, request: web.Request, namespace: str) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        since = int(request.query["resourceVersion"])
        if since < self.oldest - 1:
            status = {"code": 410, "reason": "Expired", "message": "too old resource version"}
            await response.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
            return response
        self.watches.add(response)
        try:
            while True:
                for version, kind, item in list(self.history):
                    if version > since and namespace in {"", item["metadata"]["namespace"]}:
                        since = version
                        line = json.dumps({"type": kind, "object": item}).encode()
                        await response.write(line + b"\n")
                async with self._changed:
                    if not any(version > since for version, _, _ in self.history):
                        await self._changed.wait()
        finally:
            self.watches.discard(response)

    async def _write(  # noqa: PLR0911 (one answer per kind of request)
        self, request: web.Request
    ) -> web.Response:
        body = await request.read()
        sent = json.loads(body) if body else {}
        parts = request.path.removeprefix(PREFIX).strip("/").split("/")
        if parts[0] != "namespaces":
            return web.json_response(sent, status=201)
        namespace = parts[1]
        if request.method == "POST":
            sent["metadata"] = {**sent.get("metadata", {}), "namespace": namespace}
            if (namespace, sent["metadata"]["name"]) in self.objects:
                return _status(409, "AlreadyExists")
            return web.json_response(await self.change("ADDED", sent), status=201)
        item = self.objects.get((namespace, parts[3]))
        if item is None:
            return _status(404, "NotFound")
        if request.method == "DELETE":
            return web.json_response(await self.change("DELETED", item))
        version = sent.get("metadata", {}).get("resourceVersion")
        if version not in {None, item["metadata"]["resourceVersion"]}:
            return _status(409, "Conflict")
        sent.pop("metadata", None)
        return web.json_response(await self.change("MODIFIED", {**item, **sent}))


def _status(code: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"kind": "Status", "code": code, "reason": reason, "message": f"injected {reason}"}
    return web.json_response(body, status=code, headers=headers)


class Kit:
    """What a test of this folder needs: the server, clients for it, and its kind of object."""

    things = THINGS
    thing = Thing

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.random = random.Random(7)
        self.credentials = StaticCredentials(api.server)

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[KubeClient]:
        async with KubeClient(self.credentials, **options) as client:
            yield client


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    """Start a fake API server."""
    api = FakeApi()
    await api.start()
    try:
        yield Kit(api)
    finally:
        await api.stop()


@asynccontextmanager
async def _background(*runs: Any) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run) for run in runs]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


@pytest.fixture
def background() -> Any:
    """Run coroutines beside a block of the test; their failure fails the test."""
    return _background


async def _until(condition: Any, *, within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 (what is awaited has no event of its own)
            await asyncio.sleep(0.005)


@pytest.fixture
def until() -> Any:
    """Wait for a condition, at most five seconds."""
    return _until
