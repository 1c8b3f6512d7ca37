"""How long each kind of trouble may be felt, over many seeds.

`MERCURYLB_SIM_LONG=1` lets the long troubles last as long as the promises say: ten minutes of
starved processes, five minutes of loss, and ten minutes of partition in clusters of any size.
"""

from __future__ import annotations

import os

import pytest

from tests.sim.world.promise import Measured
from tests.sim.world.shape import Shape

CUT_OFF_S = 0.6
KILLED_S = 2.0
REFUSED_S = 0.5
HEALED_S = 0.5

IS_LONG = bool(os.environ.get("MERCURYLB_SIM_LONG"))


def measured(seed: int, *, nodes: int | None = None, **fields: object) -> Measured:
    """Return a cluster of a size that depends on the seed."""
    return Measured(Shape(seed, nodes=nodes or 3 + seed % 5, **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(8))
def test_a_cut_off_node_is_replaced_in_0_6_s(seed: int) -> None:
    """Whoever cannot be reached any more is replaced within 0.6 s, and the old one withdraws."""
    of = measured(seed)
    of.do("cut", of.owner())
    of.run(1.0)
    of.expect_gap(CUT_OFF_S)
    of.expect_agreed()
    of.expect_calm(2)


@pytest.mark.parametrize("seed", range(8))
def test_a_dead_node_is_replaced_in_0_6_s(seed: int) -> None:
    """A machine that loses its power is replaced within 0.6 s."""
    of = measured(seed)
    of.do("die", of.owner())
    of.run(1.0)
    of.expect_gap(CUT_OFF_S)
    of.expect_agreed()


@pytest.mark.parametrize("seed", range(6))
def test_two_nodes_that_die_together_are_replaced(seed: int) -> None:
    """A second dead node costs no more than asking it in vain."""
    of = measured(seed, nodes=5 + seed)
    owner = of.owner()
    service = of.world.services["default/s1"]
    second = next(name for name in service.ranking if name != owner.name)
    of.do("die", owner)
    of.do("die", of.world.by_name[second])
    of.run(1.5)
    of.expect_gap(1.0)
    of.expect_agreed()


@pytest.mark.parametrize("seed", range(8))
def test_a_killed_process_is_replaced_in_0_5_s(seed: int) -> None:
    """The kernel of a node whose process is gone says so."""
    of = measured(seed)
    of.do("kill", of.owner())
    of.run(1.0)
    of.expect_gap(REFUSED_S)
    of.expect_agreed()


@pytest.mark.parametrize("seed", range(8))
def test_a_killed_process_is_replaced_in_2_s_without_icmp(seed: int) -> None:
    """Where nothing comes back from a closed port the process counts as ill, and is replaced."""
    of = measured(seed, has_icmp=False)
    of.do("kill", of.owner())
    of.run(2.5)
    of.expect_gap(KILLED_S)
    of.expect_agreed()


@pytest.mark.parametrize("seed", range(6))
def test_a_process_that_is_killed_and_started_at_once(seed: int) -> None:
    """A supervisor that is quicker than the detection makes no gap longer than the detection's."""
    of = measured(seed)
    owner = of.owner()
    of.do("restart", owner)
    of.run(4.0)
    of.expect_gap(KILLED_S)
    of.expect_agreed()


@pytest.mark.parametrize(
    ("seed", "parted_s"),
    [
        *((seed, parted_s) for seed in range(4) for parted_s in (1.0, 5.0)),
        (0, 60.0),
        (0, 600.0),
        *((seed, 600.0) for seed in range(1, 4) if IS_LONG),
    ],
)
def test_a_healed_partition_has_one_owner_in_0_5_s(seed: int, parted_s: float) -> None:
    """However long it was parted, the cluster has one owner 0.5 s after, heard last by the LAN."""
    of = measured(seed, nodes=2 + seed)
    sides = [str(n % 2) for n in range(len(of.world.nodes))]
    of.do("split", "".join(sides))
    of.run(parted_s)
    if parted_s > 1.5:
        of.expect_agreed()
    of.mark()
    of.do("heal")
    of.run(HEALED_S)
    of.expect_agreed()
    of.expect_gap(0.0)
    of.expect_clients_agree()


@pytest.mark.parametrize("loss", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(6))
def test_a_planned_stop_leaves_no_gap(seed: int, loss: float) -> None:
    """From the stop on somebody answers at every moment, and the leaver ends within 1.1 s."""
    of = measured(seed)
    leaver = of.owner()
    of.do("loss", loss)
    of.mark()
    of.do("stop", leaver)
    of.run(1.1)
    of.expect(leaver.process is None, "it has not left")
    of.expect_gap(0.0)
    of.expect_agreed()


@pytest.mark.parametrize("seed", range(8))
def test_a_return_leaves_no_gap(seed: int) -> None:
    """While a node comes back and takes over there is somebody at every moment."""
    of = measured(seed)
    owner = of.owner()
    of.do("stop", owner)
    of.run(2.0)
    of.mark()
    of.do("start", owner)
    of.run(2.5)
    of.expect_gap(0.0)
    of.expect_agreed()
    of.expect_calm(2)
    of.expect(of.double_s() <= 0.5, f"two owners for {of.double_s():.3f} s")


@pytest.mark.parametrize("seed", range(8))
def test_a_return_after_a_kill_leaves_no_gap(seed: int) -> None:
    """The same when nobody was told that the process ends."""
    of = measured(seed)
    owner = of.owner()
    of.do("kill", owner)
    of.run(1.0 + seed)
    of.mark()
    of.do("start", owner)
    of.run(2.5)
    of.expect_gap(0.0)
    of.expect_agreed()
    of.expect_calm(2)


@pytest.mark.parametrize("seed", range(3))
def test_a_rolling_update_leaves_no_gap(seed: int) -> None:
    """Every process is stopped and started in turn, and somebody answers at every moment."""
    of = measured(seed)
    for node in of.world.nodes:
        of.do("stop", node)
        of.run(1.2)
        of.do("start", node)
        of.run(2.5)
    of.expect_gap(0.0)
    of.expect_agreed()


@pytest.mark.parametrize("seed", range(3))
def test_hogs_make_no_takeover(seed: int) -> None:
    """Processes that wait for a processor up to 450 ms, again and again, keep what they own."""
    of = measured(seed, nodes=3 + 2 * IS_LONG)
    of.mark()
    for node in of.world.nodes:
        of.do("hogs", node, 0.45)
    of.run(600.0 if IS_LONG else 20.0)
    of.expect_unchanged()


@pytest.mark.parametrize("seed", range(3))
def test_ten_percent_loss_makes_no_takeover(seed: int) -> None:
    """Five minutes in which each tenth packet is lost change no owner."""
    of = measured(seed, nodes=3 + seed)
    of.do("loss", 0.1)
    of.mark()
    of.run(300.0 if IS_LONG else 20.0)
    of.expect_unchanged()


@pytest.mark.parametrize("seed", range(8))
def test_a_one_way_link_makes_no_takeover(seed: int) -> None:
    """A node that one other cannot hear is alive, because somebody hears it."""
    of = measured(seed)
    owner = of.owner()
    other = next(node for node in of.world.nodes if node is not owner)
    pair = (owner, other) if seed % 2 else (other, owner)
    of.do("oneway", *pair)
    of.mark()
    of.run(8.0)
    of.expect_unchanged()


@pytest.mark.parametrize("seed", range(3))
def test_thirty_percent_loss_flaps_seldom(seed: int) -> None:
    """At 30 % loss owners may change, but seldom, and when it ends all is well at once."""
    of = measured(seed)
    of.do("loss", 0.3)
    of.mark()
    of.run(120.0 if IS_LONG else 15.0)
    changes = of.world.ledger.changes(of.since)
    of.expect(len(changes) <= (16 if IS_LONG else 4), f"{len(changes)} changes: {changes[:9]}")
    of.do("loss", 0.0)
    of.run(1.0)
    of.expect_agreed()


@pytest.mark.parametrize("stall_s", [0.45, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_one_starved_process_keeps_what_it_owns(seed: int, stall_s: float) -> None:
    """A process that alone waits for a processor, longer than any stall seen, is waited for."""
    of = measured(seed)
    owner = of.owner()
    for _ in range(8):
        of.do("stall", owner, stall_s)
        of.run(stall_s + of.world.chance.uniform(0.15, 0.3))
    of.expect_unchanged()


@pytest.mark.parametrize("seed", range(6))
def test_a_short_stop_makes_no_takeover(seed: int) -> None:
    """A process that stands still for 0.3 s is waited for."""
    of = measured(seed)
    owner = of.owner()
    of.do("pause", owner, 0.3)
    of.run(0.31)
    of.mark()
    of.run(3.0)
    of.expect_unchanged()
    of.expect_agreed()


@pytest.mark.parametrize("seed", range(8))
def test_a_long_stop_is_replaced_and_never_doubles(seed: int) -> None:
    """A stopped process is replaced in 2 s; when it goes on, one owner answers within 0.5 s."""
    of = measured(seed)
    of.do("pause", of.owner(), 5.0)
    of.run(4.9)
    of.expect_gap(KILLED_S)
    of.expect_agreed()
    of.mark()
    of.run(0.1 + 0.5)
    of.expect(of.double_s() <= 0.5, f"two owners for {of.double_s():.3f} s")
    of.expect_agreed()


@pytest.mark.parametrize("seed", range(8))
def test_a_lost_carrier_withdraws_at_once(seed: int) -> None:
    """Who loses its own link withdraws and is replaced; when it is back there is no gap."""
    of = measured(seed)
    owner = of.owner()
    of.do("carrier", owner, 0)
    of.expect(owner.process is not None and not owner.process.answered, "it still answers")
    of.run(1.0)
    of.expect_gap(CUT_OFF_S)
    of.expect_agreed()
    of.mark()
    of.do("carrier", owner, 1)
    of.run(3.0)
    of.expect_gap(0.0)
    of.expect_agreed()


@pytest.mark.parametrize(
    "nodes", [30, *([60] if IS_LONG else []), pytest.param(100, marks=pytest.mark.whole)]
)
def test_a_large_cluster_converges(nodes: int) -> None:
    """A hundred nodes find one another, and a death among them is seen as quickly."""
    of = measured(nodes, nodes=nodes, services=6)
    of.mark()
    of.do("die", of.owner())
    of.run(0.8)
    of.expect_gap(CUT_OFF_S)
    of.expect_agreed()
