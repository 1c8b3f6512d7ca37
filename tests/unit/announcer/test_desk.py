"""The desk, over an abstract socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import uuid
from typing import TYPE_CHECKING

import msgspec
import pytest

from mercurylb.announcer import desk as desks
from mercurylb.announcer.desk import Desk
from mercurylb.errors import LinkError
from mercurylb.net.turns import Turns
from mercurylb.plan.desk import AskPeers, AskRoutes, AskSession, DeskError, PeersAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Office:
    """A desk with a name of its own, and what it was asked."""

    def __init__(self) -> None:
        self.name = f"\0mercurylb-test-{uuid.uuid4().hex}"
        self.asked: list[object] = []
        self.answer: object = PeersAnswer("me", (), ())
        self.desk = Desk(self._answer, Turns(), name=self.name)

    def _answer(self, question: object) -> object:
        self.asked.append(question)
        return self.answer

    async def call(self) -> socket.socket:
        """Return a connection."""
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, self.name)
        return sock

    async def ask(self, line: bytes) -> bytes:
        """Send bytes, and return all that comes."""
        with contextlib.closing(await self.call()) as sock:
            await asyncio.get_running_loop().sock_sendall(sock, line)
            return await everything(sock)


async def everything(sock: socket.socket) -> bytes:
    """Read to the end."""
    heard = b""
    with contextlib.suppress(ConnectionResetError):
        while received := await asyncio.get_running_loop().sock_recv(sock, 1 << 20):
            heard += received
    return heard


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    """Give a desk."""
    made = Office()
    yield made
    made.desk.close()


@pytest.mark.parametrize(
    ("line", "question"),
    [
        (b'{"ask":"peers"}\n', AskPeers()),
        (b'{"ask":"session","peer":"r1"}\n', AskSession("r1")),
        (b'{"ask":"routes","peer":"r1","offset":7,"limit":3}\n', AskRoutes("r1", 7, 3)),
    ],
)
async def test_question_is_one_line_and_so_is_the_answer(
    office: Office, line: bytes, question: object
) -> None:
    """What is asked arrives as a value, what is answered as JSON."""
    answer = await office.ask(line)
    assert office.asked == [question]
    assert answer.endswith(b"\n")
    assert msgspec.json.decode(answer, type=PeersAnswer) == office.answer


@pytest.mark.parametrize("line", [b"what?\n", b'{"ask":"everything"}\n', b"\xff\n", b"{}\n"])
async def test_nonsense_is_answered_with_an_error(office: Office, line: bytes) -> None:
    """A program of another version learns why it is not understood."""
    answer = msgspec.json.decode(await office.ask(line), type=DeskError)
    assert answer.error.startswith("not a question")
    assert office.asked == []


async def test_long_answer_leaves_whole(office: Office) -> None:
    """An answer that does not fit into the socket at once is written on."""
    office.answer = DeskError("x" * 2_000_000)
    heard = await office.ask(b'{"ask":"peers"}\n')
    assert len(heard) == len(msgspec.json.encode(office.answer)) + 1


async def test_endless_question_is_cut_off(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who never ends its line costs no memory, however patient the desk is."""
    monkeypatch.setattr(desks, "PATIENCE_S", 600.0)
    assert await asyncio.wait_for(office.ask(b"x" * 5000), 5) == b""


async def test_slow_asker_is_cut_off(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who neither asks nor reads loses its place."""
    monkeypatch.setattr(desks, "PATIENCE_S", 0.02)
    with contextlib.closing(await office.call()) as sock:
        began_at = time.monotonic()
        assert await everything(sock) == b""
        assert time.monotonic() - began_at < 5


async def test_places_are_bounded(office: Office) -> None:
    """Many askers at once do not take the announcer's descriptors."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(desks.ASKERS_MAX):
            stack.enter_context(contextlib.closing(await office.call()))
        late = stack.enter_context(contextlib.closing(await office.call()))
        assert await everything(late) == b""
        assert office.desk.refused_count == 1


async def test_taken_name_is_an_error(office: Office) -> None:
    """Of two announcers in a network namespace one has the desk."""
    with pytest.raises(LinkError, match="in use"):
        Desk(lambda question: question, Turns(), name=office.name)


async def test_strangers_get_no_answer(office: Office) -> None:
    """Only root and our own user may ask."""
    if os.geteuid() != 0:
        pytest.skip("needs root to be somebody else")
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(office.name)
            with contextlib.suppress(OSError):
                sock.sendall(b'{"ask":"peers"}\n')
            with contextlib.suppress(ConnectionResetError):
                os._exit(len(sock.recv(10)))
            os._exit(0)
    status = await asyncio.to_thread(os.waitpid, pid, 0)
    assert os.waitstatus_to_exitcode(status[1]) == 0
    assert (office.asked, office.desk.refused_count) == ([], 1)
