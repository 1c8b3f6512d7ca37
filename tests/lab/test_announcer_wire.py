"""Announcers on real sockets, between real kernels."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mercurylb.layer2 import arp
from mercurylb.plan.desired import DesiredState
from tests.lab.wire_lab import Announcer, Asker, Host, Lan, service, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs network namespaces"),
]

V4 = "10.77.0.100"
V6 = "fd77::100"
RANKING = ("n1", "n2")
STARTED_S = 15.0
"""How long a start may take on a machine that does ten other things."""


class Cluster:
    """Two nodes that both want the same service, and a client."""

    def __init__(self, folder: Path) -> None:
        self.lan = Lan(folder)
        self.n1, self.n2 = self.lan.host("n1"), self.lan.host("n2")
        self.client = self.lan.host("client")
        self.asker = Asker(self.client)

    def start(self, host: Host, *options: str) -> Announcer:
        """Start an announcer that wants the service."""
        announcer = self.lan.announcer(host, "--secret", "s3cret", *options)
        announcer.want(self.wanted(host))
        return announcer

    def wanted(self, host: Host, revision: int = 1) -> DesiredState:
        """Return the desired state of a node."""
        return DesiredState(
            revision=revision,
            members=self.lan.members(without=host.name),
            layer2=(service(V4, V6, ranking=RANKING),),
        )

    def close(self) -> None:
        """Remove everything."""
        self.asker.close()
        self.lan.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Give a fresh LAN with two nodes and a client."""
    made = Cluster(tmp_path)
    try:
        yield made
    finally:
        made.close()


def settle(*announcers: Announcer) -> None:
    """Wait until the first announcer owns the service and all see each other."""
    count = len(announcers)
    wait_until(lambda: announcers[0].owns("default/web"), "owned", STARTED_S)
    wait_until(lambda: all(len(a.observation.live) == count for a in announcers), "live")
    wait_until(lambda: all(not a.owned for a in announcers[1:]), "others silent")


def neighbour(cluster: Cluster, address: str) -> str:
    """Let the client's kernel resolve an address, and return what it found."""
    family = "-6" if ":" in address else "-4"
    cluster.client.ip(family, "neigh", "flush", "dev", "eth0")
    command = ["ip", "netns", "exec", cluster.client.namespace]
    sock = f"socket.socket(socket.AF_INET{'6' if ':' in address else ''}, socket.SOCK_DGRAM)"
    script = f"import socket; {sock}.sendto(b'x', ('{address}', 9))"
    os.spawnvp(os.P_WAIT, "ip", [*command, "python3", "-c", script])
    found = ""

    def is_resolved() -> bool:
        nonlocal found
        found = cluster.client.ip(family, "neigh", "show", address, "dev", "eth0")
        return "REACHABLE" in found or "STALE" in found

    wait_until(is_resolved, f"{address} resolved")
    return found


def test_kernel_resolves_both_families(cluster: Cluster) -> None:
    """A neighbour's kernel finds the owner over ARP and NDP, and nobody else answers."""
    settle(cluster.start(cluster.n1), cluster.start(cluster.n2))
    assert cluster.n1.mac.hex(":") in neighbour(cluster, V4)
    assert cluster.n1.mac.hex(":") in neighbour(cluster, V6)
    assert cluster.asker.who(V4) == {cluster.n1.mac}
    counters = {}

    def is_counted() -> bool:
        nonlocal counters
        owner = cluster.lan.announcers[0]
        counters = {c.address: c for c in owner.observation.counters}
        return counters[V4].responses_sent >= 2 and counters[V6].responses_sent >= 1

    wait_until(is_counted, "counters arrive at the brain")


def test_unicast_requests_are_answered_and_foreign_ones_not(cluster: Cluster) -> None:
    """Requests to the interface's own address are answered, those to other stations not."""
    settle(cluster.start(cluster.n1), cluster.start(cluster.n2))
    cluster.asker.drain()
    cluster.asker.ask(V4, destination=cluster.n1.mac)
    assert cluster.asker.answers(V4) == [cluster.n1.mac]
    cluster.asker.ask(V4, destination=b"\x02\x00\x00\x00\x00\x77")
    cluster.asker.ask("10.77.0.101")
    assert cluster.asker.answers(V4) == []


@pytest.mark.rule("layer2-10.partition", "layer2-10.death")
def test_cut_off_node_is_replaced_and_heals(cluster: Cluster) -> None:
    """Another node answers within 1 s of a cut; after healing one owner is left."""
    first, second = cluster.start(cluster.n1), cluster.start(cluster.n2)
    settle(first, second)
    cluster.n1.pull()
    wait_until(lambda: cluster.asker.who(V4, 0.05) == {cluster.n2.mac}, "taken over", 1.0)
    assert first.owned == ("default/web",)
    cluster.n1.repair()
    wait_until(lambda: cluster.n1.mac in cluster.asker.who(V4, 0.05), "heard again", 5.0)
    wait_until(lambda: cluster.asker.who(V4) == {cluster.n1.mac}, "one owner is left")
    wait_until(lambda: not second.owned, "the loser withdrew")


@pytest.mark.rule("layer2-10.stop", "membership-1.5.stop")
def test_planned_stop_leaves_no_request_unanswered(cluster: Cluster) -> None:
    """From SIGTERM to exit 0 and after it, every request is answered."""
    first, second = cluster.start(cluster.n1), cluster.start(cluster.n2)
    settle(first, second)
    unanswered, asked = [], 0
    stop_at = time.monotonic() + 1.0
    ends_at = stop_at + 2.0
    is_stopped = False
    while time.monotonic() < ends_at:
        if not is_stopped and time.monotonic() >= stop_at:
            first.kill(signal.SIGTERM)
            is_stopped = True
        asked += 1
        cluster.asker.drain()
        cluster.asker.ask(V4)
        deadline = time.monotonic() + 0.25
        while time.monotonic() < deadline:
            if cluster.asker.answers(V4, 0.003):
                break
        else:
            unanswered.append(time.monotonic() - stop_at)
    assert asked > 200
    assert unanswered == []
    assert first.process.wait(timeout=3) == 0
    assert second.owned == ("default/web",)
    assert cluster.asker.who(V4) == {cluster.n2.mac}


@pytest.mark.rule("layer2-3.stateless")
def test_returning_node_takes_over_without_a_gap(cluster: Cluster) -> None:
    """A better-ranked node that starts takes the address over while every request is answered."""
    second = cluster.start(cluster.n2)
    wait_until(lambda: second.owned == ("default/web",), "n2 alone")
    first = cluster.start(cluster.n1)
    unanswered = 0
    ends_at = time.monotonic() + 5
    while time.monotonic() < ends_at and not (first.owned and not second.owned):
        cluster.asker.drain()
        cluster.asker.ask(V4)
        unanswered += not cluster.asker.answers(V4, 0.05)
    assert unanswered == 0
    settle(first, second)


def test_killed_announcer_is_replaced(cluster: Cluster) -> None:
    """A speaker that is killed on a living node is replaced within 2 s."""
    first, second = cluster.start(cluster.n1), cluster.start(cluster.n2)
    settle(first, second)
    first.kill(signal.SIGKILL)
    wait_until(lambda: cluster.asker.who(V4, 0.05) == {cluster.n2.mac}, "taken over", 2.0)


def test_brain_crash_leaves_the_wire_untouched(cluster: Cluster) -> None:
    """While the brain is dead and forked again, the owner answers and nobody takes over."""
    first, second = cluster.start(cluster.n1), cluster.start(cluster.n2)
    settle(first, second)
    old = int((first.folder / "brain.pid").read_text())
    os.kill(old, signal.SIGKILL)

    def is_new() -> bool:
        assert cluster.asker.who(V4, 0.03) == {cluster.n1.mac}
        return int((first.folder / "brain.pid").read_text()) != old

    wait_until(is_new, "a new brain")
    new = int((first.folder / "brain.pid").read_text())
    links = [str(entry.readlink()) for entry in Path(f"/proc/{new}/fd").iterdir()]
    sockets = [link for link in links if link.startswith("socket:")]
    assert len(sockets) <= 3, "the channel and the brain's own loop"
    for _ in range(30):
        assert cluster.asker.who(V4, 0.03) == {cluster.n1.mac}
    assert "announcer.brain_died" in first.events()


def frames_about(cluster: Cluster, mac: bytes, seconds: float) -> list[arp.ArpPacket]:
    """Return the ARP frames of a node that say something about the service's address."""
    packed = bytes((10, 77, 0, 100))
    found = []
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        try:
            frame = cluster.asker.sock.recv(256)
        except BlockingIOError:
            time.sleep(0.002)
            continue
        packet = arp.decode(frame)
        if packet.sender_mac == mac and packet.sender_ip == packed:
            found.append(packet)
    return found


def test_brain_that_comes_back_changes_no_frame(cluster: Cluster) -> None:
    """A brain's death and return put nothing on the wire but the answers that were asked for."""
    first, second = cluster.start(cluster.n1), cluster.start(cluster.n2)
    settle(first, second)
    wait_until(lambda: not frames_about(cluster, cluster.n1.mac, 1.5), "the burst is over", 15.0)
    cluster.asker.drain()
    old = int((first.folder / "brain.pid").read_text())
    os.kill(old, signal.SIGKILL)
    asked = 0
    found: list[arp.ArpPacket] = []
    ends_at = time.monotonic() + 10
    while int((first.folder / "brain.pid").read_text()) == old and time.monotonic() < ends_at:
        cluster.asker.ask(V4)
        asked += 1
        found += frames_about(cluster, cluster.n1.mac, 0.05)
    found += frames_about(cluster, cluster.n1.mac, 1.5)
    assert int((first.folder / "brain.pid").read_text()) != old
    assert len(found) == asked
    assert {(packet.operation, packet.destination) for packet in found} == {
        (arp.REPLY, cluster.client.mac)
    }
    assert not frames_about(cluster, cluster.n2.mac, 0.1)


def test_return_after_the_lease_leaves_no_gap(cluster: Cluster) -> None:
    """Whose brain was silent for too long is replaced; when it speaks again no answer is lost."""
    first = cluster.start(cluster.n1, "--lease", "3")
    second = cluster.start(cluster.n2)
    settle(first, second)
    wait_until(lambda: cluster.asker.who(V4, 0.03) == {cluster.n2.mac}, "replaced", 10.0)
    assert "announcer.lease_expired" in first.events()
    first.want(cluster.wanted(cluster.n1, revision=2))
    asked = unanswered = 0
    ends_at = time.monotonic() + 1.5
    while time.monotonic() < ends_at:
        cluster.asker.drain()
        cluster.asker.ask(V4)
        asked += 1
        unanswered += not cluster.asker.answers(V4, 0.05)
    assert (asked > 5, unanswered) == (True, 0)
    assert first.owned
    assert not second.owned


def test_killed_announcer_that_restarts_at_once_takes_over_again(cluster: Cluster) -> None:
    """A process that dies and is back within any detection time ends as the one owner."""
    first, second = cluster.start(cluster.n1), cluster.start(cluster.n2)
    settle(first, second)
    first.kill(signal.SIGKILL)
    first.process.wait()
    again = cluster.start(cluster.n1)
    settle(again, second)
    assert cluster.asker.who(V4) == {cluster.n1.mac}


def test_lease_ends_without_a_brain(cluster: Cluster) -> None:
    """Without any word from a brain the addresses are withdrawn when the lease ends."""
    first = cluster.start(cluster.n1, "--lease", "2.5")
    wait_until(lambda: first.owned == ("default/web",), "owned")
    assert cluster.asker.who(V4) == {cluster.n1.mac}
    wait_until(lambda: cluster.asker.who(V4, 0.03) == set(), "withdrawn")
    assert "announcer.lease_expired" in first.events()


def test_configuration_error_of_the_brain_is_the_exit_code(cluster: Cluster) -> None:
    """A brain that exits before it ever wanted anything takes the announcer along."""
    announcer = cluster.lan.announcer(cluster.n1)
    (announcer.folder / "desired.json").write_bytes(b"exit 2")
    assert announcer.process.wait(timeout=5) == 2


def test_interface_that_appears_later_announces(cluster: Cluster) -> None:
    """An interface plugged in after the service was announced answers both families at once."""
    only_second = "^(lo|eth0)$"
    first = cluster.start(cluster.n1, "--exclude", only_second)
    wait_until(lambda: first.owned == ("default/web",), "owned")
    assert cluster.asker.who(V4) == set()
    mac = bytes.fromhex("020000000101")
    cluster.n1.add_link("eth1", mac)
    wait_until(lambda: cluster.asker.who(V4, 0.03) == {mac}, "answers on the new interface", 3.0)
    assert mac.hex(":") in neighbour(cluster, V6)
    cluster.n1.ip("link", "set", "eth1", "down")
    wait_until(lambda: cluster.asker.who(V4, 0.03) == set(), "silent when down")
    cluster.n1.ip("link", "set", "eth1", "up")
    wait_until(lambda: cluster.asker.who(V4, 0.03) == {mac}, "answers again")
    changed = bytes.fromhex("020000000102")
    cluster.n1.ip("link", "set", "eth1", "address", changed.hex(":"))
    wait_until(lambda: cluster.asker.who(V4, 0.03) == {changed}, "the new MAC address")


def test_garbage_frames_harm_nothing(cluster: Cluster) -> None:
    """Truncated, tagged, random and mutated frames leave the announcer answering."""
    first, second = cluster.start(cluster.n1), cluster.start(cluster.n2)
    settle(first, second)
    chance = random.Random(1)
    for good, sock in (
        (cluster.asker.request(V4), cluster.asker.sock),
        (cluster.asker.solicitation(V6), cluster.asker.ndp),
    ):
        for _ in range(500):
            bad = bytearray(good[: chance.randrange(14, len(good) + 1)])
            for _ in range(chance.randrange(4)):
                bad[chance.randrange(12, len(bad))] = chance.randrange(256)
            sock.send(bytes(bad))
        tagged = good[:12] + b"\x81\x00\x00\x05" + good[12:]
        assert cluster.asker.who(V4) == {cluster.n1.mac}
        cluster.asker.drain()
        sock.send(tagged)
        assert cluster.asker.answers(V4, 0.1) == []
        sock.send(good[:6] + good[6:12] + chance.randbytes(40))
    assert cluster.asker.who(V4) == {cluster.n1.mac}
    assert first.process.poll() is None
    assert "announcer.broken" not in first.events()


def test_gratuitous_frames_arrive_when_an_owner_dies(cluster: Cluster) -> None:
    """The successor tells the LAN at once, with both kinds of gratuitous ARP."""
    first, second = cluster.start(cluster.n1), cluster.start(cluster.n2)
    settle(first, second)
    cluster.asker.drain()
    first.kill(signal.SIGKILL)
    operations = set()

    def hears() -> bool:
        try:
            frame = cluster.asker.sock.recv(256)
        except BlockingIOError:
            return False
        packet = arp.decode(frame)
        if packet.sender_mac == cluster.n2.mac and packet.sender_ip == packet.target_ip:
            operations.add(packet.operation)
        return operations == {arp.REQUEST, arp.REPLY}

    wait_until(hears, "gratuitous frames of the successor", 2.0)


def test_busy_machine_causes_no_takeover(cluster: Cluster) -> None:
    """With every core busy for some seconds nobody takes anybody for dead."""
    first, second = cluster.start(cluster.n1), cluster.start(cluster.n2)
    settle(first, second)
    burners = [os.fork() for _ in range(4)]
    for pid in burners:
        if pid == 0:
            ends_at = time.monotonic() + 3
            while time.monotonic() < ends_at:
                pass
            os._exit(0)
    for pid in burners:
        os.waitpid(pid, 0)
    for announcer in (first, second):
        assert "membership.down" not in announcer.events()
