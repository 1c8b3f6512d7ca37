"""Playing a script on a cluster, and telling what went wrong, as shortly as can be."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from tests.sim.world.cluster import Cluster
from tests.sim.world.script import Step, do, quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.sim.world.shape import Shape

COME_UP_S = 0.5 + 0.3 + 2.0
"""The last node starts, its brain speaks, it learns who lives."""
SETTLE_S = 3.0
"""After the last fault: detection of an ill process, a refutation and a handover."""
SETTLE_WITH_GOSSIP_S = 65.0
"""Speakers that know gossip only need a suspicion, a push and pull, or to join once more."""
STEADY_S = 1.0
"""What is agreed on is to stay so for this long at least."""
LOOK_S = 0.25
TOLD_MAX = 120


class Trouble(AssertionError):  # noqa: N818 (it is told, not caught)
    """A cluster did what it must never do, or did not do what it must in the end."""


def come_up(shape: Shape) -> Cluster:
    """Return a cluster that has started and agrees."""
    world = Cluster(shape)
    world.start_all()
    with told(world):
        world.run(0.5 + 0.3)
        settle_within(world, COME_UP_S if not shape.gossipers else COME_UP_S + 3.0)
        assert_agreed(world, "after the start")
    return world


def play(shape: Shape, steps: Sequence[Step], *, part_length: int = 5) -> Cluster:
    """Play a script in parts, with an end of all faults and a look at the outcome after each."""
    world = come_up(shape)
    for start in range(0, len(steps), part_length):
        with told(world):
            for step in steps[start : start + part_length]:
                world.run(step.wait_s)
                do(world, step)
            world.run(0.5)
        settle(world)
    return world


def settle(world: Cluster) -> None:
    """End all faults and see that every service gets exactly its right owner in time."""
    with told(world):
        world.log("--- quiet")
        quiet(world)
        settle_within(world, SETTLE_WITH_GOSSIP_S if world.shape.gossipers else SETTLE_S)
        assert_agreed(world, "after all faults had ended")


def settle_within(world: Cluster, bound_s: float) -> None:
    """Let time pass until the cluster has agreed for a while, or the bound has."""
    ends_at = world.now + bound_s
    agreed_since: float | None = None
    while world.now < ends_at:
        world.run(min(LOOK_S, ends_at - world.now))
        if world.disagreements():
            agreed_since = None
        elif agreed_since is None:
            agreed_since = world.now
        elif world.now - agreed_since >= STEADY_S:
            return


def assert_agreed(world: Cluster, when: str) -> None:
    """Assert that every service has exactly its right owner on every side."""
    wrong = world.disagreements()
    if wrong:
        raise Trouble(f"{when}: " + "; ".join(wrong))


class told(contextlib.ContextDecorator):  # noqa: N801 (reads as a word)
    """Add the story to whatever goes wrong inside."""

    def __init__(self, world: Cluster) -> None:
        self._world = world

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not getattr(error, "is_told", False):
            story = tell_story(self._world)
            note = Trouble(f"{type(error).__name__}: {error}\n{self._world.shape}\n{story}")
            note.is_told = True  # type: ignore[attr-defined]
            raise note from error


def tell_story(world: Cluster) -> str:
    """Return the latest events, one per line."""
    return "\n".join(f"{at - 100.0:9.3f} {text}" for at, text in world.story[-TOLD_MAX:])


def shrink(shape: Shape, steps: Sequence[Step], *, runs_max: int = 150) -> list[Step]:
    """Return fewer steps that fail too, by taking out what is not needed."""
    best = list(steps)
    runs = 0
    size = max(1, len(best) // 2)
    while size and runs < runs_max:
        at = 0
        while at < len(best) and runs < runs_max:
            fewer = best[:at] + best[at + size :]
            runs += 1
            if fewer and fails(shape, fewer):
                best = fewer
            else:
                at += size
        size //= 2
    return best


def fails(shape: Shape, steps: Sequence[Step]) -> bool:
    """Say whether a script goes wrong, in one part."""
    try:
        play(shape, steps, part_length=len(steps))
    except Exception:  # noqa: BLE001 (whatever goes wrong)
        return True
    return False


def shape_with(shape: Shape, **changes: object) -> Shape:
    """Return a changed shape."""
    return msgspec.structs.replace(shape, **changes)
