"""A whole cluster of announcers under faults, in virtual time."""

from __future__ import annotations

import ipaddress

import pytest

from tests.sim.cluster import Cluster

SEEDS = range(100)
QUIET_S = 1.5
"""Detection takes at most 1.0 s without stalls of the detecting node, and a handover less."""


def started(seed: int) -> Cluster:
    """Return a cluster that has come up."""
    size = 3 + seed % 8
    cluster = Cluster(seed, node_count=size, service_count=6)
    for node in cluster.nodes:
        cluster.at(
            cluster.now + cluster.chance.uniform(0, 0.5), lambda node=node: cluster.start(node)
        )
    cluster.run(0.5 + 0.3 + QUIET_S)
    cluster.assert_converged()
    return cluster


def quiet(cluster: Cluster) -> None:
    """End all faults of the network and wait for the convergence."""
    cluster.loss = cluster.duplication = 0.0
    cluster.delay_s = 0.002
    for node in cluster.nodes:
        node.is_slow = False
        node.stalled_until = 0.0
    cluster.run(QUIET_S)
    cluster.assert_converged()


def trouble(cluster: Cluster) -> None:
    """Do one random thing."""
    chance = cluster.chance
    node = chance.choice(cluster.nodes)
    match chance.randrange(8):
        case 0:
            cluster.crash(node)
        case 1:
            cluster.leave(node)
        case 2:
            if node.core is None:
                cluster.start(node)
        case 3:
            cluster.partition([chance.randrange(2) for _ in cluster.nodes])
        case 4:
            cluster.partition([0 for _ in cluster.nodes])
        case 5:
            cluster.loss = chance.choice((0.0, 0.05, 0.3))
            cluster.duplication = chance.choice((0.0, 0.2))
        case 6:
            cluster.delay_s = chance.choice((0.002, 0.02, 0.2))
        case 7:
            node.is_slow = not node.is_slow
            cluster.stall(node, chance.uniform(0.05, 1.5))
    cluster.run(chance.uniform(0.05, 0.8))


@pytest.mark.parametrize("seed", SEEDS)
def test_one_owner_after_any_trouble(seed: int) -> None:
    """Whatever happened, after a quiet while each service has exactly its best living node."""
    cluster = started(seed)
    for _ in range(2):
        for _ in range(5):
            trouble(cluster)
        quiet(cluster)


def test_every_kind_of_trouble_happened() -> None:
    """The simulation really loses, delays, duplicates, splits, crashes, stalls and leaves."""
    seen: set[str] = set()
    for seed in range(12):
        cluster = started(seed)
        for _ in range(12):
            trouble(cluster)
        seen |= cluster.seen
    assert seen >= {"loss", "delay", "duplicate", "partition", "crash", "stall", "leave"}


@pytest.mark.parametrize("seed", range(20))
def test_a_cut_off_node_is_replaced_within_two_seconds(seed: int) -> None:
    """Silence is acted on in 2 s even when the one that must notice is late at every timer."""
    cluster = started(seed)
    service = cluster.services[0]
    owner = next(n for n in cluster.nodes if n.name == cluster.owners(service)[0])
    for node in cluster.nodes:
        node.is_slow = True
    cluster.partition([1 if node is owner else 0 for node in cluster.nodes])
    cluster.run(2.0)
    assert set(cluster.owners(service)) == {owner.name, *cluster.expected(service, 0)}


@pytest.mark.parametrize("seed", range(20))
def test_stalls_make_no_takeover(seed: int) -> None:
    """Stalls of 400 ms anywhere, even of all nodes at once, with 5 % loss, change no owner."""
    cluster = started(seed)
    before = [cluster.owners(service) for service in cluster.services]

    def check() -> None:
        assert [cluster.owners(service) for service in cluster.services] == before

    cluster.loss = 0.05
    for _ in range(20):
        chosen = (
            cluster.nodes
            if cluster.chance.random() < 0.2
            else [cluster.chance.choice(cluster.nodes)]
        )
        for node in chosen:
            cluster.stall(node, cluster.chance.uniform(0.1, 0.4))
        cluster.run(1.0, check=check)


@pytest.mark.parametrize("seed", range(20))
def test_a_planned_stop_leaves_no_gap(seed: int) -> None:
    """From the stop on there is an owner at every moment, and the leaver ends in 1 s."""
    cluster = started(seed)
    leaver = cluster.chance.choice(cluster.nodes)
    cluster.loss = 0.2

    def check() -> None:
        assert all(cluster.owners(service) for service in cluster.services)

    cluster.leave(leaver)
    cluster.run(1.1, check=check)
    assert leaver.core is None
    quiet(cluster)


@pytest.mark.parametrize("seed", range(20))
def test_a_return_leaves_no_gap(seed: int) -> None:
    """While a node comes back there is an owner at every moment."""
    cluster = started(seed)
    node = cluster.chance.choice(cluster.nodes)
    cluster.crash(node)
    cluster.run(QUIET_S)

    def check() -> None:
        assert all(cluster.owners(service) for service in cluster.services)

    cluster.start(node)
    cluster.run(2.0, check=check)
    quiet(cluster)


@pytest.mark.parametrize("seed", range(20))
def test_healing_ends_double_ownership_at_once(seed: int) -> None:
    """0.5 s after a partition healed one owner is left, and the LAN heard it last."""
    cluster = started(seed)
    cluster.partition([index % 2 for index in range(len(cluster.nodes))])
    cluster.run(3.0)
    cluster.assert_converged()
    cluster.partition([0 for _ in cluster.nodes])
    cluster.run(0.5)
    cluster.assert_converged()
    for service in cluster.services:
        packed = ipaddress.ip_address(service.addresses[0]).packed.hex()
        assert [cluster.claims[packed]] == cluster.owners(service)
