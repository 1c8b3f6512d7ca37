"""The election's driver and its fence, against a server that keeps one Lease."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mercurylb.errors import Conflict, Denied, Fenced, NotFound, Unreachable
from mercurylb.kube.elector import Elector
from mercurylb.kube.kinds import SERVICES
from mercurylb.kube.lease import LEASES, STAND_BY_ANNOTATION, ElectionConfig, Lease
from mercurylb.kube.operation import Operation, Verb
from mercurylb.kube.store import Wakeup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WRITE = Operation(Verb.MERGE, SERVICES, "web", "default", b"{}", subresource="status")


class LeaseServer:
    """As much of an API server as an election needs; stands for a client as well."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.writes: list[str] = []
        self.lease_writes = 0
        self.is_silent = False
        self.is_forbidden = False
        self.write_gate = asyncio.Event()
        self.write_gate.set()
        self._changed = asyncio.Condition()

    async def _reach(self) -> None:
        if self.is_silent:
            await asyncio.get_running_loop().create_future()
        if self.is_forbidden:
            raise Denied(403, "Forbidden", "no rights on leases")

    async def store(self, found: dict[str, Any] | None) -> None:
        self.version += 1
        if found is not None:
            found["metadata"] |= {"resourceVersion": str(self.version), "uid": "u"}
        self.lease = found
        async with self._changed:
            self._changed.notify_all()

    def typed(self) -> Lease:
        return LEASES.decoder.decode(json.dumps(self.lease))

    @property
    def holder(self) -> str:
        return self.typed().holder if self.lease else ""

    async def get(self, _resource: Any, _name: str, **_where: str) -> Lease:
        await self._reach()
        if self.lease is None:
            raise NotFound(404, "NotFound", "no lease")
        return self.typed()

    async def create(self, _resource: Any, body: dict[str, Any], **_where: str) -> Lease:
        await self._reach()
        if self.lease is not None:
            raise Conflict(409, "AlreadyExists", "exists")
        self.lease_writes += 1
        await self.store(json.loads(json.dumps(body)))
        return self.typed()

    async def perform(self, operation: Operation, *, patience_s: float | None = None) -> bytes:
        del patience_s
        if operation.resource is not LEASES:
            await self.write_gate.wait()
            self.writes.append(operation.name)
            return b"done"
        await self._reach()
        if self.lease is None:
            raise NotFound(404, "NotFound", "no lease")
        patch = json.loads(operation.body)
        wanted = patch.get("metadata", {}).get("resourceVersion", str(self.version))
        if wanted != self.lease["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "changed")
        self.lease_writes += 1
        merged = json.loads(json.dumps(self.lease))
        merged["spec"] |= patch.get("spec", {})
        annotations = merged["metadata"].setdefault("annotations", {})
        annotations |= patch.get("metadata", {}).get("annotations", {})
        for key in [key for key, text in annotations.items() if text is None]:
            del annotations[key]
        await self.store(merged)
        return json.dumps(self.lease).encode()

    async def list_page(self, *_what: Any, **_how: Any) -> bytes:
        await self._reach()
        items = [self.lease] if self.lease else []
        meta = {"resourceVersion": str(self.version)}
        return json.dumps({"metadata": meta, "items": items}).encode()

    @asynccontextmanager
    async def stream(self, *_what: Any, **_how: Any) -> AsyncIterator[Any]:
        await self._reach()
        server, seen = self, self.version

        class Lines:
            async def read(self) -> bytes:
                nonlocal seen
                async with server._changed:
                    await server._changed.wait_for(lambda: server.version != seen)
                seen = server.version
                meta = {"name": "l", "namespace": "metallb", "resourceVersion": str(seen)}
                line = (
                    {"type": "MODIFIED", "object": server.lease}
                    if server.lease
                    else {"type": "DELETED", "object": {"metadata": meta}}
                )
                return json.dumps(line).encode() + b"\n"

            def abort(self) -> None:
                raise AssertionError("nobody lists a lease anew")

        yield Lines()


def elector(server: LeaseServer, name: str, **config: float) -> Elector:
    """Make a candidate in a hurry."""
    hurried = {
        "duration_s": 1.0,
        "renew_deadline_s": 0.6,
        "renew_interval_s": 0.2,
        "rest_after_s": 30.0,
        **config,
    }
    client: Any = server
    return Elector(
        client,
        ElectionConfig(name, **hurried),
        namespace="metallb",
        name="l",
        bell=Wakeup(),
        random=random.Random(name),
    )


@asynccontextmanager
async def running(*electors: Elector) -> AsyncIterator[None]:
    """Run candidates beside a block; the first one leads before the others begin."""
    async with asyncio.TaskGroup() as group:
        tasks = []
        for each in electors:
            tasks.append(group.create_task(each.run()))
            await each.settled.wait()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def until(condition: Any, within_s: float = 5.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 (what is awaited has no event of its own)
            await asyncio.sleep(0.005)


@pytest.fixture
def server() -> LeaseServer:
    """Give a server without a lease."""
    return LeaseServer()


@pytest.mark.rule("controller-1.one-acts")
async def test_only_the_leader_writes(server: LeaseServer) -> None:
    """The first one leads; the second waits, and its writes are not sent."""
    a, b = elector(server, "a"), elector(server, "b")
    async with running(a, b):
        assert (a.term, b.term) == (1, 0)
        assert await a.perform(WRITE) == b"done"
        with pytest.raises(Fenced):
            await b.perform(WRITE)
        assert server.writes == ["web"]
        await until(lambda: STAND_BY_ANNOTATION in server.lease["metadata"]["annotations"])


async def test_a_lost_lease_cuts_off_what_is_under_way(server: LeaseServer) -> None:
    """Neither what waits for an answer nor what comes later is sent by a former leader."""
    a = elector(server, "a")
    async with running(a):
        server.write_gate.clear()
        under_way = asyncio.create_task(a.perform(WRITE))
        await asyncio.sleep(0)
        lease = json.loads(json.dumps(server.lease))
        lease["spec"]["holderIdentity"] = "b"
        await server.store(lease)
        with pytest.raises(Fenced):
            await under_way
        with pytest.raises(Fenced):
            await a.perform(WRITE)
        assert a.term == 0
        assert server.writes == []


async def test_a_leader_without_answers_stops_before_another_may_act(server: LeaseServer) -> None:
    """A server that is silent ends the right to act by itself; the term goes on when it talks."""
    a = elector(server, "a")
    async with running(a):
        server.write_gate.clear()
        under_way = asyncio.create_task(a.perform(WRITE))
        await asyncio.sleep(0)
        server.is_silent = True
        begin = asyncio.get_running_loop().time()
        with pytest.raises(Unreachable):
            await under_way
        assert asyncio.get_running_loop().time() - begin < 0.7
        assert server.writes == []
        server.is_silent = False
        server.write_gate.set()
        assert await asyncio.wait_for(a.perform(WRITE), 5.0) == b"done"
        assert a.term == 1


async def test_a_long_request_goes_on_while_the_lease_is_renewed(server: LeaseServer) -> None:
    """A slow API server is waited for as long as the lease is kept."""
    a = elector(server, "a")
    async with running(a):
        server.write_gate.clear()
        under_way = asyncio.create_task(a.perform(WRITE))
        renewals = server.lease_writes + 5
        await until(lambda: server.lease_writes >= renewals)
        assert not under_way.done()
        server.write_gate.set()
        assert await under_way == b"done"


async def test_a_resting_lease_is_renewed_before_a_write(server: LeaseServer) -> None:
    """At rest nothing is written; a write then costs one renewal, and comes after it."""
    a = elector(server, "a", rest_after_s=0.1)
    async with running(a):
        await until(lambda: a._election.may_act_until < asyncio.get_running_loop().time())
        renewals = server.lease_writes
        assert await a.perform(WRITE) == b"done"
        assert server.lease_writes == renewals + 1


async def test_a_write_at_the_beginning_of_a_rest_ends_it(server: LeaseServer) -> None:
    """A write that the last renewal still covers has the lease renewed, for those after it."""
    a = elector(server, "a", rest_after_s=0.1, renew_deadline_s=5.0, duration_s=6.0)
    async with running(a):
        clock = asyncio.get_running_loop().time
        await until(lambda: clock() > a._election._renewed_at + 0.3)
        assert a._election.is_resting(clock())
        assert a._election.may_act_until > clock()
        renewals = server.lease_writes
        assert await a.perform(WRITE) == b"done"
        await until(lambda: server.lease_writes > renewals)


async def test_a_released_lease_is_taken_at_once(server: LeaseServer) -> None:
    """A leader that stops gives the lease back, and the stand-by does not wait for the duration."""
    a, b = elector(server, "a", duration_s=50.0), elector(server, "b", duration_s=50.0)
    async with running(a, b):
        await until(lambda: b._election.has_announced)
        await a.release(in_flight_patience_s=0.1)
        await until(lambda: b.term == 1)
        with pytest.raises(Fenced):
            await a.perform(WRITE)
        assert server.holder == "b"


async def test_a_release_waits_for_what_is_under_way(server: LeaseServer) -> None:
    """The next leader lists after the last write of this one."""
    a = elector(server, "a")
    async with running(a):
        server.write_gate.clear()
        under_way = asyncio.create_task(a.perform(WRITE))
        await asyncio.sleep(0)
        releasing = asyncio.create_task(a.release(in_flight_patience_s=5.0))
        await asyncio.sleep(0)
        assert server.holder == "a"
        server.write_gate.set()
        await asyncio.gather(under_way, releasing)
        assert server.holder == ""


async def test_a_stand_by_that_stops_takes_its_word_back(server: LeaseServer) -> None:
    """A leader that is alone again may rest."""
    a, b = elector(server, "a"), elector(server, "b")
    async with running(a, b):
        await until(lambda: b._election.has_announced)
        await b.release(in_flight_patience_s=0.1)
        assert STAND_BY_ANNOTATION not in server.lease["metadata"]["annotations"]
        assert a.term == 1


async def test_a_silent_leader_is_replaced(server: LeaseServer) -> None:
    """Killed without a word, it is replaced after the duration."""
    a, b = elector(server, "a"), elector(server, "b")
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(_one(a))
        await a.settled.wait()
        await stack.enter_async_context(running(b))
        await until(lambda: b._election.has_announced)
        first.cancel()
        await until(lambda: b.term == 1)
    assert server.holder == "b"


@asynccontextmanager
async def _one(candidate: Elector) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(candidate.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_without_rights_nothing_is_done(server: LeaseServer) -> None:
    """Who may not look at the lease does not act, and does once he may."""
    server.is_forbidden = True
    a = elector(server, "a")
    async with running(a):
        assert a.term == 0
        with pytest.raises(Fenced):
            await a.perform(WRITE)
        server.is_forbidden = False
        await until(lambda: a.term == 1)


async def test_the_annotations_of_others_stay(server: LeaseServer) -> None:
    """Only the record and our own annotation are written."""
    a = elector(server, "a")
    await server.store(
        {
            "metadata": {"name": "l", "namespace": "metallb", "annotations": {"x": "y"}},
            "spec": {
                "holderIdentity": "a",
                "leaseDurationSeconds": 1,
                "strategy": "OldestEmulationVersion",
            },
        }
    )
    async with running(a):
        assert a.term == 1
        assert server.lease["metadata"]["annotations"] == {"x": "y"}
        assert server.lease["spec"]["strategy"] == "OldestEmulationVersion"
        assert server.lease["spec"]["leaseTransitions"] == 1
