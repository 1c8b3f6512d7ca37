"""What the announcer sees becomes events, objects and gauges: each once, and only for changes."""

from __future__ import annotations

import json
from typing import Any, cast

import msgspec
import pytest

from mercurylb.api.service import Service
from mercurylb.api.service_l2_status import ServiceL2Status
from mercurylb.kube.operation import Operation, Verb
from mercurylb.kube.reflector import Applied, Deleted
from mercurylb.kube.store import Store
from mercurylb.kube.writer import Outcome, Result
from mercurylb.plan.desired import (
    AddressCounters,
    Conflict,
    Count,
    MemberState,
    Observation,
    OwnedService,
)
from mercurylb.plan.testimony import CONFLICTS_ANNOTATION
from mercurylb.speaker.l2_status import Author
from mercurylb.speaker.metrics import SpeakerMetrics
from mercurylb.speaker.reporter import Reporter
from mercurylb.telemetry import logs as log
from mercurylb.telemetry.metrics import Registry
from tests.unit.speaker.test_view import ADDRESS, Cluster

WEB = OwnedService("default/web", (ADDRESS,))


class Scene:
    """A reporter of node iris1, with what it writes and records."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.cluster.step()
        self.statuses: Store[ServiceL2Status] = Store()
        self.operations: list[tuple[str, Operation]] = []
        self.callbacks: list[Any] = []
        self.events: list[str] = []
        self.messages: list[str] = []
        self.now = 0.0
        self.registry = Registry()
        fake = cast("Any", self)
        self.reporter = Reporter(
            self.cluster.view,
            self.statuses,
            author=Author(node="iris1", namespace="metallb", pod=None),
            writer=fake,
            recorder=fake,
            metrics=SpeakerMetrics(self.registry),
            clock=lambda: self.now,
            wall_clock=lambda: self.now,
        )

    def submit(self, key: str, operation: Operation, on_outcome: Any = None) -> None:
        self.operations.append((key, operation))
        self.callbacks.append(on_outcome)

    def answer(self) -> None:
        """Let the API server have done what was written since the last call of `take`."""
        body = b'{"metadata": {"name": "l2-a", "namespace": "metallb"}}'
        for (key, operation), tell in zip(self.operations, self.callbacks, strict=True):
            tell(Outcome(key, operation, Result.DONE, body))

    def record(self, about: Any, type_: str, reason: str, message: str) -> None:
        del about, type_
        self.events.append(reason)
        self.messages.append(message)

    def see(self, *owned: OwnedService, **more: Any) -> None:
        """Let the announcer own these."""
        self.reporter.on_observation(Observation(revision=1, owned=owned, **more))

    def arrive(self, name: str, *, has_status: bool, conflicts: str = "") -> None:
        """Let the watch bring an object of ours."""
        labels = {
            "metallb.io/node": "iris1",
            "metallb.io/service-name": "web",
            "metallb.io/service-namespace": "default",
        }
        status = {"node": "iris1", "serviceName": "web", "serviceNamespace": "default"}
        metadata: dict[str, Any] = {"name": name, "namespace": "metallb", "labels": labels}
        if conflicts:
            metadata["annotations"] = {CONFLICTS_ANNOTATION: conflicts}
        document = {"metadata": metadata} | ({"status": status} if has_status else {})
        item = msgspec.convert(document, ServiceL2Status)
        self.statuses.apply(Applied(f"metallb/{name}", item))
        self.reporter.write_statuses()

    def metric(self, name: str) -> str:
        """Give the lines of a metric, without its help."""
        lines = self.registry.render().decode().splitlines()
        return "\n".join(line for line in lines if line.startswith((f"{name}{{", f"{name} ")))

    def take(self) -> list[str]:
        """Give the verbs written since the last call; all of it is done then."""
        verbs = [operation.verb.name for _, operation in self.operations]
        self.answer()
        self.operations.clear()
        self.callbacks.clear()
        return verbs


@pytest.mark.rule("api-8.2.created", "api-8.2.two-steps")
@pytest.mark.rule("layer2-4.6", "layer2-11.reconcile")
def test_an_announcement_is_told_once() -> None:
    """Seeing the same state again tells and writes nothing new."""
    scene = Scene()
    scene.see(WEB)
    assert scene.events == ["nodeAssigned"]
    assert scene.take() == ["CREATE"]
    scene.arrive("l2-a", has_status=False)
    assert scene.take() == ["MERGE"]
    scene.arrive("l2-a", has_status=True)
    scene.see(WEB)
    assert scene.events == ["nodeAssigned"]
    assert scene.take() == []


def test_an_object_that_was_created_is_not_created_again_before_it_arrives() -> None:
    """Between the answer to a creation and its arrival by the watch nothing is written."""
    scene = Scene()
    scene.see(WEB)
    assert scene.take() == ["CREATE"]
    scene.see()
    scene.see(WEB)
    assert Verb.CREATE.name not in scene.take()


@pytest.mark.rule("api-8.2.withdrawn", "layer2-4.withdraw.status", "layer2-11.withdrawn")
def test_letting_go_removes_the_object() -> None:
    """A service that is owned no longer loses its object; regaining it is told again."""
    scene = Scene()
    scene.see(WEB)
    scene.arrive("l2-a", has_status=True)
    scene.take()
    scene.see()
    assert scene.take() == ["DELETE"]
    scene.see(WEB)
    assert scene.events == ["nodeAssigned", "nodeAssigned"]


@pytest.mark.rule("api-8.2.edited", "layer2-11.edited")
def test_an_object_somebody_deletes_comes_back() -> None:
    """As long as the service is announced, its object is."""
    scene = Scene()
    scene.see(WEB)
    scene.arrive("l2-a", has_status=True)
    scene.take()
    scene.statuses.apply(Deleted("metallb/l2-a"))
    scene.reporter.write_statuses()
    assert scene.take() == ["CREATE"]


@pytest.mark.rule("layer2-4.2", "layer2-12.announce-failed", "speaker-7.announce-failed")
def test_missing_interfaces_are_an_event() -> None:
    """An address that no interface of the node can carry is told once, and has no object."""
    scene = Scene()
    skipped = msgspec.structs.replace(WEB, skipped=(ADDRESS,))
    scene.see(skipped)
    scene.see(skipped)
    assert scene.events == ["nodeAssigned", "announceFailed"]
    assert scene.messages[1] == (
        f'the interfaces specified by LB IP "{ADDRESS}" doesn\'t exist in assigned node "iris1" '
        'with protocol "layer2"'
    )
    assert scene.take() == []
    assert f'ip="{ADDRESS}"' in scene.metric("metallb_speaker_announced")


@pytest.mark.rule("speaker-6.1.8")
def test_the_gauge_follows() -> None:
    """The gauge has a series per address while the service is announced."""
    scene = Scene()
    scene.see(WEB)
    assert f'ip="{ADDRESS}"' in scene.registry.render().decode()
    scene.see()
    assert "metallb_speaker_announced{" not in scene.registry.render().decode()


OTHER = OwnedService("default/web", ("10.20.30.9",))
BOTH = OwnedService("default/web", (ADDRESS, "2001:db8::1"))
SWAPPED = OwnedService("default/web", ("2001:db8::1", ADDRESS))


@pytest.mark.rule("speaker-7.node-assigned", "layer2-12.node-assigned", "speaker-6.1.6")
@pytest.mark.rule("speaker-7.takeover", "speaker-6.1.withdraw")
def test_announcements_are_told_on_transitions_only(capsys: pytest.CaptureFixture[str]) -> None:
    """First announced 1; looked at again 1; address changed 2; withdrawn 2; announced again 3."""
    log.configure(log.Level.INFO)
    scene = Scene()
    counts = []
    for owned in (WEB, *[WEB] * 5, OTHER, None, WEB):
        scene.see(*([owned] if owned else []))
        counts.append(scene.events.count("nodeAssigned"))
    assert counts == [1, 1, 1, 1, 1, 1, 2, 2, 3]
    assert scene.messages[0] == 'announcing from node "iris1" with protocol "layer2"'
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    withdrawn = [line for line in lines if line["event"] == "speaker.service_withdrawn"]
    assert [(line["reason"], line["ips"]) for line in withdrawn] == [
        ("loadBalancerIPChanged", [ADDRESS]),
        ("notOwner", ["10.20.30.9"]),
    ]
    assert [line["service"] for line in lines if "announced" in line["event"]] == [
        "default/web"
    ] * 3


@pytest.mark.rule("speaker-6.1.6")
def test_the_order_of_addresses_is_no_change() -> None:
    """The same addresses in another order are the same announcement."""
    scene = Scene()
    scene.see(BOTH)
    scene.see(SWAPPED)
    assert scene.events == ["nodeAssigned"]


@pytest.mark.rule("speaker-6.1.1", "speaker-6.1.4")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("deleted", "serviceDeleted"),
        ("ClusterIP", "notLoadBalancer"),
        ("no address", "noIPAllocated"),
        ("no pool", "ipNotAllowed"),
        ("hostname", "invalidIP"),
        ("class", "otherClass"),
    ],
)
def test_a_withdrawal_says_why(
    change: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log line has the reason of the decision that is in force by then."""
    log.configure(log.Level.INFO)
    scene = Scene()
    scene.see(WEB)
    services = scene.cluster.stores.services
    spec: dict[str, Any] = {"type": "LoadBalancer", "clusterIPs": ["10.96.0.9"]}
    ingress: list[dict[str, str]] = [{"ip": ADDRESS}]
    match change:
        case "ClusterIP":
            spec["type"] = "ClusterIP"
        case "class":
            spec["loadBalancerClass"] = "example.com/other"
        case "no address":
            ingress = []
        case "no pool":
            ingress = [{"ip": "192.0.2.1"}]
        case "hostname":
            ingress = [{"ip": ADDRESS}, {"hostname": "example.com"}]
    if change == "deleted":
        services.apply(Deleted("default/web"))
    else:
        status = {"loadBalancer": {"ingress": ingress}}
        scene.cluster.put(services, Service, "web", spec, status=status)
    scene.cluster.step("default/web")
    assert scene.cluster.wanted is None
    scene.see()
    (line,) = [
        json.loads(text) for text in capsys.readouterr().out.splitlines() if "withdrawn" in text
    ]
    assert line["reason"] == reason


STRANGER = Conflict(ADDRESS, "eth0", "02:00:00:00:00:66", "", 5, 0.5, 1)
MEMBER = Conflict(ADDRESS, "eth0", "02:00:00:00:00:02", "iris2", 5, 0.5)


def test_a_conflict_is_told_as_event_annotation_and_gauge() -> None:
    """All three come with the claim, and go when it was not repeated for a while."""
    scene = Scene()
    scene.see(WEB)
    scene.arrive("l2-a", has_status=True)
    scene.take()
    scene.see(WEB, conflicts=(STRANGER, MEMBER))
    assert scene.events[1:] == ["addressConflict"]
    assert 'kind="stranger"} 1' in scene.metric("mercurylb_layer2_conflicts")
    assert 'kind="member"} 1' in scene.metric("mercurylb_layer2_conflicts")
    ((key, operation),) = scene.operations
    assert key == "metallb/l2-a annotation"
    assert (operation.verb, operation.subresource) == (Verb.MERGE, None)
    body = msgspec.json.decode(operation.body)
    assert list(body) == ["metadata"]
    text = body["metadata"]["annotations"][CONFLICTS_ANNOTATION]
    assert "02:00:00:00:00:66" in text
    scene.take()
    scene.arrive("l2-a", has_status=True, conflicts=text)
    scene.now = 60.0
    scene.see(WEB, conflicts=(STRANGER, MEMBER))
    assert scene.take() == []
    scene.see(WEB, conflicts=(msgspec.structs.replace(STRANGER, age_s=3600.0),))
    assert scene.events[2:] == ["addressConflictOver"]
    ((_, operation),) = scene.operations
    body = msgspec.json.decode(operation.body)
    assert body["metadata"]["annotations"] == {CONFLICTS_ANNOTATION: None}
    assert 'kind="stranger"} 0' in scene.metric("mercurylb_layer2_conflicts")


def test_a_new_brain_goes_on_where_the_old_one_was() -> None:
    """The beginning of a conflict is read back from the object."""
    scene = Scene()
    scene.see(WEB)
    told = (
        '[{"since":"1969-12-31T00:00:00Z","address":"10.20.30.1","interface":"eth0",'
        '"mac":"02:00:00:00:00:66"}]'
    )
    scene.arrive("l2-a", has_status=True, conflicts=told)
    scene.take()
    scene.see(WEB, conflicts=(STRANGER,))
    assert "1969-12-31T00:00:00Z" in scene.messages[-1]
    assert scene.take() == []


def test_a_conflict_about_somebody_elses_address_is_not_told() -> None:
    """Only addresses that this node announces are its business."""
    scene = Scene()
    scene.see(conflicts=(STRANGER,))
    assert scene.events == []


def test_the_announcers_figures_are_exposed() -> None:
    """Counters under the original's names, and ours for members, drops, takeovers and lag."""
    scene = Scene()
    scene.see(WEB)
    scene.see()
    scene.see(
        WEB,
        live=("iris1", "iris2"),
        counters=(AddressCounters(ADDRESS, 5, 4, 12),),
        members=(MemberState("iris2", "", "up"), MemberState("iris3", "", "down", "silent")),
        drops=(Count("etherDestination", 7), Count("membership mac", 2), Count("wire send", 1)),
        loop_lag_s=0.25,
        scheduling="round robin 10",
    )
    rendered = scene.registry.render().decode()
    for line in (
        f'metallb_layer2_requests_received{{ip="{ADDRESS}"}} 5',
        f'metallb_layer2_responses_sent{{ip="{ADDRESS}"}} 4',
        f'metallb_layer2_gratuitous_sent{{ip="{ADDRESS}"}} 12',
        'mercurylb_membership_members{state="up"} 1',
        'mercurylb_membership_members{state="down"} 1',
        'mercurylb_layer2_dropped_frames_total{reason="etherDestination"} 7',
        'mercurylb_membership_refused_total{reason="mac"} 2',
        'mercurylb_announcer_wire_errors_total{reason="send"} 1',
        "mercurylb_announcer_loop_lag_seconds 0.25",
        'mercurylb_announcer_scheduling_info{class="round robin 10"} 1',
        "mercurylb_speaker_live_members 2",
        "mercurylb_layer2_takeovers_total 2",
        'mercurylb_layer2_withdrawals_total{reason="notOwner"} 1',
    ):
        assert line in rendered
