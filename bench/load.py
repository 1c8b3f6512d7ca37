"""A bare client of the API server, run inside the lab: creates, watches, patches, and tells times.

``python -m bench.load MODE --server URL --pki DIR --identity NAME …``

It is what the controller is compared with: aiohttp and nothing else, 32 requests in flight.  Every
mode ends by itself.  The last line of its output is JSON; times are the machine's monotonic clock.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import ssl
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

IN_FLIGHT: Final = 32
LIMIT_S: Final = 300.0
NAMESPACE: Final = "default"
POOL_ANNOTATION: Final = "metallb.io/ip-allocated-from-pool"
MERGE: Final = {"Content-Type": "application/merge-patch+json"}
SERVICES: Final = f"/api/v1/namespaces/{NAMESPACE}/services"
_SLICES: Final = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"

Json = dict[str, Any]


class Server:
    """One session with the API server."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401  (JSON)
        """Send one request; raise for anything but success."""
        raw = None if body is None else json.dumps(body).encode()
        headers = MERGE if method == "PATCH" else {"Content-Type": "application/json"}
        return json.loads(await self.send_raw(method, path, raw, headers))

    async def send_raw(
        self, method: str, path: str, raw: bytes | None, headers: Mapping[str, str]
    ) -> bytes:
        """Send one request with a body that is encoded already."""
        async with self._session.request(
            method, self._url + path, data=raw, headers=headers
        ) as answer:
            answer.raise_for_status()
            return await answer.read()

    async def services(self, prefix: str) -> tuple[list[Json], str]:
        """List the services whose names begin with a prefix, and the list's version."""
        told = await self.send("GET", SERVICES)
        mine = [item for item in told["items"] if item["metadata"]["name"].startswith(prefix)]
        return mine, told["metadata"]["resourceVersion"]

    async def watch(self, version: str) -> AsyncIterator[Json]:
        """Follow the services from a version on."""
        query = f"?watch=true&resourceVersion={version}"
        async with self._session.get(self._url + SERVICES + query) as answer:
            answer.raise_for_status()
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)


def service(name: str) -> Json:
    """Return a service without a selector, so that no other controller works for it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": False,
            "ports": [{"name": "http", "port": 80}],
        },
    }


def endpoint_slice(name: str) -> Json:
    """Return one ready endpoint on the first node for a service."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": ["10.244.1.2"], "conditions": {"ready": True}, "nodeName": "n1"}
        ],
    }


def status_patch(version: str, number: int) -> Json:
    """Return a patch of the kind and size a controller writes for one service.

    A test holds its size equal with what our controller writes.
    """
    address = f"10.81.{number // 250}.{number % 250}"
    return {
        "metadata": {"annotations": {POOL_ANNOTATION: "bench"}, "resourceVersion": version},
        "status": {
            "loadBalancer": {"ingress": [{"ip": address}]},
            "conditions": [
                {
                    "type": "mercurylb.io/Allocated",
                    "status": "True",
                    "reason": "Allocated",
                    "message": f"{address} from pool bench",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }
            ],
        },
    }


def address_of(item: Mapping[str, Any]) -> str:
    """Return a service's first address, or nothing."""
    ingress = item.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
    return str(ingress[0].get("ip", ""))


async def many(actions: Iterable[Callable[[], Awaitable[object]]]) -> float:
    """Carry out actions, 32 at a time; return the seconds it took."""
    left = iter(list(actions))

    async def worker() -> None:
        for action in left:
            await action()

    begin = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(worker())
    return time.monotonic() - begin


async def create(server: Server, given: argparse.Namespace) -> Json:
    """Create services, or endpoint slices for them."""
    names = [f"{given.prefix}{i:04d}" for i in range(given.count)]
    if given.slices:
        bodies, path = [endpoint_slice(name) for name in names], _SLICES
    else:
        bodies, path = [service(name) for name in names], SERVICES

    def action(body: Json) -> Callable[[], Awaitable[object]]:
        return lambda: server.send("POST", path, body)

    seconds = await many(action(body) for body in bodies)
    return {"seconds": seconds, "end": time.monotonic()}


async def patch(server: Server, given: argparse.Namespace) -> Json:
    """Write a status into every service as fast as the API server takes it."""
    items, _ = await server.services(given.prefix)
    bodies = []
    for i, item in enumerate(items):
        meta = item["metadata"]
        raw = json.dumps(status_patch(meta["resourceVersion"], i), separators=(",", ":"))
        bodies.append((f"{SERVICES}/{meta['name']}/status", raw.encode()))

    def action(path: str, raw: bytes) -> Callable[[], Awaitable[object]]:
        return lambda: server.send_raw("PATCH", path, raw, MERGE)

    cpu = time.process_time()
    begin = time.monotonic()
    seconds = await many(action(*body) for body in bodies)
    cpu = time.process_time() - cpu
    return {
        "begin": begin,
        "seconds": seconds,
        "count": len(bodies),
        "cpu_s": cpu,
        "bytes": len(bodies[0][1]),
    }


async def clear(server: Server, given: argparse.Namespace) -> Json:
    """Take the addresses away again."""
    items, _ = await server.services(given.prefix)
    nothing = {
        "metadata": {"annotations": {POOL_ANNOTATION: None}},
        "status": {"loadBalancer": None, "conditions": None},
    }

    def action(name: str) -> Callable[[], Awaitable[object]]:
        return lambda: server.send("PATCH", f"{SERVICES}/{name}/status", nothing)

    return {"seconds": await many(action(item["metadata"]["name"]) for item in items)}


async def timeline(server: Server, given: argparse.Namespace) -> Json:
    """Note when services get their addresses, until all of them have one or time is over."""
    _, version = await server.services(given.prefix)
    tell({"ready": True})
    times: dict[str, float] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(given.within):
            async for line in server.watch(version):
                item = line["object"]
                name = item["metadata"]["name"]
                if name.startswith(given.prefix) and name not in times and address_of(item):
                    times[name] = time.monotonic()
                    if len(times) == given.count:
                        break
    first, *_, last = [*sorted(times.values()), 0.0, 0.0][: max(len(times), 2)]
    return {"first": first, "last": last, "count": len(times)}


async def latency(server: Server, given: argparse.Namespace) -> Json:
    """Create services one after the other and note how long each one's address takes.

    With ``--bare`` this program itself writes the addresses: what watch and patch cost at least.
    """
    served: dict[str, asyncio.Future[float]] = {}
    loop = asyncio.get_running_loop()
    _, version = await server.services(given.prefix)
    following = loop.create_task(_follow(server, version, served, is_bare=given.bare))
    from_start, from_answer = [], []
    for i in range(given.count):
        name = f"{given.prefix}{i:04d}"
        served[name] = loop.create_future()
        begin = time.monotonic()
        await server.send("POST", SERVICES, service(name))
        answered = time.monotonic()
        at = await asyncio.wait_for(served[name], 30.0)
        from_start.append((at - begin) * 1000)
        from_answer.append((at - answered) * 1000)
        await asyncio.sleep(0.03)
    following.cancel()
    for name in served:
        await server.send("DELETE", f"{SERVICES}/{name}")
    return {"from_start_ms": from_start, "from_answer_ms": from_answer}


async def _follow(
    server: Server, version: str, served: Mapping[str, asyncio.Future[float]], *, is_bare: bool
) -> None:
    async for line in server.watch(version):
        item = line["object"]
        meta = item["metadata"]
        waiter = served.get(meta["name"])
        if waiter is None or waiter.done():
            continue
        if address_of(item):
            waiter.set_result(time.monotonic())
        elif is_bare and line["type"] == "ADDED":
            body = status_patch(meta["resourceVersion"], len(served))
            await server.send("PATCH", f"{SERVICES}/{meta['name']}/status", body)


MODES: Final = {
    "create": create,
    "patch": patch,
    "clear": clear,
    "timeline": timeline,
    "latency": latency,
}


def tell(line: Mapping[str, Any]) -> None:
    """Print one line of JSON."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def run(given: argparse.Namespace) -> None:
    """Carry out one mode, within a time limit."""
    context = ssl.create_default_context(cafile=str(given.pki / "ca.crt"))
    context.load_cert_chain(
        given.pki / f"{given.identity}.crt", given.pki / f"{given.identity}.key"
    )
    connector = aiohttp.TCPConnector(ssl=context, limit=0, keepalive_timeout=60)
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    headers = {"Accept-Encoding": "identity"}
    async with (
        asyncio.timeout(LIMIT_S),
        aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session,
    ):
        tell(await MODES[given.mode](Server(given.server, session), given))


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=sorted(MODES))
    parser.add_argument("--server", required=True)
    parser.add_argument("--pki", type=Path, required=True)
    parser.add_argument("--identity", default="admin")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--prefix", default="bench-")
    parser.add_argument("--within", type=float, default=LIMIT_S - 5.0, metavar="SECONDS")
    parser.add_argument("--slices", action="store_true")
    parser.add_argument("--bare", action="store_true")
    asyncio.run(run(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
