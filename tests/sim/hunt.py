"""Look for seeds that go wrong: `python -m tests.sim.hunt --seeds 5000 --jobs 2`.

Each seed makes a cluster of its own size and a script of trouble. A failing script is cut down to
the steps it needs and printed together with its shape, so that it can be kept as a test
(tests/sim/test_found.py). The hunt goes on after a failure; its exit status says whether there was
one.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import os
import random
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from tests.sim.world.play import play, shrink
from tests.sim.world.script import random_script
from tests.sim.world.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sim.world.script import Step

PROGRESS_S = 10.0
CHUNK = 8
STEP_COUNT = 10
LARGE_EVERY = 200
HUGE_EVERY = 1000
SIZES = (3, 3, 3, 3, 4, 4, 5, 6)


class Outcome(msgspec.Struct, frozen=True):
    """How one seed went."""

    seed: int
    wrong: str
    """Empty if nothing was."""
    shape: Shape
    steps: tuple[str, ...]
    virtual_s: float
    event_count: int
    seen: dict[str, int]


def shape_of(seed: int) -> Shape:
    """Return what kind of cluster a seed stands for: most are small, a few are large or mixed."""
    chance = random.Random(seed * 7919 + 1)
    nodes = chance.choice(SIZES)
    if seed % HUGE_EVERY == HUGE_EVERY - 1:
        nodes = 100
    elif seed % LARGE_EVERY == LARGE_EVERY - 1:
        nodes = chance.randrange(20, 31)
    is_mixed = seed % 10 == 7 and nodes < 20
    return Shape(
        seed,
        nodes=nodes,
        gossipers=chance.randrange(1, nodes) if is_mixed else 0,
        services=chance.randrange(2, 7),
        has_icmp=chance.random() < 0.8,
        is_sealed=chance.random() < 0.2,
        is_compressed=nodes < 9 and chance.random() < 0.1,
    )


def script_of(shape: Shape) -> list[Step]:
    """Return the trouble that a seed stands for."""
    chance = random.Random(shape.seed * 104729 + 2)
    return random_script(shape, chance, STEP_COUNT if shape.nodes < 10 else 6)


def play_seed(seed: int, *, shrinks: bool = True) -> Outcome:
    """Play one seed to its end and say how it went."""
    shape = shape_of(seed)
    steps = script_of(shape)
    try:
        world = play(shape, steps)
    except Exception as error:  # noqa: BLE001 (whatever goes wrong is a finding)
        wrong = str(error)
        if shrinks and shape.nodes < 10:
            steps = shrink(shape, steps)
        return Outcome(seed, wrong, shape, tuple(map(str, steps)), 0.0, 0, {})
    return Outcome(seed, "", shape, (), world.now, world.timeline.step_count, dict(world.seen))


def _play_chunk(seeds: range) -> list[Outcome]:
    return [play_seed(seed) for seed in seeds]


def outcomes(seeds: range, jobs: int) -> Iterator[Outcome]:
    """Play seeds side by side."""
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    if jobs == 1:
        for chunk in chunks:
            yield from _play_chunk(chunk)
        return
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        for done in concurrent.futures.as_completed(pool.submit(_play_chunk, c) for c in chunks):
            yield from done.result()


def main() -> int:
    """Hunt and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--lines", type=int, default=40, help="of each failure's story to print")
    options = parser.parse_args()
    began = told = time.monotonic()
    seen: collections.Counter[str] = collections.Counter()
    failed: list[int] = []
    count, virtual_s, events = 0, 0.0, 0
    for outcome in outcomes(range(options.first, options.first + options.seeds), options.jobs):
        count += 1
        virtual_s += outcome.virtual_s
        events += outcome.event_count
        seen.update(outcome.seen)
        if outcome.wrong:
            failed.append(outcome.seed)
            _print_failure(outcome, options.lines)
        if time.monotonic() - told > PROGRESS_S:
            told = time.monotonic()
            _print(f"{count}/{options.seeds} seeds, {len(failed)} failed, {told - began:.0f} s")
    _print(
        f"{count} seeds, {virtual_s:.0f} virtual s, {events} events, "
        f"{time.monotonic() - began:.0f} s; failed: {sorted(failed) or 'none'}"
    )
    _print("seen: " + ", ".join(f"{name} {n}" for name, n in sorted(seen.items())))
    return 1 if failed else 0


def _print_failure(outcome: Outcome, line_count: int) -> None:
    first, *story = outcome.wrong.splitlines()
    _print(f"=== seed {outcome.seed}: {first}")
    _print("\n".join(story[-line_count:]))
    _print(f"--- {outcome.shape}")
    _print("\n".join(outcome.steps))


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201 (that is what it is for)


if __name__ == "__main__":
    sys.exit(main())
