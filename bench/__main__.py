"""`python -m bench`: measure, print one table, write JSON."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bench import (
    bgp,
    bgp_failover,
    bgp_scale,
    failover,
    image,
    machine,
    many,
    membership,
    outage,
    scenarios,
)
from bench.figures import ELSEWHERE, rows
from bench.outcome import outcome, totals
from bench.stage import Pair
from bench.table import embed, render
from lab import paths
from lab.errors import LabError
from lab.failover import SCENARIOS
from lab.light import OWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ALL = (
    *scenarios.SCALE,
    many.SCENARIO,
    outage.SCENARIO,
    *scenarios.WIRE,
    failover.SCENARIO,
    membership.SCENARIO,
    bgp.SCENARIO,
    bgp_scale.SCENARIO,
    bgp_failover.SCENARIO,
    bgp_scale.BFD,
    image.SCENARIO,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the scenarios that were asked for."""
    given = parser().parse_args(argv)
    if os.geteuid() != 0:
        print("bench: this needs root: it makes network namespaces", file=sys.stderr)
        return 1
    # A terminated run takes its labs down like an interrupted one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    about = machine.describe()
    wanted = frozenset(given.only or ALL)
    try:
        ours = measure(Pair("ours", given.controller, given.speaker), wanted, given)
        original = None
        if given.original_controller and (
            given.original_speaker or wanted <= {many.SCENARIO, outage.SCENARIO}
        ):
            pair = Pair("original", given.original_controller, given.original_speaker or "")
            original = measure(pair, wanted, given)
    except LabError as failed:
        print(f"bench: {failed}", file=sys.stderr)
        return 1
    table = rows(ours, original)
    titles = {name: scenario.title for name, scenario in SCENARIOS.items()}
    trials = outcome(titles, ours, original)
    text = "\n\n".join(part for part in (render(table, about), trials) if part)
    print(text)
    if original is None:
        note = "“elsewhere”: MetalLB 0.16 as measured on another machine, memory as resident size"
        text = f"{text}\n\n{note}"
        print(f"\n{note}")
    if given.document:
        given.document.write_text(embed(given.document.read_text(), text))
    figures = {"ours": ours, "original": original, "elsewhere": dict(ELSEWHERE)}
    told = {"machine": about, "figures": figures, "rows": [asdict(row) for row in table]}
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(told, indent=1) + "\n")
    return 0


def measure(pair: Pair, wanted: frozenset[str], given: argparse.Namespace) -> dict[str, float]:
    """Run the wanted scenarios with one pair."""
    found: dict[str, float] = {}
    if wanted & set(scenarios.SCALE):
        found |= scenarios.scale(pair, wanted)
    if many.SCENARIO in wanted:
        found |= many.many(pair, given.services)
    if outage.SCENARIO in wanted:
        found |= outage.measure(pair)
    if wanted & set(scenarios.WIRE):
        found |= scenarios.wire(pair)
    if failover.SCENARIO in wanted:
        found |= _failover(pair, given)
    if membership.SCENARIO in wanted and pair.name == "ours":
        found |= membership.measure(given.members)
    if bgp.SCENARIO in wanted:
        found |= bgp.measure(pair)
    if pair.name == "ours":
        found |= _bgp_alone(wanted, given)
    return found


def _bgp_alone(wanted: frozenset[str], given: argparse.Namespace) -> dict[str, float]:
    """Measure what no second pair takes part in."""
    found: dict[str, float] = {}
    if bgp_scale.SCENARIO in wanted:
        found |= bgp_scale.measure(given.routes)
    if bgp_failover.SCENARIO in wanted:
        found |= bgp_failover.measure(min(given.rounds, bgp_failover.ROUNDS_MAX))
    if bgp_scale.BFD in wanted:
        found |= bgp_scale.detect(given.hogs_s)
    if image.SCENARIO in wanted:
        found |= image.measure()
    return found


def _failover(pair: Pair, given: argparse.Namespace) -> dict[str, float]:
    """Try all scenarios, or those that were named; every round is written down as well."""
    rounds = given.rounds if pair.name == "ours" else min(given.rounds, given.original_rounds)
    told = given.json.with_name(f"failover-{pair.name}.jsonl")
    told.parent.mkdir(parents=True, exist_ok=True)
    with told.open("w") as out:

        def record(name: str, figures: Mapping[str, object]) -> None:
            out.write(json.dumps({"scenario": name, **figures}) + "\n")
            out.flush()

        found = failover.failover(
            pair,
            given.fault or tuple(SCENARIOS),
            rounds,
            settings=failover.settings_of(pair, given.hogs_s),
            record=record,
        )
    return found | totals(found)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    made.add_argument("--controller", metavar="PATH", default=OWN, help="instead of our own")
    made.add_argument("--speaker", metavar="PATH", default=OWN, help="instead of our own")
    made.add_argument("--original-controller", metavar="PATH", help="a second controller")
    made.add_argument("--original-speaker", metavar="PATH", help="a second speaker")
    made.add_argument("--only", nargs="+", choices=ALL, metavar="NAME", help=", ".join(ALL))
    made.add_argument(
        "--rounds", type=int, default=failover.ROUNDS, help="of each failover scenario"
    )
    made.add_argument(
        "--original-rounds", type=int, default=failover.ORIGINAL_ROUNDS, help="at most, of theirs"
    )
    made.add_argument(
        "--fault", nargs="+", choices=tuple(SCENARIOS), metavar="NAME", help=", ".join(SCENARIOS)
    )
    made.add_argument(
        "--hogs-s", type=float, default=90.0, help="how long 40 CPU hogs run (failover, bgp-bfd)"
    )
    made.add_argument(
        "--members",
        nargs="+",
        type=int,
        default=membership.REAL,
        help="sizes of memberships of real processes (membership)",
    )
    made.add_argument(
        "--routes",
        nargs="+",
        type=int,
        default=bgp_scale.SIZES,
        help="sizes of tables (bgp-scale)",
    )
    made.add_argument(
        "--services", type=int, default=many.SERVICES, help="of scenario scale; fewer for a try"
    )
    made.add_argument(
        "--document",
        type=Path,
        metavar="FILE",
        help="put the table into the first fenced block of this file too",
    )
    default = paths.REPOSITORY / "build" / "bench.json"
    made.add_argument("--json", type=Path, default=default, metavar="FILE")
    return made


if __name__ == "__main__":
    sys.exit(main())
