"""Sockets of BFD over the loopback interface."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import pytest

from mercurylb.bfd.effect import Arrival, BfdKey
from mercurylb.layer2.interface import Link
from mercurylb.net.bfd_port import BfdPorts

if TYPE_CHECKING:
    from collections.abc import Callable

LO = Link(socket.if_nametoindex("lo"), "lo", 0x41, bytes(6))


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    ends_at = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < ends_at, "not within the time"
        await asyncio.sleep(0.001)


def free_ports(family: int, address: str) -> tuple[int, int]:
    """Return two ports that nobody has, instead of those that everybody on this machine wants."""
    socks = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(2)]
    for sock in socks:
        sock.bind((address, 0))
    one, other = (int(sock.getsockname()[1]) for sock in socks)
    for sock in socks:
        sock.close()
    return one, other


class Side:
    """The sockets of a node, and what they told."""

    def __init__(self, *, is_ipv6: bool = False) -> None:
        family, address = (socket.AF_INET6, "::1") if is_ipv6 else (socket.AF_INET, "127.0.0.1")
        self.numbers = free_ports(family, address)
        self.arrivals: list[Arrival] = []
        self.failures: list[tuple[BfdKey, str]] = []
        self.ports = BfdPorts(
            self.arrivals.append,
            lambda key, reason: self.failures.append((key, reason)),
            ports=self.numbers,
        )
        self.ports.on_links([LO])


@pytest.mark.parametrize("is_ipv6", [False, True])
@pytest.mark.parametrize("is_multi_hop", [False, True])
@pytest.mark.rule("bgp-native-2.14.ports")
async def test_packet_arrives_with_all_that_the_kernel_says_of_it(
    *, is_ipv6: bool, is_multi_hop: bool
) -> None:
    """TTL 255 goes out; TTL, interface and destination come in; the kinds have their own ports."""
    side = Side(is_ipv6=is_ipv6)
    address = "::1" if is_ipv6 else "127.0.0.1"
    key = BfdKey(address, is_multi_hop=is_multi_hop)
    side.ports.open(key)
    side.ports.send(key, b"hello")
    await until(lambda: side.arrivals)
    assert side.arrivals == [
        Arrival(
            source=address,
            octets=b"hello",
            ttl=255,
            destination=address,
            interface="lo",
            is_multi_hop=is_multi_hop,
        )
    ]
    side.ports.close()


@pytest.mark.rule("bgp-native-2.14.ports")
async def test_each_session_sends_from_a_port_of_its_own_in_the_range() -> None:
    """RFC 5881 section 4: source ports 49152 to 65535, one for each session, all the time."""
    side = Side()
    keys = [BfdKey("127.0.0.1", f"127.0.0.{number}") for number in (1, 2, 3)]
    for key in keys:
        side.ports.open(key)
        side.ports.send(key, b"a")
        side.ports.send(key, b"b")
    await until(lambda: len(side.arrivals) == 6)
    assert [arrival.source for arrival in side.arrivals[::2]] == [key.local_address for key in keys]
    senders = [side.ports._senders[key].getsockname()[1] for key in keys]
    assert all(49152 <= port <= 65535 for port in senders)
    side.ports.close()


async def test_session_that_cannot_be_opened_says_why_and_is_opened_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another daemon on the port is named; once it is gone the session talks."""
    monkeypatch.setattr("mercurylb.net.bfd_port.RETRY_S", 0.01)
    side = Side()
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.bind(("0.0.0.0", side.numbers[0]))
    key = BfdKey("127.0.0.1")
    side.ports.open(key)
    assert side.failures == []
    await until(lambda: side.failures)
    words = f"UDP port {side.numbers[0]}: another BFD daemon has it"
    assert side.failures[0] == (key, words)
    other.close()
    await asyncio.sleep(0.05)
    side.ports.send(key, b"x")
    await until(lambda: side.arrivals)
    side.ports.close()


async def test_missing_device_is_said() -> None:
    """A session bound to an interface that is not there cannot talk yet."""
    side = Side()
    side.ports.open(BfdKey("127.0.0.1", interface="nosuch0"))
    await until(lambda: side.failures)
    assert side.failures[0][1] == "nosuch0: does not exist on this host"
    side.ports.close()


async def test_last_session_of_a_kind_frees_the_port() -> None:
    """Without sessions there is no open port, and what is sent then is nobody's."""
    side = Side()
    key, second = BfdKey("127.0.0.1"), BfdKey("127.0.0.1", "127.0.0.2")
    side.ports.open(key)
    side.ports.open(second)
    side.ports.close_one(key)
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with pytest.raises(OSError, match="in use"):
        other.bind(("0.0.0.0", side.numbers[0]))
    side.ports.close_one(second)
    other.bind(("0.0.0.0", side.numbers[0]))
    side.ports.send(key, b"x")
    other.close()
    side.ports.close()
