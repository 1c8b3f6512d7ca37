"""What the operator's command fetches: everything that decisions read, as far as it may."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from mercurylb.cli.cluster import fetch_with
from mercurylb.errors import KubeError
from mercurylb.kube.client import KubeClient

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

Json = dict[str, Any]
METALLB = "/apis/metallb.io/v1beta"


class Anybody:
    """Plain HTTP without any credentials."""

    def __init__(self, server: str) -> None:
        self.server = server

    def ssl_context(self) -> ssl.SSLContext | None:
        return None

    async def authorization(self) -> str:
        return ""

    async def renew(self) -> bool:
        return False

    def namespace(self) -> str | None:
        return None


@asynccontextmanager
async def cluster(answers: dict[str, list[Json] | int]) -> AsyncIterator[KubeClient]:
    """Serve lists by path, or refuse them by status; everything else is empty."""

    async def answer(request: web.Request) -> web.Response:
        found = answers.get(request.path, answers.get("*", []))
        if isinstance(found, int):
            return web.json_response({"kind": "Status", "reason": "No"}, status=found)
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": found})

    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with KubeClient(Anybody(f"http://127.0.0.1:{port}")) as client:
            yield client
    finally:
        await runner.cleanup()


def named(name: str, namespace: str = "default", **rest: Any) -> Json:
    """Make an object as it stands in a list: without kind."""
    return {"metadata": {"name": name, "namespace": namespace}, **rest}


def service(name: str, *addresses: str) -> Json:
    """Make a load balancer."""
    ingress = [{"ip": address} for address in addresses]
    status = {"loadBalancer": {"ingress": ingress} if ingress else {}}
    return named(name, spec={"type": "LoadBalancer"}, status=status)


async def test_only_what_matters_is_kept() -> None:
    """Endpoints of load balancers, events of who waits, our pods; each object once."""
    pod = named("controller", "lb")
    pod["metadata"]["labels"] = {
        "app.kubernetes.io/name": "metallb",
        "app.kubernetes.io/component": "controller",
    }
    label = "kubernetes.io/service-name"
    slices = [named(name) for name in ("web-1", "db-1")]
    for item, owner in zip(slices, ("web", "db"), strict=True):
        item["metadata"]["labels"] = {label: owner}
    events = [
        named(f"{name}.1", involvedObject={"namespace": "default", "name": name}, reason=reason)
        for name, reason in (("web", "x"), ("done", "x"), ("done", "announceFailed"))
    ]
    answers: dict[str, list[Json] | int] = {
        "/api/v1/services": [service("web"), service("done", "192.0.2.1"), named("db")],
        "/api/v1/pods": [pod, named("stranger")],
        "/apis/discovery.k8s.io/v1/endpointslices": slices,
        "/api/v1/events": [events[0], events[1], {**events[2], "metadata": {"name": "other"}}],
        f"{METALLB}2/bgppeers": [named("r", "lb", spec={"passwordSecret": {"name": "wrong"}})],
        "/api/v1/namespaces/lb/secrets": [
            named("peer", "lb", type="kubernetes.io/basic-auth", data={"password": "eA=="}),
            named("wrong", "lb", type="Opaque"),
            named("memberlist", "lb", type="Opaque"),
        ],
    }
    async with cluster(answers) as client:
        fetched = await fetch_with(client)
    kept = [(item["kind"], item["metadata"]["name"]) for item in fetched.objects]
    assert sorted(kept) == [
        ("BGPPeer", "r"),
        ("EndpointSlice", "web-1"),
        ("Event", "other"),
        ("Event", "web.1"),
        ("Pod", "controller"),
        ("Secret", "peer"),
        ("Secret", "wrong"),
        ("Service", "db"),
        ("Service", "done"),
        ("Service", "web"),
    ]
    assert not fetched.warnings
    assert "eA==" not in str(fetched.objects)


async def test_what_may_not_be_read_is_a_warning() -> None:
    """Kinds that are refused or unknown are named, but for one that need not be installed."""
    answers: dict[str, list[Json] | int] = {
        "/api/v1/services": [service("web")],
        "/api/v1/nodes": 403,
        f"{METALLB}1/servicebgpstatuses": 404,
        "/apis/mercurylb.io/v1alpha1/bgpsessions": 404,
    }
    async with cluster(answers) as client:
        fetched = await fetch_with(client)
    assert [warning.split()[0] for warning in fetched.warnings] == ["nodes", "servicebgpstatuses"]
    assert [item["kind"] for item in fetched.objects] == ["Service"]


async def test_a_cluster_that_lets_nothing_be_read_is_an_error() -> None:
    """Nothing at all is no picture to explain from."""
    async with cluster({"*": 403}) as client:
        with pytest.raises(KubeError, match="missing in this picture"):
            await fetch_with(client)
