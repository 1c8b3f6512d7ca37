"""The verb ``compare``: which seeds, with which programs, and what is printed."""

from __future__ import annotations

import asyncio
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab import progress
from lab.compare import author, deviations, script
from lab.compare.play import Played, Player, strict
from lab.compare.shrink import shrink
from lab.compare.stage import LANES_MAX, bare_lab, open_stages, program
from lab.compare.world import Terms
from lab.errors import LabError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Sequence

    from lab.compare.universe import Program
    from lab.light import LightLab

SEEDS: Final = "1-20"
STEPS: Final = 14
_SAID_EVERY: Final = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be compared."""

    seeds: Sequence[int]
    steps: int = STEPS
    controllers: tuple[str, str] = ("own", "own")
    restarts: Sequence[str] = ("b",)
    shrinks: bool = False
    lanes: int = 2
    """So many scripts are played side by side."""
    classless: bool = False
    goes_on: bool = False
    """After a difference the next seed is played."""
    scripts: Sequence[tuple[str, Sequence[script.Step]]] = ()
    """Scripts by name, instead of seeds."""


@dataclass(slots=True)
class Report:
    """What came of it."""

    played: int = 0
    steps: int = 0
    stopped: dict[str, int] = field(default_factory=dict)
    """Reason → how many scripts ended early for it."""
    failed: dict[str, Played] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def add_arguments(command: ArgumentParser) -> None:
    """Declare the verb's options."""
    command.add_argument("--seeds", default=SEEDS, help="such as 1-200 or 3,17,40-50")
    command.add_argument("--seed", type=int, help="one seed, with its script and its outcome shown")
    command.add_argument("--steps", type=int, default=STEPS, help="about how long a script is")
    command.add_argument("--controller-a", default="own", help="path of a program, or `own`")
    command.add_argument("--controller-b", default="own", help="path of a program, or `own`")
    command.add_argument(
        "--restarts",
        choices=("none", "b", "both"),
        default="b",
        help="whose controllers are restarted now and then",
    )
    command.add_argument("--lanes", type=int, default=2, help="scripts played side by side")
    command.add_argument(
        "--classless",
        action="store_true",
        help="the services of the second controller have no class (one lane)",
    )
    command.add_argument("--go-on", action="store_true", help="do not end at the first difference")
    command.add_argument("--shrink", action="store_true", help="make a failing script short")
    command.add_argument("--save", metavar="FILE", help="write the first failing script here")
    command.add_argument(
        "--script", metavar="FILE", help="play this script (JSON lines) instead of seeds"
    )
    command.add_argument("--keep", action="store_true", help="leave the lab up until Enter")


def run(given: Namespace) -> int:
    """Compare; return 0 when nothing differed."""
    seeds = [given.seed] if given.seed is not None else parse_seeds(given.seeds)
    scripts = []
    if given.script:
        scripts = [(given.script, script.load(Path(given.script).read_text()))]
    wanted = Wanted(
        seeds=seeds,
        steps=given.steps,
        controllers=(given.controller_a, given.controller_b),
        restarts={"none": (), "b": ("b",), "both": ("",)}[given.restarts],
        lanes=1 if given.classless or given.seed is not None else given.lanes,
        classless=given.classless,
        shrinks=given.shrink,
        goes_on=given.go_on,
        scripts=scripts,
    )
    name = given.name if given.name != "lab" else f"cmp{os.getpid()}"
    report = compare(wanted, name, keeps=given.keep)
    if given.seed is not None and not report.failed:
        for step in author.write(given.seed, terms_of(wanted)):
            print(f"  {step}")
    if given.save and report.failed:
        failed = next(iter(report.failed.values()))
        Path(given.save).write_text(script.dump(failed.steps[: failed.played]))
    print(summary(report))
    return 1 if report.failed else 0


def parse_seeds(text: str) -> list[int]:
    """Read a list of numbers and spans of numbers."""
    found: list[int] = []
    for part in text.split(","):
        span = re.fullmatch(r"\s*([0-9]+)\s*(?:-\s*([0-9]+)\s*)?", part)
        if span is None:
            raise LabError(f"seeds {text!r}: give numbers and spans, such as 3,17,40-50")
        found += range(int(span[1]), int(span[2] or span[1]) + 1)
    return found


def compare(
    wanted: Wanted, name: str, *, keeps: bool = False, told: Callable[[str], None] = print
) -> Report:
    """Bring a lab up, play every seed on it, and report; tell each difference as it is found."""
    begin = time.monotonic()
    programs = (program(wanted.controllers[0]), program(wanted.controllers[1]))
    for path in wanted.controllers:
        if path != "own" and not Path(path).is_file():
            raise LabError(f"no program {path}")
    with bare_lab(name) as lab:
        report = asyncio.run(_compare(lab, programs, wanted, told))
        if keeps:
            progress.say(f"lab {name} stays until Enter is pressed")
            input()
    report.seconds = time.monotonic() - begin
    return report


def terms_of(wanted: Wanted) -> Terms:
    """Say what kind of scripts the author is to write."""
    is_foreign = any(path != "own" for path in wanted.controllers)
    return Terms(
        steps=wanted.steps,
        ordered=is_foreign,
        retires=wanted.classless or not is_foreign,
        restarts=tuple(wanted.restarts),
    )


async def _compare(
    lab: LightLab,
    programs: tuple[Program, Program],
    wanted: Wanted,
    told: Callable[[str], None],
) -> Report:
    report = Report()
    is_strict = all(each.is_own for each in programs)
    judge = strict if is_strict else deviations.judge
    terms = terms_of(wanted)
    scripts = list(wanted.scripts) or [
        (f"seed {seed}", author.write(seed, terms)) for seed in wanted.seeds
    ]
    todo = iter(scripts)
    lanes = min(wanted.lanes, len(scripts), LANES_MAX)
    async with open_stages(lab, programs, lanes=lanes, classless=wanted.classless) as stages:

        async def run_lane(player: Player) -> None:
            for about, steps in todo:
                if report.failed and not wanted.goes_on:
                    return
                played = await player.play(steps)
                _note(report, about, played)
                if played.differences:
                    progress.say(f"compare: {about} differs after step {played.played}")
                    short = await shrink(player, played) if wanted.shrinks else played
                    report.failed[about] = short
                    told(render(about, short))
                if report.played % _SAID_EVERY == 0:
                    said = f"{report.played} of {len(scripts)} scripts, {report.steps} steps"
                    progress.say(f"compare: {said}")

        await asyncio.gather(*(run_lane(Player(stage, judge)) for stage in stages))
    return report


def _note(report: Report, about: str, played: Played) -> None:
    report.played += 1
    report.steps += played.played
    report.notes += [f"{about}: {note}" for note in played.notes]
    if played.stopped:
        report.stopped[played.stopped] = report.stopped.get(played.stopped, 0) + 1


def render(about: str, failed: Played) -> str:
    """Show a difference: the steps that lead to it, then what differs."""
    lines = [f"{about} differs after step {failed.played} of {len(failed.steps)}:"]
    lines += [f"  {n:2} {step}" for n, step in enumerate(failed.steps[: failed.played], 1)]
    lines.append("what differs:")
    lines += [f"  {line}" for line in failed.differences]
    return "\n".join(lines)


def summary(report: Report) -> str:
    """Say in a few lines what was compared."""
    size = f"{report.played} scripts, {report.steps} steps in {report.seconds:.0f} s"
    lines = [f"{size}: {len(report.failed)} differ"]
    for reason, count in sorted(report.stopped.items()):
        lines.append(f"  {count} were played up to where {reason}")
    lines += [f"  note: {note}" for note in report.notes]
    return "\n".join(lines)
