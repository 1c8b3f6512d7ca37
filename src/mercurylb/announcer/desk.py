"""Answers an operator's questions on the node itself, over an abstract socket.

The socket's name lives in the network namespace, so whoever is on the node's network can try it;
only root and our own user get an answer. Places, sizes and times are bounded, and a slow asker is
cut off. When another announcer has the name, that is said once and this one goes without.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import TYPE_CHECKING

import msgspec

from mercurylb.errors import LinkError
from mercurylb.plan.desk import DESK_NAME, DeskError, Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.net.turns import Turns

ASKERS_MAX = 8
QUESTION_SIZE_MAX = 4096
PATIENCE_S = 2.0
"""For a question to arrive and its answer to leave."""
BACKLOG = 8
_CREDENTIALS = struct.Struct("=iII")
_ROOT = 0


class Desk:
    """Listens until it is closed."""

    def __init__(
        self,
        answer: Callable[[Question], object],
        turns: Turns,
        *,
        name: str = DESK_NAME,
    ) -> None:
        """Begin to listen; raise LinkError when the name cannot be had."""
        self.refused_count = 0
        """Askers who were somebody else, or too many."""
        self._answer = answer
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._decoder = msgspec.json.Decoder(Question)
        self._askers: set[_Asker] = set()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind(name)
            self._socket.listen(BACKLOG)
        except OSError as error:
            self._socket.close()
            raise LinkError(name.replace("\0", "@"), str(error), errno=error.errno) from error
        self._loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        """Close the socket and every conversation."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for asker in list(self._askers):
            asker.end()

    def reply(self, question: bytes) -> bytes:
        """Return the line that answers a line."""
        try:
            decoded = self._decoder.decode(question)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return msgspec.json.encode(DeskError(f"not a question: {error}")) + b"\n"
        return msgspec.json.encode(self._answer(decoded)) + b"\n"

    def forget(self, asker: _Asker) -> None:
        """Give the place of an asker to others."""
        self._askers.discard(asker)

    def _accept(self) -> None:
        try:
            sock, _ = self._socket.accept()
        except OSError:
            return
        if len(self._askers) >= ASKERS_MAX or not _may_ask(sock):
            self.refused_count += 1
            sock.close()
            return
        self._askers.add(_Asker(self, sock, self._turns))


class _Asker:
    """One conversation: a question, its answer."""

    def __init__(self, desk: Desk, sock: socket.socket, turns: Turns) -> None:
        self._desk = desk
        self._socket = sock
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._heard = bytearray()
        self._leaving = memoryview(b"")
        sock.setblocking(False)
        self._deadline = self._loop.call_later(PATIENCE_S, self.end)
        self._loop.add_reader(sock, self._read)

    def end(self) -> None:
        """Close; repeated calls are harmless."""
        if self._socket.fileno() < 0:
            return
        self._deadline.cancel()
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._desk.forget(self)

    def _read(self) -> None:
        try:
            received = self._socket.recv(QUESTION_SIZE_MAX)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            received = b""
        self._heard += received
        line, end, _ = bytes(self._heard).partition(b"\n")
        if end:
            self._loop.remove_reader(self._socket)
            self._turns.later(lambda: self._reply(line))
        elif not received or len(self._heard) > QUESTION_SIZE_MAX:
            self.end()

    def _reply(self, line: bytes) -> None:
        if self._socket.fileno() < 0:
            return
        self._leaving = memoryview(self._desk.reply(line))
        self._loop.add_writer(self._socket, self._write)

    def _write(self) -> None:
        try:
            sent_bytes = self._socket.send(self._leaving)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.end()
            return
        self._leaving = self._leaving[sent_bytes:]
        if not self._leaving:
            self.end()


def _may_ask(sock: socket.socket) -> bool:
    content = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(content)
    return user in {_ROOT, os.geteuid()}
