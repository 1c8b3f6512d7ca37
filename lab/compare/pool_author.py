"""Writes steps about pools: their ranges, and to whom they give.

Pure.  Pools take their addresses from zones, each of which belongs to one pool at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lab.compare.script import HOME, POOL, Json, Step
from lab.compare.world import NAMESPACES, TEAMS, TIERS, Pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.compare.world import Desk

_ZONES: Final = tuple(range(24))


class PoolAuthor:
    """Writes what happens to pools that are right."""

    def __init__(self, desk: Desk) -> None:
        self._draws = desk.draws
        self._terms = desk.terms
        self._world = desk.world

    def add_pool(self) -> Step:
        """Make a pool."""
        world = self._world
        world.pool_count += 1
        name = f"p{self._draws.number('name of pool', 10, 99)}-{world.pool_count}"
        used = {pool.zone for pool in world.pools.values()}
        zone = self._draws.pick("zone", [zone for zone in _ZONES if zone not in used])
        spec: Json = {"addresses": self._ranges(zone)} | self._pool_manners()
        world.pools[name] = Pool(zone, spec)
        return pool_step("create", name, spec)

    def _ranges(self, zone: int) -> list[str]:
        draws = self._draws
        families = draws.weigh("families of pool", {"4": 5.0, "6": 2.0, "46": 4.0})
        ranges: list[str] = []
        if "4" in families:
            ranges += draws.some("ranges4", _ranges4(zone), draws.number("count of ranges4", 1, 2))
        if "6" in families:
            ranges += draws.some("ranges6", _ranges6(zone), 1)
        return draws.some("order of ranges", ranges, len(ranges))

    def _pool_manners(self) -> Json:
        """Draw everything about a pool but its addresses."""
        draws = self._draws
        spec: Json = {}
        if draws.chance("autoAssign is told", 0.4):
            spec["autoAssign"] = draws.chance("autoAssign", 0.5)
        if draws.chance("avoidBuggyIPs is told", 0.4):
            spec["avoidBuggyIPs"] = draws.chance("avoidBuggyIPs", 0.8)
        if draws.chance("pinned", 0.45):
            spec["serviceAllocation"] = self._pin()
        elif self._terms.ordered and spec.get("autoAssign", True) and self._has_open_pool():
            spec["autoAssign"] = False
        return spec

    def _has_open_pool(self) -> bool:
        return any(
            pool.spec.get("autoAssign", True) and "serviceAllocation" not in pool.spec
            for pool in self._world.pools.values()
        )

    def _pin(self) -> Json:
        draws = self._draws
        pin: Json = {}
        if draws.chance("priority is told", 0.7) or self._terms.ordered:
            pin["priority"] = self._priority()
        if draws.chance("namespaces", 0.4):
            pin["namespaces"] = draws.some(
                "pinned namespaces", [*NAMESPACES, "@-nowhere"], draws.number("how many", 1, 2)
            )
        if draws.chance("namespaceSelectors", 0.3):
            pin["namespaceSelectors"] = [self._selector("@-team", TEAMS)]
        if draws.chance("serviceSelectors", 0.35):
            pin["serviceSelectors"] = [self._selector("tier", TIERS)]
        return pin or {"priority": self._priority()}

    def _priority(self) -> int:
        if not self._terms.ordered:
            return self._draws.number("priority", 0, 4)
        free = [number for number in range(1, 60) if number not in self._world.priorities]
        priority = self._draws.pick("priority", free)
        self._world.priorities.add(priority)
        return priority

    def _selector(self, key: str, values: Sequence[str]) -> Json:
        draws = self._draws
        form = draws.weigh("selector", {"labels": 5, "In": 2, "NotIn": 1, "Exists": 1})
        if form == "labels":
            return {"matchLabels": {key: draws.pick("label", values)}}
        expression: Json = {"key": key, "operator": form}
        if form != "Exists":
            expression["values"] = draws.some("labels", values, draws.number("how many", 1, 2))
        return {"matchExpressions": [expression]}

    def change_pool(self, name: str) -> Step:
        """Change a pool's ranges, its manners, or nothing."""
        pool = self._world.pools[name]
        what = self._draws.weigh("change of pool", {"addresses": 4, "manners": 2, "nothing": 0.3})
        spec = dict(pool.spec)
        if what == "addresses":
            spec["addresses"] = self._ranges(pool.zone)
        elif what == "manners":
            pool.spec = {"autoAssign": False}
            spec = {"addresses": spec["addresses"]} | self._pool_manners()
        pool.spec = spec
        return pool_step("patch", name, replacing(spec))

    def delete_pool(self, name: str) -> Step:
        """Delete a pool."""
        del self._world.pools[name]
        return Step("delete", POOL, name, HOME)

    def rename_pool(self, name: str) -> list[Step]:
        """Delete a pool and make it again under another name."""
        pool = self._world.pools[name]
        steps = [self.delete_pool(name)]
        self._world.pool_count += 1
        fresh = f"p{self._draws.number('name of pool', 10, 99)}-{self._world.pool_count}"
        self._world.pools[fresh] = pool
        return [*steps, pool_step("create", fresh, pool.spec)]


def _ranges4(zone: int) -> list[str]:
    """Give ranges of a zone that do not overlap; most are small, so that pools run out."""
    low, high = f"10.20.{2 * zone}", f"10.20.{2 * zone + 1}"
    return [
        f"{low}.0/31",
        f"{low}.2-{low}.3",
        f"{low}.4/32",
        f"{low}.8/30",
        f"{low}.254-{high}.1",
        f"{high}.128/25",
        f"{high}.16 - {high}.17",
    ]


def _ranges6(zone: int) -> list[str]:
    base = f"fd00:20:{zone:x}"
    return [f"{base}::/127", f"{base}::/64", f"{base}::-{base}::2", f"{base}::ff/128"]


def pool_step(verb: str, name: str, spec: Json, *, spoils: bool = False) -> Step:
    """Write a step about a pool."""
    body: Json = {"spec": spec}
    if verb == "create":
        body = {
            "apiVersion": "metallb.io/v1beta1",
            "kind": POOL,
            "metadata": {"name": name},
            "spec": spec,
        }
    return Step(verb, POOL, name, HOME, body, spoils=spoils)


def replacing(spec: Json) -> Json:
    """Make a merge patch that leaves nothing of an old spec in place."""
    empty = {"autoAssign": None, "avoidBuggyIPs": None, "serviceAllocation": None}
    if "serviceAllocation" in spec:
        keys = ("priority", "namespaces", "namespaceSelectors", "serviceSelectors")
        pin: dict[str, Any] = dict.fromkeys(keys)
        spec = spec | {"serviceAllocation": pin | spec["serviceAllocation"]}
    return empty | spec
