"""The membership's UDP socket, over the loopback interface."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from mercurylb.errors import LinkError
from mercurylb.net.datagram import DatagramPort, _refusing_port

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"
OTHER = "127.0.0.2"


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until a condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (sockets of the kernel have no event to wait for)
            await asyncio.sleep(0.001)


class Side:
    """A port that remembers what it was told."""

    def __init__(self, address: str = HOST) -> None:
        self.received: list[tuple[str, int, bytes]] = []
        self.refused: list[str] = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind((HOST, 0))
            self.number = free.getsockname()[1]
        self.port = DatagramPort(
            address,
            self.number,
            lambda *datagram: self.received.append(datagram),
            self.refused.append,
        )


@pytest.mark.rule("membership-2.ports", "membership-2.datagram-size")
async def test_datagrams_arrive_with_their_source() -> None:
    """Source address and port come with the bytes, up to the largest datagram there is."""
    side = Side()
    side.port.send(HOST, b"to myself")
    side.port.send(HOST, b"x" * 60_000, side.number)
    await until(lambda: len(side.received) == 2)
    assert side.received == [
        (HOST, side.number, b"to myself"),
        (HOST, side.number, b"x" * 60_000),
    ]
    side.port.close()


async def test_refused_by_the_other_kernel() -> None:
    """A kernel that says that nobody listens on the membership's port is told of, by address."""
    side = Side()
    side.port.send(OTHER, b"anybody there?")
    assert side.refused == [], "not from within the send"
    await until(lambda: side.refused)
    assert side.refused == [OTHER]
    assert side.port.icmp_ignored == 0
    side.port.close()


async def test_another_port_refused_is_no_news() -> None:
    """What is said about another port says nothing about the membership."""
    side = Side()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind((HOST, 0))
        number = closed.getsockname()[1]
    side.port.send(HOST, b"x", number)
    await until(lambda: side.port.icmp_ignored)
    assert side.refused == []
    side.port.close()


async def test_an_error_costs_no_datagram() -> None:
    """Behind an unread error the next datagrams leave and arrive all the same."""
    side = Side()
    for number in range(50):
        side.port.send(OTHER, b"refused")
        side.port.send(HOST, number.to_bytes(1, "big"))
    await until(lambda: len(side.received) == 50)
    assert side.port.send_errors == 0
    assert [payload[0] for _, _, payload in side.received] == list(range(50))
    side.port.close()


async def test_what_cannot_be_sent_is_counted() -> None:
    """A datagram the kernel does not take is lost and counted."""
    side = Side()
    side.port.send(HOST, b"x" * 70_000)
    side.port.send("no address", b"x")
    assert side.port.send_errors == 2
    side.port.close()


async def test_taken_port_is_an_error_of_ours() -> None:
    """A port that somebody has is a LinkError, which the caller tries again after."""
    side = Side()
    with pytest.raises(LinkError, match=f"UDP port {side.number}"):
        DatagramPort(HOST, side.number, lambda *_: None, lambda _: None)
    side.port.close()


def control(origin: int, kind: int, code: int, offender: str) -> tuple[int, int, bytes]:
    """Return the control message of an ICMP error."""
    error = struct.pack("=IBBBxII", 111, origin, kind, code, 0, 0)
    if ":" in offender:
        address = struct.pack("=HHI", 10, 0, 0) + socket.inet_pton(socket.AF_INET6, offender)
        return socket.IPPROTO_IPV6, 25, error + address + bytes(4)
    return socket.IPPROTO_IP, 11, error + struct.pack("=HH", 2, 0) + socket.inet_aton(offender)


@pytest.mark.parametrize(
    ("controls", "to", "port"),
    [
        pytest.param([control(2, 3, 3, "10.0.0.2")], "10.0.0.2", 7946, id="port unreachable"),
        pytest.param([control(3, 1, 4, "fd00::2")], "fd00::2", 7946, id="over IPv6"),
        pytest.param([control(2, 3, 1, "10.0.0.2")], "10.0.0.2", None, id="host unreachable"),
        pytest.param([control(2, 3, 10, "10.0.0.2")], "10.0.0.2", None, id="prohibited"),
        pytest.param([control(2, 3, 3, "10.0.0.254")], "10.0.0.2", None, id="a router's word"),
        pytest.param([control(3, 1, 4, "fd00::9")], "fd00::2", None, id="a router's word, IPv6"),
        pytest.param([control(1, 3, 3, "10.0.0.2")], "10.0.0.2", None, id="a local error"),
        pytest.param([(socket.IPPROTO_IP, 11, bytes(8))], "10.0.0.2", None, id="cut short"),
        pytest.param([(socket.IPPROTO_IP, 8, bytes(40))], "10.0.0.2", None, id="something else"),
        pytest.param([], "10.0.0.2", None, id="nothing"),
    ],
)
def test_whose_word_counts(
    controls: list[tuple[int, int, bytes]], to: str, port: int | None
) -> None:
    """Only port unreachable, and only from the addressee itself, says that nobody listens."""
    assert _refusing_port(controls, (to, 7946)) == port
