"""Connections of BGP over the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest

from mercurylb.bgp.settings import Key
from mercurylb.errors import LinkError
from mercurylb.net import tcp
from mercurylb.net.tcp import Connection, Dial
from mercurylb.net.tcp_listener import Listener
from mercurylb.net.tcp_option import TcpSettings
from mercurylb.net.turns import Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

HOST = "127.0.0.1"


async def until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Wait until a condition holds."""
    ends_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends_at, "not within the time"
        await asyncio.sleep(0.001)


class End:
    """One end of a connection, that remembers what it was told."""

    def __init__(self, sock: socket.socket, turns: Turns | None = None) -> None:
        self.sock = sock
        self.received = b""
        self.slices: list[int] = []
        self.closed: list[str] = []
        self.drained_count = 0
        self.on_slice: Callable[[], None] = lambda: None
        self.connection = Connection(
            sock,
            turns or Turns(),
            on_received=self._on_received,
            on_closed=self.closed.append,
            on_drained=self._on_drained,
        )

    def _on_received(self, octets: bytes) -> None:
        self.slices.append(len(octets))
        self.received += octets
        self.on_slice()

    def _on_drained(self) -> None:
        self.drained_count += 1


class Plain:
    """A listening socket as anybody has it."""

    def __init__(self, family: int = socket.AF_INET, address: str = HOST) -> None:
        self.sock = socket.socket(family)
        self.sock.bind((address, 0))
        self.sock.listen(8)
        self.port = int(self.sock.getsockname()[1])

    async def accept(self) -> socket.socket:
        """Take the next connection."""
        self.sock.setblocking(False)
        sock, _ = await asyncio.get_running_loop().sock_accept(self.sock)
        return sock


@pytest.fixture
async def pair() -> AsyncIterator[tuple[End, socket.socket]]:
    """Give an end and the plain socket at the other."""
    plain = Plain()
    ends: list[End] = []
    Dial(
        TcpSettings(HOST, plain.port),
        on_connected=lambda sock: ends.append(End(sock)),
        on_failed=pytest.fail,
    )
    other = await plain.accept()
    await until(lambda: ends)
    yield ends[0], other
    ends[0].connection.close(is_silent=True)
    other.close()
    plain.sock.close()


# --- dialling ------------------------------------------------------------------------------------


@pytest.mark.rule("bgp-native-1.2.ipv6")
async def test_dialling_an_ipv6_peer() -> None:
    """The original cannot reach a peer with an IPv6 address; we can."""
    plain = Plain(socket.AF_INET6, "::1")
    connected: list[socket.socket] = []
    settings = TcpSettings("::1", plain.port, user_timeout_ms=9000)
    Dial(settings, on_connected=connected.append, on_failed=pytest.fail)
    other = await plain.accept()
    await until(lambda: connected)
    assert connected[0].getpeername()[:2] == ("::1", plain.port)
    assert connected[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 9000
    for sock in (connected[0], other, plain.sock):
        sock.close()


async def test_refusal_is_told_in_words() -> None:
    """Where nobody listens the attempt fails at once."""
    plain = Plain()
    plain.sock.close()
    failed: list[str] = []
    Dial(TcpSettings(HOST, plain.port), on_connected=lambda _: None, on_failed=failed.append)
    assert not failed, "never from within"
    await until(lambda: failed)
    assert failed == ["connection refused: nobody listens there"]


async def test_wrong_settings_fail_from_the_loop() -> None:
    """A source address that this host lacks is told like any other failure."""
    failed: list[str] = []
    settings = TcpSettings(HOST, 179, source_address="192.0.2.99")
    Dial(settings, on_connected=lambda _: None, on_failed=failed.append)
    assert not failed
    await until(lambda: failed)
    assert failed == ['address "192.0.2.99": doesn\'t exist on this host']


@contextlib.contextmanager
def swallower() -> Iterator[int]:
    """Give the port of a listener whose queue is full, so that it swallows every SYN."""
    with socket.socket() as sock, contextlib.ExitStack() as stack:
        sock.bind((HOST, 0))
        sock.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
        yield sock.getsockname()[1]


@pytest.mark.parametrize(
    ("password", "hint"),
    [
        (None, "is it filtered, or does the peer want a password?"),
        (Key(b"x"), "does the peer have the same password?"),
    ],
)
async def test_silence_ends_the_attempt_and_names_the_likely_cause(
    password: Key | None, hint: str
) -> None:
    """Kernels are silent about wrong passwords, so silence hints at them."""
    with swallower() as port:
        failed: list[str] = []
        # What bounds an open connection must not end the attempt before its time and its words.
        settings = TcpSettings(HOST, port, password=password, user_timeout_ms=1)
        Dial(settings, on_connected=lambda _: None, on_failed=failed.append, timeout_s=0.05)
        await until(lambda: failed)
        assert failed == [f"no answer ({hint})"]


async def test_attempt_given_up_tells_nothing() -> None:
    """Who gave up does not hear of it any more."""
    with swallower() as port:
        told: list[object] = []
        dial = Dial(
            TcpSettings(HOST, port),
            on_connected=told.append,
            on_failed=told.append,
            timeout_s=0.02,
        )
        dial.give_up()
        dial.give_up()
        await asyncio.sleep(0.05)
        assert told == []


# --- passwords -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("address", "any_address"), [(HOST, "0.0.0.0"), ("::1", "::")])
@pytest.mark.rule("bgp-native-2.15.md5")
async def test_passwords_must_match(address: str, any_address: str) -> None:
    """Only who signs with the listener's key gets through; a key taken away asks for none."""
    accepted: list[socket.socket] = []
    listener = Listener(any_address, 0, lambda sock, *_: accepted.append(sock))
    right = TcpSettings(address, listener.port, password=Key(b"secret"))
    listener.add_key(right)
    outcomes: list[object] = []

    async def outcome(password: Key | None) -> object:
        outcomes.clear()
        settings = TcpSettings(address, listener.port, password=password)
        Dial(settings, on_connected=outcomes.append, on_failed=outcomes.append, timeout_s=0.1)
        await until(lambda: outcomes)
        return outcomes[0]

    assert "no answer" in str(await outcome(Key(b"wrong")))
    assert "no answer" in str(await outcome(None))
    connected = await outcome(Key(b"secret"))
    assert isinstance(connected, socket.socket)
    listener.add_key(TcpSettings(address, 0, password=Key(b"")))
    plain = await outcome(None)
    assert isinstance(plain, socket.socket)
    listener.close()
    for sock in (connected, plain, *accepted):
        sock.close()


# --- listening -----------------------------------------------------------------------------------


async def test_accepted_connections_come_with_their_source() -> None:
    """The peer is known by its address."""
    accepted: list[tuple[socket.socket, str, int]] = []
    listener = Listener("::", 0, lambda *told: accepted.append(told))
    sock = socket.create_connection(("::1", listener.port))
    await until(lambda: accepted)
    assert accepted[0][1:] == ("::1", 0)
    accepted[0][0].close()
    sock.close()
    listener.close()


async def test_taken_port_is_told() -> None:
    """Another daemon on the port is named as what it is."""
    plain = Plain()
    with pytest.raises(LinkError, match=f"TCP port {plain.port}: Address already in use"):
        Listener(HOST, plain.port, lambda *_: None)
    plain.sock.close()


# --- talking -------------------------------------------------------------------------------------


async def test_what_is_sent_arrives_and_drained_is_told_from_the_loop(
    pair: tuple[End, socket.socket],
) -> None:
    """Bytes pass both ways, in order; `on_drained` never comes from within `send`."""
    end, other = pair
    end.connection.send(b"one")
    end.connection.send(b"two")
    assert end.drained_count == 0
    await until(lambda: end.drained_count)
    assert end.drained_count == 1
    assert await asyncio.get_running_loop().sock_recv(other, 100) == b"onetwo"
    other.send(b"three")
    await until(lambda: end.received == b"three")


async def test_slow_reader_is_not_drained_until_it_reads(pair: tuple[End, socket.socket]) -> None:
    """The machine above learns that a peer takes nothing, and holds back."""
    end, other = pair
    whole = b"x" * (3 << 20)
    end.connection.send(whole)
    await asyncio.sleep(0.02)
    assert end.drained_count == 0
    read = 0
    while read < len(whole):
        read += len(await asyncio.get_running_loop().sock_recv(other, 1 << 20))
    await until(lambda: end.drained_count)


async def test_output_is_bounded(pair: tuple[End, socket.socket]) -> None:
    """A defect above, which sends for ever, ends the connection rather than fill the memory."""
    end, _ = pair
    for _ in range(20):
        end.connection.send(b"x" * (1 << 20))
    assert not end.closed
    await until(lambda: end.closed)
    assert end.closed == ["it takes nothing, and too much waits"]


async def test_end_and_reset_are_told_once(pair: tuple[End, socket.socket]) -> None:
    """A connection that the peer resets is told as that, and only once."""
    end, other = pair
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    other.close()
    await until(lambda: end.closed)
    end.connection.send(b"lost")
    await asyncio.sleep(0)
    assert end.closed == ["connection reset by the peer"]


async def test_end_of_the_stream_is_told(pair: tuple[End, socket.socket]) -> None:
    """A peer that closes is told as that."""
    end, other = pair
    other.close()
    await until(lambda: end.closed)
    assert end.closed == ["closed by the peer"]


# --- closing -------------------------------------------------------------------------------------


async def test_last_words_arrive_although_the_peer_has_sent_what_nobody_read(
    pair: tuple[End, socket.socket],
) -> None:
    """A NOTIFICATION is not lost to a reset, and nothing is told after the close."""
    end, other = pair
    gone: list[None] = []
    other.send(b"unread" * 1000)
    end.connection.send(b"x" * 300_000 + b"last words")
    end.connection.close(on_gone=lambda: gone.append(None))
    heard = b""
    while received := await asyncio.get_running_loop().sock_recv(other, 1 << 20):
        heard += received
    assert heard.endswith(b"last words")
    assert not gone, "it waits for the peer"
    other.close()
    await until(lambda: gone)
    assert (end.received, end.closed, end.drained_count) == (b"", [], 0)


async def test_peer_that_never_closes_is_not_waited_for_long(
    pair: tuple[End, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for the peer's end is bounded."""
    monkeypatch.setattr(tcp, "LINGER_S", 0.02)
    end, _ = pair
    gone: list[None] = []
    end.connection.close(on_gone=lambda: gone.append(None))
    await until(lambda: gone)
    assert end.sock.fileno() < 0


async def test_silent_close_is_at_once(pair: tuple[End, socket.socket]) -> None:
    """Nothing is waited for, and the peer sees the end of the stream."""
    end, other = pair
    gone: list[None] = []
    end.connection.close(is_silent=True, on_gone=lambda: gone.append(None))
    assert end.sock.fileno() < 0
    assert await asyncio.get_running_loop().sock_recv(other, 10) == b""
    await until(lambda: gone)
    end.connection.close(is_silent=True)


# --- fairness ------------------------------------------------------------------------------------


async def test_slow_digestion_makes_slices_smaller_and_quick_one_larger(
    pair: tuple[End, socket.socket],
) -> None:
    """What a peer sends is read in slices of about the same time, not of the same size."""
    end, other = pair
    other.setblocking(False)
    end.on_slice = lambda: time.sleep(0.003)
    task = asyncio.create_task(flood(other, 200_000))
    await until(lambda: len(end.slices) > 6)
    assert max(end.slices[5:]) == tcp.READ_SIZE_MIN_BYTES
    end.on_slice = lambda: None
    await task
    task = asyncio.create_task(flood(other, 3 << 20))
    await until(lambda: max(end.slices) == tcp.READ_SIZE_MAX_BYTES)
    await task


async def flood(sock: socket.socket, size_bytes: int) -> None:
    """Send so much as fast as it is taken."""
    await asyncio.get_running_loop().sock_sendall(sock, bytes(size_bytes))


async def test_floods_cost_one_slice_between_two_looks_of_the_loop() -> None:
    """However many peers send without end, others wait for one slice; and all have their turns."""
    turns, loop = Turns(), asyncio.get_running_loop()
    pairs = [socket.socketpair() for _ in range(5)]
    ends = [End(ours, turns) for ours, _ in pairs]
    for _, theirs in pairs:
        theirs.setblocking(False)
    per_look: list[int] = []
    seen = 0

    def look() -> None:
        nonlocal seen
        count = sum(len(end.slices) for end in ends)
        per_look.append(count - seen)
        seen = count
        loop.call_soon(look)

    look()
    floods = [asyncio.create_task(flood(theirs, 4 << 20)) for _, theirs in pairs]
    await until(lambda: all(len(end.slices) >= 8 for end in ends))
    assert max(per_look) == 1
    for task in floods:
        task.cancel()
    await asyncio.gather(*floods, return_exceptions=True)
    for end, (_, theirs) in zip(ends, pairs, strict=True):
        end.connection.close(is_silent=True)
        theirs.close()
