"""Writes the script of a seed: which step comes after which.

Pure.  The author keeps a small model of what exists, so that most steps hit something, and so that
it knows which objects are mistakes: two pools overlap only when it means it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from lab.compare.draws import Draws
from lab.compare.mistake_author import MistakeAuthor
from lab.compare.pool_author import PoolAuthor
from lab.compare.script import NAMESPACE, RESTART, Step
from lab.compare.service_author import ServiceAuthor
from lab.compare.world import NAMESPACES, TEAMS, Desk, Terms, World

POOLS_MAX: Final = 6


def write(seed: int, terms: Terms) -> list[Step]:
    """Write the script of a seed."""
    return _Author(seed, terms).write()


class _Author:
    def __init__(self, seed: int, terms: Terms) -> None:
        self._draws = Draws(seed)
        self._terms = terms
        self._world = World()
        desk = Desk(self._draws, terms, self._world)
        self._pools = PoolAuthor(desk)
        self._mistakes = MistakeAuthor(desk)
        self._services = ServiceAuthor(desk)

    def write(self) -> list[Step]:
        draws = self._draws
        steps = [self._label_namespace(name) for name in NAMESPACES if draws.chance("label", 0.6)]
        steps += [self._pools.add_pool() for _ in range(draws.number("pools at first", 1, 4))]
        steps = [_joined(step) for step in steps[:-1]] + steps[-1:]
        while len(steps) < self._terms.steps:
            steps += self._next()
        if self._world.mistake is not None:
            steps.append(self._mistakes.correct())
        return steps

    def _next(self) -> list[Step]:
        world = self._world
        weights: dict[str, float] = {
            "add service": 6.0,
            "change service": 4.0 if world.services else 0.0,
            "delete service": 1.5 if world.services else 0.0,
        }
        if world.mistake is not None:
            weights["correct"] = 4.0
        else:
            weights |= {
                "add pool": 1.0 if len(world.pools) < POOLS_MAX else 0.0,
                "change pool": 2.0 if world.pools else 0.0,
                "delete pool": 0.8 if world.pools else 0.0,
                "rename pool": 0.3 if world.pools else 0.0,
                "label namespace": 0.6,
                "mistake": 0.8,
                "community": 0.2,
                RESTART: 0.6 if self._terms.restarts else 0.0,
            }
        return self._write_one(self._draws.weigh("step", weights))

    def _write_one(self, what: str) -> list[Step]:
        draws, world = self._draws, self._world
        if what == "add service":
            return [self._services.add_service()]
        if what == "change service":
            return [
                self._services.change_service(draws.pick("which service", sorted(world.services)))
            ]
        if what == "delete service":
            name = draws.pick("which service", sorted(world.services))
            return [self._services.delete_service(name)]
        if what == "rename pool":
            return self._pools.rename_pool(draws.pick("which pool", sorted(world.pools)))
        if what == RESTART:
            return [Step(RESTART, only=draws.pick("whose restart", self._terms.restarts))]
        return [self._write_config(what)]

    def _write_config(self, what: str) -> Step:
        draws, world = self._draws, self._world
        if what in ("change pool", "delete pool"):
            name = draws.pick("which pool", sorted(world.pools))
            return (
                self._pools.change_pool(name)
                if what == "change pool"
                else self._pools.delete_pool(name)
            )
        if what == "label namespace":
            return self._label_namespace(draws.pick("which namespace", NAMESPACES))
        if what == "community":
            return self._mistakes.add_community("64500:7", spoils=False)
        if what == "mistake":
            return self._mistakes.make_mistake()
        return self._pools.add_pool() if what == "add pool" else self._mistakes.correct()

    def _label_namespace(self, name: str) -> Step:
        value = self._draws.pick("team", [*TEAMS, None])
        return Step("patch", NAMESPACE, name, body={"metadata": {"labels": {"@-team": value}}})


def _joined(step: Step) -> Step:
    return replace(step, joins=True)
