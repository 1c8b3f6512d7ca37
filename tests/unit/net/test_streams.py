"""Connections of the membership, over the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from mercurylb.errors import LinkError, WireError
from mercurylb.membership.member import Exchange
from mercurylb.net import streams
from mercurylb.net.streams import StreamPort

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

HOST = "127.0.0.1"


class Lines:
    """Reads one line; `bad` is refused."""

    def __init__(self) -> None:
        self.held = b""

    def feed(self, data: bytes) -> object | None:
        """Return the line once it is whole."""
        self.held += data
        if self.held.startswith(b"bad"):
            raise WireError("lines", "bad", reason="bad")
        return self.held[:-1] if self.held.endswith(b"\n") else None

    def refusal(self) -> bytes:
        """Say no."""
        return b"no\n"


class Side:
    """A port that answers every line with itself in capitals, and remembers what it was told."""

    def __init__(self, *, timeout_s: float = 5.0) -> None:
        self.requests: list[tuple[str, object]] = []
        self.replies: list[tuple[int, object | None]] = []
        self.answer: Callable[[bytes], bytes | None] = lambda line: line.upper() + b"\n"
        self.port = StreamPort(
            HOST,
            0,
            make_decoder=Lines,
            on_request=self.on_request,
            on_reply=lambda exchange, message: self.replies.append((exchange, message)),
            timeout_s=timeout_s,
        )
        self.number = self.port._listener.getsockname()[1]

    def on_request(self, source: str, message: object) -> bytes | None:
        """Answer."""
        self.requests.append((source, message))
        assert isinstance(message, bytes)
        return self.answer(message)

    async def dial(self) -> socket.socket:
        """Return a plain connection to this side."""
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (HOST, self.number))
        return sock


@pytest.fixture
async def side() -> AsyncIterator[Side]:
    """Give a listening side."""
    made = Side()
    yield made
    made.port.close()
    assert made.port.open_count == 0
    assert made.port.held_bytes == 0


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until a condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (sockets of the kernel have no event to wait for)
            await asyncio.sleep(0.001)


def ask(side: Side, number: int, request: bytes, *, timeout_s: float = 5.0, port: int = 0) -> None:
    """Begin an exchange with the side itself."""
    side.port.exchange(Exchange(number, HOST, port or side.number, request, timeout_s))


async def read_all(sock: socket.socket) -> bytes:
    """Read until the other end closes."""
    loop, found = asyncio.get_running_loop(), b""
    async with asyncio.timeout(5):
        while received := await loop.sock_recv(sock, 65536):
            found += received
    sock.close()
    return found


async def test_request_and_reply(side: Side) -> None:
    """A request arrives with its source, the reply with the number of its exchange."""
    ask(side, 7, b"hello\n")
    assert side.replies == []
    await until(lambda: side.replies)
    assert side.requests == [(HOST, b"hello")]
    assert side.replies == [(7, b"HELLO")]
    await until(lambda: side.port.open_count == 0)


async def test_long_messages_in_both_directions(side: Side) -> None:
    """Messages larger than any buffer of the kernel arrive whole."""
    side.answer = lambda line: line * 2 + b"\n"
    ask(side, 1, b"x" * 3_000_000 + b"\n")
    await until(lambda: side.replies)
    assert side.replies == [(1, b"x" * 6_000_000)]
    await until(lambda: side.port.held_bytes == 0)


async def test_reply_survives_a_peer_that_said_more_than_it_should(side: Side) -> None:
    """Bytes behind the request do not cost the peer its reply."""
    sock = await side.dial()
    sock.send(b"one\n")
    await until(lambda: side.requests)
    sock.send(b"and more that nobody reads")
    assert await read_all(sock) == b"ONE\n"
    assert side.requests == [(HOST, b"one")]


async def test_no_reply_closes(side: Side) -> None:
    """Where nothing is to be said the connection just ends, and the asker learns of no reply."""
    side.answer = lambda _: None
    ask(side, 3, b"hello\n")
    await until(lambda: side.replies)
    assert side.replies == [(3, None)]


async def test_refusal_is_told_and_counted(side: Side) -> None:
    """Who sends what cannot be read is told so and cut off, and the reason is counted."""
    sock = await side.dial()
    sock.send(b"bad")
    assert await read_all(sock) == b"no\n"
    assert side.port.refused == {"stream bad": 1}
    assert side.requests == []


async def test_unreadable_reply_is_none(side: Side) -> None:
    """A reply that does not decode fails the exchange at once."""
    side.answer = lambda _: b"bad reply\n"
    ask(side, 4, b"hello\n")
    await until(lambda: side.replies)
    assert side.replies == [(4, None)]


async def test_refused_connection_fails_at_once(side: Side) -> None:
    """Nobody listening is known long before the time-out."""
    with socket.socket() as closed:
        closed.bind((HOST, 0))
        ask(side, 5, b"hello\n", timeout_s=60.0, port=closed.getsockname()[1])
        await until(lambda: side.replies)
    assert side.replies == [(5, None)]


@pytest.mark.parametrize("address", ["203.0.113.999", "::1", ""])
async def test_impossible_address_fails(side: Side, address: str) -> None:
    """An address that cannot be connected to is told as no reply, never raised."""
    side.port.exchange(Exchange(6, address, 1, b"x", 1.0))
    await until(lambda: side.replies)
    assert side.replies == [(6, None)]


async def test_silent_server_costs_the_time_out() -> None:
    """An exchange ends when its time is over, whatever the other side does or does not."""
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        side = Side()
        ask(side, 8, b"hello\n", timeout_s=0.05, port=server.getsockname()[1])
        await until(lambda: side.replies)
        assert side.replies == [(8, None)]
        assert side.port.refused == {"too slow": 1}
        side.port.close()


async def test_slow_client_is_cut_off() -> None:
    """A client that drips bytes does not get more than the one deadline."""
    side = Side(timeout_s=0.1)
    sock = await side.dial()
    with contextlib.suppress(OSError):
        for _ in range(100):
            sock.send(b"x")
            await asyncio.sleep(0.01)
    assert side.port.open_count == 0
    assert side.port.refused == {"too slow": 1}
    assert side.port.held_bytes == 0
    sock.close()
    side.port.close()


async def test_one_source_has_so_many_connections(side: Side) -> None:
    """The connections of one source are bounded, and give their places back."""
    socks = [await side.dial() for _ in range(streams.ACCEPTED_PER_SOURCE_MAX + 3)]
    await until(lambda: side.port.refused["too many connections of one source"] == 3)
    assert side.port.open_count == streams.ACCEPTED_PER_SOURCE_MAX
    for sock in socks:
        sock.close()
    await until(lambda: side.port.open_count == 0)
    ask(side, 1, b"hello\n")
    await until(lambda: side.replies)
    assert side.replies == [(1, b"HELLO")]


async def test_oldest_makes_room(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """When all places are taken, who has said nothing for the longest time has to leave."""
    monkeypatch.setattr(streams, "ACCEPTED_MAX", 3)
    monkeypatch.setattr(streams, "PATIENCE_S", 0.0)
    silent = [await side.dial() for _ in range(3)]
    await until(lambda: side.port.open_count == 3)
    late = await side.dial()
    late.send(b"hello\n")
    assert await read_all(late) == b"HELLO\n"
    assert await read_all(silent[0]) == b""
    assert side.port.refused == {"too many connections": 1}
    monkeypatch.setattr(streams, "PATIENCE_S", 60.0)
    await until(lambda: side.port.open_count == 2)
    more = [await side.dial(), await side.dial()]
    assert await read_all(more[1]) == b""
    assert side.port.open_count == 3
    for sock in [*silent, *more]:
        sock.close()
    await until(lambda: side.port.open_count == 0)


async def test_bytes_held_are_bounded(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that make us hold much, the one with most of it leaves."""
    monkeypatch.setattr(streams, "HELD_BYTES_MAX", 10_000)
    small, large = await side.dial(), await side.dial()
    small.send(b"x" * 4_000)
    await until(lambda: side.port.held_bytes == 4_000)
    large.send(b"x" * 7_000)
    assert await read_all(large) == b""
    await until(lambda: side.port.held_bytes == 4_000)
    assert side.port.refused == {"too many bytes held": 1}
    small.send(b"\n")
    assert (await read_all(small)).startswith(b"X")


async def test_exchanges_wait_for_a_place(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """More exchanges than places are done one after another; beyond the bound they fail."""
    monkeypatch.setattr(streams, "OPENED_MAX", 2)
    monkeypatch.setattr(streams, "WAITING_MAX", 10)
    for number in range(12):
        ask(side, number, b"hello\n")
    await until(lambda: len(side.replies) == 12)
    failed = {number for number, message in side.replies if message is None}
    assert failed == {10, 11}
    assert side.port.refused["too many exchanges"] == 2


async def test_nothing_is_told_after_closing() -> None:
    """Closing ends everything without a word, with connections of either kind open."""
    side = Side()
    sock = await side.dial()
    await until(lambda: side.port.open_count == 1)
    ask(side, 1, b"without an end")
    await until(lambda: side.port.open_count == 3)
    side.port.close()
    await asyncio.sleep(0.01)
    assert side.replies == []
    assert await read_all(sock) == b""


async def test_taken_port_is_an_error_of_ours(side: Side) -> None:
    """A port that somebody has is a LinkError, which the caller tries again after."""
    with pytest.raises(LinkError, match=f"TCP port {side.number}"):
        StreamPort(
            HOST,
            side.number,
            make_decoder=Lines,
            on_request=side.on_request,
            on_reply=lambda *_: None,
            timeout_s=1.0,
        )
