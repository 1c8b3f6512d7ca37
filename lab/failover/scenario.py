"""What can be broken, how it is mended, and whether the address has to move.

A fault always strikes the first node of the ranking: the one that answers.
"""

from __future__ import annotations

import signal
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lab import hogs, parts
from lab.errors import WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.failover.stage import Stage

_ONEWAY_S: Final = 3.0
_FLAP_S: Final = 1.0
_BRAIN_S: Final = 30.0


def _nothing(_stage: Stage) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of fault.

    With ``hold_s`` the fault lasts so long, counted from its begin; without it until somebody else
    answers. ``has_traffic`` tells whether datagrams and connections say anything here: not when the
    fault keeps a node from the endpoints.
    """

    name: str
    title: str
    strike: Callable[[Stage], Any]
    mend: Callable[[Stage, Any], None]
    moves: bool = True
    hold_s: float | None = None
    has_traffic: bool = True
    has_flood: bool = False
    needs_parts: bool = False
    """It strikes announcer or brain alone; a program of one process has no such parts."""
    rounds_max: int | None = None
    around: Callable[[Stage], AbstractContextManager[None]] = _nothing

    def rounds_of(self, wanted: int) -> int:
        """Return how many rounds are made when some number is wanted."""
        return min(wanted, self.rounds_max) if self.rounds_max else wanted


def _heal(stage: Stage, _made: object) -> None:
    stage.lab.faults.heal()


def _start(stage: Stage, _made: object) -> None:
    stage.control.start(stage.first)


def _kill_part(part: str) -> Callable[[Stage], parts.Parts]:
    def strike(stage: Stage) -> parts.Parts:
        found = stage.control.parts(stage.first)
        parts.send(found, part, signal.SIGKILL)
        return found

    return strike


def _kill_brain(stage: Stage) -> None:
    """Kill the brain and wait until another one is there and the speaker is ready again."""
    before = _kill_part(parts.BRAIN)(stage)
    deadline = time.monotonic() + _BRAIN_S
    while True:
        now = stage.control.parts(stage.first)
        if now.announcer == before.announcer and set(now.brains) - set(before.brains):
            break
        if time.monotonic() > deadline:
            raise WaitTimeout(f"no new brain on {stage.first} within {_BRAIN_S:g} s")
        time.sleep(0.05)
    stage.control.start(stage.first)


def _freeze(stage: Stage) -> parts.Parts:
    found = stage.control.parts(stage.first)
    for part in parts.NAMES:
        if found.of(part):
            parts.send(found, part, signal.SIGSTOP)
    return found


def _thaw(_stage: Stage, found: parts.Parts) -> None:
    for part in parts.NAMES:
        if found.of(part):
            parts.send(found, part, signal.SIGCONT)


def _partition(stage: Stage) -> None:
    stage.lab.faults.partition([stage.first], stage.ranking[1:])


def _flap(stage: Stage) -> None:
    stage.lab.faults.link_down(stage.first)


@contextmanager
def _outage(stage: Stage) -> Iterator[None]:
    """Let the rounds happen while there is no API server, for the whole of its outage."""
    server = stage.lab.process("kube-apiserver")
    begin = time.monotonic()
    server.kill()
    try:
        yield
        time.sleep(max(0.0, begin + stage.settings.outage_s - time.monotonic()))
    finally:
        server.start()
        stage.lab.wait_for(stage.lab.api.is_ready, timeout_s=60, what="API server")


def _hogs(stage: Stage) -> None:
    settings = stage.settings
    hogs.start(stage.lab.site, settings.hogs, settings.hogs_s + 60)
    time.sleep(settings.hogs_s)


def _end_hogs(stage: Stage, _made: object) -> None:
    hogs.stop(stage.lab.site)


ALL: Final = (
    Scenario(
        "cut",
        "node cut off",
        lambda stage: stage.lab.faults.cut(stage.first),
        _heal,
    ),
    Scenario(
        "kill",
        "speaker killed",
        lambda stage: stage.control.kill(stage.first),
        _start,
    ),
    Scenario(
        "announcer", "announcer killed", _kill_part(parts.ANNOUNCER), _start, needs_parts=True
    ),
    Scenario(
        "brain",
        "brain killed",
        _kill_brain,
        lambda _stage, _made: None,
        moves=False,
        hold_s=1.0,
        needs_parts=True,
    ),
    Scenario("freeze", "speaker stopped by SIGSTOP, continued", _freeze, _thaw),
    Scenario(
        "reboot",
        "node rebooted",
        lambda stage: stage.control.power_off(stage.first),
        lambda stage, _made: stage.control.power_on(stage.first),
    ),
    Scenario(
        "oneway",
        "link to one node lost, one way",
        lambda stage: stage.lab.faults.block(stage.first, stage.second),
        _heal,
        moves=False,
        hold_s=_ONEWAY_S,
        has_traffic=False,
    ),
    Scenario(
        "mute",
        "node hears, but is heard by nobody",
        lambda stage: stage.lab.faults.drop(stage.first, 1.0, direction="from"),
        _heal,
    ),
    Scenario(
        "partition",
        "partition 1 | 2",
        _partition,
        _heal,
        has_traffic=False,
    ),
    Scenario(
        "flap",
        "interface down for 1 s",
        _flap,
        lambda stage, _made: stage.lab.faults.link_up(stage.first),
        hold_s=_FLAP_S,
    ),
    Scenario(
        "stop",
        "planned stop",
        lambda stage: stage.control.stop(stage.first),
        _start,
        has_flood=True,
    ),
    Scenario(
        "roll",
        "rolling update",
        lambda stage: stage.control.roll(),
        lambda _stage, _made: None,
        hold_s=0.0,
        has_flood=True,
    ),
    Scenario(
        "outage",
        "node cut off, no API server",
        lambda stage: stage.lab.faults.cut(stage.first),
        _heal,
        around=_outage,
    ),
    Scenario(
        "hogs",
        "40 CPU hogs",
        _hogs,
        _end_hogs,
        moves=False,
        hold_s=0.0,
        has_traffic=False,
        rounds_max=1,
    ),
)
SCENARIOS: Final = {scenario.name: scenario for scenario in ALL}
