"""The pipeline of writes keeps its promises under failures and bursts."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from mercurylb.errors import ApiError, Conflict, Denied, Fenced, KubeError, NotFound, Unreachable
from mercurylb.kube.operation import Operation, Verb
from mercurylb.kube.resource import Identified, Resource
from mercurylb.kube.writer import Outcome, Result, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

RESOURCE = Resource("", "v1", "services", "Service", Identified)


def patch(name: str, body: bytes = b"{}") -> Operation:
    """Make an operation on a service's status."""
    return Operation(Verb.MERGE, RESOURCE, name, "default", body, "status")


class Server:
    """Answers what it is told to, and watches for broken promises."""

    def __init__(self) -> None:
        self.errors: dict[str, list[KubeError]] = {}
        self.done: list[tuple[str, bytes]] = []
        self.busy: set[str] = set()
        self.busy_max = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.gates: dict[str, asyncio.Event] = {}

    async def perform(self, operation: Operation, *, patience_s: float | None = None) -> bytes:
        assert patience_s == 0.0
        assert operation.name not in self.busy, "the same key twice at a time"
        self.busy.add(operation.name)
        self.busy_max = max(self.busy_max, len(self.busy))
        try:
            await self.gates.get(operation.name, self.gate).wait()
            await asyncio.sleep(0)
            errors = self.errors.get(operation.name)
            if errors:
                raise errors.pop(0)
        finally:
            self.busy.discard(operation.name)
        self.done.append((operation.name, operation.body))
        return b"answer"


def make(server: Server, **options: Any) -> Writer:
    """Make a writer for a server."""
    return Writer(server, random=random.Random(3), **options)


def collector(outcomes: list[Outcome]) -> Callable[[Outcome], None]:
    """Give a callback that keeps what it is told."""
    return outcomes.append


async def test_all_are_carried_out_within_the_bound(background: Any) -> None:
    """A thousand keys go out, never more than 32 at a time, each told its outcome once."""
    server, outcomes = Server(), list[Outcome]()
    writer = make(server)
    async with background(writer.run()):
        for index in range(1000):
            writer.submit(f"k{index}", patch(f"k{index}"), collector(outcomes))
        await writer.idle()
    assert [o.key for o in outcomes] == [f"k{i}" for i in range(1000)]
    assert {o.result for o in outcomes} == {Result.DONE}
    assert outcomes[0].body == b"answer"
    assert server.busy_max == 32
    assert writer.counts.done == 1000


async def test_latest_of_a_key_wins(background: Any, until: Any) -> None:
    """The running operation of a key ends, the latest follows, those between never run."""
    server, outcomes = Server(), list[Outcome]()
    writer = make(server)
    server.gate.clear()
    async with background(writer.run()):
        writer.submit("a", patch("a", b"0"), collector(outcomes))
        await until(lambda: server.busy)
        for index in range(1, 5):
            writer.submit("a", patch("a", b"%d" % index), collector(outcomes))
        assert writer.is_busy("a")
        server.gate.set()
        await writer.idle()
    assert server.done == [("a", b"0"), ("a", b"4")]
    assert [o.result for o in outcomes] == [Result.SUPERSEDED] * 3 + [Result.DONE] * 2
    assert not writer.is_busy("a")


@pytest.mark.parametrize(
    "error", [Unreachable("gone"), ApiError(429, "TooManyRequests", ""), ApiError(503, "Busy", "")]
)
@pytest.mark.rule("api-8.4.retried")
async def test_passing_failures_are_retried(background: Any, error: KubeError) -> None:
    """What passes by itself is tried again until it works; others are not held up."""
    server, outcomes = Server(), list[Outcome]()
    server.errors["a"] = [error] * 4
    writer = make(server)
    async with background(writer.run()):
        writer.submit("a", patch("a"), collector(outcomes))
        writer.submit("b", patch("b"), collector(outcomes))
        await writer.idle()
    assert [o.key for o in outcomes] == ["b", "a"]
    assert outcomes[1].attempt_count == 5
    assert writer.counts.retries == 4


async def test_retry_after_is_obeyed(background: Any) -> None:
    """A write that the server wants later comes later."""
    server = Server()
    server.errors["a"] = [ApiError(429, "TooManyRequests", "", retry_after_s=0.3)]
    writer = make(server)
    loop = asyncio.get_running_loop()
    before = loop.time()
    async with background(writer.run()):
        writer.submit("a", patch("a"))
        await writer.idle()
    assert loop.time() - before >= 0.3


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (Conflict(409, "Conflict", ""), Result.CONFLICT),
        (NotFound(404, "NotFound", ""), Result.VANISHED),
        (ApiError(422, "Invalid", ""), Result.REFUSED),
    ],
)
async def test_final_failures_are_outcomes(
    background: Any, error: KubeError, result: Result
) -> None:
    """What will not pass by itself goes back to the owner at once."""
    server, outcomes = Server(), list[Outcome]()
    server.errors["a"] = [error]
    writer = make(server)
    async with background(writer.run()):
        writer.submit("a", patch("a"), collector(outcomes))
        await writer.idle()
    assert [(o.result, o.error, o.attempt_count) for o in outcomes] == [(result, error, 1)]
    assert writer.counts.failed == 1


async def test_owner_may_plan_again_in_the_outcome(background: Any) -> None:
    """A conflict's callback submits the next try of the same key."""
    server, outcomes = Server(), list[Outcome]()
    server.errors["a"] = [Conflict(409, "Conflict", "")]
    writer = make(server)

    def again(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if outcome.result is Result.CONFLICT:
            writer.submit("a", patch("a", b"new"), again)

    async with background(writer.run()):
        writer.submit("a", patch("a", b"old"), again)
        await writer.idle()
    assert [o.result for o in outcomes] == [Result.CONFLICT, Result.DONE]
    assert server.done == [("a", b"new")]


async def test_a_new_operation_replaces_one_that_waits_for_its_retry(
    background: Any, until: Any
) -> None:
    """While the server is away only the newest wish of a key is kept."""
    server, outcomes = Server(), list[Outcome]()
    server.errors["a"] = [Unreachable("away")] * 3
    writer = make(server)
    async with background(writer.run()):
        writer.submit("a", patch("a", b"old"), collector(outcomes))
        await until(lambda: writer.counts.retries)
        writer.submit("a", patch("a", b"new"), collector(outcomes))
        await writer.idle()
    assert server.done == [("a", b"new")]
    assert [o.result for o in outcomes] == [Result.SUPERSEDED, Result.DONE]


async def test_discard(background: Any) -> None:
    """A wish that is withdrawn is not carried out, and its key can be used again at once."""
    server, outcomes = Server(), list[Outcome]()
    writer = make(server, in_flight_max=1)
    server.gate.clear()
    async with background(writer.run()):
        for name in ("a", "b"):
            writer.submit(name, patch(name), collector(outcomes))
        writer.discard("b")
        writer.submit("b", patch("b", b"2"), collector(outcomes))
        writer.discard("unknown")
        server.gate.set()
        await writer.idle()
    assert server.done == [("a", b"{}"), ("b", b"2")]
    assert outcomes[0].result is Result.SUPERSEDED


async def test_gives_up_when_told_to(background: Any) -> None:
    """With a bound on attempts the operation ends as given up."""
    server, outcomes = Server(), list[Outcome]()
    server.errors["a"] = [Unreachable("away")] * 9
    writer = make(server, attempt_max=3)
    async with background(writer.run()):
        writer.submit("a", patch("a"), collector(outcomes))
        await writer.idle()
    assert [(o.result, o.attempt_count) for o in outcomes] == [(Result.GIVEN_UP, 3)]


async def test_random_bursts(background: Any) -> None:
    """Whatever is submitted, refused, discarded: each has one outcome, the last state holds."""
    chance = random.Random(11)
    server, outcomes = Server(), list[Outcome]()
    writer = make(server, in_flight_max=4)
    last: dict[str, bytes] = {}
    submitted = 0
    async with background(writer.run()):
        for step in range(3000):
            name = f"k{chance.randrange(12)}"
            if chance.random() < 0.1:
                server.errors.setdefault(name, []).append(Unreachable("away"))
            if chance.random() < 0.05:
                writer.discard(name)
                continue
            last[name] = b"%d" % step
            writer.submit(name, patch(name, last[name]), collector(outcomes))
            submitted += 1
            if chance.random() < 0.3:
                await asyncio.sleep(0)
        for name in last:
            last[name] = b"end"
            writer.submit(name, patch(name, b"end"), collector(outcomes))
            submitted += 1
        await writer.idle()
        assert writer.pending_count == 0
    assert len(outcomes) == submitted
    assert dict(server.done) == last


async def test_a_key_used_again_after_a_discard_never_runs_twice(
    background: Any, until: Any
) -> None:
    """A key that stands in the queue twice still has one request at a time."""
    server = Server()
    gates = {name: asyncio.Event() for name in "xya"}
    server.gates = gates
    writer = make(server, in_flight_max=2)
    async with background(writer.run()):
        for name in ("x", "y", "a"):
            writer.submit(name, patch(name, b"0"))
        writer.discard("a")
        writer.submit("a", patch("a", b"1"))
        await until(lambda: server.busy == {"x", "y"})
        gates["x"].set()
        await until(lambda: server.busy == {"y", "a"})
        writer.submit("a", patch("a", b"2"))
        gates["y"].set()
        await until(lambda: server.busy == {"a"})
        gates["a"].set()
        await writer.idle()
    assert [body for name, body in server.done if name == "a"] == [b"1", b"2"]


async def test_an_outage_is_remembered_across_wishes(background: Any, until: Any) -> None:
    """New wishes of a key during an outage do not make its retries quick again."""
    server = Server()
    server.errors["a"] = [Unreachable("away")]
    writer = make(server)
    server.gate.clear()
    async with background(writer.run()):
        writer.submit("a", patch("a", b"old"))
        await until(lambda: server.busy)
        writer.submit("a", patch("a", b"new"))
        server.gate.set()
        await until(lambda: writer.counts.retries)
        backoff = writer._waiting["a"].backoff
        assert backoff is not None
        assert backoff.failure_count == 1
        await writer.idle()
    assert server.done == [("a", b"new")]


async def test_a_starting_server_that_refuses_is_asked_again(background: Any) -> None:
    """Who may do what is not known yet when an API server starts: a refusal is not final."""
    server = Server()
    refusals = [Denied(403, "Forbidden", "not yet") for _ in range(3)]
    server.errors["a"] = [Unreachable("away"), *refusals]
    outcomes: list[Outcome] = []
    writer = make(server)
    async with background(writer.run()):
        writer.submit("a", patch("a"), collector(outcomes))
        async with asyncio.timeout(5.0):
            await writer.idle()
    assert [outcome.result for outcome in outcomes] == [Result.DONE]
    assert writer.counts.retries == 4


async def test_what_is_not_ours_to_write_is_not_tried_again(background: Any) -> None:
    """A lease that was lost ends the operation, as nothing that failed."""
    server = Server()
    server.errors["a"] = [Fenced("another process has the lease")]
    outcomes: list[Outcome] = []
    writer = make(server)
    async with background(writer.run()):
        writer.submit("a", patch("a"), collector(outcomes))
        await writer.idle()
    assert [outcome.result for outcome in outcomes] == [Result.FENCED]
    assert (writer.counts.failed, writer.counts.retries, server.done) == (0, 0, [])


async def test_everything_that_waits_can_be_dropped(background: Any, until: Any) -> None:
    """What is under way goes on, nothing else is begun."""
    server = Server()
    server.gate.clear()
    outcomes: list[Outcome] = []
    writer = make(server, in_flight_max=1)
    async with background(writer.run()):
        for name in ("a", "b", "c"):
            writer.submit(name, patch(name), collector(outcomes))
        await until(lambda: writer.is_in_flight("a"))
        writer.discard_all()
        server.gate.set()
        await writer.idle()
    assert [name for name, _ in server.done] == ["a"]
    assert [outcome.result for outcome in outcomes].count(Result.SUPERSEDED) == 2
