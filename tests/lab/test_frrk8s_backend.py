"""The `frr-k8s` backend against a real API server: the object, who else writes it, restarts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from lab import Lab
from lab.errors import ApiError
from lab.light import await_served
from mercurylb.bgp.route import RouteGroup
from mercurylb.kube.client import KubeClient
from mercurylb.kube.credentials import KubeconfigCredentials
from mercurylb.kube.writer import Writer
from mercurylb.plan.bgp_wanted import BgpWanted
from mercurylb.speaker.frrk8s_backend import DEBOUNCE_S, FrrK8sBackend
from mercurylb.telemetry import logs as log
from tests.lab.frrk8s_definitions import DEFINITIONS, GROUP
from tests.unit.frr.cases import EVERYTHING, FULL_PROFILE, peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from lab.light import LightLab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

NODE = "n1"
PATH = f"/apis/{GROUP}/v1beta1/namespaces/default"
OBJECT = f"{PATH}/frrconfigurations/metallb-{NODE}"
STATES = f"{PATH}/bgpsessionstates"
EVERY_FIELD = peer(
    **EVERYTHING,
    name="router",
    bfd_profile="full",
    local_asn=65410,
    ebgp_multi_hop=True,
    enable_graceful_restart=True,
    dual_stack_address_family=True,
    disable_mp=True,
    connect_time_ns=5 * 10**9,
)
ROUTES = (
    RouteGroup(("router",), ("198.51.100.1/32", "2001:db8:1::1/128"), 300, 2, (65536 + 7,)),
    RouteGroup(("router",), ("198.51.100.2/32",), large_communities=((1, 2, 3),)),
    RouteGroup(("router",), ("198.51.100.3/32",), is_leaving=True),
    RouteGroup(("stranger",), ("198.51.100.4/32",)),
)
WANTED = BgpWanted((EVERY_FIELD,), ROUTES, (FULL_PROFILE,))
LESS = BgpWanted((peer(),))


@pytest.fixture(scope="module")
def lab() -> Iterator[LightLab]:
    """Bring up a control plane that knows the kinds of frr-k8s."""
    options: dict[str, Any] = {"controller": "", "speaker": "", "proxy_mode": "none"}
    with Lab.light(name="frrk8s", nodes=1, **options) as running:
        for definition in DEFINITIONS:
            running.api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        await_served(running.api, [f"{PATH}/frrconfigurations", STATES])
        yield running
        # The lab takes everything down.


@pytest.fixture
def empty(lab: LightLab) -> LightLab:
    """Give the control plane without an object."""
    with contextlib.suppress(ApiError):
        lab.api.delete(OBJECT)
    return lab


class Speaker:
    """A backend that runs, as a speaker has it."""

    def __init__(self, client: KubeClient, lab: LightLab) -> None:
        self.lab = lab
        self.observed = asyncio.Event()
        self.writer = Writer(client, random=random.Random(1), log=log)
        self.backend = FrrK8sBackend(
            client,
            self.writer,
            node=NODE,
            namespace="default",
            passes_secrets=False,
            random=random.Random(1),
            on_observed=self.observed.set,
        )

    async def until(self, condition: Callable[[], object], within_s: float = 15.0) -> None:
        """Wait for a condition that the API server is asked about."""
        async with asyncio.timeout(within_s):
            while not await asyncio.to_thread(condition):  # noqa: ASYNC110 (it has no event)
                await asyncio.sleep(0.05)

    def get(self) -> dict[str, Any]:
        """Give the object; empty if there is none."""
        try:
            found: dict[str, Any] = self.lab.api.get(OBJECT)
        except ApiError:
            return {}
        return found

    def seen_labels(self) -> dict[str, str] | None:
        """Give the object's labels as the watch has shown them; None before it was seen."""
        found = self.backend._found.get(f"default/metallb-{NODE}")
        return None if found is None else dict(found.metadata.labels or {})


def with_speaker(lab: LightLab, scenario: Callable[[Speaker], Awaitable[None]]) -> None:
    """Run a scenario beside a backend, in the control plane's network."""

    async def run() -> None:
        credentials = await KubeconfigCredentials.load(str(lab.site.kubeconfig()))
        async with KubeClient(credentials) as client, _running(Speaker(client, lab)) as speaker:
            await scenario(speaker)

    with lab.host("cp").inside():
        asyncio.run(run())


@contextlib.asynccontextmanager
async def _running(speaker: Speaker) -> AsyncIterator[Speaker]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(speaker.writer.run()), group.create_task(speaker.backend.run())]
        try:
            yield speaker
        finally:
            for task in tasks:
                task.cancel()


def neighbor(found: dict[str, Any]) -> dict[str, Any]:
    """Give the one neighbour of an object; empty if it has none."""
    routers = found.get("spec", {}).get("bgp", {}).get("routers") or [{}]
    return dict((routers[0].get("neighbors") or [{}])[0])


@pytest.mark.rule("bgp-frr-B1.object", "bgp-frr-B2.neighbor", "manifests-3.frr-k8s.kinds")
def test_every_field_arrives(empty: LightLab) -> None:
    """The API server stores all that was said: no field has a name that it prunes."""

    async def scenario(speaker: Speaker) -> None:
        speaker.backend.apply(WANTED)
        await speaker.until(lambda: neighbor(speaker.get()))
        found = speaker.get()
        assert "ownerReferences" not in found["metadata"]
        assert "labels" not in found["metadata"]
        assert found["spec"]["nodeSelector"] == {"matchLabels": {"kubernetes.io/hostname": NODE}}
        (router,) = found["spec"]["bgp"]["routers"]
        prefixes = ["198.51.100.1/32", "198.51.100.2/32", "2001:db8:1::1/128"]
        assert (router["asn"], router["id"]) == (64512, "192.0.2.10")
        assert router["prefixes"] == prefixes
        said = neighbor(found)
        told = said.pop("toAdvertise")
        assert said == {
            "asn": 64600,
            "localASN": 65410,
            "sourceaddress": "192.0.2.10",
            "address": "192.0.2.1",
            "port": 1179,
            "password": "open-sesame",
            "passwordSecret": {},
            "holdTime": "3s",
            "keepaliveTime": "1s",
            "connectTime": "5s",
            "ebgpMultiHop": True,
            "bfdProfile": "full",
            "enableGracefulRestart": True,
            "disableMP": True,
            "dualStackAddressFamily": True,
            "addressFamilies": ["unicast"],
            "toReceive": {"allowed": {"mode": "filtered"}},
        }
        assert told == {
            "allowed": {"mode": "filtered", "prefixes": prefixes},
            "nextHop": {},
            "withLocalPref": [{"localPref": 300, "prefixes": prefixes[::2]}],
            "withCommunity": [
                {"community": "1:7", "prefixes": prefixes[::2]},
                {"community": "large:1:2:3", "prefixes": prefixes[1:2]},
            ],
            "withAsPathPrepend": [{"asPathPrepend": 2, "prefixes": prefixes[::2]}],
        }

    with_speaker(empty, scenario)


@pytest.mark.rule("bgp-frr-B3.defaults")
def test_what_the_api_server_fills_in_is_written_once(empty: LightLab) -> None:
    """Its defaults are no difference: the object is not written again and again."""

    async def scenario(speaker: Speaker) -> None:
        speaker.backend.apply(WANTED)
        await speaker.until(lambda: neighbor(speaker.get()))
        await speaker.writer.idle()
        first, count = speaker.get()["metadata"], speaker.writer.counts.done
        assert speaker.lab.api.merge(OBJECT, {"metadata": {"labels": {"a": "b"}}})
        await speaker.until(lambda: speaker.seen_labels() == {"a": "b"})
        await asyncio.sleep(2 * DEBOUNCE_S)  # Nothing is to happen.
        assert speaker.writer.counts.done == count == 1
        assert speaker.get()["metadata"]["generation"] == first["generation"]
        assert speaker.get()["metadata"]["labels"] == {"a": "b"}

    with_speaker(empty, scenario)


@pytest.mark.rule("bgp-frr-B3.watch", "bgp-frr-B3.spec-only")
def test_changes_by_hand_are_put_right(empty: LightLab) -> None:
    """Another spec and a deletion are undone; labels and annotations stay as they were set."""

    async def scenario(speaker: Speaker) -> None:
        speaker.backend.apply(WANTED)
        await speaker.until(lambda: neighbor(speaker.get()))
        good = speaker.get()["spec"]
        change = {"metadata": {"annotations": {"a": "b"}}, "spec": {"bgp": {"routers": []}}}
        speaker.lab.api.merge(OBJECT, change)
        await speaker.until(lambda: speaker.get().get("spec") == good)
        assert speaker.get()["metadata"]["annotations"] == {"a": "b"}
        speaker.lab.api.delete(OBJECT)
        await speaker.until(lambda: speaker.get().get("spec") == good)

    with_speaker(empty, scenario)


@pytest.mark.rule("bgp-frr-B3.change")
def test_another_wish_replaces_the_object(empty: LightLab) -> None:
    """Nothing of the one before is left over."""

    async def scenario(speaker: Speaker) -> None:
        speaker.backend.apply(WANTED)
        await speaker.until(lambda: neighbor(speaker.get()))
        speaker.backend.apply(LESS)
        await speaker.until(lambda: "password" not in neighbor(speaker.get()))
        assert "bfdProfiles" not in speaker.get()["spec"]["bgp"]
        speaker.backend.apply(BgpWanted())
        await speaker.until(lambda: "routers" not in speaker.get()["spec"]["bgp"])

    with_speaker(empty, scenario)


@pytest.mark.rule("bgp-frr-B3.restart", "bgp-frr-B3.shutdown")
def test_a_restart_leaves_the_object_alone(empty: LightLab) -> None:
    """It stays when the speaker ends, and when the next one does not know yet what it wants."""
    uids = []

    async def first(speaker: Speaker) -> None:
        speaker.backend.apply(WANTED)
        await speaker.until(lambda: neighbor(speaker.get()))

    async def second(speaker: Speaker) -> None:
        before = speaker.get()["metadata"]
        await speaker.until(lambda: speaker.seen_labels() is not None)
        await asyncio.sleep(2 * DEBOUNCE_S)  # Nothing is to happen.
        assert speaker.get()["metadata"] == before
        speaker.backend.apply(WANTED)
        await speaker.until(lambda: speaker.writer.counts.done == 1)
        assert speaker.get()["metadata"]["resourceVersion"] == before["resourceVersion"]
        uids.append(before["uid"])

    with_speaker(empty, first)
    with_speaker(empty, second)
    assert empty.api.get(OBJECT)["metadata"]["uid"] == uids[0]


@pytest.mark.rule("bgp-frr-B5.read")
def test_the_state_of_sessions_is_read_back(empty: LightLab) -> None:
    """States of this node come under the names of its peers; strangers are skipped."""

    def state(name: str, node: str, target: str, word: str) -> None:
        head = {"name": name, "labels": {f"{GROUP}/node": node}}
        body = {"apiVersion": f"{GROUP}/v1beta1", "kind": "BGPSessionState", "metadata": head}
        empty.api.post(STATES, body)
        status = {"node": node, "peer": target, "bgpStatus": word, "bfdStatus": "N/A"}
        empty.api.request("PUT", f"{STATES}/{name}/status", body_of(name, head, status))

    def body_of(name: str, head: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
        version = empty.api.get(f"{STATES}/{name}")["metadata"]["resourceVersion"]
        head = {**head, "resourceVersion": version}
        kind = {"apiVersion": f"{GROUP}/v1beta1", "kind": "BGPSessionState"}
        return {**kind, "metadata": head, "status": status}

    async def scenario(speaker: Speaker) -> None:
        dotted, expanded = "192.0.2.1", "2001-0db8-0000-0000-0000-0000-0000-0001"
        await asyncio.to_thread(state, "a", NODE, dotted, "Established")
        await asyncio.to_thread(state, "b", NODE, expanded, "Active")
        await asyncio.to_thread(state, "c", NODE, "192.0.2.99", "Established")
        await asyncio.to_thread(state, "d", "n2", dotted, "Idle")
        speaker.backend.apply(BgpWanted((peer(), peer("2001:db8::1", name="six"))))
        await speaker.until(lambda: len(speaker.backend.observe()) == 2)
        found = {report.name: (report.state, report.bfd) for report in speaker.backend.observe()}
        assert found == {"router": ("Established", ""), "six": ("Active", "")}
        assert speaker.observed.is_set()

    with_speaker(empty, scenario)


@pytest.mark.rule("bgp-frr-B3.refused")
def test_an_object_that_is_refused_is_written_once_it_is_taken(empty: LightLab) -> None:
    """The refusal is told, and what is wanted by then is written."""

    async def scenario(speaker: Speaker) -> None:
        speaker.backend.apply(BgpWanted((peer(port=40_000),)))
        await speaker.until(lambda: speaker.writer.counts.failed == 1)
        assert speaker.get() == {}
        speaker.backend.apply(LESS)
        await speaker.until(lambda: neighbor(speaker.get()))

    with_speaker(empty, scenario)
