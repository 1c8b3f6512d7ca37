"""Several machines in virtual time: what the protocol promises as a whole."""

from __future__ import annotations

import msgspec
import pytest

from mercurylb.membership.swim.config import LAN
from mercurylb.membership.swim.effect import SwimDown, SwimUp
from mercurylb.membership.swim.keyring import derive_key
from mercurylb.membership.swim.message import State
from mercurylb.net.aead import AesGcm
from tests.unit.membership.swim.world import PORT, Node, World


def everybody(world: World, names: set[str]) -> bool:
    """Whether all that run agree on who is alive."""
    return all(node.live() == names for node in world.nodes.values() if node.is_running)


def join(world: World, node: Node, to: Node) -> None:
    """Let one join by the other's address."""
    world.perform(node, node.swim.on_join([(to.address, PORT)], world.now))


@pytest.mark.rule("membership-8.idempotent", "membership-8.join")
@pytest.mark.parametrize("count", [2, 3, 12])
def test_everybody_finds_everybody_through_one(count: int) -> None:
    """It is enough that one side joins; joining again changes nothing."""
    world = World()
    nodes = world.cluster(count)
    assert everybody(world, set(world.nodes))
    told = [len(node.told) for node in nodes]
    for node in nodes:
        join(world, node, nodes[0])
    world.run(1.0)
    assert [len(node.told) for node in nodes] == told


@pytest.mark.parametrize("is_sealed", [True, False])
def test_join_is_known_within_milliseconds(is_sealed: bool) -> None:  # noqa: FBT001
    """Who joins tells all whom it learns of at once."""
    world = World(seal=AesGcm(derive_key(b"secret")) if is_sealed else None)
    nodes = world.cluster(5)
    new = world.add("new")
    join(world, new, nodes[3])
    world.run_until(lambda: everybody(world, set(world.nodes)), 0.01)


@pytest.mark.rule("membership-5.1.usual", "membership-5.failure")
def test_dead_member_is_found_within_seconds() -> None:
    """After its interval has come round and the shortest suspicion is over."""
    took = []
    for seed in range(10):
        world = World(seed=seed)
        world.cluster(3)
        world.run(3.0)
        world.kill("n1")
        took.append(world.run_until(lambda w=world: everybody(w, {"n0", "n2"}), 12.0))
    assert min(took) > 4.0
    assert max(took) < 8.0


def test_nobody_is_suspected_without_reason() -> None:
    """Minutes of peace have no events and no news."""
    world = World()
    nodes = world.cluster(10)
    told = [len(node.told) for node in nodes]
    sent = sum(node.sent for node in nodes)
    world.run(120.0)
    assert [len(node.told) for node in nodes] == told
    assert all(node.swim.score == 0 for node in nodes)
    pings_and_acks = 2 * 120 * len(nodes)
    assert sum(node.sent for node in nodes) - sent <= pings_and_acks + len(nodes)


@pytest.mark.rule("membership-5.indirect", "membership-5.relay")
def test_one_way_that_is_broken_is_gone_round() -> None:
    """Two who cannot reach each other are kept alive by the others."""
    world = World()
    nodes = world.cluster(5)
    world.is_lost = lambda source, target: {source, target} == {"n1", "n2"}
    world.is_cut = world.is_lost
    world.run(60.0)
    assert not [t for node in nodes for _, t in node.told if isinstance(t, SwimDown)]
    assert all(node.state(other.name) is State.ALIVE for node in nodes for other in nodes)


@pytest.mark.rule("membership-5.success", "membership-10.streams")
def test_connection_alone_keeps_two_together() -> None:
    """Where no datagram passes, the TCP ping does."""
    world = World()
    nodes = world.cluster(2)
    world.is_lost = lambda _source, _target: True
    world.run(60.0)
    assert not [t for node in nodes for _, t in node.told if isinstance(t, SwimDown)]


@pytest.mark.rule("membership-6.refute", "membership-10.refute")
def test_member_that_was_cut_off_refutes_and_is_back() -> None:
    """A suspicion is over as soon as the suspect can be heard again."""
    world = World()
    nodes = world.cluster(4)
    world.is_lost = lambda source, target: "n1" in (source, target)
    world.is_cut = world.is_lost
    world.run_until(lambda: nodes[0].state("n1") is State.SUSPECT, 10.0)
    world.is_lost = world.is_cut = lambda _source, _target: False
    world.run_until(lambda: nodes[0].state("n1") is State.ALIVE, 2.0)
    world.run(1.0)
    assert world.nodes["n1"].swim.incarnation >= 2
    assert not [t for t in nodes[0].told if t == SwimDown("n1", is_leave=False)]


@pytest.mark.rule("membership-7.dead")
def test_cluster_that_was_parted_grows_together_again() -> None:
    """The dead are told news for a while; who hears of its own death refutes it."""
    world = World()
    world.cluster(6)
    left = {"n0", "n1", "n2"}
    world.is_lost = lambda source, target: (source in left) != (target in left)
    world.is_cut = world.is_lost
    world.run_until(lambda: all(len(node.live()) == 3 for node in world.nodes.values()), 40.0)
    world.is_lost = world.is_cut = lambda _source, _target: False
    nodes = list(world.nodes.values())
    join(world, nodes[0], nodes[5])
    # Whom gossip misses is told by the ping of the round, at the latest.
    world.run_until(lambda: everybody(world, set(world.nodes)), 10.0)


@pytest.mark.rule("membership-6.initial")
def test_restarted_member_is_back_at_once() -> None:
    """It learns what it was, gets past it, and tells everybody."""
    world = World()
    nodes = world.cluster(5)
    world.perform(nodes[1], nodes[1].swim.on_meta(b"former", world.now))
    world.run(1.0)
    world.kill("n1")
    again = world.add("n1")
    join(world, again, nodes[0])
    world.run_until(
        lambda: all(
            node.swim.members()["n1"].incarnation == again.swim.incarnation == 3
            for node in world.nodes.values()
        ),
        0.02,
    )


@pytest.mark.rule("membership-1.5.stop", "membership-6.leave")
def test_member_that_leaves_is_gone_within_milliseconds() -> None:
    """And is not suspected afterwards."""
    world = World()
    world.cluster(5)
    node = world.nodes["n1"]
    world.perform(node, node.swim.on_leave(world.now))
    others = set(world.nodes) - {"n1"}
    world.run_until(lambda: all(world.nodes[n].live() == others for n in others), 0.01)
    world.run(1.1)
    assert node.swim.next_deadline() is None
    assert {world.nodes[n].state("n1") for n in others} == {State.LEFT}


@pytest.mark.rule("membership-10.keep", "membership-5.reap")
def test_the_dead_are_forgotten_in_time() -> None:
    """Half a minute is kept, then the name is free."""
    world = World()
    nodes = world.cluster(3)
    world.perform(nodes[0], nodes[0].swim.on_dead("n2", 1, world.now))
    world.kill("n2")
    world.run(29.0)
    assert nodes[0].state("n2") is State.DEAD
    world.run_until(lambda: all("n2" not in n.swim.members() for n in nodes[:2]), 10.0)


def test_verdict_reaches_everybody_within_milliseconds() -> None:
    """What the fast detector finds is known to all, the accused included, who refutes it."""
    world = World()
    nodes = world.cluster(6)
    world.perform(nodes[0], nodes[0].swim.on_dead("n3", 1, world.now))
    world.run_until(lambda: nodes[5].when(SwimDown("n3", is_leave=False)) is not None, 0.01)
    world.run_until(lambda: everybody(world, set(world.nodes)), 0.01)
    assert [e for _, e in nodes[5].told if e == SwimUp("n3")] == [SwimUp("n3")] * 2


def test_metadata_reaches_everybody_within_milliseconds() -> None:
    """And also those who lost the datagram, by gossip."""
    world = World()
    nodes = world.cluster(6)
    lost = {"n4"}
    world.is_lost = lambda source, target: source == "n1" and target in lost
    world.perform(nodes[1], nodes[1].swim.on_meta(b"note", world.now))
    world.run(0.01)
    knowing = {n.name for n in nodes if n.swim.members()["n1"].meta == b"note"}
    assert knowing == set(world.nodes) - lost
    world.run_until(lambda: nodes[4].swim.members()["n1"].meta == b"note", 2.0)


@pytest.mark.rule("membership-7.push-pull")
def test_push_pull_makes_up_for_lost_gossip() -> None:
    """Who heard nothing of a change learns it in time."""
    world = World(config=msgspec.structs.replace(LAN, gossip_nodes=0))
    nodes = world.cluster(2)
    world.is_lost = lambda _source, _target: True
    world.perform(nodes[1], nodes[1].swim.on_meta(b"note", world.now))
    world.run_until(lambda: nodes[0].swim.members()["n1"].meta == b"note", 61.0)


@pytest.mark.rule("membership-5.health")
def test_member_that_is_alone_at_fault_doubts_itself() -> None:
    """Who hears nobody loses its own health before it finds all others dead."""
    world = World()
    nodes = world.cluster(8)
    world.is_lost = lambda source, target: "n1" in (source, target)
    world.is_cut = world.is_lost
    world.run(6.0)
    assert nodes[1].swim.score >= 3
    assert max(node.swim.score for node in nodes if node.name != "n1") <= 1
