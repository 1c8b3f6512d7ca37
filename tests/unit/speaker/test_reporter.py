"""What the announcer sees becomes events, objects and gauges: each once, and only for changes."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from mercurylb.api.service_l2_status import ServiceL2Status
from mercurylb.kube.operation import Operation, Verb
from mercurylb.kube.reflector import Applied, Deleted
from mercurylb.kube.store import Store
from mercurylb.kube.writer import Outcome, Result
from mercurylb.plan.desired import Observation, OwnedService
from mercurylb.speaker.l2_status import Author
from mercurylb.speaker.metrics import SpeakerMetrics
from mercurylb.speaker.reporter import Reporter
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
        self.registry = Registry()
        fake = cast("Any", self)
        self.reporter = Reporter(
            self.cluster.view,
            self.statuses,
            author=Author(node="iris1", namespace="metallb", pod=None),
            writer=fake,
            recorder=fake,
            metrics=SpeakerMetrics(self.registry),
        )

    def is_busy(self, key: str) -> bool:
        del key
        return False

    def submit(self, key: str, operation: Operation, on_outcome: Any = None) -> None:
        self.operations.append((key, operation))
        self.callbacks.append(on_outcome)

    def record(self, about: Any, type_: str, reason: str, message: str) -> None:
        del about, type_, message
        self.events.append(reason)

    def see(self, *owned: OwnedService) -> None:
        """Let the announcer own these."""
        self.reporter.on_observation(Observation(revision=1, owned=owned))

    def arrive(self, name: str, *, has_status: bool) -> None:
        """Let the watch bring an object of ours."""
        labels = {
            "metallb.io/node": "iris1",
            "metallb.io/service-name": "web",
            "metallb.io/service-namespace": "default",
        }
        status = {"node": "iris1", "serviceName": "web", "serviceNamespace": "default"}
        metadata = {"name": name, "namespace": "metallb", "labels": labels}
        document = {"metadata": metadata} | ({"status": status} if has_status else {})
        item = msgspec.convert(document, ServiceL2Status)
        self.statuses.apply(Applied(f"metallb/{name}", item))
        self.reporter.write_statuses()

    def take(self) -> list[str]:
        """Give the verbs written since the last call."""
        verbs = [operation.verb.name for _, operation in self.operations]
        self.operations.clear()
        return verbs


@pytest.mark.rule("api-8.2.created", "api-8.2.two-steps")
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
    ((key, operation),) = scene.operations
    body = b'{"metadata": {"name": "l2-a", "namespace": "metallb"}}'
    scene.callbacks[0](Outcome(key, operation, Result.DONE, body))
    scene.take()
    scene.see()
    scene.see(WEB)
    assert Verb.CREATE.name not in scene.take()


@pytest.mark.rule("api-8.2.withdrawn")
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


@pytest.mark.rule("api-8.2.edited")
def test_an_object_somebody_deletes_comes_back() -> None:
    """As long as the service is announced, its object is."""
    scene = Scene()
    scene.see(WEB)
    scene.arrive("l2-a", has_status=True)
    scene.take()
    scene.statuses.apply(Deleted("metallb/l2-a"))
    scene.reporter.write_statuses()
    assert scene.take() == ["CREATE"]


def test_missing_interfaces_are_an_event() -> None:
    """An address that no interface of the node can carry is told, and has no object."""
    scene = Scene()
    scene.see(msgspec.structs.replace(WEB, skipped=(ADDRESS,)))
    assert scene.events == ["nodeAssigned", "announceFailed"]
    assert scene.take() == []


def test_the_gauge_follows() -> None:
    """The gauge has a series per address while the service is announced."""
    scene = Scene()
    scene.see(WEB)
    assert f'ip="{ADDRESS}"' in scene.registry.render().decode()
    scene.see()
    assert "metallb_speaker_announced{" not in scene.registry.render().decode()
