"""A seeded stream of changes to pools and services.

It depends on the seed alone, never on what the controller does, so a seed gives the same operations
again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.lab.kill_judge import SHARING, WANTED, WANTED_POOL

if TYPE_CHECKING:
    import random

HOME: Final = "metallb"
POOLS_PATH: Final = f"/apis/metallb.io/v1beta1/namespaces/{HOME}/ipaddresspools"
NAMESPACES: Final = ("default", "red", "blue")
POOLS: Final = tuple(f"pool-{letter}" for letter in "abcdef")
BLOCKS: Final = 24
"""Each has eight addresses of either family and belongs to one pool at most."""
SERVICES_MIN, SERVICES_MAX = 40, 110

Json = dict[str, Any]


def block_range(block: int, version: int) -> str:
    """Give a block's addresses: every other one begins with .0, the rest end with .255."""
    net, half = divmod(block, 2)
    begin = 248 if half else 0
    if version == 4:
        return f"10.84.{net}.{begin}-10.84.{net}.{begin + 7}"
    return f"fd00:84:{net:x}::{begin:x}-fd00:84:{net:x}::{begin + 7:x}"


@dataclass(slots=True)
class Operation:
    """One request to the API server."""

    method: str
    path: str
    body: Json | None = None

    def __str__(self) -> str:
        """Give it as one line."""
        return f"{self.method} {self.path} {json.dumps(self.body) if self.body else ''}".rstrip()


@dataclass(slots=True)
class PoolPlan:
    """What the stream knows of a pool."""

    blocks: list[int]
    has_ipv6: bool = True
    auto_assign: bool = True
    avoid_buggy: bool = False
    namespaces: tuple[str, ...] = ()

    def spec(self) -> Json:
        """Give the pool's spec, every field named so that a merge patch leaves nothing behind."""
        versions = (4, 6) if self.has_ipv6 else (4,)
        return {
            "addresses": [block_range(b, v) for v in versions for b in self.blocks],
            "autoAssign": self.auto_assign,
            "avoidBuggyIPs": self.avoid_buggy,
            "serviceAllocation": {"namespaces": list(self.namespaces)} if self.namespaces else None,
        }


@dataclass
class Stream:
    """The operations of one round."""

    dice: random.Random
    prefix: str
    pools: dict[str, PoolPlan] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    """Path by name."""
    number: int = 0

    def begin(self) -> list[Operation]:
        """Give the pools that a round begins with."""
        for index, name in enumerate(POOLS[:4]):
            self.pools[name] = PoolPlan(blocks=list(range(index * 4, index * 4 + 4)))
        return [self._create_pool(name) for name in self.pools]

    def next(self) -> Operation:
        """Give the next operation."""
        roll = self.dice.random()
        if roll < 0.12:
            return self._edit_pools()
        if self.services and roll < 0.26:
            return self._edit_service()
        if len(self.services) >= SERVICES_MAX:
            return self._delete_service()
        if len(self.services) > SERVICES_MIN and roll < 0.58:
            return self._delete_service()
        return self._create_service()

    def end(self) -> list[Operation]:
        """Give what removes every service."""
        gone = [Operation("DELETE", path) for path in self.services.values()]
        self.services.clear()
        return gone

    # --- pools -------------------------------------------------------------------------------

    def _create_pool(self, name: str) -> Operation:
        spec = {k: v for k, v in self.pools[name].spec().items() if v is not None}
        head = {"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool"}
        return Operation("POST", POOLS_PATH, {**head, "metadata": {"name": name}, "spec": spec})

    def _set_pool(self, name: str) -> Operation:
        return Operation("PATCH", f"{POOLS_PATH}/{name}", {"spec": self.pools[name].spec()})

    def _edit_pools(self) -> Operation:
        dice = self.dice
        absent = [name for name in POOLS if name not in self.pools]
        free = sorted(set(range(BLOCKS)) - {b for p in self.pools.values() for b in p.blocks})
        roll = dice.random()
        if roll < 0.10 and absent and free:
            name = dice.choice(absent)
            self.pools[name] = PoolPlan(blocks=dice.sample(free, min(len(free), 3)))
            return self._create_pool(name)
        name = dice.choice(sorted(self.pools))
        if roll < 0.16 and len(self.pools) > 2:
            del self.pools[name]
            return Operation("DELETE", f"{POOLS_PATH}/{name}")
        plan = self.pools[name]
        if roll < 0.40 and free:
            plan.blocks.insert(dice.randrange(len(plan.blocks) + 1), dice.choice(free))
        elif roll < 0.62 and len(plan.blocks) > 1:
            plan.blocks.pop(dice.randrange(len(plan.blocks)))
        elif roll < 0.70 and free:
            plan.blocks = dice.sample(free, min(len(free), 2))
        elif roll < 0.78:
            plan.auto_assign = not plan.auto_assign
        elif roll < 0.86:
            plan.avoid_buggy = not plan.avoid_buggy
        elif roll < 0.93:
            plan.has_ipv6 = not plan.has_ipv6
        else:
            plan.namespaces = () if plan.namespaces else (dice.choice(NAMESPACES),)
        return self._set_pool(name)

    # --- services ----------------------------------------------------------------------------

    def _create_service(self) -> Operation:
        dice = self.dice
        self.number += 1
        name, namespace = f"{self.prefix}-{self.number:04d}", dice.choice(NAMESPACES)
        base = f"/api/v1/namespaces/{namespace}/services"
        self.services[name] = f"{base}/{name}"
        spec: Json = {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": False,
            "ports": self._ports(),
            "selector": {"app": dice.choice("xyz")},
        }
        spec |= dice.choices(
            [
                {},
                {"ipFamilies": ["IPv6"]},
                {"ipFamilyPolicy": "PreferDualStack"},
                {"ipFamilyPolicy": "RequireDualStack"},
            ],
            [6, 1, 1, 1],
        )[0]
        if dice.random() < 0.1:
            spec["externalTrafficPolicy"] = "Local"
        metadata = {"name": name, "annotations": self._wishes()}
        head = {"apiVersion": "v1", "kind": "Service"}
        return Operation("POST", base, {**head, "metadata": metadata, "spec": spec})

    def _ports(self) -> list[Json]:
        return [{"name": "a", "port": self.dice.choice((80, 443, 8080, 8443))}]

    def _wishes(self) -> Json:
        dice, roll = self.dice, self.dice.random()
        if roll < 0.30:
            return {SHARING: dice.choice(("k1", "k2", "k3"))}
        if roll < 0.42:
            return {WANTED_POOL: dice.choice(POOLS)}
        if roll < 0.54:
            first, _, _ = block_range(dice.randrange(BLOCKS), 4).partition("-")
            return {WANTED: first.rpartition(".")[0] + f".{int(first.rpartition('.')[2]) + 3}"}
        return {}

    def _edit_service(self) -> Operation:
        dice = self.dice
        path = self.services[dice.choice(sorted(self.services))]
        roll = dice.random()
        if roll < 0.30:
            return Operation("PATCH", path, {"spec": {"ports": self._ports()}})
        if roll < 0.45:
            return Operation("PATCH", path, {"spec": {"type": "ClusterIP"}})
        if roll < 0.60:
            wanted = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}
            return Operation("PATCH", path, {"spec": wanted})
        nothing: Json = dict.fromkeys((SHARING, WANTED_POOL, WANTED))
        annotations = nothing | self._wishes()
        return Operation("PATCH", path, {"metadata": {"annotations": annotations}})

    def _delete_service(self) -> Operation:
        name = self.dice.choice(sorted(self.services))
        return Operation("DELETE", self.services.pop(name))
