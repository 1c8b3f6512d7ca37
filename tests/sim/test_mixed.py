"""Our announcers and speakers that know gossip only, in one cluster: one owner, by one ranking."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.sim.world.promise import Measured
from tests.sim.world.shape import Shape

if TYPE_CHECKING:
    from tests.sim.world.node import Node

GOSSIP_DETECTS_S = 30.0
"""A probe, an indirect one, and the longest suspicion in a small cluster."""


def mixed(seed: int, *, ours: int = 2, gossipers: int = 2) -> Measured:
    """Return a mixed cluster."""
    return Measured(
        Shape(seed, nodes=ours + gossipers, gossipers=gossipers, is_sealed=bool(seed % 2))
    )


def owner_of_kind(of: Measured, *, is_go: bool) -> Node:
    """Return an owner of a kind; every service is ranked anew until there is one."""
    for index in itertools.count():
        owners = {of.world.ledger.owners(service)[0] for service in of.world.services}
        for name in sorted(owners):
            if of.world.by_name[name].is_go is is_go:
                return of.world.by_name[name]
        of.do("rank", index)
        of.run(1.0)
    raise AssertionError


@pytest.mark.parametrize("seed", range(8))
def test_death_of_ours_is_told_to_the_gossipers(seed: int) -> None:
    """What our detector finds moves the service to whoever is next, of either kind, in 0.6 s."""
    of = mixed(seed)
    owner = owner_of_kind(of, is_go=False)
    of.mark()
    of.do("die", owner)
    of.run(1.5)
    of.expect_gap(0.6)
    of.expect_agreed()


@pytest.mark.parametrize("seed", range(4))
def test_death_of_a_gossiper_is_found_by_gossip(seed: int) -> None:
    """A dead speaker of the other kind is replaced once its suspicion ends."""
    of = mixed(seed)
    of.do("die", owner_of_kind(of, is_go=True))
    of.run(GOSSIP_DETECTS_S)
    of.expect_agreed()


@pytest.mark.parametrize("seed", range(8))
def test_planned_stop_of_ours_leaves_no_gap(seed: int) -> None:
    """Whoever is next, of either kind, answers before the leaver falls silent."""
    of = mixed(seed)
    owner = owner_of_kind(of, is_go=False)
    of.mark()
    of.do("stop", owner)
    of.run(1.5)
    of.expect(owner.process is None, "it has not left")
    of.expect_gap(0.0)
    of.expect_agreed()


@pytest.mark.parametrize("seed", range(8))
def test_return_of_ours_leaves_no_gap(seed: int) -> None:
    """A node of ours that comes back answers before the others fall silent, of either kind."""
    of = mixed(seed)
    owner = owner_of_kind(of, is_go=False)
    of.do("stop", owner)
    of.run(2.0)
    of.mark()
    of.do("start", owner)
    of.run(3.0)
    of.expect_gap(0.0)
    of.expect(of.double_s() <= 0.5, f"two owners for {of.double_s():.3f} s")
    of.expect_agreed()
    of.expect_calm(2)


@pytest.mark.parametrize("seed", range(10))
def test_return_of_ours_after_a_kill_is_calm(seed: int) -> None:
    """A node of ours that was killed comes back without anybody's taking over in between."""
    of = mixed(seed, ours=2, gossipers=1 + seed % 2)
    owner = owner_of_kind(of, is_go=False)
    of.do("kill", owner)
    of.run(0.2 + seed)
    of.mark()
    of.do("start", owner)
    of.run(3.0)
    of.expect_agreed()
    of.expect_gap(0.0 if seed else 0.5)
    of.expect_calm(2 if seed else 3)


@pytest.mark.parametrize("seed", range(4))
def test_move_node_by_node(seed: int) -> None:
    """Replacing the other kind by ours, node by node, ends with one right owner at every step."""
    of = mixed(seed, ours=0, gossipers=4)
    for node in of.world.nodes:
        of.do("stop", node)
        of.run(2.0)
        of.expect_agreed()
        node.is_go = False
        of.mark()
        of.do("start", node)
        of.run(3.0)
        of.expect_agreed()
        of.expect_gap(0.0)
        of.expect(of.double_s() <= 0.5, f"two owners for {of.double_s():.3f} s")


@pytest.mark.parametrize("parted_s", [3.0, 40.0])
@pytest.mark.parametrize("seed", range(4))
def test_healed_partition_with_ours_on_both_sides(seed: int, parted_s: float) -> None:
    """Our announcers find one another again at once, and tell the gossipers."""
    of = mixed(seed)
    of.do("split", "0101")
    of.run(parted_s)
    of.mark()
    of.do("heal")
    of.run(3.0)
    of.expect_agreed()


@pytest.mark.parametrize("seed", range(3))
def test_starved_and_lossy_mixed_cluster_keeps_its_owners(seed: int) -> None:
    """Loss of 5 % and processes that wait up to 300 ms change no owner of either kind."""
    of = mixed(seed)
    of.do("loss", 0.05)
    for node in of.world.nodes:
        of.do("hogs", node, 0.3)
    of.mark()
    of.run(60.0)
    of.expect_unchanged()
