"""Questions that waited while the process stood still."""

from __future__ import annotations

import asyncio
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


class Wire:
    """A packet port whose ARP socket is one end of a socket pair."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[bytes] = []
        self.claims: list[bytes] = []
        self.client, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.client.setblocking(False)
        monkeypatch.setattr("mercurylb.net.packet.open_deaf", lambda *_: ours)
        self.fence = Fence()
        self.port = PacketPort(
            FAKE,
            answer_arp=self.answer,
            answer_ndp=self.answer,
            on_claim=lambda _, frame: self.claims.append(frame),
            fence=self.fence,
        )

    def answer(self, _: int, frame: bytes) -> bytes | Drop:
        """Answer everything but claims."""
        self.asked.append(frame)
        return Drop.CLAIM if frame == b"claim" else b"answer to " + frame

    def ask_old_ones(self) -> None:
        """Let 150 questions wait."""
        for number in range(150):
            self.client.send(f"old {number}".encode())

    async def check_that_new_ones_are_answered(self) -> None:
        """Ask once more, and close everything."""
        assert (self.fence.dropped_count, self.asked) == (150, [])
        self.client.send(b"claim")
        self.client.send(b"new")
        await until(lambda: len(self.asked) == 2)
        assert (self.asked, self.claims) == ([b"claim", b"new"], [b"claim"])
        assert self.client.recv(64) == b"answer to new"
        self.port.close()
        self.fence.close()
        self.client.close()


async def test_frames_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited is dropped whole and counted when it is read; what comes after is answered."""
    monkeypatch.setattr(fence, "PERIOD_S", 60.0)
    wire = Wire(monkeypatch)
    wire.ask_old_ones()
    wire.fence.until = time.monotonic() - 0.001
    await until(lambda: wire.fence.dropped_count)
    wire.fence.until = time.monotonic() + 60
    await wire.check_that_new_ones_are_answered()


async def test_timer_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer that is late throws away what waited before anybody reads it."""
    wire = Wire(monkeypatch)
    wire.ask_old_ones()
    wire.fence.until = time.monotonic() - 0.001
    wire.fence._renew()
    await wire.check_that_new_ones_are_answered()
