"""Asks the announcer of this node, over its abstract socket; everything within a bounded time."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from mercurylb.errors import MercuryError
from mercurylb.plan.desk import (
    DESK_NAME,
    AskPeers,
    AskRoutes,
    AskSession,
    DeskError,
    PeersAnswer,
    RoutesAnswer,
    SessionAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.plan.desk import Question

ANSWER_SIZE_MAX: Final = 16 << 20
"""A thousand routes, or a thousand sessions, need less than a tenth."""
READ_SIZE_BYTES: Final = 65_536
PAGES_MAX: Final = 10_000

_Answer = TypeVar("_Answer")


class NobodyAnswersError(MercuryError):
    """There is no announcer here, or it does not want to answer."""


class UnknownPeerError(MercuryError):
    """The announcer has no such peer."""


def ask_peers(timeout_s: float) -> PeersAnswer:
    """Give all sessions."""
    return _ask(AskPeers(), PeersAnswer, timeout_s)


def ask_session(peer: str, timeout_s: float) -> SessionAnswer:
    """Give one session; raise UnknownPeerError if there is none."""
    return _ask(AskSession(peer), SessionAnswer, timeout_s)


def ask_routes(peer: str, timeout_s: float) -> Iterator[RoutesAnswer]:
    """Give what a peer has, in portions; raise UnknownPeerError if there is none."""
    offset = 0
    for _ in range(PAGES_MAX):
        answer = _ask(AskRoutes(peer, offset=offset), RoutesAnswer, timeout_s)
        yield answer
        offset += len(answer.routes)
        if not answer.routes or offset >= answer.count:
            return


def _ask(question: Question, kind: type[_Answer], timeout_s: float) -> _Answer:
    line = _converse(msgspec.json.encode(question) + b"\n", timeout_s)
    try:
        answer = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        if "error" in answer:
            raise _refusal(msgspec.json.decode(line, type=DeskError))
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text = f"the speaker's answer is not understood; is it of another version? ({error})"
        raise NobodyAnswersError(text) from error


def _refusal(error: DeskError) -> MercuryError:
    if not error.known:
        return UnknownPeerError(error.error)
    return UnknownPeerError(f"{error.error}; known here: {', '.join(error.known)}")


def _converse(question: bytes, timeout_s: float) -> bytes:
    """Give the line that is answered; raise NobodyAnswersError."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            deadline = time.monotonic() + timeout_s
            sock.settimeout(timeout_s)
            sock.connect(DESK_NAME)
            sock.sendall(question)
            return _read_line(sock, deadline)
    except TimeoutError as error:
        text = f"the speaker of this node has not answered for {timeout_s:g} s (--timeout)"
        raise NobodyAnswersError(text) from error
    except ConnectionRefusedError as error:
        text = (
            "no speaker answers in this network namespace: ask on a node that runs one, in the"
            " host's network or in the speaker's pod"
        )
        raise NobodyAnswersError(text) from error
    except OSError as error:
        raise NobodyAnswersError(f"the speaker cannot be asked: {error}") from error


def _read_line(sock: socket.socket, deadline: float) -> bytes:
    heard = bytearray()
    while len(heard) <= ANSWER_SIZE_MAX:
        rest_s = deadline - time.monotonic()
        if rest_s <= 0:
            raise TimeoutError
        sock.settimeout(rest_s)
        received = sock.recv(READ_SIZE_BYTES)
        heard += received
        if received.endswith(b"\n"):
            return bytes(heard)
        if not received and heard:
            raise NobodyAnswersError("the speaker broke off in the middle of its answer")
        if not received:
            text = "the speaker does not answer this user: ask as root (sudo mercurylb bgp …)"
            raise NobodyAnswersError(text)
    raise NobodyAnswersError(f"the speaker's answer is longer than {ANSWER_SIZE_MAX} bytes")
