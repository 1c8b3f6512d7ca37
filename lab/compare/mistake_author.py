"""Writes mistakes: objects that make the configuration invalid until they are corrected.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lab.compare.pool_author import pool_step, replacing
from lab.compare.script import COMMUNITY, HOME, POOL, Json, Step

if TYPE_CHECKING:
    from lab.compare.world import Desk

_BAD_ADDRESSES: Final = (
    "nonsense",
    "10.30.1.0/33",
    "10.30.1.9-10.30.1.2",
    "10.30.1.256",
    "10.30.1.1",
    "fd00:30::/129",
    "10.30.1.1-",
    "",
)
_REFUSED_LATE: Final = "10.30.1.1-fd00:30::1"
"""Some releases of MetalLB 0.16 take it for an empty range."""


class MistakeAuthor:
    """Writes at most one mistake at a time, and takes it back."""

    def __init__(self, desk: Desk) -> None:
        self._draws = desk.draws
        self._terms = desk.terms
        self._world = desk.world

    def make_mistake(self) -> Step:
        """Make or change an object so that the configuration is invalid."""
        draws, world = self._draws, self._world
        weights = {"address": 4.0, "overlap": 3.0 if world.pools else 0.0}
        weights |= {"spoil": 2.0 if world.pools else 0.0, "community": 1.0, "selector": 1.0}
        what = draws.weigh("mistake", weights)
        if what == "community":
            value = draws.pick("bad community", ["65536:1", "abc", "1:2:3:4", "1", ""])
            return self.add_community(value, spoils=True)
        if what == "spoil":
            name = draws.pick("which pool", sorted(world.pools))
            spec = world.pools[name].spec
            world.mistake = pool_step("patch", name, replacing(spec))
            bad = [*spec["addresses"], self._bad_address()]
            return pool_step("patch", name, {"addresses": bad}, spoils=True)
        spec = self._spoiled_spec(what)
        world.pool_count += 1
        name = f"bad{draws.number('name of pool', 10, 99)}-{world.pool_count}"
        world.mistake = Step("delete", POOL, name, HOME)
        return pool_step("create", name, spec, spoils=True)

    def _spoiled_spec(self, what: str) -> Json:
        draws = self._draws
        if what == "overlap":
            other = self._world.pools[draws.pick("which pool", sorted(self._world.pools))]
            return {"addresses": [draws.pick("overlapping", other.spec["addresses"])]}
        if what == "selector":
            expression = {"key": "tier", "operator": draws.pick("operator", ["In", "Equals"])}
            pin = {"serviceSelectors": [{"matchExpressions": [expression]}]}
            return {"addresses": ["10.30.0.0/30"], "serviceAllocation": pin}
        return {"addresses": ["10.30.0.0/30", self._bad_address()]}

    def _bad_address(self) -> str:
        known = _BAD_ADDRESSES if self._terms.ordered else (*_BAD_ADDRESSES, _REFUSED_LATE)
        return self._draws.pick("bad address", known)

    def add_community(self, value: str, *, spoils: bool) -> Step:
        """Make a Community with one alias."""
        world = self._world
        world.community_count += 1
        name = f"c{world.community_count}"
        body = {
            "apiVersion": "metallb.io/v1beta1",
            "kind": COMMUNITY,
            "metadata": {"name": name},
            "spec": {"communities": [{"name": f"alias-{name}", "value": value}]},
        }
        if spoils:
            world.mistake = Step("delete", COMMUNITY, name, HOME)
        return Step("create", COMMUNITY, name, HOME, body, spoils=spoils)

    def correct(self) -> Step:
        """Take the mistake back."""
        step = self._world.mistake
        assert step is not None
        self._world.mistake = None
        return step
