"""Speakers on a real network: who answers for an address, and what happens when nodes go."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from lab.process import wait_gone
from tests.lab.scene import BOTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.light import LightLab
    from lab.process import Process
    from tests.lab.scene import Scene

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
NOISE_S = 0.4
"""Silence that a busy machine makes by itself; a withdrawal lasts longer than that."""


@pytest.fixture
def announced(scene: Scene, web: str) -> Iterator[Scene]:
    """Give a scene with a service that is announced: its key is ``default/<name>-a``."""
    scene.announce(web)
    yield scene
    scene.lab.faults.heal()
    for node in scene.lab.nodes:
        speaker = scene.lab.speaker(node)
        if not speaker.is_alive():
            speaker.start()
    scene.wait_owner(scene.ip4(), scene.ranking(scene.ip4())[0], timeout_s=20)


def _key(scene: Scene) -> str:
    return f"default/{scene.name}-a"


def _mac(lab: LightLab, node: str) -> str:
    return lab.site.plan.node(node).mac


def _gap(watch: Any) -> float:
    return float(watch.report().longest_gap_s)


@pytest.mark.parametrize("family", ["ARP", "NDP"])
@pytest.mark.rule("layer2-2.8", "layer2-3.order")
def test_the_first_of_the_originals_ranking_answers(scene: Scene, web: str, family: str) -> None:
    """For each of several addresses one node answers: the first by the hash of node and address."""
    v4 = family == "ARP"
    address = scene.ip4 if v4 else scene.ip6
    scene.pool(f"{address()}-{address(3)}")
    scene.advertise()
    families: dict[str, Any] = {"ipFamilies": ["IPv4" if v4 else "IPv6"]}
    for number in range(4):
        asks = {"metallb.io/loadBalancerIPs": address(number)}
        scene.service(f"s{number}", selector={"app": web}, annotations=asks, **families)
    for number in range(4):
        ip = address(number)
        scene.wait_owner(ip, scene.ranking(ip)[0], timeout_s=10)


@pytest.mark.rule("layer2-3.key")
def test_both_families_of_a_service_have_one_owner(announced: Scene) -> None:
    """The first address ranks the nodes; NDP is answered by the same node as ARP."""
    owner = announced.ranking(announced.ip4())[0]
    announced.wait_owner(announced.ip6(), owner)


@pytest.mark.rule(
    "layer2-13.5.status", "layer2-11.fields", "layer2-12.node-assigned", "speaker-7.node-assigned"
)
def test_status_and_event_name_the_owner_and_go_with_the_service(announced: Scene) -> None:
    """ServiceL2Status tells the announcing node, an event too; both stop with the service."""
    key = _key(announced)
    owner = announced.ranking(announced.ip4())[0]
    announced.until(lambda: [s["node"] for s in announced.l2_status(key)] == [owner])
    event = announced.wait_event(key, "nodeAssigned", about=f'"{owner}"')
    assert event["message"] == f'announcing from node "{owner}" with protocol "layer2"'
    announced.delete(key)
    announced.wait_owner(announced.ip4(), None)
    announced.until(lambda: announced.l2_status(key) == [], "status object is gone")
    again = announced.service(selector={"app": "web"}, **BOTH)
    announced.wait_addresses(again)


@pytest.mark.rule("layer2-10.endpoint", "layer2-2.6")
def test_a_local_service_is_announced_where_its_endpoint_is(scene: Scene) -> None:
    """The address moves with the pod, and nobody answers when there is none."""
    scene.pool()
    scene.advertise()
    first, second = scene.ranking(scene.ip4())[1:]
    pod = scene.web(first, scene.name)
    key = scene.service(selector={"app": scene.name}, externalTrafficPolicy="Local")
    scene.wait_addresses(key)
    scene.wait_owner(scene.ip4(), first)
    scene.remove_pod(pod)
    scene.wait_owner(scene.ip4(), None)
    scene.until(lambda: scene.l2_status(key) == [])
    scene.web(second, scene.name)
    scene.wait_owner(scene.ip4(), second)
    scene.until(lambda: [s["node"] for s in scene.l2_status(key)] == [second])


@pytest.mark.rule("layer2-2.1")
def test_a_service_without_ready_endpoints_is_not_announced(scene: Scene) -> None:
    """An address that no pod stands behind is answered for by nobody until one is ready."""
    scene.pool()
    scene.advertise()
    key = scene.service(selector={"app": scene.name})
    scene.wait_addresses(key)
    pod = scene.web("n1", scene.name)
    owner = scene.ranking(scene.ip4())[0]
    scene.wait_owner(scene.ip4(), owner)
    scene.lab.pods.set_ready(pod, ready=False)
    scene.wait_owner(scene.ip4(), None)
    scene.lab.pods.set_ready(pod, ready=True)
    scene.wait_owner(scene.ip4(), owner)


@pytest.mark.rule("layer2-1.nodes")
def test_node_selectors_choose_the_nodes(scene: Scene, web: str) -> None:
    """Only a node that the advertisement selects answers, were it the last of the ranking."""
    scene.pool()
    last = scene.ranking(scene.ip4())[-1]
    scene.advertise(nodeSelectors=[{"matchLabels": {"kubernetes.io/hostname": last}}])
    scene.wait_addresses(scene.service(selector={"app": web}))
    scene.wait_owner(scene.ip4(), last)


@pytest.mark.rule("layer2-1.interfaces", "layer2-11.fields")
def test_only_the_named_interfaces_answer(scene: Scene, web: str) -> None:
    """A named interface answers and is told in the status."""
    scene.pool()
    scene.advertise(interfaces=["eth0"])
    key = scene.service(selector={"app": web})
    scene.wait_addresses(key)
    scene.wait_owner(scene.ip4(), scene.ranking(scene.ip4())[0])
    scene.until(lambda: [s.get("interfaces") for s in scene.l2_status(key)] == [[{"name": "eth0"}]])


@pytest.mark.rule("layer2-13.5.missing", "layer2-12.announce-failed", "speaker-7.announce-failed")
def test_an_interface_that_does_not_exist_is_told(scene: Scene, web: str) -> None:
    """Nobody answers, and a warning on the service names the address."""
    scene.pool()
    scene.advertise(interfaces=["nosuch0"])
    key = scene.service(selector={"app": web})
    scene.wait_addresses(key)
    event = scene.wait_event(key, "announceFailed", about=scene.ip4())
    assert event["type"] == "Warning"
    assert scene.who(scene.ip4()) == []


@pytest.mark.rule("layer2-10.excluded", "speaker-5.3.reprocess")
def test_an_excluded_node_gives_its_addresses_up(announced: Scene) -> None:
    """The well-known label takes a node out of the ranking; without it, it is back."""
    first, second, _ = announced.ranking(announced.ip4())
    path = f"/api/v1/nodes/{first}"
    announced.lab.api.merge(path, {"metadata": {"labels": {EXCLUDE: ""}}})
    try:
        announced.wait_owner(announced.ip4(), second)
        announced.until(
            lambda: [s["node"] for s in announced.l2_status(_key(announced))] == [second]
        )
    finally:
        announced.lab.api.merge(path, {"metadata": {"labels": {EXCLUDE: None}}})
    announced.wait_owner(announced.ip4(), first)


@pytest.mark.rule("layer2-13.5.unavailable", "layer2-10.excluded")
def test_a_node_without_network_gives_its_addresses_up(announced: Scene) -> None:
    """The condition NetworkUnavailable moves them, and its end brings them back."""
    first, second, _ = announced.ranking(announced.ip4())
    path = f"/api/v1/nodes/{first}/status"

    def set_unavailable(status: str) -> None:
        api = announced.lab.api
        others = [
            condition
            for condition in api.get(f"/api/v1/nodes/{first}")["status"].get("conditions", [])
            if condition["type"] != "NetworkUnavailable"
        ]
        mine = {"type": "NetworkUnavailable", "status": status, "reason": "Test", "message": "-"}
        api.merge(path, {"status": {"conditions": [*others, mine]}})

    set_unavailable("True")
    try:
        announced.wait_owner(announced.ip4(), second)
    finally:
        set_unavailable("False")
    announced.wait_owner(announced.ip4(), first)


@pytest.mark.rule("layer2-13.5.labels", "layer2-2.2")
def test_a_service_whose_labels_leave_the_selector_is_withdrawn(scene: Scene, web: str) -> None:
    """And it is announced again when they come back."""
    scene.pool()
    scene.advertise(serviceSelectors=[{"matchLabels": {"tier": "edge"}}])
    key = scene.service(selector={"app": web}, labels={"tier": "edge"})
    scene.wait_addresses(key)
    scene.wait_endpoints(key)
    owner = scene.ranking(scene.ip4())[0]
    scene.wait_owner(scene.ip4(), owner)
    scene.patch(key, {"metadata": {"labels": {"tier": "core"}}})
    scene.wait_owner(scene.ip4(), None)
    scene.until(lambda: scene.l2_status(key) == [], "status object is gone")
    scene.patch(key, {"metadata": {"labels": {"tier": "edge"}}})
    scene.wait_owner(scene.ip4(), owner)


@pytest.mark.rule("layer2-13.3", "layer2-1.node-change")
def test_a_preferred_node_answers_while_it_bears_the_label(scene: Scene, web: str) -> None:
    """The label given at run time moves the address there, and taken away moves it back."""
    scene.pool()
    terms = [{"weight": 100, "preference": {"matchLabels": {scene.name: "yes"}}}]
    scene.advertise(preferredNodeSelectors=terms)
    key = scene.service(selector={"app": web})
    scene.wait_addresses(key)
    scene.wait_endpoints(key)
    first, *_, last = scene.ranking(scene.ip4())
    scene.wait_owner(scene.ip4(), first)
    for value, owner in (("yes", last), (None, first)):
        labels = {"metadata": {"labels": {scene.name: value}}}
        scene.lab.api.merge(f"/api/v1/nodes/{last}", labels)
        scene.wait_owner(scene.ip4(), owner)


@pytest.mark.parametrize("family", ["ARP", "NDP"])
@pytest.mark.rule("membership-9.return", "layer2-10.death")
def test_a_node_that_is_cut_off_is_replaced(announced: Scene, family: str) -> None:
    """Another node answers in at most 2 s; 2 s after healing, one owner is left: the first."""
    lab = announced.lab
    address = announced.ip4() if family == "ARP" else announced.ip6()
    first, second, _ = announced.ranking(announced.ip4())
    with lab.observe.owner(address) as watch:
        announced.owner_watch_ready(watch)
        lab.faults.cut(first)
        announced.until(lambda: _mac(lab, second) in watch.report().owners, "the next answers")
        announced.quiet(watch, 0.2)
        assert _gap(watch) <= 2.0
        lab.faults.heal(first)
        healed_at = time.monotonic()
        announced.quiet(watch, 3.0)
    late = {
        line["mac"]
        for line in watch.lines()
        if line["kind"] == "answer" and line["t"] > healed_at + 2.0
    }
    assert late == {_mac(lab, first)}


@pytest.mark.rule("layer2-10.death")
def test_a_killed_speaker_is_replaced(announced: Scene) -> None:
    """SIGKILL of announcer and brain: another node answers in at most 3 s."""
    lab = announced.lab
    first, second, _ = announced.ranking(announced.ip4())
    with lab.observe.owner(announced.ip4()) as watch:
        announced.owner_watch_ready(watch)
        lab.speaker(first).kill()
        announced.until(lambda: _mac(lab, second) in watch.report().owners, "the next answers")
        announced.quiet(watch, 0.2)
    assert _gap(watch) <= 3.0
    announced.until(lambda: [s["node"] for s in announced.l2_status(_key(announced))] == [second])


@pytest.mark.rule("layer2-10.stop", "speaker-1.2.stop")
def test_a_speaker_that_ends_hands_over_without_a_gap(announced: Scene) -> None:
    """SIGTERM of the owner: no question and no new connection stays unanswered."""
    lab = announced.lab
    first, second, _ = announced.ranking(announced.ip4())
    # Each node's kube-proxy needs its time to know a new service; it is not what is tried here.
    for node in (first, second):
        announced.until(
            lambda node=node: lab.nodes[node].http_get(f"http://{announced.ip4()}/").status == 200
        )
    with lab.observe.owner(announced.ip4()) as watch:
        announced.owner_watch_ready(watch)
        lab.speaker(first).signal(signal.SIGTERM)
        begin, moved_at = time.monotonic(), 0.0
        while not moved_at or time.monotonic() < moved_at + 0.5:
            assert time.monotonic() < begin + 15, "the next node never answered"
            # A lost SYN would be sent again after a second only.
            lab.client.connect(announced.ip4(), 80, timeout_s=0.9).close()
            if not moved_at and _mac(lab, second) in watch.report().owners:
                moved_at = time.monotonic()
        assert lab.speaker(first).wait(10)
        announced.quiet(watch, 0.5)
    assert watch.report().owners == (_mac(lab, first), _mac(lab, second))
    assert _unanswered(watch.lines()) == []


def _unanswered(lines: list[dict[str, Any]]) -> list[float]:
    """Give the questions that nobody answered within 100 ms, but for the last ones asked."""
    answers = [line["t"] for line in lines if line["kind"] == "answer"]
    asked = [line["t"] for line in lines if line["kind"] == "asked"]
    first, last = answers[0], lines[-1]["t"] - 0.2
    missing, at = [], 0
    for t in asked:
        while at < len(answers) and answers[at] < t:
            at += 1
        if first <= t <= last and (at == len(answers) or answers[at] - t > 0.1):
            missing.append(t)
    return missing


def _brain(speaker: Process) -> int:
    """Give the pid of a speaker's brain: the child of the process that was started."""
    children = [stat.pid for stat in speaker.family() if stat.parent == speaker.pid]
    assert len(children) == 1
    return children[0]


def test_a_dead_brain_is_not_noticed_on_the_wire(announced: Scene) -> None:
    """The announcer answers without a gap while a new brain comes up and plans again."""
    lab = announced.lab
    first = announced.ranking(announced.ip4())[0]
    speaker = lab.speaker(first)
    brain = _brain(speaker)
    with lab.observe.owner(announced.ip4()) as watch:
        announced.owner_watch_ready(watch)
        lab.nodes[first].run(["kill", "-KILL", str(brain)])
        assert wait_gone(brain, 5)
        announced.until(
            lambda: any(s.parent == speaker.pid and s.pid != brain for s in speaker.family())
        )
        url = "http://127.0.0.1:17472/readyz"
        announced.until(lambda: lab.nodes[first].http_get(url).status == 200, "ready", 20)
        announced.quiet(watch, 0.5)
    seen = watch.report()
    assert seen.owners == (_mac(lab, first),)
    assert seen.longest_gap_s < NOISE_S
    announced.delete(_key(announced))
    announced.wait_owner(announced.ip4(), None)
    announced.wait_addresses(announced.service(selector={"app": "web"}, **BOTH))


def test_the_wire_does_without_an_api_server(announced: Scene) -> None:
    """While it is away all answers go on, and a node that is cut off then is replaced."""
    lab = announced.lab
    first, second, _ = announced.ranking(announced.ip4())
    server = lab.process("kube-apiserver")
    with lab.observe.owner(announced.ip4()) as watch:
        announced.owner_watch_ready(watch)
        server.kill()
        try:
            announced.quiet(watch, 3.0)
            untouched = watch.report()
            lab.faults.cut(first)
            announced.until(lambda: _mac(lab, second) in watch.report().owners, "the next answers")
            announced.quiet(watch, 0.2)
        finally:
            lab.faults.heal()
            server.start()
            announced.until(lab.api.is_ready, "API server", 60)
    assert untouched.owners == (_mac(lab, first),)
    assert untouched.longest_gap_s < NOISE_S
    assert _gap(watch) <= 2.0


@pytest.mark.rule("speaker-9.lines")
def test_speakers_log_json_lines(announced: Scene) -> None:
    """Each line is one JSON object with time, level and event."""
    lines = announced.lab.speaker("n1").log().splitlines()
    assert lines
    for line in lines:
        fields = json.loads(line)
        assert {"ts", "level", "event"} <= fields.keys()
