"""Stories that once went wrong, as short as they could be made, each with what it was."""

from __future__ import annotations

import pytest

from tests.sim.world.play import play
from tests.sim.world.promise import Measured
from tests.sim.world.script import parse_script
from tests.sim.world.shape import Shape

STORIES = {
    # Its grace was over when it woke, so it went up without having read what it had asked for.
    "a pause while learning": (
        Shape(56, nodes=2, services=3),
        """
        0.1 die 2
        0.5 restart 1
        0.629 pause 1 2.308
        2.0 wait
        """,
    ),
    # The same with two that start together: both took everything.
    "a pause while learning, of two that start": (
        Shape(20, nodes=2, services=3),
        """
        0.1 restart 1
        0.0 restart 2
        0.35 pause 1 1.3
        1.3 wait
        """,
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_story_goes_well(name: str) -> None:
    """What went wrong once does not again."""
    shape, script = STORIES[name]
    steps = parse_script(script)
    play(shape, steps, part_length=len(steps))


@pytest.mark.parametrize("seed", range(3))
def test_return_is_not_taken_for_a_restart(seed: int) -> None:
    """The first beat of a process that has joined already is no sign that it begins anew.

    Gossip told of the higher incarnation first; the beat of the new session then looked like one
    of a process that had not joined, and the node went down and up again in 3 ms.
    """
    of = Measured(Shape(seed, nodes=3 + seed))
    owner = of.owner()
    of.do("kill", owner)
    of.run(1.0)
    of.mark()
    of.do("start", owner)
    of.run(2.0)
    of.expect_calm(2)
    told = [text for at, text in of.world.story if at > of.since and text.endswith(" restarted")]
    of.expect(not told, f"{told}")
