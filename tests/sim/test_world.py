"""The simulated world does what it says: otherwise its findings are worth nothing."""

from __future__ import annotations

import random

import pytest

from tests.sim.world.clock import Clock, Timeline
from tests.sim.world.ledger import Ledger
from tests.sim.world.network import Network
from tests.sim.world.play import come_up
from tests.sim.world.script import do, parse_script, random_script
from tests.sim.world.shape import Shape


def network() -> Network:
    """Return a network with its own chance."""
    return Network(random.Random(1))


def test_events_happen_in_order() -> None:
    """Time order first, then the order of planning; what is past happens now."""
    timeline, seen = Timeline(10.0), list[tuple[str, float]]()
    for name, when in (("c", 12.0), ("a", 11.0), ("b", 11.0), ("past", 1.0), ("late", 20.0)):
        timeline.at(when, lambda name=name: seen.append((name, timeline.now)))
    timeline.run(5.0)
    assert seen == [("past", 10.0), ("a", 11.0), ("b", 11.0), ("c", 12.0)]
    assert timeline.now == 15.0


def test_a_fast_clock_shows_more() -> None:
    """A clock of rate 1.01 shows 101 s after 100 s, and knows when it will show something."""
    timeline = Timeline(0.0)
    clock = Clock(timeline, rate=1.01, offset=7.0)
    timeline.run(100.0)
    assert clock.now() == pytest.approx(108.0)
    assert clock.when(108.0) == pytest.approx(100.0)


def test_network_keeps_apart() -> None:
    """Partitions and isolations work both ways, a one-way block in one direction only."""
    lan = network()
    lan.one_way.add(("a", "b"))
    assert not lan.flights("a", "b")
    assert lan.flights("b", "a")
    lan.group_of["c"] = 1
    assert not lan.flights("a", "c")
    assert not lan.flights("c", "a")
    lan.isolated.add("d")
    assert not lan.flights("d", "a")
    assert lan.segment_s("a", "b") is None


def test_network_loses_and_duplicates_as_often_as_told() -> None:
    """A tenth lost is a tenth lost, in the direction that is bad only."""
    lan = network()
    lan.loss_of["a", "b"] = 0.1
    lan.duplication = 0.5
    counts = [len(lan.flights("a", "b")) for _ in range(4000)]
    assert 300 < counts.count(0) < 500
    assert 1600 < counts.count(2) < 2000
    assert all(lan.flights("b", "a") for _ in range(200))


def test_ledger_measures() -> None:
    """Gaps and doubles are measured for the observer, across changes that do not end them."""
    ledger = Ledger(["s"], lambda name: name != "far")
    for name, answers, at in (
        ("a", True, 1.0), ("a", False, 5.0), ("far", True, 6.0), ("b", True, 7.5),
        ("a", True, 8.0), ("a", False, 8.25),
    ):  # fmt: skip
        ledger.note(name, frozenset(["s"] if answers else []), at)
    assert ledger.owners("s") == ("b", "far")
    assert ledger.longest_gap("s", 2.0, 10.0) == 2.5
    assert ledger.longest_gap("s", 6.0, 7.0) == 1.0
    assert ledger.longest_double("s", 2.0, 10.0) == 0.25
    assert [entry.owners for _, entry in ledger.changes(7.0)] == [
        ("b", "far"),
        ("a", "b", "far"),
        ("b", "far"),
    ]


def test_scripts_are_text() -> None:
    """What is printed for a failure can be played again."""
    shape = Shape(1, nodes=5)
    steps = random_script(shape, random.Random(3), 40)
    assert parse_script("# a story\n" + "\n".join(map(str, steps))) == steps


def test_a_stopped_process_answers_nobody_and_keeps_its_datagrams() -> None:
    """What a stopped process has not read is there when it goes on, up to what a buffer holds."""
    world = come_up(Shape(2))
    node = world.nodes[0]
    for step in parse_script("0 pause 1 2.0"):
        do(world, step)
    assert not any(node.name in world.ledger.owners(service) for service in world.services)
    world.run(1.9)
    assert node._inbox
    world.run(0.2)
    assert not node._inbox


def test_a_dead_kernel_says_nothing_and_a_living_one_refuses() -> None:
    """A datagram to a killed process comes back as an error, one to a dead machine does not."""
    for verb, is_refused in (("kill", True), ("die", False)):
        world = come_up(Shape(3))
        world.seen.clear()
        for step in parse_script(f"0 {verb} 1"):
            do(world, step)
        world.run(0.5)
        assert (world.seen["refusal"] > 0) is is_refused
