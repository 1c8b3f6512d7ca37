"""Plays one script in both universes and says where they first differ."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lab.compare import view
from lab.compare.script import RESTART, SERVICE, Step, is_spoiled
from lab.compare.universe import GAUGE_POOL, PROBE_NAMESPACE, PROBE_POOL
from lab.errors import LabError, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from lab.compare.stage import Stage
    from lab.compare.universe import Universe
    from lab.compare.view import Picture

PATIENCE_S: Final = 1.5
"""So long a difference may last, counted from the last change that was seen."""
STATE_TIMEOUT_S: Final = 20.0
TWINS_MAX: Final = 5

Judge = "Callable[[Picture, Picture, Before], list[str]]"


class _TwinsApart(Exception):  # noqa: N818  (it is no error of anybody)
    """The API server gave twins different seconds of birth, on which the order of waiters rests."""


@dataclass(frozen=True, slots=True)
class Before:
    """What a judge may want to know about the moment before a step."""

    step: Step | None
    pictures: tuple[Picture, Picture]


@dataclass(slots=True)
class Played:
    """What came of a script."""

    steps: Sequence[Step]
    played: int = 0
    """So many steps were played when a difference showed, or all."""
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: tuple[Picture, Picture] = ({}, {})
    stopped: str = ""
    """Why the rest was not played although nothing differed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says of two pictures."""

    differences: list[str]
    stop: str = ""
    """From here on the two may differ for a known reason: the script ends here."""


class Player:
    """Plays scripts on a stage."""

    def __init__(self, stage: Stage, judge: Callable[[Picture, Picture, Before], Verdict]) -> None:
        self._stage = stage
        self._judge = judge
        self._past: frozenset[str] = frozenset()
        """Services of the scripts before: what is said of them may come late."""

    async def play(self, steps: Sequence[Step]) -> Played:
        """Wipe the stage and play a script on it."""
        for _ in range(TWINS_MAX):
            try:
                return await self._play(steps)
            except _TwinsApart:
                continue
        raise LabError("the API server gives twins different times of birth again and again")

    async def _play(self, steps: Sequence[Step]) -> Played:
        await self._both(lambda universe: universe.wipe())
        self._forget_events()
        self._past = frozenset(self._stage.live.uids)
        played = Played(steps)
        before = Before(None, self._pictures())
        for number, step in enumerate(steps, 1):
            played.played = number
            await self._apply(step, played)
            if step.joins:
                continue
            await self._settle(step, is_spoiled(steps[:number]), played)
            verdict = await self._look(Before(step, before.pictures), is_last=number == len(steps))
            played.pictures = self._pictures()
            if verdict.differences or verdict.stop:
                played.differences, played.stopped = verdict.differences, verdict.stop
                return played
            before = Before(step, played.pictures)
        return played

    def _forget_events(self) -> None:
        events = self._stage.live.events
        for uid, known in list(events.items()):
            namespace = next(iter(known.values()))["involvedObject"].get("namespace", "")
            if any(universe.owns(namespace) for universe in self._stage.universes):
                del events[uid]

    async def _both(self, act: Callable[[Universe], Awaitable[Any]]) -> list[Any]:
        return list(await asyncio.gather(*(act(each) for each in self._stage.universes)))

    async def _apply(self, step: Step, played: Played) -> None:
        if step.verb == RESTART:
            pair = dict(zip("ab", self._stage.universes, strict=True))
            chosen = [pair[step.only]] if step.only else list(pair.values())
            await asyncio.gather(*(universe.restart() for universe in chosen))
            return
        one, other = await self._both(lambda universe: universe.apply(step))
        if one[0] != other[0]:
            played.notes.append(f"{step}: answered with {one[0]} and {other[0]}: {other[1]}")
        born = [answer.get("metadata", {}).get("creationTimestamp") for _, answer in (one, other)]
        if step.kind == SERVICE and step.verb == "create" and born[0] != born[1]:
            raise _TwinsApart

    async def _settle(self, step: Step, is_invalid: bool, played: Played) -> None:  # noqa: FBT001
        if step.is_config:
            wanted = "Invalid" if is_invalid else "Valid"
            try:
                await self._stage.live.until(
                    lambda: all(u.result() == wanted for u in self._stage.universes),
                    wanted,
                    STATE_TIMEOUT_S,
                )
            except WaitTimeout:
                results = " and ".join(u.result() for u in self._stage.universes)
                played.notes.append(f"after {step}: {wanted} was expected, it is {results}")
            if not is_invalid:
                # Other kinds come by other watches, so their order is not that of the pools.
                for _ in range(1 if step.kind == "IPAddressPool" else 3):
                    await self._both(lambda universe: universe.probe_pools())
        await self._both(lambda universe: universe.settle())

    async def _look(self, before: Before, *, is_last: bool) -> Verdict:
        """Compare; a difference counts when it stays although nothing changes any more."""
        live = self._stage.live
        while True:
            verdict = self._compare(before, is_last=is_last)
            if not verdict.differences:
                return verdict
            seen = [live.changes(universe.tag) for universe in self._stage.universes]
            try:
                await live.until(
                    lambda seen=seen: (  # type: ignore[misc]
                        [live.changes(u.tag) for u in self._stage.universes] != seen
                    ),
                    "something changes",
                    PATIENCE_S,
                )
            except WaitTimeout:
                return verdict

    def _compare(self, before: Before, *, is_last: bool) -> Verdict:
        one, other = self._pictures(with_events=is_last)
        return self._judge(one, other, before)

    def _pictures(self, *, with_events: bool = False) -> tuple[Picture, Picture]:
        one, other = self._stage.universes
        return self._picture(one, with_events), self._picture(other, with_events)

    def _picture(self, universe: Universe, with_events: bool) -> Picture:  # noqa: FBT001
        live = self._stage.live
        parts: dict[str, Picture] = {}
        for key, service in live.services.items():
            if universe.owns(key) and not key.startswith(universe.into(PROBE_NAMESPACE)):
                parts[f"Service {key}"] = view.draw_service(service)
        for key, pool in live.pools.items():
            if universe.owns(key) and not key.endswith((PROBE_POOL, GAUGE_POOL)):
                parts[f"IPAddressPool {key}"] = view.draw_pool(pool)
        if (state := live.state(universe.home)) is not None:
            parts["ConfigurationState"] = view.draw_state(state)
        if with_events:
            for uid, events in live.events.items():
                if uid in self._past:
                    continue
                about = next(iter(events.values()))["involvedObject"]
                key = f"{about.get('namespace')}/{about.get('name')}"
                if universe.owns(key) and not key.startswith(universe.into(PROBE_NAMESPACE)):
                    parts[f"events of {key}"] = view.draw_events(events.values())
        return view.combine(parts, universe.out)


def strict(one: Picture, other: Picture, _before: Before) -> Verdict:
    """Judge that nothing may differ."""
    return Verdict(view.differences(one, other))
