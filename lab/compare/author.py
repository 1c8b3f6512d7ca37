"""Writes the script of a seed: pools, services, mistakes, changes, restarts.

Pure.  The author keeps a small model of what exists, so that most steps hit something, and so that
it knows which objects are mistakes.  Pools take their addresses from zones, each of which belongs
to one pool at a time: two pools overlap only when the author means it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lab.compare.draws import Draws
from lab.compare.script import COMMUNITY, HOME, NAMESPACE, POOL, RESTART, SERVICE, Json, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAMESPACES: Final = ("@-blue", "@-green", "@-red")
CLASS: Final = "compare.example/@"
_ZONES: Final = tuple(range(24))
_TIERS: Final = ("gold", "silver")
_TEAMS: Final = ("one", "two")
_PREFIXES: Final = {"metallb.io": 4.0, "metallb.universe.tf": 1.0}


@dataclass(frozen=True, slots=True)
class Terms:
    """What kind of scripts are wanted."""

    steps: int = 14
    ordered: bool = False
    """Leave out what MetalLB 0.16 decides by chance, or one release of it unlike the next."""
    retires: bool = True
    """Services may stop being load balancers for a while."""
    restarts: Sequence[str] = ()
    """Universes to choose from; an empty name restarts the controllers of both."""


@dataclass(slots=True)
class _Pool:
    zone: int
    spec: Json


@dataclass(slots=True)
class _World:
    pools: dict[str, _Pool] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    """Name → namespace."""
    retired: set[str] = field(default_factory=set)
    """Services that are no load balancers just now."""
    mistake: Step | None = None
    """What takes the present mistake away."""
    priorities: set[int] = field(default_factory=set)
    pool_count: int = 0
    service_count: int = 0
    community_count: int = 0


def write(seed: int, terms: Terms) -> list[Step]:
    """Write the script of a seed."""
    return _Author(seed, terms).write()


class _Author:
    def __init__(self, seed: int, terms: Terms) -> None:
        self._draws = Draws(seed)
        self._terms = terms
        self._world = _World()

    def write(self) -> list[Step]:
        draws = self._draws
        steps = [self._label_namespace(name) for name in NAMESPACES if draws.chance("label", 0.6)]
        steps += [self._add_pool() for _ in range(draws.number("pools at first", 1, 4))]
        steps = [_joined(step) for step in steps[:-1]] + steps[-1:]
        while len(steps) < self._terms.steps:
            steps += self._next()
        if self._world.mistake is not None:
            steps.append(self._correct())
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
                "add pool": 1.0 if len(world.pools) < 6 else 0.0,  # noqa: PLR2004 (enough)
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
            return [self._add_service()]
        if what == "change service":
            return [self._change_service(draws.pick("which service", sorted(world.services)))]
        if what == "delete service":
            name = draws.pick("which service", sorted(world.services))
            world.retired.discard(name)
            return [Step("delete", SERVICE, name, world.services.pop(name))]
        if what == "rename pool":
            return self._rename_pool(draws.pick("which pool", sorted(world.pools)))
        if what == RESTART:
            return [Step(RESTART, only=draws.pick("whose restart", self._terms.restarts))]
        return [self._write_config(what)]

    def _write_config(self, what: str) -> Step:
        draws, world = self._draws, self._world
        if what in ("change pool", "delete pool"):
            name = draws.pick("which pool", sorted(world.pools))
            return self._change_pool(name) if what == "change pool" else self._delete_pool(name)
        if what == "label namespace":
            return self._label_namespace(draws.pick("which namespace", NAMESPACES))
        if what == "community":
            return self._add_community("64500:7", spoils=False)
        if what == "mistake":
            return self._make_mistake()
        return self._add_pool() if what == "add pool" else self._correct()

    # --- pools -------------------------------------------------------------------------------

    def _add_pool(self) -> Step:
        world = self._world
        world.pool_count += 1
        name = f"p{self._draws.number('name of pool', 10, 99)}-{world.pool_count}"
        used = {pool.zone for pool in world.pools.values()}
        zone = self._draws.pick("zone", [zone for zone in _ZONES if zone not in used])
        spec: Json = {"addresses": self._ranges(zone)} | self._pool_manners()
        world.pools[name] = _Pool(zone, spec)
        return _pool_step("create", name, spec)

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
            pin["namespaceSelectors"] = [self._selector("@-team", _TEAMS)]
        if draws.chance("serviceSelectors", 0.35):
            pin["serviceSelectors"] = [self._selector("tier", _TIERS)]
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

    def _change_pool(self, name: str) -> Step:
        pool = self._world.pools[name]
        what = self._draws.weigh("change of pool", {"addresses": 4, "manners": 2, "nothing": 0.3})
        spec = dict(pool.spec)
        if what == "addresses":
            spec["addresses"] = self._ranges(pool.zone)
        elif what == "manners":
            pool.spec = {"autoAssign": False}
            spec = {"addresses": spec["addresses"]} | self._pool_manners()
        pool.spec = spec
        return _pool_step("patch", name, _replacing(spec))

    def _delete_pool(self, name: str) -> Step:
        del self._world.pools[name]
        return Step("delete", POOL, name, HOME)

    def _rename_pool(self, name: str) -> list[Step]:
        pool = self._world.pools[name]
        steps = [self._delete_pool(name)]
        self._world.pool_count += 1
        fresh = f"p{self._draws.number('name of pool', 10, 99)}-{self._world.pool_count}"
        self._world.pools[fresh] = pool
        return [*steps, _pool_step("create", fresh, pool.spec)]

    # --- mistakes ----------------------------------------------------------------------------

    def _make_mistake(self) -> Step:
        draws, world = self._draws, self._world
        weights = {"address": 4.0, "overlap": 3.0 if world.pools else 0.0}
        weights |= {"spoil": 2.0 if world.pools else 0.0, "community": 1.0, "selector": 1.0}
        what = draws.weigh("mistake", weights)
        if what == "community":
            value = draws.pick("bad community", ["65536:1", "abc", "1:2:3:4", "1", ""])
            return self._add_community(value, spoils=True)
        if what == "spoil":
            name = draws.pick("which pool", sorted(world.pools))
            spec = world.pools[name].spec
            world.mistake = _pool_step("patch", name, _replacing(spec))
            bad = [*spec["addresses"], self._bad_address()]
            return _pool_step("patch", name, {"addresses": bad}, spoils=True)
        spec = self._spoiled_spec(what)
        world.pool_count += 1
        name = f"bad{draws.number('name of pool', 10, 99)}-{world.pool_count}"
        world.mistake = Step("delete", POOL, name, HOME)
        return _pool_step("create", name, spec, spoils=True)

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

    def _add_community(self, value: str, *, spoils: bool) -> Step:
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

    def _correct(self) -> Step:
        step = self._world.mistake
        assert step is not None
        self._world.mistake = None
        return step

    # --- namespaces and services -------------------------------------------------------------

    def _label_namespace(self, name: str) -> Step:
        value = self._draws.pick("team", [*_TEAMS, None])
        return Step("patch", NAMESPACE, name, body={"metadata": {"labels": {"@-team": value}}})

    def _add_service(self) -> Step:
        draws, world = self._draws, self._world
        world.service_count += 1
        letter = draws.pick("name of service", "abcdefgh")
        name = f"{letter}{world.service_count}"
        namespace = draws.pick("namespace", NAMESPACES)
        world.services[name] = namespace
        annotations = self._annotations(name)
        spec: Json = {
            "type": "LoadBalancer",
            "loadBalancerClass": CLASS,
            "allocateLoadBalancerNodePorts": False,
            "ports": self._ports(),
            **self._families(),
            **self._traffic(),
        }
        if draws.chance("loadBalancerIP", 0.06):
            spec["loadBalancerIP"] = self._requested(draws.pick("how asked", ["4", "6", "bad"]))
        labels = {"tier": draws.pick("tier", _TIERS)} if draws.chance("labelled", 0.6) else {}
        metadata = {"name": name, "labels": labels, "annotations": annotations}
        body = {"apiVersion": "v1", "kind": SERVICE, "metadata": metadata, "spec": spec}
        return Step("create", SERVICE, name, namespace, body)

    def _families(self) -> Json:
        draws = self._draws
        form = draws.weigh("families", {"4": 5, "6": 2, "prefer": 4, "require": 3})
        if form in ("4", "6"):
            return {"ipFamilyPolicy": "SingleStack", "ipFamilies": [f"IPv{form}"]}
        order = draws.pick("order of families", [["IPv4", "IPv6"], ["IPv6", "IPv4"]])
        policy = "PreferDualStack" if form == "prefer" else "RequireDualStack"
        return {"ipFamilyPolicy": policy, "ipFamilies": order}

    def _ports(self) -> list[Json]:
        draws = self._draws
        known = [("TCP", 80), ("TCP", 443), ("UDP", 53), ("TCP", 53), ("UDP", 80)]
        chosen = draws.some("ports", known, draws.weigh("count of ports", {1: 4, 2: 1}))
        return [
            {"name": f"{protocol.lower()}-{port}", "protocol": protocol, "port": port}
            for protocol, port in chosen
        ]

    def _traffic(self) -> Json:
        draws = self._draws
        if not draws.chance("Local", 0.2):
            return {"externalTrafficPolicy": "Cluster"}
        selector = {"app": draws.pick("app", ["x", "y"])}
        return {"externalTrafficPolicy": "Local", "selector": selector}

    def _annotations(self, name: str) -> dict[str, str]:
        draws = self._draws
        found: dict[str, str] = {}
        if draws.chance("asks for an address", 0.22):
            form = draws.weigh("how asked", {"4": 5, "6": 2, "46": 4, "44": 0.5, "bad": 0.7})
            found[self._key("loadBalancerIPs")] = self._requested(form)
        if draws.chance("asks for a pool", 0.18):
            pools = [*sorted(self._world.pools), "p00-no"]
            found[self._key("address-pool")] = draws.pick("asked pool", pools)
        if draws.chance("shares", 0.35):
            found[self._key("allow-shared-ip")] = draws.pick("sharing key", ["k", "k", "m", ""])
        if draws.chance("other annotation", 0.1):
            found["example.com/note"] = name
        return found

    def _key(self, name: str) -> str:
        return f"{self._draws.weigh('prefix', _PREFIXES)}/{name}"

    def _requested(self, form: str) -> str:
        draws = self._draws
        zones = [pool.zone for pool in self._world.pools.values()] or [0]
        zone = draws.pick("asked zone", zones)
        v4 = draws.pick("asked4", [f"10.20.{2 * zone}.{n}" for n in (0, 1, 2, 3, 9, 255)])
        v6 = draws.pick("asked6", [f"fd00:20:{zone:x}::{n:x}" for n in (0, 1, 2, 0xFF)])
        forms = {
            "4": v4,
            "6": v6,
            "46": draws.pick("order asked", [f"{v4},{v6}", f"{v6}, {v4}"]),
            "44": f"{v4},10.20.{2 * zone}.8",
            "bad": draws.pick("bad request", ["nonsense", "10.20.0.300", f"{v4},", "10.20.0.0/32"]),
        }
        return forms[form]

    def _change_service(self, name: str) -> Step:
        draws, world = self._draws, self._world
        if name in world.retired:
            world.retired.discard(name)
            spec: Json = {"type": "LoadBalancer", "loadBalancerClass": CLASS}
            spec["allocateLoadBalancerNodePorts"] = False
            return self._service_patch(name, {"spec": spec})
        changes: Mapping[str, float] = {"annotations": 4, "labels": 2, "ports": 2, "traffic": 2}
        type_weight = 1.5 if self._terms.retires else 0.0
        what = draws.weigh("change of service", {**changes, "type": type_weight, "family": 1.5})
        if what == "annotations":
            keys = ("loadBalancerIPs", "address-pool", "allow-shared-ip")
            none = {f"{prefix}/{key}": None for prefix in _PREFIXES for key in keys}
            metadata: Json = {"annotations": none | self._annotations(name)}
            return self._service_patch(name, {"metadata": metadata})
        if what == "labels":
            labels = {"tier": draws.pick("tier", [*_TIERS, None])}
            return self._service_patch(name, {"metadata": {"labels": labels}})
        return self._service_patch(name, {"spec": self._changed_spec(what, name)})

    def _changed_spec(self, what: str, name: str) -> Json:
        draws = self._draws
        if what == "ports":
            return {"ports": self._ports()}
        if what == "traffic":
            return {"selector": None} | self._traffic()
        if what == "family":
            policy = draws.pick("policy", ["SingleStack", "PreferDualStack", "RequireDualStack"])
            return {"ipFamilyPolicy": policy}
        self._world.retired.add(name)
        kind = draws.pick("type", ["ClusterIP", "NodePort"])
        return {
            "type": kind,
            "loadBalancerClass": None,
            "allocateLoadBalancerNodePorts": None,
            "healthCheckNodePort": None,
            "externalTrafficPolicy": None if kind == "ClusterIP" else "Cluster",
        }

    def _service_patch(self, name: str, patch: Json) -> Step:
        return Step("patch", SERVICE, name, self._world.services[name], patch)


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


def _pool_step(verb: str, name: str, spec: Json, *, spoils: bool = False) -> Step:
    body: Json = {"spec": spec}
    if verb == "create":
        body = {
            "apiVersion": "metallb.io/v1beta1",
            "kind": POOL,
            "metadata": {"name": name},
            "spec": spec,
        }
    return Step(verb, POOL, name, HOME, body, spoils=spoils)


def _replacing(spec: Json) -> Json:
    """Make a merge patch that leaves nothing of an old spec in place."""
    empty = {"autoAssign": None, "avoidBuggyIPs": None, "serviceAllocation": None}
    if "serviceAllocation" in spec:
        keys = ("priority", "namespaces", "namespaceSelectors", "serviceSelectors")
        pin: dict[str, Any] = dict.fromkeys(keys)
        spec = spec | {"serviceAllocation": pin | spec["serviceAllocation"]}
    return empty | spec


def _joined(step: Step) -> Step:
    return Step(step.verb, step.kind, step.name, step.namespace, step.body, step.spoils, joins=True)
