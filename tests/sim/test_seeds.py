"""Whole clusters under random trouble: always, eventually, and sometimes.

`MERCURYLB_SIM_SEEDS=2000` plays more of them; `python -m tests.sim.hunt` plays thousands on all
processors and cuts down what fails.
"""

from __future__ import annotations

import functools
import os

import pytest

from tests.sim.hunt import Outcome, play_seed, shape_of
from tests.sim.world.play import Trouble

SEED_COUNT = int(os.environ.get("MERCURYLB_SIM_SEEDS", "200"))
SMOKE_COUNT = 60
"""What `make check` plays; the rest is for `make test`."""
SEEN_SEEDS = range(24)
FAULTS = {
    "brain restart", "carrier", "cut", "datagram", "death", "delay", "duplicate", "exchange",
    "failed exchange", "isolation", "kernel answer", "kill", "loss", "one way", "other ranking",
    "partition", "pause", "probe", "refusal", "restart", "stall", "stop",
}  # fmt: skip
VERDICTS = {"gone", "ill", "isolated", "leaving", "restarted", "silent", "told"}


@functools.cache
def played(seed: int) -> Outcome:
    """Play a seed once per process."""
    return play_seed(seed, shrinks=False)


@pytest.mark.parametrize(
    "seed",
    [
        seed if seed < SMOKE_COUNT else pytest.param(seed, marks=pytest.mark.whole)
        for seed in range(SEED_COUNT)
    ],
)
def test_one_right_owner_after_any_trouble(seed: int) -> None:
    """Whatever happened, soon after it ends each service has exactly its best living node."""
    outcome = played(seed)
    if outcome.wrong:
        raise Trouble(f"{outcome.wrong}\n" + "\n".join(outcome.steps))


def test_every_kind_of_trouble_happens() -> None:
    """The seeds really lose, delay, duplicate, split, kill, stop, starve, and find out why."""
    seen = {name for seed in SEEN_SEEDS for name in played(seed).seen}
    assert seen >= FAULTS | {f"found {verdict}" for verdict in VERDICTS}


def test_a_seed_is_played_the_same_again() -> None:
    """One seed is one story, to the last event."""
    first, second = (play_seed(5, shrinks=False) for _ in range(2))
    assert (first.event_count, first.seen) == (second.event_count, second.seen)


def test_the_seeds_make_clusters_of_all_sizes() -> None:
    """Small, large and mixed clusters, encrypted ones, and ones without ICMP are among them."""
    shapes = [shape_of(seed) for seed in range(200)]
    assert {shape.nodes for shape in shapes} >= {3, 4, 5, 6}
    assert any(20 <= shape.nodes <= 30 for shape in shapes)
    assert any(shape.gossipers for shape in shapes)
    assert any(shape.is_sealed for shape in shapes)
    assert not all(shape.has_icmp for shape in shapes)
