"""Connections of the membership, whatever somebody sends on them and however it is cut."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from hypothesis import given, settings
from hypothesis import strategies as st

from mercurylb.errors import WireError
from mercurylb.net.streams import StreamPort

HOST = "127.0.0.1"


class Sized:
    """Reads as many bytes as the first one says; 255 is refused."""

    def __init__(self) -> None:
        self.held = b""

    def feed(self, data: bytes) -> object | None:
        """Return the message once it is whole."""
        self.held += data
        if self.held[0] == 255:
            raise WireError("sized", "too long")
        return self.held if len(self.held) > self.held[0] else None

    def refusal(self) -> bytes:
        """Say no."""
        return b"no"


async def played(chunks: list[bytes], *, reply: bytes) -> tuple[list[object], bytes, int, int]:
    """Send chunks and the end; return requests, what came back, and what is left open and held."""
    requests: list[object] = []

    def on_request(_: str, message: object) -> bytes | None:
        requests.append(message)
        return reply or None

    port = StreamPort(
        HOST,
        0,
        make_decoder=Sized,
        on_request=on_request,
        on_reply=lambda *_: None,
        timeout_s=5.0,
    )
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    received = b""
    with contextlib.suppress(OSError):
        await loop.sock_connect(sock, port._listener.getsockname())
        for chunk in chunks:
            await loop.sock_sendall(sock, chunk)
            await asyncio.sleep(0)
        sock.shutdown(socket.SHUT_WR)
    with contextlib.suppress(OSError):
        while part := await loop.sock_recv(sock, 4096):
            received += part
    sock.close()
    async with asyncio.timeout(5):
        while port.open_count:  # noqa: ASYNC110 (sockets have no event to wait for)
            await asyncio.sleep(0.001)
    left = port.open_count, port.held_bytes
    port.close()
    return requests, received, *left


@settings(max_examples=60)
@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=5),
    st.sampled_from([b"", b"reply", b"x" * 300_000]),
)
def test_one_request_at_most_and_nothing_left(chunks: list[bytes], reply: bytes) -> None:
    """However bytes come, one message is taken at most, answered whole, and all is given back."""
    sent = b"".join(chunks)
    requests, received, open_count, held = asyncio.run(played(chunks, reply=reply))
    assert (open_count, held) == (0, 0)
    if not sent or len(sent) <= sent[0] < 255:
        assert (requests, received) == ([], b"")
    elif sent[0] == 255:
        assert requests == []
        assert received in {b"", b"no"}
    else:
        (message,) = requests
        assert isinstance(message, bytes)
        assert sent.startswith(message)
        assert reply.startswith(received)
