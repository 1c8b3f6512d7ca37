"""Announcers that watch each other over real sockets: encrypted, plain, IPv6, bad input."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mercurylb.announcer.gossip import RETRY_S
from mercurylb.membership.fast.patience import FastTiming
from mercurylb.plan.desired import DesiredState
from tests.lab.wire_lab import Announcer, Asker, Host, Lan, inside, service, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs network namespaces"),
]

V4 = "10.77.0.100"
WEB = "default/web"
PORT = 7946
SECRET = "s3cret"
STARTED_S = 15.0
"""How long a start may take on a machine that does ten other things."""


class Cluster:
    """Some nodes that all want one service, ranked by their names, and a client."""

    def __init__(self, folder: Path, count: int = 3) -> None:
        self.lan = Lan(folder)
        self.hosts = [self.lan.host(f"n{number}") for number in range(1, count + 1)]
        self.client = self.lan.host("client")
        self.asker = Asker(self.client)

    def start(
        self, host: Host, *options: str, secret: str = SECRET, is_ipv6: bool = False
    ) -> Announcer:
        """Start an announcer that wants the service."""
        announcer = self.lan.announcer(host, "--secret", secret, *options, is_ipv6=is_ipv6)
        announcer.want(
            DesiredState(
                1,
                self.lan.members(without=host.name, is_ipv6=is_ipv6),
                (service(V4, "fd77::100", ranking=tuple(host.name for host in self.hosts)),),
            )
        )
        return announcer

    def start_all(self, *options: str, **how: object) -> list[Announcer]:
        """Start every node, and wait until the first owns and all know each other."""
        started = [self.start(host, *options, **how) for host in self.hosts]  # type: ignore[arg-type]
        self.settle(started)
        return started

    def settle(self, announcers: list[Announcer]) -> None:
        """Wait for agreement."""
        count = len(announcers)
        wait_until(lambda: announcers[0].owns(WEB), "owned", STARTED_S)
        wait_until(lambda: all(len(a.observation.live) == count for a in announcers), "live")
        wait_until(lambda: all(not a.owned for a in announcers[1:]), "others silent")

    def answers_of(self, host: Host, within_s: float) -> float:
        """Wait until this host alone answers; return how long it took."""
        return wait_until(
            lambda: self.asker.who(V4, 0.02) == {host.mac}, f"{host.name} answers", within_s
        )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Give a fresh LAN with three nodes and a client."""
    made = Cluster(tmp_path)
    yield made
    made.asker.close()
    made.lan.close()


def state_of(announcer: Announcer, node: str) -> tuple[str, str]:
    """Return how a node looks from another one."""
    for member in announcer.observation.members:
        if member.node == node:
            return member.state, member.reason
    return "", ""


@pytest.mark.parametrize("secret", [SECRET, ""], ids=["encrypted", "plain"])
@pytest.mark.parametrize("is_ipv6", [False, True], ids=["IPv4", "IPv6"])
def test_dead_node_is_replaced(cluster: Cluster, *, secret: str, is_ipv6: bool) -> None:
    """Whatever the members speak, a node that nothing reaches is replaced well under a second."""
    started = cluster.start_all(secret=secret, is_ipv6=is_ipv6)
    cluster.hosts[0].pull()
    cluster.answers_of(cluster.hosts[1], 1.0)
    found = {("down", "silent"), ("down", "told")}
    wait_until(lambda: all(state_of(a, "n1") in found for a in started[1:]), "found silent")
    assert all(not a.observation.conflicts for a in started)


@pytest.mark.rule("layer2-10.death")
@pytest.mark.parametrize("is_ipv6", [False, True], ids=["IPv4", "IPv6"])
def test_killed_announcer_is_found_by_its_kernel_word(cluster: Cluster, *, is_ipv6: bool) -> None:
    """The kernel of a node whose speaker died says so, and nobody waits for more."""
    started = cluster.start_all(is_ipv6=is_ipv6)
    started[0].kill()
    cluster.answers_of(cluster.hosts[1], 1.0)
    wait_until(lambda: state_of(started[1], "n1") in {("down", "gone"), ("down", "told")}, "gone")


@pytest.mark.rule("membership-9.return", "membership-1.5.event")
@pytest.mark.parametrize("is_ipv6", [False, True], ids=["IPv4", "IPv6"])
def test_stopped_announcer_is_ill_and_comes_back(cluster: Cluster, *, is_ipv6: bool) -> None:
    """A process that stands still is given longer, because its kernel answers; then replaced.

    Continued, it takes over again.
    """
    started = cluster.start_all(is_ipv6=is_ipv6)
    time.sleep(FastTiming().kernel_interval_s + 0.5)  # Kernels are asked so often in good times.
    started[0].kill(signal.SIGSTOP)
    assert cluster.answers_of(cluster.hosts[1], 2.5) > 1.0
    found = {("down", "ill"), ("down", "told")}
    wait_until(lambda: all(state_of(a, "n1") in found for a in started[1:]), "found ill")
    cluster.asker.drain()
    started[0].kill(signal.SIGCONT)
    cluster.answers_of(cluster.hosts[0], 2.0)
    cluster.settle(started)


def test_lost_carrier_withdraws_at_once(cluster: Cluster) -> None:
    """A node whose cable is pulled knows it at once and owns nothing; back it takes over."""
    started = cluster.start_all()
    cluster.hosts[0].cut()
    wait_until(lambda: not started[0].owned, "withdrawn", 0.5)
    cluster.answers_of(cluster.hosts[1], 1.0)
    assert ("n1", "isolated") in [
        (line.get("node"), line.get("reason")) for line in started[0].lines()
    ]
    cluster.hosts[0].heal()
    cluster.answers_of(cluster.hosts[0], 5.0)
    cluster.settle(started)


@pytest.mark.rule("layer2-10.partition")
def test_partition_heals_to_one_owner(cluster: Cluster) -> None:
    """Both sides of a cut network have an owner; soon after it heals there is one."""
    started = cluster.start_all()
    cluster.hosts[0].pull()
    wait_until(lambda: started[1].owned == (WEB,), "the other side has an owner", 1.5)
    wait_until(
        lambda: {state_of(started[0], host.name)[0] for host in cluster.hosts[1:]} == {"down"},
        "the first is alone",
    )
    assert started[0].owned == (WEB,)
    cluster.hosts[0].repair()
    healed_at = time.monotonic()
    wait_until(lambda: not started[1].owned, "one owner", 1.5)
    assert time.monotonic() - healed_at < 1.0
    cluster.answers_of(cluster.hosts[0], 1.0)
    cluster.settle(started)


def test_port_that_is_taken_is_tried_again(cluster: Cluster) -> None:
    """Without the membership's port a node owns nothing; as soon as it is free it takes part."""
    host = cluster.hosts[0]
    with inside(host.namespace):
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        holder.bind((host.address, PORT))
        holder.listen()
    first = cluster.start(host)
    wait_until(lambda: "membership.socket_failed" in first.events(), "told")
    wait_until(lambda: first.observation.revision == 1, "desired")
    time.sleep(2.2 * RETRY_S)  # It tries twice again, and nothing is to come of it.
    assert not first.owned
    assert first.events().count("membership.socket_failed") == 1, "the same failure is told once"
    holder.close()
    wait_until(lambda: first.owned == (WEB,), "owned", 3.0)


def open_descriptors(pid: int) -> int:
    """Return how many descriptors a process has."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident_kb(pid: int) -> int:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


@pytest.mark.parametrize("secret", [SECRET, ""], ids=["encrypted", "plain"])
def test_garbage_on_the_port_harms_nothing(cluster: Cluster, *, secret: str) -> None:
    """Random, foreign, oversized and endless input is counted by reason; nothing else changes."""
    started = cluster.start_all(secret=secret)
    target = cluster.hosts[0]
    before_kb, before_fds = resident_kb(started[0].pid), open_descriptors(started[0].pid)
    chance = random.Random(1)
    with inside(cluster.client.namespace):
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for number in range(3_000):
        size = chance.choice((0, 1, 20, 300, 1_400))
        first = bytes((chance.choice((0, 4, 7, 9, 12, 0x4D, 244)),))
        datagrams.sendto(first + chance.randbytes(size), (target.address, PORT))
        if number % 100 == 0:
            assert cluster.asker.who(V4, 0.02) == {target.mac}
    streams = []
    for number in range(200):
        with inside(cluster.client.namespace):
            stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        stream.setblocking(False)
        stream.connect_ex((target.address, PORT))
        streams.append(stream)
        if number % 50 == 0:
            assert cluster.asker.who(V4, 0.02) == {target.mac}
    for stream in streams:
        try:
            stream.send(chance.choice((b"\x06", b"\x0a\x7f\xff\xff\xff", b"\x09", b"GET / HTTP")))
            stream.send(chance.randbytes(50_000))
        except OSError:
            continue
    assert open_descriptors(started[0].pid) < before_fds + 140
    assert cluster.asker.who(V4, 0.05) == {target.mac}
    for stream in streams:
        stream.close()
    wait_until(lambda: open_descriptors(started[0].pid) <= before_fds + 2, "all closed", 15.0)
    wait_until(lambda: any(n.startswith("membership ") for n in started[0].drops), "counted")
    refused = [line for line in started[0].lines() if line["event"] == "membership.refused"]
    assert len(refused) <= 1
    assert resident_kb(started[0].pid) - before_kb < 20_000
    for announcer in started:
        assert "membership.down" not in announcer.events()
        assert "announcer.broken" not in announcer.events()
    datagrams.close()


def test_another_secret_is_another_cluster(cluster: Cluster) -> None:
    """A node with another secret is not believed, and both sides say why."""
    first = cluster.start(cluster.hosts[0])
    second = cluster.start(cluster.hosts[1], secret="another")
    wait_until(lambda: first.owned == (WEB,) and second.owned == (WEB,), "both on their own")
    wait_until(lambda: "membership.refused" in first.events(), "told", 10.0)
    (told, *_) = [line for line in first.lines() if line["event"] == "membership.refused"]
    assert told["level"] == "warn"
    assert first.observation.live == ("n1",)
