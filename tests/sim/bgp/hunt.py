"""Look for seeds that go wrong: `python -m tests.sim.bgp.hunt --seeds 5000 --jobs 2`."""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import os
import sys
import time

from tests.sim.bgp.play import play
from tests.sim.bgp.world import Trouble

CHUNK = 20


def play_seeds(seeds: range) -> tuple[list[str], dict[str, int]]:
    """Play some; give what went wrong, and what happened."""
    wrong: list[str] = []
    seen: collections.Counter[str] = collections.Counter()
    for seed in seeds:
        try:
            seen.update(play(seed).seen)
        except Trouble as trouble:
            wrong.append(str(trouble))
    return wrong, dict(seen)


def main() -> int:
    """Hunt and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    began = time.monotonic()
    failed = 0
    seen: collections.Counter[str] = collections.Counter()
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        for wrong, counted in pool.map(play_seeds, chunks):
            seen.update(counted)
            failed += len(wrong)
            for words in wrong:
                print(words, flush=True)  # noqa: T201 (that is what it is for)
    took_s = time.monotonic() - began
    print(f"{len(seeds)} seeds, {failed} failed, {took_s:.0f} s; {dict(seen)}")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
