"""Events reach the API server as `kubectl describe` expects them."""

from __future__ import annotations

import datetime as dt
import json
import random
from typing import Any

from mercurylb.errors import ApiError, Conflict, KubeError, NotFound, Unreachable
from mercurylb.kube import events
from mercurylb.kube.correlator import Correlator, Note, Reference
from mercurylb.kube.events import NORMAL, WARNING, EventRecorder
from mercurylb.kube.operation import Operation, Verb

SERVICE = Reference("v1", "Service", "web", "shop", uid="u1", resource_version="7")
CLOCK = dt.datetime(2026, 11, 23, 10, 0, tzinfo=dt.UTC)


class Server:
    def __init__(self) -> None:
        self.sent: list[tuple[Verb, str, str, dict[str, Any]]] = []
        self.errors: list[KubeError] = []

    async def perform(self, operation: Operation, *, patience_s: float | None = None) -> bytes:
        assert patience_s == 0.0
        body = json.loads(operation.body)
        self.sent.append((operation.verb, operation.namespace, operation.name, body))
        if self.errors:
            raise self.errors.pop(0)
        return b"{}"


def make(server: Server) -> EventRecorder:
    """Make a recorder whose clocks stand still."""
    return EventRecorder(
        server,
        component="metallb-controller",
        random=random.Random(5),
        clock=lambda: 100.0,
        wall_clock=lambda: CLOCK,
    )


async def test_an_event_in_the_namespace_of_its_object(background: Any) -> None:
    """All fields that people and tools read are there."""
    server = Server()
    recorder = make(server)
    async with background(recorder.run()):
        recorder.record(SERVICE, NORMAL, "IPAllocated", 'Assigned IP ["10.0.0.1"]')
        await recorder.idle()
    [(verb, namespace, _, body)] = server.sent
    assert (verb, namespace) == (Verb.CREATE, "shop")
    name = body["metadata"].pop("name")
    assert name.startswith("web.")
    assert body == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "shop"},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Service",
            "name": "web",
            "namespace": "shop",
            "uid": "u1",
            "resourceVersion": "7",
        },
        "type": "Normal",
        "reason": "IPAllocated",
        "message": 'Assigned IP ["10.0.0.1"]',
        "source": {"component": "metallb-controller"},
        "reportingComponent": "metallb-controller",
        "reportingInstance": "",
        "firstTimestamp": "2026-11-23T10:00:00Z",
        "lastTimestamp": "2026-11-23T10:00:00Z",
        "count": 1,
    }


async def test_the_same_again_counts_up(background: Any) -> None:
    """The second time patches the count of the first event; another message is another event."""
    server = Server()
    recorder = make(server)
    async with background(recorder.run()):
        for message in ("x", "x", "y"):
            recorder.record(SERVICE, WARNING, "AllocationFailed", message)
            await recorder.idle()
    created = server.sent[0][3]["metadata"]["name"]
    assert server.sent[1] == (
        Verb.MERGE,
        "shop",
        created,
        {"count": 2, "lastTimestamp": "2026-11-23T10:00:00Z"},
    )
    assert server.sent[2][0] is Verb.CREATE


async def test_repeats_while_the_first_waits_are_one_event(background: Any) -> None:
    """What piles up before it is written goes out as one event with its count."""
    server = Server()
    recorder = make(server)
    for _ in range(5):
        recorder.record(SERVICE, WARNING, "AllocationFailed", "x")
    async with background(recorder.run()):
        await recorder.idle()
    assert [(sent[0], sent[3]["count"]) for sent in server.sent] == [(Verb.CREATE, 5)]


async def test_an_expired_event_is_made_anew(background: Any) -> None:
    """When the server has forgotten the event, counting makes a new one."""
    server = Server()
    recorder = make(server)
    async with background(recorder.run()):
        recorder.record(SERVICE, WARNING, "AllocationFailed", "x")
        await recorder.idle()
        server.errors = [NotFound(404, "NotFound", "")]
        recorder.record(SERVICE, WARNING, "AllocationFailed", "x")
        await recorder.idle()
    assert [sent[0] for sent in server.sent] == [Verb.CREATE, Verb.MERGE, Verb.CREATE]
    assert server.sent[0][3]["metadata"] != server.sent[2][3]["metadata"]
    assert recorder.counts.failed == 0


async def test_failures_are_counted_not_raised(background: Any) -> None:
    """A namespace that is being deleted refuses events; an outage is waited out."""
    server = Server()
    recorder = make(server)
    server.errors = [ApiError(403, "Forbidden", "terminating")]
    async with background(recorder.run()):
        recorder.record(SERVICE, NORMAL, "a", "x")
        await recorder.idle()
        assert recorder.counts.failed == 1
        server.errors = [Unreachable("away"), Conflict(409, "AlreadyExists", "")]
        recorder.record(SERVICE, NORMAL, "b", "x")
        await recorder.idle()
        recorder.record(SERVICE, NORMAL, "b", "x")
        await recorder.idle()
    assert recorder.counts.failed == 1
    assert server.sent[-1][0] is Verb.MERGE


async def test_the_queue_is_bounded() -> None:
    """Without a server only so many events wait; the rest is counted as dropped."""
    recorder = make(Server())
    for index in range(events.PENDING_MAX + 7):
        recorder.record(Reference("v1", "Service", f"s{index}", "shop"), NORMAL, "a", "x")
    assert recorder.counts.dropped == 7


def test_one_object_has_a_burst_and_then_a_trickle() -> None:
    """25 at once, one per five minutes after; another object is not concerned."""
    correlator = Correlator()

    def passed(now: float, count: int, about: Reference = SERVICE) -> int:
        notes = (Note(about, NORMAL, "r", f"{now} {index}") for index in range(count))
        entries = [correlator.on_note(note, now, timestamp="t") for note in notes]
        return sum(entry is not None for entry in entries)

    assert passed(0.0, 40) == 25
    assert passed(299.0, 5) == 0
    assert passed(300.0, 5) == 1
    assert passed(300.0, 5, Reference("v1", "Service", "other", "shop")) == 5
    assert passed(1e6, 40) == 25


def test_the_memory_is_bounded() -> None:
    """However many objects tell something, only the latest are remembered."""
    correlator = Correlator(entry_max=10)
    for index in range(100):
        note = Note(Reference("v1", "Service", f"s{index}"), NORMAL, "r", "m")
        assert correlator.on_note(note, 0.0, timestamp="t") is not None
    assert len(correlator._entries) == len(correlator._buckets) == 10
