"""What a process says of its configuration: one object, one condition (spec: api §8.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from mercurylb.api.configuration_state import (
    CONFIG_CONDITION,
    MESSAGE_MAX,
    POOL_CONDITION,
    ConfigurationState,
)
from mercurylb.api.meta import OwnerReference
from mercurylb.kube.configuration_report import ConfigurationReporter
from mercurylb.kube.operation import Operation, Verb
from mercurylb.kube.writer import Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Callable

POD = OwnerReference("v1", "Pod", "speaker-x", "uid-1")
NOON, LATER = "2026-01-01T12:00:00Z", "2026-01-01T12:00:10Z"
NOON_S = 1767268800.0


class Server:
    """Stands for the writer and the API server behind it: one object, written by apply."""

    def __init__(self) -> None:
        self.object: dict[str, Any] | None = None
        self.written: list[Operation] = []
        self._version = 0
        self._waiting: tuple[str, Operation, Callable[[Outcome], None]] | None = None

    def submit(self, key: str, operation: Operation, on_outcome: Callable[[Outcome], None]) -> None:
        assert self._waiting is None
        self._waiting = (key, operation, on_outcome)

    def answer(self) -> int:
        """Carry out whatever is asked until nothing is; give how much that was."""
        count = 0
        while self._waiting is not None:
            (key, operation, on_outcome), self._waiting = self._waiting, None
            body = msgspec.json.encode(self._apply(operation))
            self.written.append(operation)
            on_outcome(Outcome(key, operation, Result.DONE, body))
            count += 1
            assert count < 10, "it never comes to rest"
        return count

    def refuse(self, result: Result) -> None:
        """Let the operation under way end in some other way."""
        assert self._waiting is not None
        (key, operation, on_outcome), self._waiting = self._waiting, None
        on_outcome(Outcome(key, operation, result))

    def state(self) -> ConfigurationState:
        """Give the object as the watch brings it."""
        return msgspec.convert(self.object, ConfigurationState)

    def edit(self, **status: Any) -> ConfigurationState:
        """Change the status by hand."""
        assert self.object is not None
        self._version += 1
        self.object["metadata"]["resourceVersion"] = str(self._version)
        self.object["status"] |= status
        return self.state()

    def _apply(self, operation: Operation) -> dict[str, Any]:
        assert operation.verb is Verb.APPLY
        body = msgspec.json.decode(operation.body)
        self._version += 1
        if self.object is None:
            self.object = {"metadata": {"uid": f"u{self._version}"}, "status": {}}
        if operation.subresource == "status":
            known = {one["type"]: one for one in self.object["status"].get("conditions", ())}
            for condition in body["status"].get("conditions", ()):
                known[condition["type"]] = known.get(condition["type"], {}) | condition
            self.object["status"] |= body["status"] | {"conditions": list(known.values())}
        else:
            self.object["metadata"] |= body["metadata"]
        self.object["metadata"]["resourceVersion"] = str(self._version)
        return self.object


class Scene:
    """A reporter with its server, and the time that it reads."""

    def __init__(self, *, node: str = "") -> None:
        self.server = Server()
        self.now_s = NOON_S
        self.reporter = ConfigurationReporter(
            cast("Any", self.server),
            namespace="metallb",
            name=f"speaker-{node}" if node else "controller",
            component="speaker" if node else "controller",
            condition_type=CONFIG_CONDITION if node else POOL_CONDITION,
            field_manager="configReconciler" if node else "poolReconciler",
            node=node,
            owner=POD,
            clock=lambda: self.now_s,
        )

    def report(self, error: str) -> dict[str, Any]:
        """Report, let the server answer, and give the status."""
        self.reporter.report(error)
        self.server.answer()
        return self.status

    @property
    def status(self) -> dict[str, Any]:
        """Give the status of the object."""
        assert self.server.object is not None
        status: dict[str, Any] = self.server.object["status"]
        return status


@pytest.mark.rule("api-8.4.controller-object", "api-8.4.speaker-object", "api-8.4.owner")
@pytest.mark.parametrize(
    ("node", "name", "labels"),
    [
        ("", "controller", {"metallb.io/component-type": "controller"}),
        (
            "n1",
            "speaker-n1",
            {"metallb.io/component-type": "speaker", "metallb.io/node-name": "n1"},
        ),
    ],
    ids=["controller", "speaker"],
)
def test_the_object(node: str, name: str, labels: dict[str, str]) -> None:
    """It has the process's name and labels and goes with its pod, which does not control it."""
    scene = Scene(node=node)
    scene.report("")
    assert scene.server.object is not None
    metadata = scene.server.object["metadata"]
    assert (metadata["name"], metadata["namespace"]) == (name, "metallb")
    assert metadata["labels"] == labels
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "speaker-x", "uid": "uid-1"}
    assert metadata["ownerReferences"] == [owner]


@pytest.mark.rule("api-8.4.condition-types", "api-8.4.success", "api-8.4.apply")
@pytest.mark.parametrize(
    ("node", "condition", "manager"),
    [
        ("", "poolReconcilerValid", "poolReconciler"),
        ("n1", "configReconcilerValid", "configReconciler"),
    ],
    ids=["controller", "speaker"],
)
def test_success(node: str, condition: str, manager: str) -> None:
    """The condition is True without a message, the state Valid; both are applied by force."""
    scene = Scene(node=node)
    assert scene.report("") == {
        "result": "Valid",
        "errorSummary": "",
        "conditions": [
            {
                "type": condition,
                "status": "True",
                "reason": "Reconciled",
                "message": "",
                "lastTransitionTime": NOON,
            }
        ],
    }
    last = scene.server.written[-1]
    assert (last.verb, last.subresource, last.field_manager) == (Verb.APPLY, "status", manager)


@pytest.mark.rule("api-8.4.rejected", "api-8.4.result-invalid")
def test_a_rejected_configuration() -> None:
    """The condition is False with the problems as its message, the state Invalid with the same."""
    scene = Scene()
    status = scene.report("IPAddressPool metallb/a: spec.addresses[0]: no\nand more")
    (condition,) = status["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "ConfigurationError")
    message = "configuration error: IPAddressPool metallb/a: spec.addresses[0]: no\nand more"
    assert (condition["message"], status["errorSummary"]) == (message, message)
    assert status["result"] == "Invalid"
    healed = scene.report("")
    assert (healed["result"], healed["errorSummary"]) == ("Valid", "")


def test_a_message_fits_the_api() -> None:
    """However much is wrong, the condition can be written."""
    (condition,) = Scene().report("x" * 100_000)["conditions"]
    assert len(condition["message"]) == MESSAGE_MAX


@pytest.mark.rule("api-8.4.transition")
def test_the_time_is_that_of_the_last_change() -> None:
    """It moves when the condition changes between True and False, and stays otherwise."""
    scene = Scene()
    scene.report("one")
    scene.now_s += 10
    (condition,) = scene.report("two")["conditions"]
    assert (condition["message"], condition["lastTransitionTime"]) == (
        "configuration error: two",
        NOON,
    )
    (condition,) = scene.report("")["conditions"]
    assert condition["lastTransitionTime"] == LATER


def test_the_same_again_is_not_written() -> None:
    """A report that changes nothing, and the echo of a write, cost no request."""
    scene = Scene()
    scene.report("")
    for _ in range(3):
        scene.reporter.report("")
        scene.reporter.observe(scene.server.state())
    assert scene.server.answer() == 0


@pytest.mark.rule("api-8.4.reappears")
@pytest.mark.parametrize("error", ["", "no"])
def test_a_deleted_object_comes_back(error: str) -> None:
    """As it was, whether it said Valid or Invalid."""
    scene = Scene()
    before = dict(scene.report(error))
    scene.server.object = None
    scene.reporter.observe(None)
    scene.server.answer()
    assert scene.status == before


@pytest.mark.rule("api-8.4.start", "api-8.4.case-missing", "api-8.4.case-empty")
def test_the_object_is_there_before_the_first_verdict() -> None:
    """Nothing judged yet: no condition, Unknown, no summary."""
    scene = Scene()
    scene.reporter.observe(None)
    scene.server.answer()
    assert scene.status == {"result": "Unknown", "errorSummary": "", "conditions": []}


@pytest.mark.rule("api-8.4.unknown", "api-8.4.result-unknown-error", "api-8.4.case-false")
@pytest.mark.parametrize(
    ("reason", "expected"),
    [("UnknownError", ("Valid", "")), ("ConfigurationError", ("Invalid", "theirs"))],
)
def test_conditions_of_others_count(reason: str, expected: tuple[str, str]) -> None:
    """The summary is that of all conditions; those of others stay as they are."""
    scene = Scene()
    scene.report("")
    theirs = {
        "type": "otherReconcilerValid",
        "status": "False",
        "reason": reason,
        "message": "theirs",
        "lastTransitionTime": LATER,
    }
    state = scene.server.edit(conditions=[*scene.status["conditions"], theirs])
    scene.reporter.observe(state)
    scene.server.answer()
    assert (scene.status["result"], scene.status["errorSummary"]) == expected
    assert theirs in scene.status["conditions"]


def test_what_somebody_adds_to_our_condition_is_left_alone() -> None:
    """A generation that we do not set neither goes nor keeps us writing."""
    scene = Scene()
    (condition,) = scene.report("")["conditions"]
    scene.reporter.observe(scene.server.edit(conditions=[condition | {"observedGeneration": 3}]))
    assert scene.server.answer() == 0
    (condition,) = scene.report("no")["conditions"]
    assert (condition["status"], condition["observedGeneration"]) == ("False", 3)


@pytest.mark.parametrize(
    "edited",
    [
        {"result": "Invalid"},
        {"errorSummary": "by hand"},
        {"conditions": []},
    ],
    ids=str,
)
def test_a_status_edited_by_hand_is_put_right(edited: dict[str, Any]) -> None:
    """What the process says stands."""
    scene = Scene()
    before = dict(scene.report(""))
    scene.reporter.observe(scene.server.edit(**edited))
    scene.server.answer()
    assert scene.status == before


@pytest.mark.rule("api-8.4.retried")
def test_an_object_that_vanishes_meanwhile_is_made_anew() -> None:
    """A status for an object that is gone makes the object, then the status."""
    scene = Scene()
    before = dict(scene.report(""))
    scene.reporter.report("no")
    scene.server.object = None
    scene.server.refuse(Result.VANISHED)
    scene.server.answer()
    assert scene.status["result"] == "Invalid"
    assert scene.report("")["conditions"][0]["type"] == before["conditions"][0]["type"]
