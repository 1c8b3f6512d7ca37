"""A live copy of what the API server says about services, pools, states and events.

One watch per kind, over all namespaces, so both universes come by in one stream.  Waiting is always
for a condition of the copy; it is looked at again whenever something arrives.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
import msgspec

from lab.errors import LabError, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.compare.script import Json

SOURCE: Final = "metallb-controller"
"""The component that events of both programs come from."""
_GROUP: Final = "/apis/metallb.io/v1beta1"
_LINE_MAX: Final = 16 << 20
_PROBES: Final = ("probe", "zz-probe", "zz-gauge")


class Live:
    """A client and its copy; used inside ``async with``."""

    def __init__(self, url: str, pki: Path, identity: str = "admin") -> None:
        self._url = url
        self._ssl = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._ssl.load_cert_chain(pki / f"{identity}.crt", pki / f"{identity}.key")
        self._changes: Counter[str] = Counter()
        self._bell = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.services: dict[str, Json] = {}
        """``namespace/name`` → the object; so are the next two."""
        self.pools: dict[str, Json] = {}
        self.states: dict[str, Json] = {}
        self.events: dict[str, dict[str, Json]] = {}
        """Id of the object an event is about → name of the event → the event."""
        self.uids: set[str] = set()
        """Of every service that was ever seen."""
        self.writes = 0

    async def __aenter__(self) -> Self:
        """Connect and copy."""
        connector = aiohttp.TCPConnector(ssl=self._ssl, limit=0)
        self._session = aiohttp.ClientSession(
            self._url, connector=connector, timeout=aiohttp.ClientTimeout(total=None)
        )
        for path, take in (
            ("/api/v1/services", self._take_service),
            (f"{_GROUP}/ipaddresspools", self._taker(self.pools)),
            (f"{_GROUP}/configurationstates", self._taker(self.states)),
            ("/api/v1/events", self._take_event),
        ):
            _, listed = await self.request("GET", path)
            for item in listed["items"]:
                take("ADDED", item)
            version = listed["metadata"]["resourceVersion"]
            self._tasks.append(asyncio.create_task(self._watch(path, version, take)))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()
        # Aborted transports close their sockets in the loop's next round.
        await asyncio.sleep(0)

    async def request(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        """Send a request; return status and answer, whatever they are."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": kind}
        self.writes += method != "GET"
        async with self._session.request(method, path, data=data, headers=headers) as answer:
            raw = await answer.read()
            return answer.status, msgspec.json.decode(raw) if raw else {}

    def state(self, namespace: str) -> Json | None:
        """Return the ConfigurationState of the controller in a namespace."""
        return self.states.get(f"{namespace}/controller")

    def changes(self, tag: str) -> int:
        """Count what happened in a universe, apart from the probes."""
        return self._changes[tag]

    async def until(
        self, condition: Callable[[], bool], what: str, timeout_s: float = 60.0
    ) -> None:
        """Wait until a condition of the copy holds; WaitTimeout when it does not come true."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._look_at_watches()
                    bell = self._bell
                    await bell.wait()
        except TimeoutError:
            raise WaitTimeout(f"waited {timeout_s:g} s in vain: {what}") from None

    def _look_at_watches(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()

    def _ring(self) -> None:
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    async def _watch(self, path: str, version: str, take: Callable[[str, Json], None]) -> None:
        while True:
            url = f"{path}?watch=1&allowWatchBookmarks=true&resourceVersion={version}"
            async with self._session.get(url, read_bufsize=_LINE_MAX) as answer:
                try:
                    async for line in answer.content:
                        version = self._take_line(line, path, take)
                finally:
                    # A TLS goodbye would wait for an answer, longer than the loop may live.
                    if answer.connection is not None and answer.connection.transport is not None:
                        answer.connection.transport.abort()

    def _take_line(self, line: bytes, path: str, take: Callable[[str, Json], None]) -> str:
        """Take one line of a watch; give its version."""
        told: Any = msgspec.json.decode(line)
        item = told["object"]
        if told["type"] == "ERROR":
            raise LabError(f"the watch of {path} ended: {item.get('message')}")
        if told["type"] != "BOOKMARK":
            take(told["type"], item)
            self._ring()
        version: str = item["metadata"]["resourceVersion"]
        return version

    def _taker(self, copy: dict[str, Json]) -> Callable[[str, Json], None]:
        def take(kind: str, item: Json) -> None:
            metadata = item["metadata"]
            if metadata["name"] not in _PROBES:
                self._changes[metadata["namespace"].partition("-")[0]] += 1
            key = f"{metadata['namespace']}/{metadata['name']}"
            if kind == "DELETED":
                copy.pop(key, None)
            else:
                copy[key] = item

        return take

    def _take_service(self, kind: str, item: Json) -> None:
        self.uids.add(item["metadata"]["uid"])
        self._taker(self.services)(kind, item)

    def _take_event(self, kind: str, item: Json) -> None:
        if item.get("source", {}).get("component") != SOURCE:
            return  # The API server says things of its own about services.
        about = item["involvedObject"]
        self._changes[about.get("namespace", "").partition("-")[0]] += about.get("name") != "probe"
        if kind != "DELETED":
            known = self.events.setdefault(about.get("uid", ""), {})
            known[item["metadata"]["name"]] = item
