"""Events give way to the writes of addresses, but not for ever."""

from __future__ import annotations

import asyncio
import random

from mercurylb.controller.precedence import AfterWrites
from mercurylb.kube.events import EVENTS
from mercurylb.kube.kinds import SERVICES
from mercurylb.kube.operation import Operation, Verb
from mercurylb.kube.writer import Writer

PATCH = Operation(Verb.MERGE, SERVICES, "web", "default", b"{}", "status")
EVENT = Operation(Verb.CREATE, EVENTS, namespace="default", body=b"{}")


class Server:
    """Keeps statuses waiting until told, and notes the order of what is done."""

    def __init__(self) -> None:
        self.done: list[Verb] = []
        self.gate = asyncio.Event()

    async def perform(self, operation: Operation, *, patience_s: float | None = None) -> bytes:
        assert patience_s == 0.0
        if operation.verb is Verb.MERGE:
            await self.gate.wait()
        self.done.append(operation.verb)
        return b"answer"


async def test_an_event_waits_until_the_statuses_are_written() -> None:
    """The address goes first although the event was asked for while it was under way."""
    server = Server()
    writer = Writer(server, random=random.Random(3))
    writer.submit("web", PATCH)
    running = asyncio.create_task(writer.run())
    events = AfterWrites(server, writer, patience_s=30.0)
    event = asyncio.create_task(events.perform(EVENT, patience_s=0.0))
    for _ in range(10):
        await asyncio.sleep(0)
    assert server.done == []
    server.gate.set()
    assert await event == b"answer"
    assert server.done == [Verb.MERGE, Verb.CREATE]
    running.cancel()


async def test_a_stuck_write_does_not_keep_events_back_for_ever() -> None:
    """Whoever looks for the reason finds the event."""
    server = Server()
    writer = Writer(server, random=random.Random(3))
    writer.submit("web", PATCH)
    running = asyncio.create_task(writer.run())
    await AfterWrites(server, writer, patience_s=0.01).perform(EVENT, patience_s=0.0)
    assert server.done == [Verb.CREATE]
    running.cancel()


async def test_with_nothing_to_write_an_event_goes_at_once() -> None:
    """No event waits for nothing."""
    server = Server()
    events = AfterWrites(server, Writer(server, random=random.Random(3)), patience_s=30.0)
    await asyncio.wait_for(events.perform(EVENT, patience_s=0.0), 1.0)
    assert server.done == [Verb.CREATE]
