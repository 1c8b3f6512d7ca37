"""ConfigurationState: what is written, when, and what is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from mercurylb.api.configuration_state import Condition, ConfigurationState, summarize
from mercurylb.api.meta import OwnerReference
from mercurylb.kube.configuration_report import ConfigurationReporter
from mercurylb.kube.writer import Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.kube.operation import Operation

OWN = "poolReconcilerValid"
OWNER = OwnerReference("v1", "Pod", "metallb-controller-0", "pod-uid")


class Server:
    """Stands for a writer: applies what is submitted to one object, and answers when told to."""

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None
        self.version = 0
        self.applied: list[tuple[str | None, str]] = []
        self.waiting: list[tuple[Operation, Callable[[Outcome], None]]] = []

    def submit(self, key: str, operation: Operation, told: Callable[[Outcome], None]) -> None:
        """Take an operation."""
        assert key == "ConfigurationState controller"
        self.waiting.append((operation, told))

    def answer(self, result: Result = Result.DONE) -> None:
        """Carry out everything that waits, and what follows from it."""
        while self.waiting:
            operation, told = self.waiting.pop(0)
            self.applied.append((operation.subresource, operation.field_manager))
            body = msgspec.json.decode(operation.body)
            if operation.subresource and self.state is None:
                told(Outcome("", operation, Result.VANISHED))
                continue
            if result is Result.DONE:
                self._apply(body)
            told(Outcome("", operation, result, msgspec.json.encode(self.state)))

    def _apply(self, body: dict[str, Any]) -> None:
        state = self.state = self.state or {"metadata": {}, "status": {}}
        state["metadata"] = {**state["metadata"], **body["metadata"]}
        own = {item["type"]: item for item in body.get("status", {}).get("conditions", ())}
        kept = {item["type"]: item for item in state["status"].get("conditions", ())}
        state["status"] = {**state["status"], **body.get("status", {})}
        state["status"]["conditions"] = list({**kept, **own}.values())
        self.touch()

    def touch(self) -> None:
        """Give the object a new version."""
        assert self.state is not None
        self.version += 1
        self.state["metadata"] |= {"resourceVersion": str(self.version), "uid": "u"}

    def typed(self) -> ConfigurationState | None:
        """Give the object as a watch shows it."""
        return msgspec.convert(self.state, ConfigurationState) if self.state else None


@pytest.fixture
def server() -> Server:
    """Give a server without the object."""
    return Server()


def reporter(server: Server, *, now: float = 0.0, **options: Any) -> ConfigurationReporter:
    """Make the controller's reporter."""
    return ConfigurationReporter(
        cast("Any", server),
        namespace="metallb",
        name="controller",
        component="controller",
        condition_type=OWN,
        field_manager="poolReconciler",
        owner=OWNER,
        clock=lambda: now,
        **options,
    )


def test_the_object_is_made_with_label_owner_and_verdict(server: Server) -> None:
    """Metadata first, then the status: two writes, and the watch's echo makes no third."""
    made = reporter(server)
    made.observe(None)
    made.report("")
    server.answer()
    state = server.state
    assert state is not None
    assert state["metadata"]["labels"] == {"metallb.io/component-type": "controller"}
    assert state["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": OWNER.name, "uid": OWNER.uid}
    ]
    assert state["status"]["result"] == "Valid"
    assert state["status"]["conditions"] == [
        {
            "type": OWN,
            "status": "True",
            "reason": "Reconciled",
            "message": "",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }
    ]
    made.observe(server.typed())
    made.report("")
    assert server.applied == [(None, "poolReconciler"), ("status", "poolReconciler")]
    assert not server.waiting


def test_before_the_first_report_the_result_is_unknown(server: Server) -> None:
    """The object exists from the start, whoever comes to report."""
    reporter(server).observe(None)
    server.answer()
    assert server.state is not None
    assert server.state["status"]["result"] == "Unknown"
    assert server.state["status"]["errorSummary"] == ""


@pytest.mark.rule("controller-4.stale", "controller-4.equal")
def test_a_rejected_configuration_is_told_and_mended(server: Server) -> None:
    """The condition is False with the reason; the summary says the same; then both are fine."""
    made = reporter(server)
    made.report("IPAddressPool metallb/a: spec.addresses[0]: wrong")
    server.answer()
    status = server.state["status"] if server.state else {}
    text = "configuration error: IPAddressPool metallb/a: spec.addresses[0]: wrong"
    assert (status["result"], status["errorSummary"]) == ("Invalid", text)
    [condition] = status["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "ConfigurationError")
    made.report("")
    server.answer()
    status = server.state["status"] if server.state else {}
    assert (status["result"], status["errorSummary"]) == ("Valid", "")


def test_a_start_with_a_right_object_writes_nothing(server: Server) -> None:
    """What the last controller wrote is still true, so nothing is written."""
    first = reporter(server)
    first.report("")
    server.answer()
    writes = len(server.applied)
    again = reporter(server, now=5000.0)
    again.observe(server.typed())
    again.report("")
    server.answer()
    assert len(server.applied) == writes


def _delete(server: Server) -> None:
    server.state = None


def _relabel(server: Server) -> None:
    assert server.state is not None
    server.state["metadata"]["labels"] = {}


def _disown(server: Server) -> None:
    assert server.state is not None
    server.state["metadata"]["ownerReferences"] = []


def _lie(server: Server) -> None:
    assert server.state is not None
    server.state["status"] |= {"result": "Valid", "errorSummary": ""}


def _forge(server: Server) -> None:
    assert server.state is not None
    server.state["status"]["conditions"] = [
        {"type": OWN, "status": "True", "reason": "Reconciled", "message": ""}
    ]


@pytest.mark.parametrize("edit", [_delete, _relabel, _disown, _lie, _forge])
def test_what_a_hand_does_is_put_right(server: Server, edit: Callable[[Server], None]) -> None:
    """Deleted or edited, the object says Invalid again, with label and owner."""
    made = reporter(server)
    made.report("wrong")
    server.answer()
    edit(server)
    if server.state:
        server.touch()
    made.observe(server.typed())
    server.answer()
    state = server.state
    assert state is not None
    assert state["metadata"]["labels"] == {"metallb.io/component-type": "controller"}
    assert state["metadata"]["ownerReferences"]
    assert state["status"]["result"] == "Invalid"
    assert state["status"]["conditions"][0]["status"] == "False"


def test_the_condition_of_another_counts_and_stays(server: Server) -> None:
    """The summary is of all conditions; ours is the only one written."""
    made = reporter(server)
    made.report("")
    server.answer()
    assert server.state is not None
    other = {
        "type": "other",
        "status": "False",
        "reason": "ConfigurationError",
        "message": "theirs",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    server.state["status"]["conditions"].append(other)
    server.touch()
    made.observe(server.typed())
    server.answer()
    status = server.state["status"]
    assert (status["result"], status["errorSummary"]) == ("Invalid", "theirs")
    assert other in status["conditions"]


def test_the_time_of_a_condition_is_that_of_its_last_change(server: Server) -> None:
    """Another message under the same status does not move it; another status does."""
    made = reporter(server)
    made.report("one")
    server.answer()
    later = reporter(server, now=86400.0)
    later.observe(server.typed())
    later.report("two")
    server.answer()
    assert server.state is not None
    [condition] = server.state["status"]["conditions"]
    assert condition["lastTransitionTime"] == "1970-01-01T00:00:00Z"
    later.report("")
    server.answer()
    [condition] = server.state["status"]["conditions"]
    assert condition["lastTransitionTime"] == "1970-01-02T00:00:00Z"


def test_reports_during_a_write_follow_it(server: Server) -> None:
    """Only the last of many reports is written once the write under way has ended."""
    made = reporter(server)
    for text in ("one", "two", "", "three"):
        made.report(text)
    assert len(server.waiting) == 1
    server.answer()
    assert server.state is not None
    assert server.state["status"]["errorSummary"] == "configuration error: three"
    assert len(server.applied) == 2


def test_a_late_watch_causes_no_write(server: Server) -> None:
    """The version before our last write may be shown after its answer; that is the past."""
    made = reporter(server)
    made.report("")
    versions = []
    answer = server._apply

    def apply(body: dict[str, Any]) -> None:
        answer(body)
        versions.append(server.typed())

    server._apply = apply  # type: ignore[method-assign]
    server.answer()
    assert len(versions) == 2
    made.observe(versions[0])
    assert not server.waiting


@pytest.mark.rule("controller-4.report-retry")
def test_a_refused_write_is_tried_again(server: Server) -> None:
    """Whatever the server's reason was, the report is not forgotten."""
    timers: list[Callable[[], None]] = []
    made = reporter(server, later=lambda _delay_s, call: timers.append(call))
    made.report("wrong")
    server.answer(Result.REFUSED)
    assert server.state is None
    timers.pop()()
    server.answer()
    assert server.state is not None
    assert server.state["status"]["result"] == "Invalid"


def test_a_closed_reporter_writes_nothing(server: Server) -> None:
    """Neither a timer nor an observation of a former term writes into the next one's."""
    timers: list[Callable[[], None]] = []
    made = reporter(server, later=lambda _delay_s, call: timers.append(call))
    made.report("wrong")
    server.answer(Result.REFUSED)
    made.close()
    timers.pop()()
    made.observe(None)
    made.report("")
    assert not server.waiting


def test_a_message_is_cut_to_what_the_schema_takes(server: Server) -> None:
    """A thousand problems do not make a condition that the server refuses."""
    made = reporter(server)
    made.report("x" * 100_000)
    server.answer()
    assert server.state is not None
    assert len(server.state["status"]["conditions"][0]["message"]) == 32768


@pytest.mark.parametrize(
    ("conditions", "result", "summary"),
    [
        pytest.param((), "Unknown", "", id="none"),
        pytest.param((("True", "Reconciled", ""),) * 2, "Valid", "", id="two true"),
        pytest.param(
            (("False", "ConfigurationError", "bad"), ("True", "Reconciled", "")),
            "Invalid",
            "bad",
            id="one false",
        ),
        pytest.param((("False", "UnknownError", "odd"),), "Valid", "", id="unknown error"),
        pytest.param(
            (("False", "ConfigurationError", "a"), ("False", "ConfigurationError", "b")),
            "Invalid",
            "a\nb",
            id="two false",
        ),
    ],
)
def test_the_summary(
    conditions: tuple[tuple[str, str, str], ...], result: str, summary: str
) -> None:
    """The result of all conditions, as the original computes it."""
    made = tuple(
        Condition(type=f"t{index}", status=status, reason=reason, message=message)
        for index, (status, reason, message) in enumerate(conditions)
    )
    assert summarize(made) == (result, summary)
