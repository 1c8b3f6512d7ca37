"""Two copies of the session machine under random trouble: always, eventually, and sometimes.

`python -m tests.sim.bgp.hunt` plays thousands.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from tests.sim.bgp.play import STEPS, play

if TYPE_CHECKING:
    from tests.sim.bgp.world import World

SEED_COUNT = 200
SMOKE_COUNT = 40
SEEN = {
    "Close", "Connect", "Send", "SessionChanged", "Stopped", "connections", "refused",
    "hostile octets", "state Active", "state Connect", "state Established", "state Idle",
    "state OpenConfirm", "state OpenSent",
}  # fmt: skip


@functools.cache
def played(seed: int) -> World:
    """Play a seed once per process."""
    return play(seed)


@pytest.mark.parametrize(
    "seed",
    [
        seed if seed < SMOKE_COUNT else pytest.param(seed, marks=pytest.mark.whole)
        for seed in range(SEED_COUNT)
    ],
)
def test_each_side_has_what_the_other_wants_after_any_trouble(seed: int) -> None:
    """Whatever happened, soon after it ends both are established and their tables are right."""
    played(seed)


@pytest.mark.whole
def test_every_kind_of_trouble_happens() -> None:
    """The seeds really cut, restart, stop, slow down, collide, and meet a hostile peer."""
    seen = {name for seed in range(SMOKE_COUNT) for name in played(seed).seen}
    assert seen >= SEEN | set(STEPS)


def test_a_seed_is_played_the_same_again() -> None:
    """One seed is one story, to the last event."""
    first, second = (play(2) for _ in range(2))
    assert (first.step_count, first.seen) == (second.step_count, second.seen)
