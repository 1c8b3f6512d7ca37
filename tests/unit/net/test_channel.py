"""Messages between the processes."""

from __future__ import annotations

import asyncio
import socket

import pytest

from mercurylb.errors import WireError
from mercurylb.net.channel import Channel, FrameSplitter, frame
from mercurylb.plan.desired import BrainMessage, DesiredState, Layer2Service, Observation, Renewal


def test_splitter_needs_whole_messages() -> None:
    """Messages come out whole however the stream is cut, and an empty one too."""
    splitter = FrameSplitter()
    stream = frame(b"one") + frame(b"") + frame(b"three")
    found = [body for at in range(len(stream)) for body in splitter.feed(stream[at : at + 1])]
    assert found == [b"one", b"", b"three"]


def test_splitter_refuses_what_is_too_long() -> None:
    """A length beyond the bound is refused before its bytes are collected."""
    with pytest.raises(WireError):
        FrameSplitter(size_max=10).feed(b"\x00\x00\x00\x0b")


async def test_both_kinds_of_message_arrive() -> None:
    """Desired states and renewals travel one way, observations the other."""
    left, right = socket.socketpair()
    brain: Channel[Observation] = Channel(left, Observation)
    announcer: Channel[BrainMessage] = Channel(right, BrainMessage)
    state = DesiredState(3, layer2=(Layer2Service("a/b", ("10.0.0.1",), ("n",), None),))
    brain.send(state)
    brain.send(Renewal(3))
    assert [await announcer.receive(), await announcer.receive()] == [state, Renewal(3)]
    announcer.send(Observation(revision=3))
    assert await brain.receive() == Observation(revision=3)
    announcer.close()
    assert await brain.receive() is None


async def test_slow_reader_gets_the_newest() -> None:
    """States that could not leave yet are replaced by newer ones."""
    left, right = socket.socketpair()
    brain: Channel[Observation] = Channel(left, Observation)
    big = tuple(Layer2Service(f"a/{n}", ("10.0.0.1",), ("n",) * 50, None) for n in range(3000))
    for revision in range(1, 30):
        brain.send(DesiredState(revision, layer2=big))
    announcer: Channel[BrainMessage] = Channel(right, BrainMessage)
    received = []
    async with asyncio.timeout(5):
        while not received or received[-1].revision != 29:
            message = await announcer.receive()
            assert message is not None
            received.append(message)
    assert len(received) < 5
    brain.close()
    announcer.close()


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", frame(b"\xc1"), frame(b"\x90")])
async def test_garbage_closes_the_channel(garbage: bytes) -> None:
    """Bytes that are no message end the channel with a reason, and raise nothing."""
    left, right = socket.socketpair()
    announcer: Channel[BrainMessage] = Channel(right, BrainMessage)
    left.send(garbage)
    assert await announcer.receive() is None
    assert announcer.reason.startswith("channel:")
    left.close()
