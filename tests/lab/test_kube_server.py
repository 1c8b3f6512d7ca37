"""The Kubernetes room against a real API server."""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lab import Lab
from mercurylb.errors import Conflict, Denied, KubeError, NotFound
from mercurylb.kube.access import AccessReviewer
from mercurylb.kube.client import KubeClient
from mercurylb.kube.correlator import Reference
from mercurylb.kube.credentials import (
    KubeconfigCredentials,
    Resolved,
    ServiceAccountCredentials,
)
from mercurylb.kube.events import NORMAL, EventRecorder
from mercurylb.kube.kinds import IP_ADDRESS_POOLS, SERVICES
from mercurylb.kube.operation import Operation, Verb, encode
from mercurylb.kube.resource import Identified, Resource
from mercurylb.kube.store import Store
from mercurylb.kube.watch import Selection
from mercurylb.kube.watcher import Watcher
from mercurylb.kube.writer import Outcome, Result, Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from pathlib import Path

    from lab.light import LightLab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", Identified, namespaced=False)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", Identified)


@pytest.fixture(scope="module")
def lab() -> Iterator[LightLab]:
    """Bring up a control plane with nothing of ours on it."""
    options: dict[str, Any] = {"controller": "", "speaker": "", "proxy_mode": "none"}
    with Lab.light(name="kubeapi", nodes=1, **options) as running:
        yield running


def inside(lab: LightLab, scenario: Callable[[KubeClient], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario in the control plane's network namespace, with a client."""

    async def run() -> None:
        credentials = await KubeconfigCredentials.load(str(lab.site.kubeconfig()))
        async with KubeClient(credentials) as client, asyncio.timeout(120):
            await scenario(client)

    with lab.host("cp").inside():
        asyncio.run(run())


@asynccontextmanager
async def background(*runs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines beside a block; their failure fails the test."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run) for run in runs]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def until(condition: Callable[[], object], *, within_s: float = 20.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 (what is awaited has no event of its own)
            await asyncio.sleep(0.01)


def service(name: str) -> dict[str, Any]:
    """Make a pending service."""
    spec = {"type": "LoadBalancer", "ports": [{"port": 80}], "allocateLoadBalancerNodePorts": False}
    return {"metadata": {"name": name}, "spec": spec}


def make(client: KubeClient, resource: Resource[Any], namespace: str = "") -> Watcher[Any]:
    """Make a watcher with a store of its own."""
    selection = Selection(namespace=namespace)
    return Watcher(client, resource, Store(), random=random.Random(1), selection=selection)


async def fresh_namespace(client: KubeClient) -> str:
    """Make a namespace for one test."""
    name = f"kube-{random.getrandbits(32):x}"
    await client.create(NAMESPACES, {"metadata": {"name": name}})
    return name


def test_services_from_creation_to_deletion(lab: LightLab) -> None:
    """Creation, a status patch with an annotation, a conflict, and deletion are all seen."""

    async def scenario(client: KubeClient) -> None:
        namespace = await fresh_namespace(client)
        watcher = make(client, SERVICES, namespace)
        async with background(watcher.run()):
            await watcher.store.wait_synced()
            made = await client.create(SERVICES, service("web"), namespace=namespace)
            key = f"{namespace}/web"
            await until(lambda: key in watcher.store)
            body = {
                "metadata": {
                    "annotations": {"metallb.io/ip-allocated-from-pool": "p"},
                    "resourceVersion": made.metadata.resource_version,
                },
                "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
            }
            patched = await client.patch(
                SERVICES, "web", body, namespace=namespace, subresource="status"
            )
            assert patched.metadata.annotations
            await until(lambda: watcher.store.get(key) == patched)
            with pytest.raises(Conflict):
                await client.patch(SERVICES, "web", body, namespace=namespace, subresource="status")
            await client.delete(SERVICES, "web", namespace=namespace)
            await until(lambda: key not in watcher.store)
            with pytest.raises(NotFound):
                await client.get(SERVICES, "web", namespace=namespace)

    inside(lab, scenario)


def test_many_writes_are_seen_and_paged(lab: LightLab) -> None:
    """600 objects go out through the writer, come in by the watch, and list in two pages."""

    async def scenario(client: KubeClient) -> None:
        namespace = await fresh_namespace(client)
        watcher = make(client, CONFIG_MAPS, namespace)
        writer = Writer(client, random=random.Random(2))
        outcomes: list[Outcome] = []
        async with background(watcher.run(), writer.run()):
            await watcher.store.wait_synced()
            for index in range(600):
                body = encode({"metadata": {"name": f"c{index}"}})
                create = Operation(Verb.CREATE, CONFIG_MAPS, namespace=namespace, body=body)
                writer.submit(f"c{index}", create, outcomes.append)
            await writer.idle()
            names = {f"{namespace}/c{index}" for index in range(600)}
            await until(lambda: names <= watcher.store.objects.keys())
        assert {outcome.result for outcome in outcomes} == {Result.DONE}
        listed = await client.list(CONFIG_MAPS, Selection(namespace=namespace))
        # Kubernetes itself puts its CA certificate beside them.
        assert {f"{namespace}/{item.metadata.name}" for item in listed} >= names

    inside(lab, scenario)


def test_restart_of_the_api_server(lab: LightLab) -> None:
    """Within two seconds of its return the server's new objects are here, and nothing is lost."""

    async def scenario(client: KubeClient) -> None:
        namespace = await fresh_namespace(client)
        await client.create(SERVICES, service("before"), namespace=namespace)
        watcher = make(client, SERVICES, namespace)
        writer = Writer(client, random=random.Random(3))
        async with background(watcher.run(), writer.run()):
            await until(lambda: len(watcher.store) == 1)
            await asyncio.to_thread(lab.process("kube-apiserver").stop)
            await until(lambda: watcher.counts.failures)
            body = encode(service("during"))
            create = Operation(Verb.CREATE, SERVICES, namespace=namespace, body=body)
            writer.submit("during", create)
            await asyncio.to_thread(lab.process("kube-apiserver").start)
            await answered(client)
            before = time.monotonic()
            await until(lambda: len(watcher.store) == 2, within_s=10)
            assert time.monotonic() - before < 2.0
            assert watcher.counts.unreadable == 0

    inside(lab, scenario)


async def answered(client: KubeClient) -> None:
    """Wait until the API server answers again."""
    while True:
        try:
            await client.get(NAMESPACES, "default")
        except KubeError:
            await asyncio.sleep(0.02)
        else:
            return


def test_expired_version(lab: LightLab) -> None:
    """A version that the server no longer keeps leads to one new list, and the watch goes on."""

    async def scenario(client: KubeClient) -> None:
        namespace = await fresh_namespace(client)
        watcher = make(client, IP_ADDRESS_POOLS, namespace)
        # What the machine would believe after a very long sleep.
        watcher._reflector.on_page(b'{"metadata": {"resourceVersion": "1"}, "items": []}')
        async with background(watcher.run()):
            await until(lambda: watcher.counts.relists == 1)
            pool = {"metadata": {"name": "p"}, "spec": {"addresses": ["192.0.2.0/30"]}}
            await client.create(
                IP_ADDRESS_POOLS,
                {"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", **pool},
                namespace=namespace,
            )
            await until(lambda: f"{namespace}/p" in watcher.store)
        assert watcher.counts.failures >= 1
        assert watcher.counts.relists == 1

    inside(lab, scenario)


def test_large_object(lab: LightLab) -> None:
    """An object near the server's own bound arrives by the watch."""

    async def scenario(client: KubeClient) -> None:
        namespace = await fresh_namespace(client)
        watcher = make(client, CONFIG_MAPS, namespace)
        async with background(watcher.run()):
            await watcher.store.wait_synced()
            body = {"metadata": {"name": "big"}, "data": {"x": "x" * 1_000_000}}
            await client.create(CONFIG_MAPS, body, namespace=namespace)
            await until(lambda: f"{namespace}/big" in watcher.store)

    inside(lab, scenario)


def test_events_are_counted_on_their_object(lab: LightLab) -> None:
    """What `kubectl` shows: one event with a count, from our component, about the service."""
    names: list[str] = []

    async def scenario(client: KubeClient) -> None:
        namespace = await fresh_namespace(client)
        names.append(namespace)
        made = await client.create(SERVICES, service("web"), namespace=namespace)
        about = Reference("v1", "Service", "web", namespace, uid=made.metadata.uid)
        recorder = EventRecorder(
            client, component="metallb-controller", host="cp", random=random.Random(4)
        )
        async with background(recorder.run()):
            for _ in range(3):
                recorder.record(about, NORMAL, "IPAllocated", 'Assigned IP ["192.0.2.1"]')
                await recorder.idle()
        assert recorder.counts.failed == recorder.counts.dropped == 0

    inside(lab, scenario)
    # Kubernetes' own controllers may have something to say about a new service, too.
    events = lab.kubectl_json("get", "events", "-n", names[0])["items"]
    ours = [event for event in events if event["source"]["component"] == "metallb-controller"]
    assert len(ours) == 1, events
    [event] = ours
    assert event["count"] == 3
    assert (event["reason"], event["type"]) == ("IPAllocated", "Normal")
    assert event["source"]["host"] == "cp"
    assert "IPAllocated" in lab.kubectl("describe", "service", "web", "-n", names[0])


def test_who_may_read_metrics(lab: LightLab) -> None:
    """A token of the cluster is known, the right is needed, and nonsense is nobody."""
    lab.kubectl("create", "serviceaccount", "reader")
    lab.kubectl("create", "serviceaccount", "stranger")
    lab.kubectl("create", "clusterrole", "metrics", "--verb=get", "--non-resource-url=/metrics")
    lab.kubectl(
        "create",
        "clusterrolebinding",
        "metrics",
        "--clusterrole=metrics",
        "--serviceaccount=default:reader",
    )
    reader = lab.kubectl("create", "token", "reader").strip()
    stranger = lab.kubectl("create", "token", "stranger").strip()

    async def scenario(client: KubeClient) -> None:
        reviewer = AccessReviewer(client)
        assert await reviewer.status_of(reader) == 200
        assert await reviewer.status_of(stranger) == 403
        assert await reviewer.status_of("nonsense") == 401

    inside(lab, scenario)


def grant_services(lab: LightLab, account: str) -> None:
    """Let an account list and watch services."""
    lab.kubectl("create", "clusterrole", account, "--verb=list,watch", "--resource=services")
    binding = ["clusterrolebinding", account, f"--clusterrole={account}"]
    lab.kubectl("create", *binding, f"--serviceaccount=default:{account}")


def test_missing_rights_are_denied_and_may_come_later(lab: LightLab) -> None:
    """A watch without rights waits for them and begins when they are granted."""
    lab.kubectl("create", "serviceaccount", "late")
    token = lab.kubectl("create", "token", "late").strip()

    async def run() -> None:
        admin = await KubeconfigCredentials.load(str(lab.site.kubeconfig()))
        known = admin._resolved
        late = Resolved(server=known.server, ca=known.ca, token=token)
        async with KubeClient(KubeconfigCredentials("late", late)) as client:
            with pytest.raises(Denied):
                await client.list(SERVICES)
            watcher = make(client, SERVICES)
            async with background(watcher.run()):
                await until(lambda: watcher.counts.failures >= 3)
                await asyncio.to_thread(grant_services, lab, "late")
                async with asyncio.timeout(15):
                    await watcher.store.wait_synced()

    with lab.host("cp").inside():
        asyncio.run(run())


def test_a_rotated_token_is_taken_from_disk_when_the_old_one_is_refused(
    lab: LightLab, tmp_path: Path
) -> None:
    """Once the server refuses the token in use, the one on disk by then is used at once."""
    lab.kubectl("create", "serviceaccount", "rotating")
    for life in ("first-life", "second-life"):
        lab.kubectl("create", "secret", "generic", life)

    def token(life: str) -> str:
        bound = ("--bound-object-kind", "Secret", "--bound-object-name", life)
        return lab.kubectl("create", "token", "rotating", *bound).strip()

    first, second = token("first-life"), token("second-life")
    (tmp_path / "token").write_text(first)
    resolved = asyncio.run(KubeconfigCredentials.load(str(lab.site.kubeconfig())))._resolved
    (tmp_path / "ca.crt").write_text(resolved.ca)
    host, _, port = resolved.server.removeprefix("https://").rpartition(":")
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}

    async def is_known(client: KubeClient) -> bool:
        """Tell whether the server knows who asks; it may still not allow it (403)."""
        try:
            await client.get(NAMESPACES, "default")
        except Denied as error:
            return error.status == 403
        return True

    async def scenario() -> None:
        stuck_dir = tmp_path / "stuck"
        stuck_dir.mkdir()
        for name in ("token", "ca.crt"):
            (stuck_dir / name).write_text((tmp_path / name).read_text())
        rotating = ServiceAccountCredentials(environ, tmp_path)
        stuck = ServiceAccountCredentials(environ, stuck_dir)
        async with KubeClient(rotating) as client, KubeClient(stuck) as old, asyncio.timeout(90):
            assert await is_known(client)
            lab.kubectl("delete", "secret", "first-life")
            (tmp_path / "token").write_text(second)
            while await is_known(old):  # noqa: ASYNC110 (the server's cache has no event)
                await asyncio.sleep(0.2)
            assert await is_known(client)

    with lab.host("cp").inside():
        asyncio.run(scenario())
