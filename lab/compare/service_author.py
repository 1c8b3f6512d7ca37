"""Writes steps about services: what they ask for, and how they change.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lab.compare.script import SERVICE, Json, Step
from lab.compare.world import CLASS, NAMESPACES, TIERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.compare.world import Desk

_PREFIXES: Final = {"metallb.io": 4.0, "metallb.universe.tf": 1.0}


class ServiceAuthor:
    """Writes what happens to services."""

    def __init__(self, desk: Desk) -> None:
        self._draws = desk.draws
        self._terms = desk.terms
        self._world = desk.world

    def add_service(self) -> Step:
        """Make a service."""
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
        labels = {"tier": draws.pick("tier", TIERS)} if draws.chance("labelled", 0.6) else {}
        metadata = {"name": name, "labels": labels, "annotations": annotations}
        body = {"apiVersion": "v1", "kind": SERVICE, "metadata": metadata, "spec": spec}
        return Step("create", SERVICE, name, namespace, body)

    def delete_service(self, name: str) -> Step:
        """Delete a service."""
        self._world.retired.discard(name)
        return Step("delete", SERVICE, name, self._world.services.pop(name))

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

    def change_service(self, name: str) -> Step:
        """Change a service in one respect; one that is no load balancer becomes one again."""
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
            labels = {"tier": draws.pick("tier", [*TIERS, None])}
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
