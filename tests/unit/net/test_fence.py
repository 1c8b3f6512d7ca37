"""Questions that waited while the process stood still."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING

from mercurylb.layer2.drop import Drop
from mercurylb.layer2.interface import Interface
from mercurylb.net import fence
from mercurylb.net.fence import Fence
from mercurylb.net.packet import PacketPort

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

FAKE = Interface(1, "fake", bytes(6), True, True, None)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until a condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (sockets of the kernel have no event to wait for)
            await asyncio.sleep(0.001)


async def test_fence_is_renewed_while_the_loop_runs() -> None:
    """A running loop is never stale; one that stood still is, until its timer ran again."""
    made = Fence()
    assert not made.is_stale
    before = made.until
    await until(lambda: made.until > before)
    made.until = time.monotonic() - 0.001
    assert made.is_stale
    await until(lambda: not made.is_stale)
    made.close()


async def test_stale_questions_are_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited behind the fence is dropped whole and counted; what comes after is answered."""
    client, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    client.setblocking(False)
    monkeypatch.setattr("mercurylb.net.packet.open_deaf", lambda *_: ours)
    monkeypatch.setattr(fence, "PERIOD_S", 60.0)
    asked: list[bytes] = []
    claims: list[bytes] = []

    def answer(_: int, frame: bytes) -> bytes | Drop:
        asked.append(frame)
        return Drop.CLAIM if frame == b"claim" else b"answer to " + frame

    made = Fence()
    port = PacketPort(
        FAKE,
        answer_arp=answer,
        answer_ndp=answer,
        on_claim=lambda _, frame: claims.append(frame),
        fence=made,
    )
    for number in range(150):
        client.send(f"old {number}".encode())
    made.until = time.monotonic() - 0.001
    await until(lambda: made.dropped_count)
    assert (made.dropped_count, asked) == (150, [])
    made.until = time.monotonic() + 60
    client.send(b"claim")
    client.send(b"new")
    await until(lambda: len(asked) == 2)
    assert (asked, claims, client.recv(64)) == ([b"claim", b"new"], [b"claim"], b"answer to new")
    port.close()
    made.close()
    client.close()


def test_what_a_loop_does_first_after_a_stop() -> None:
    """Received frames come before timers, which is why a timer alone is not fence enough."""
    read, write = os.pipe()
    order: list[str] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, order.append, "timer")
        loop.add_reader(read, lambda: (order.append("frame"), loop.remove_reader(read)))
        os.write(write, b"x")
        time.sleep(0.02)  # noqa: ASYNC251 (the whole process stands still)
        await asyncio.sleep(0.001)

    asyncio.run(run())
    os.close(read)
    os.close(write)
    assert order == ["frame", "timer"]
