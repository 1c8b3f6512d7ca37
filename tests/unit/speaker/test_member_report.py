"""Which members are missed stands in the speaker's ConfigurationState, and is written seldom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from mercurylb.api.configuration_state import ConfigurationState
from mercurylb.plan.desired import MemberState
from mercurylb.plan.testimony import ABSENT_ANNOTATION
from mercurylb.speaker.member_report import WRITE_INTERVAL_S, MemberReporter

if TYPE_CHECKING:
    from mercurylb.kube.operation import Operation

UP = MemberState("n2", "192.0.2.2", "up")
DOWN = MemberState("n3", "192.0.2.3", "down", "silent")


class Scene:
    """A reporter and the object it writes to."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.reporter = MemberReporter(cast("Any", self))
        self.state = self._state({})

    def _state(self, annotations: dict[str, str]) -> ConfigurationState:
        metadata = {"name": "speaker-n1", "namespace": "metallb", "annotations": annotations}
        return msgspec.convert({"metadata": metadata}, ConfigurationState)

    def submit(self, key: str, operation: Operation) -> None:
        assert (operation.name, operation.subresource) == ("speaker-n1", None)
        assert key
        body = msgspec.json.decode(operation.body)
        self.bodies.append(body)
        wanted = body["metadata"]["annotations"]
        self.state = self._state({name: text for name, text in wanted.items() if text is not None})

    def step(self, now: float, *members: MemberState) -> int:
        """Report, and count what was written so far."""
        self.reporter.step(members, self.state, now)
        return len(self.bodies)


def test_who_is_missed_is_written_and_taken_back() -> None:
    """The annotation comes with the first missed member and goes with the last."""
    scene = Scene()
    assert scene.step(0.0, UP) == 0
    assert scene.step(1.0, UP, DOWN) == 1
    assert scene.bodies[-1]["metadata"] == {
        "annotations": {ABSENT_ANNOTATION: '{"n3":"down: silent"}'}
    }
    assert scene.step(100.0, UP, DOWN) == 1
    assert scene.step(101.0, UP) == 2
    assert scene.bodies[-1]["metadata"] == {"annotations": {ABSENT_ANNOTATION: None}}


def test_many_changes_are_few_writes() -> None:
    """Within the interval there is one write, and after it the last word."""
    scene = Scene()
    for tick in range(int(WRITE_INTERVAL_S)):
        scene.step(float(tick), *((DOWN,) if tick % 2 == 0 else (UP,)))
    assert len(scene.bodies) == 1
    assert scene.step(WRITE_INTERVAL_S, UP) == 2


def test_without_the_object_nothing_is_written() -> None:
    """It is made by whoever reports the configuration."""
    scene = Scene()
    scene.reporter.step([DOWN], None, 0.0)
    assert scene.bodies == []
