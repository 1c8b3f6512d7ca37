"""One controller's world: its namespaces, its class, its process, and the probes that settle it.

A probe is something that the controller answers where it can be seen.  The *service probe* writes
another pool's name into the annotation of a service that holds an address; the controller puts the
right one back.  The *pool probe* changes the size of a pool nobody uses; the controller counts
again.  A controller that takes things in their order has taken in all that came before a probe once
it answers, and what follows from that before it answers the next one or two.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lab.compare.script import HOME, NAMESPACE, Json, Step
from lab.compare.world import CLASS
from lab.errors import LabError

if TYPE_CHECKING:
    from lab.compare.live import Live
    from lab.process import Process

PROBE_NAMESPACE: Final = "@-probe"
PROBE: Final = "probe"
PROBE_POOL: Final = "zz-probe"
GAUGE_POOL: Final = "zz-gauge"
STATE: Final = "controller"
ALLOCATED: Final = "metallb.io/ip-allocated-from-pool"
ANSWER_TIMEOUT_S: Final = 60.0
ROUNDS_MAX: Final = 200
_GAUGE_MAX: Final = 200
_NAMES: Final = r"home|probe|blue|green|red|nowhere|team"


@dataclass(frozen=True, slots=True)
class Program:
    """A controller and how it is to be treated."""

    path: str
    rounds: int = 1
    """So many quiet service probes mean that it has settled."""
    is_own: bool = True


class Universe:
    """Everything about one of the two."""

    def __init__(self, tag: str, program: Program, live: Live, *, has_class: bool = True) -> None:
        self.tag = tag
        self.program = program
        self.lb_class = CLASS.replace("@", tag) if has_class else ""
        self.process: Process | None = None
        self.is_deaf = False
        """Started with an invalid configuration, a controller looks at no service."""
        self._live = live
        self._turn = 0
        self._labelled: set[str] = set()
        self._made: set[str] = set()
        self._names = re.compile(rf"\b{tag}-(?={_NAMES})")

    # --- between script and world ------------------------------------------------------------

    def into(self, value: Any) -> Any:  # noqa: ANN401  (JSON)
        """Translate what a script says into this universe."""
        found = json.loads(json.dumps(value).replace("@", self.tag))
        if not self.lb_class and isinstance(found, dict) and isinstance(found.get("spec"), dict):
            found["spec"].pop("loadBalancerClass", None)
        return found

    def out(self, text: str) -> str:
        """Translate what is read in this universe into a script's words."""
        return self._names.sub("@-", text)

    def owns(self, namespace: str) -> bool:
        """Tell whether a namespace is one of this universe."""
        return namespace.startswith(f"{self.tag}-")

    @property
    def home(self) -> str:
        """The controller's namespace."""
        return str(self.into(HOME))

    # --- what happens ------------------------------------------------------------------------

    async def apply(self, step: Step) -> tuple[int, Json]:
        """Let a step happen; return the API server's status and answer."""
        if step.kind == NAMESPACE:
            self._labelled.add(self.into(step.path))
        else:
            self._made.add(self.into(step.path))
        method = {"create": "POST", "patch": "PATCH", "delete": "DELETE"}[step.verb]
        path = self.into(step.collection if step.verb == "create" else step.path)
        body = self.into(step.body) if step.body else None
        return await self._live.request(method, path, body)

    async def restart(self) -> None:
        """Stop the controller and start it again; wait until it has looked at its configuration."""
        assert self.process is not None
        await asyncio.to_thread(self.process.stop)
        await self._live.request("DELETE", self._state_path())
        await self._live.until(lambda: self._live.state(self.home) is None, "the state is gone")
        await asyncio.to_thread(self.process.start)
        await self.wait_started()

    async def wait_started(self) -> None:
        """Wait until the controller says what it thinks of its configuration."""
        await self._wait(lambda: bool(self.result()), "it tells its configuration's state")
        self.is_deaf = self.result() != "Valid"

    def result(self) -> str:
        """Return what the ConfigurationState says; empty when there is none."""
        state = self._live.state(self.home)
        return str((state or {}).get("status", {}).get("result", ""))

    # --- probes ------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Wait until the controller has answered a number of probes and done nothing else."""
        if self.is_deaf:
            return
        quiet = 0
        for _ in range(ROUNDS_MAX):
            before = self._live.changes(self.tag)
            await self._probe_services()
            quiet = quiet + 1 if self._live.changes(self.tag) == before else 0
            if quiet >= self.program.rounds:
                return
        raise LabError(f"the controller of universe {self.tag} does not come to rest")

    async def _probe_services(self) -> None:
        self._turn += 1
        key = f"{self.into(PROBE_NAMESPACE)}/{PROBE}"
        patch = {"metadata": {"annotations": {ALLOCATED: f"turn-{self._turn}"}}}
        path = self.into(f"/api/v1/namespaces/{PROBE_NAMESPACE}/services/{PROBE}")
        _, written = await self._live.request("PATCH", path, patch)
        version = int(written["metadata"]["resourceVersion"])

        def is_answered() -> bool:
            metadata = self._live.services[key]["metadata"]
            is_new = int(metadata["resourceVersion"]) > version
            return is_new and metadata["annotations"].get(ALLOCATED) == PROBE_POOL

        await self._wait(is_answered, "it answers the service probe")

    async def probe_pools(self) -> None:
        """Wait until the controller has taken in every change of a pool made before."""
        self._turn += 1
        size = self._turn % _GAUGE_MAX + 1
        path = f"{self._pools_path()}/{GAUGE_POOL}"
        patch = {"spec": {"addresses": [gauge_range(size)]}}
        await self._live.request("PATCH", path, patch)
        await self._wait(lambda: self._gauge() == size, "it answers the pool probe")
        self.is_deaf = False

    def _gauge(self) -> int:
        pool = self._live.pools.get(f"{self.home}/{GAUGE_POOL}") or {}
        return int(pool.get("status", {}).get("availableIPv4", 0))

    async def _wait(self, condition: Any, what: str) -> None:  # noqa: ANN401  (a callable)
        assert self.process is not None
        where = f"universe {self.tag}: {what}"
        try:
            await self._live.until(condition, where, ANSWER_TIMEOUT_S)
        except LabError as late:
            tail = self.process.log()[-2000:]
            alive = "runs" if self.process.is_alive() else "has ended"
            probe = self._live.services.get(f"{self.into(PROBE_NAMESPACE)}/{PROBE}")
            raise LabError(
                f"{late}; the service of the probes is {json.dumps(probe)};"
                f" the controller {alive} and said last:\n{tail}"
            ) from late

    # --- beginnings and ends -----------------------------------------------------------------

    async def furnish(self) -> None:
        """Make namespaces, the pools of the probes and the service that answers them."""
        for name in (HOME, PROBE_NAMESPACE, "@-blue", "@-green", "@-red"):
            await self._create("/api/v1/namespaces", _named("v1", "Namespace", name))
        for name, ranges in ((PROBE_POOL, "10.99.0.1/32"), (GAUGE_POOL, gauge_range(1))):
            pool = _named("metallb.io/v1beta1", "IPAddressPool", name)
            pool["spec"] = {"addresses": [ranges], "autoAssign": False}
            await self._create(self._pools_path(), pool)
        service = _named("v1", "Service", PROBE)
        service["metadata"]["annotations"] = {"metallb.io/address-pool": PROBE_POOL}
        service["spec"] = {
            "type": "LoadBalancer",
            "loadBalancerClass": CLASS,
            "allocateLoadBalancerNodePorts": False,
            "ports": [{"port": 1}],
            "ipFamilyPolicy": "SingleStack",
            "ipFamilies": ["IPv4"],
        }
        await self._create(f"/api/v1/namespaces/{PROBE_NAMESPACE}/services", service)

    async def wait_furnished(self) -> None:
        """Wait until the service of the probes has its address."""
        await self.wait_started()
        key = f"{self.into(PROBE_NAMESPACE)}/{PROBE}"
        await self._wait(
            lambda: bool(self._live.services[key]["status"]["loadBalancer"].get("ingress")),
            "it gives the probe its address",
        )

    async def wipe(self) -> None:
        """Delete whatever a script left behind."""
        live = self._live
        await asyncio.gather(*(live.request("DELETE", path) for path in self._made))
        label = {"metadata": {"labels": {f"{self.tag}-team": None}}}
        await asyncio.gather(*(live.request("PATCH", path, label) for path in self._labelled))
        self._made.clear()
        self._labelled.clear()
        await live.until(
            lambda: not any(map(self._is_scripted, (*live.services, *live.pools))), "all is gone"
        )
        await self.probe_pools()
        await self._wait(lambda: self.result() == "Valid", "its configuration is valid again")
        await self.settle()

    def _is_scripted(self, key: str) -> bool:
        namespace, _, name = key.partition("/")
        return self.owns(namespace) and name not in (PROBE, PROBE_POOL, GAUGE_POOL)

    async def _create(self, path: str, body: Json) -> None:
        status, answer = await self._live.request("POST", self.into(path), self.into(body))
        if status >= 300:  # noqa: PLR2004  (HTTP)
            raise LabError(f"universe {self.tag}: {answer.get('message')}")

    def _pools_path(self) -> str:
        return f"/apis/metallb.io/v1beta1/namespaces/{self.home}/ipaddresspools"

    def _state_path(self) -> str:
        return f"/apis/metallb.io/v1beta1/namespaces/{self.home}/configurationstates/{STATE}"


def gauge_range(size: int) -> str:
    """Give a range of so many addresses."""
    return f"10.98.0.1-10.98.0.{size}"


def _named(version: str, kind: str, name: str) -> Json:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}}
