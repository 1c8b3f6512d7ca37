"""Status objects are written in whatever order answers and the watch come back."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from mercurylb.api.service_l2_status import ServiceL2Status
from mercurylb.kube.kinds import SERVICE_L2_STATUSES
from mercurylb.kube.operation import Operation, Verb
from mercurylb.kube.reflector import Applied, Deleted
from mercurylb.kube.store import Store
from mercurylb.kube.writer import Outcome, Result
from mercurylb.speaker.status_keeper import StatusKeeper

SERVICE, KEY = "default/web", "metallb/l2-a"
CREATE = Operation(Verb.CREATE, SERVICE_L2_STATUSES, namespace="metallb", body=b"{}")
MERGE = Operation(Verb.MERGE, SERVICE_L2_STATUSES, "l2-a", "metallb", b'{"status": {}}', "status")
DELETE = Operation(Verb.DELETE, SERVICE_L2_STATUSES, "l2-a", "metallb")


class Scene:
    """A keeper before a writer that answers when it is told to."""

    def __init__(self) -> None:
        self.store: Store[ServiceL2Status] = Store()
        self.written: list[tuple[str, Operation, Any]] = []
        self.keeper = StatusKeeper(self.store, cast("Any", self), creates="create ")

    def submit(self, key: str, operation: Operation, on_outcome: Any) -> None:
        self.written.append((key, operation, on_outcome))

    def verbs(self) -> list[Verb]:
        """Give what was written so far."""
        return [operation.verb for _, operation, _ in self.written]

    def answer(self, number: int, result: Result = Result.DONE) -> None:
        """Let the writer tell how a write ended."""
        key, operation, on_outcome = self.written[number]
        body = b'{"metadata": {"name": "l2-a", "namespace": "metallb"}}'
        on_outcome(Outcome(key, operation, result, body))

    def arrive(self) -> set[str]:
        """Let the watch bring the object."""
        labels = {
            "metallb.io/node": "n1",
            "metallb.io/service-name": "web",
            "metallb.io/service-namespace": "default",
        }
        metadata = {"name": "l2-a", "namespace": "metallb", "labels": labels}
        self.store.apply(Applied(KEY, msgspec.convert({"metadata": metadata}, ServiceL2Status)))
        return self.keeper.take_dirty()


def test_the_same_write_is_not_sent_twice_while_it_is_under_way() -> None:
    """Another look at the same state before the answer writes nothing."""
    scene = Scene()
    for _ in range(2):
        scene.keeper.submit({KEY: MERGE})
    assert scene.verbs() == [Verb.MERGE]
    scene.answer(0)
    scene.keeper.submit({KEY: MERGE})
    assert scene.verbs() == [Verb.MERGE, Verb.MERGE]


@pytest.mark.rule("layer2-11.withdrawn")
def test_a_removal_follows_a_write_whose_answer_is_late() -> None:
    """The watch may be quicker than the answer, and brings nothing a second time."""
    scene = Scene()
    scene.keeper.submit({KEY: MERGE})
    scene.keeper.submit({KEY: DELETE})
    scene.answer(0)
    scene.keeper.submit({KEY: DELETE})
    assert scene.verbs() == [Verb.MERGE, Verb.DELETE]


@pytest.mark.parametrize("comes_first", [True, False])
def test_an_object_is_created_once(*, comes_first: bool) -> None:
    """Whether the answer or the watch is first, nobody creates it again before it was there."""
    scene = Scene()
    scene.keeper.submit({f"create {SERVICE}": CREATE})
    if comes_first:
        assert scene.arrive() == {SERVICE}
        scene.answer(0)
    else:
        scene.answer(0)
        scene.keeper.submit({f"create {SERVICE}": CREATE})
        assert scene.arrive() == {SERVICE}
    assert scene.verbs() == [Verb.CREATE]


def test_an_object_that_came_and_went_is_created_anew() -> None:
    """Another node may remove it before this one has seen it."""
    scene = Scene()
    scene.keeper.submit({f"create {SERVICE}": CREATE})
    scene.answer(0)
    scene.store.apply(
        Applied(KEY, msgspec.convert({"metadata": {"name": "l2-a"}}, ServiceL2Status))
    )
    scene.store.apply(Deleted(KEY))
    assert scene.keeper.take_dirty() == {SERVICE}
    scene.keeper.submit({f"create {SERVICE}": CREATE})
    assert scene.verbs() == [Verb.CREATE, Verb.CREATE]


def test_a_refused_creation_may_be_tried_again() -> None:
    """What the server refused is not under way any more."""
    scene = Scene()
    scene.keeper.submit({f"create {SERVICE}": CREATE})
    scene.answer(0, Result.REFUSED)
    scene.keeper.submit({f"create {SERVICE}": CREATE})
    assert scene.verbs() == [Verb.CREATE, Verb.CREATE]
