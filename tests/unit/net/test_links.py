"""The watch of links, before a scripted kernel."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from mercurylb.net import links
from mercurylb.net.links import LinkWatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.layer2.interface import Link

MAC = bytes.fromhex("020000000001")
NEW_LINK, DONE, ERROR, INTERRUPTED = 16, 3, 2, 0x10
GARBAGE = b"\x05\x00\x00\x00"


def message(kind: int, body: bytes = bytes(4), flags: int = 0) -> bytes:
    """Return a netlink message."""
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def link(index: int) -> bytes:
    """Return a message about a link that is up."""
    name = f"eth{index}\x00".encode().ljust(8, b"\x00")
    body = struct.pack("=BxHiII", 0, 1, index, 0x1043, 0)
    body += struct.pack("=HH", 12, 3) + name + struct.pack("=HH", 10, 1) + MAC + bytes(2)
    return message(NEW_LINK, body)


class Kernel:
    """The other end of the watch's socket."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ours.setblocking(False)

    async def asked(self) -> int:
        """Return what the next dump is of."""
        request = await asyncio.get_running_loop().sock_recv(self.ours, 4096)
        return int(struct.unpack_from("=H", request, 4)[0])

    def say(self, *messages: bytes) -> None:
        """Send messages in one datagram."""
        self.ours.send(b"".join(messages))

    async def tell(self, *indexes: int) -> None:
        """Answer both dumps."""
        assert await self.asked() == 18
        self.say(*(link(index) for index in indexes), message(DONE))
        assert await self.asked() == 22
        self.say(message(DONE))


class Socket:
    """What the watch makes its socket with."""

    AF_NETLINK, NETLINK_ROUTE = socket.AF_NETLINK, socket.NETLINK_ROUTE
    SOCK_RAW, SOL_SOCKET, SO_RCVBUF = socket.SOCK_RAW, socket.SOL_SOCKET, socket.SO_RCVBUF

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def socket(self, *_: int) -> Socket:
        """Be the socket as well."""
        return self

    def bind(self, _: object) -> None:
        """Need no groups."""

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """Give a kernel to the next watch."""
    made = Kernel()
    monkeypatch.setattr(links, "socket", Socket(made.theirs))
    yield made
    made.ours.close()
    made.theirs.close()


@pytest.mark.rule("layer2-5.3")
@pytest.mark.parametrize(
    "failure",
    [message(DONE, flags=INTERRUPTED), message(ERROR, struct.pack("=i", -16))],
    ids=["interrupted", "refused"],
)
async def test_dump_that_fails_leaves_what_was_known(kernel: Kernel, failure: bytes) -> None:
    """Until everything has been told anew the links known before stay, and it is asked again."""
    seen: asyncio.Queue[list[Link]] = asyncio.Queue()
    watch = LinkWatch(seen.put_nowait)
    await kernel.tell(1, 2)
    known: list[str] = []
    while known != ["eth1", "eth2"]:
        known = [found.name for found in await seen.get()]
    kernel.say(GARBAGE)
    assert await kernel.asked() == 18
    kernel.say(link(1), failure)
    await kernel.tell(1)
    told = []
    while not told or told[-1] != ["eth1"]:
        told.append([found.name for found in await seen.get()])
    assert told[:-1] in ([], [["eth1", "eth2"]])
    watch.close()
