"""Foreign claims on a real LAN: seen, defended against, told, and bounded."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from mercurylb.layer2 import arp, ndp
from mercurylb.plan.desired import DesiredState
from tests.lab.layer2_lab import V4, V6, Node, arp_frame, cpu_s, ndp_frame
from tests.lab.wire_lab import service, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.wire_lab import Announcer

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs network namespaces"),
]

STRANGER = bytes.fromhex("0200000000bb")
ANOTHER = bytes.fromhex("020000020001")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Give a fresh LAN with one node and a client."""
    made = Node(tmp_path)
    try:
        yield made
    finally:
        made.close()


def arp_claim(operation: int = arp.REPLY) -> bytes:
    """Return a stranger's gratuitous frame."""
    return arp_frame(STRANGER, V4, V4, operation=operation)


def ndp_claim() -> bytes:
    """Return a stranger's unsolicited advertisement."""
    return ndp_frame(
        STRANGER, "fe80::bb", "ff02::1", V6, kind=ndp.ADVERTISEMENT, flags=ndp.FLAG_OVERRIDE
    )


def conflicts(announcer: Announcer) -> dict[str, tuple[str, int, int]]:
    """Return MAC address, number of claims and of defences by address."""
    found = announcer.observation.conflicts
    return {c.address: (c.mac, c.count, c.defended) for c in found}


def is_seen(node: Node, announcer: Announcer) -> bool:
    """Claim once as another stranger; ten times a second are within what is looked at."""
    node.asker.sock.send(arp_frame(ANOTHER, V4, V4, operation=arp.REPLY))
    node.heard(node.asker.sock, 0.1)
    return any(c.mac == ANOTHER.hex(":") for c in announcer.observation.conflicts)


def told(announcer: Announcer) -> int:
    """Return how often the log told of a conflict."""
    return announcer.events().count("layer2.conflict")


def test_stranger_is_answered_once_and_told_of(node: Node) -> None:
    """Each family: the claim is seen, one announcement follows, and people hear who and where."""
    announcer = node.start()
    node.calm()
    node.asker.sock.send(arp_claim())
    assert node.first_announcement(V4, 1.0)[6:12] == node.host.mac
    for _ in range(5):
        node.asker.sock.send(arp_claim())
    assert [f for f in node.announcements(V4, 0.5) if f[6:12] == node.host.mac] == []
    node.asker.ndp.send(ndp_claim())
    assert node.first_announcement(V6, 1.0)[6:12] == node.host.mac
    wait_until(
        lambda: (
            conflicts(announcer) == {V4: (STRANGER.hex(":"), 6, 1), V6: (STRANGER.hex(":"), 1, 1)}
        ),
        "told to the brain",
    )
    assert told(announcer) == 2


def test_own_interfaces_on_one_lan_claim_nothing(node: Node) -> None:
    """Two interfaces that hear each other's broadcasts are one node."""
    node.host.add_link("eth1", bytes.fromhex("020000000101"))
    announcer = node.start()
    wait_until(lambda: announcer.drops.get("ownMessage", 0) > 0, "they hear each other")
    node.calm()
    assert announcer.observation.conflicts == ()
    assert told(announcer) == 0


def test_flood_of_claims_is_bounded(node: Node) -> None:
    """20 000 claims a second by many strangers: little CPU, few words, and we still answer."""
    announcer = node.start()
    node.calm()
    claims = [
        arp_frame(bytes((2, 0, 0, 1, n // 256, n % 256)), V4, V4, operation=1 + n % 2)
        for n in range(400)
    ]
    before, words = cpu_s(announcer.process.pid), told(announcer)
    node.flood([*claims, ndp_claim()], rate=20_000, seconds=3.0)
    spent = cpu_s(announcer.process.pid) - before
    defences = [f for f in node.announcements(V4, 0.5) if f[6:12] == node.host.mac]
    assert len(defences) <= 1
    wait_until(lambda: node.asker.who(V4, 0.1) == {node.host.mac}, "still answers")
    assert told(announcer) - words <= 10
    assert len(announcer.observation.conflicts) <= 32
    assert spent < 1.5, f"{spent} s of 3 s, half of it answers to gratuitous requests"
    wait_until(lambda: is_seen(node, announcer), "claims are looked at again")


def test_lost_carrier_moves_the_service_and_comes_back(tmp_path: Path) -> None:
    """The node says that it is unable, the next one takes over, and the return has no gap."""
    made = Node(tmp_path)
    try:
        other = made.lan.host("n2")
        macs = {"n1": bytes.fromhex("020000000101"), "n2": bytes.fromhex("020000000102")}
        announcers = {}
        for host in (made.host, other):
            host.add_link("eth1", macs[host.name])
            announcers[host.name] = made.lan.announcer(host)
            announcers[host.name].want(
                DesiredState(
                    revision=1,
                    members=made.lan.members(without=host.name),
                    layer2=(service(V4, ranking=("n1", "n2"), interfaces=("eth1",)),),
                )
            )
        wait_until(lambda: announcers["n1"].owned and not announcers["n2"].owned, "n1 owns")
        wait_until(lambda: made.asker.who(V4, 0.03) == {macs["n1"]}, "n1 answers")
        made.host.ip("link", "set", "eth1", "down")
        took = wait_until(lambda: made.asker.who(V4, 0.02) == {macs["n2"]}, "n2 takes over", 2.0)
        assert took < 1.0
        assert announcers["n1"].owned == ()
        made.host.ip("link", "set", "eth1", "up")
        unanswered = 0
        ends_at = time.monotonic() + 8
        while time.monotonic() < ends_at and announcers["n2"].owned:
            unanswered += not made.asker.who(V4, 0.03)
        assert unanswered == 0
        assert made.asker.who(V4) == {macs["n1"]}
    finally:
        made.close()


def test_members_deaf_to_each_other_are_settled_by_the_ranking(tmp_path: Path) -> None:
    """Where two own an address, the better ranked has the last word, and both are told of it."""
    made = Node(tmp_path)
    try:
        other = made.lan.host("n2")
        announcers = {}
        for host in (made.host, other):
            announcers[host.name] = made.lan.announcer(host)
            announcers[host.name].want(
                DesiredState(
                    revision=1,
                    members=made.lan.members(without=host.name),
                    layer2=(service(V4, ranking=("n1", "n2")),),
                )
            )
        first, second = announcers["n1"], announcers["n2"]
        wait_until(lambda: first.owned and not second.owned, "n1 owns")
        made.calm()
        made.host.ip("route", "add", "blackhole", f"{other.address}/32")
        other.ip("route", "add", "blackhole", f"{made.host.address}/32")
        wait_until(lambda: second.owned, "n2 owns as well", 8.0)
        assert first.owned
        said = [(frame[6:12], frame[20:22]) for frame in made.announcements(V4, 4.0)]
        claims = [place for place, (mac, _) in enumerate(said) if mac == other.mac]
        assert claims, "n2 announces"
        assert said[-1][0] == made.host.mac, "n1 has the last word"
        assert len(said) < 40, "nobody answers an answer"
        wait_until(lambda: first.observation.conflicts, "told by n1", 6.0)
        assert {c.node for c in first.observation.conflicts} == {"n2"}
        assert second.events().count("layer2.conflict") <= 1
    finally:
        made.close()
