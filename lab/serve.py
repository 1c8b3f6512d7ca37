"""The web and echo server that stands in for an application in the light profile.

``python -m lab.serve --port 8080 --name POD --node NODE`` answers every HTTP request with a line of
JSON that names the pod, its node and the client's address as the pod sees it, and every UDP
datagram with its first word and the pod's name.  Both families, one port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
from typing import Any, Final, cast

BACKLOG: Final = 4096
"""A busy machine may keep the server from accepting for seconds; nobody is turned away for that."""
_SO_RCVBUFFORCE: Final = 33
_RECEIVE_BYTES: Final = 8 << 20
"""Seconds of datagrams: what is lost was lost on the way, not for want of the server's time."""


class Web(asyncio.Protocol):
    """One HTTP connection; requests have no body."""

    def __init__(self, name: str, node: str) -> None:
        self._name = name
        self._node = node
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the connection."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every complete request."""
        self._buffer = (self._buffer + data)[-65536:]
        while b"\r\n\r\n" in self._buffer and self._transport is not None:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            self._answer(head, self._transport)

    def _answer(self, head: bytes, transport: asyncio.Transport) -> None:
        peer = str(transport.get_extra_info("peername")[0]).removeprefix("::ffff:")
        told = {"pod": self._name, "node": self._node, "client": peer}
        body = json.dumps(told).encode() + b"\n"
        closes = b"connection: close" in head.lower() or b"HTTP/1.0" in head
        last = "close" if closes else "keep-alive"
        transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {len(body)}\r\nConnection: {last}\r\n\r\n".encode()
            + body
        )
        if closes:
            transport.close()


class Echo(asyncio.DatagramProtocol):
    """The UDP side."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the socket; CPython 3.11's class does not say that it is a datagram one."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer with the datagram's first word and the pod's name."""
        if self._transport is not None:
            self._transport.sendto(data.partition(b" ")[0] + b" " + self._name, addr)


async def serve(given: argparse.Namespace) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("::", given.port), family=socket.AF_INET6, dualstack_ipv6=True)
    server = await loop.create_server(
        lambda: Web(given.name, given.node), sock=listener, backlog=BACKLOG
    )
    # One socket per family: an answer then leaves from the address that was asked.
    for address in ("0.0.0.0", "::"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        datagrams = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        datagrams.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BYTES)
        datagrams.bind((address, given.port))
        datagrams.setblocking(False)
        await loop.create_datagram_endpoint(lambda: Echo(given.name), sock=datagrams)
    await server.serve_forever()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--name", default="web")
    parser.add_argument("--node", default="")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
