"""A running lab as tests, the demo and the benchmarks use it.

``Lab.light`` and ``Lab.full`` start one that ends with the ``with`` block, or with its driver's
death; ``Lab.attach`` finds one that another command started.  What differs between the profiles is
in `lab.light` and `lab.full`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from lab import binaries, controlplane, netns, topology
from lab.errors import LabError, WaitTimeout
from lab.faults import Faults
from lab.host import Host
from lab.observe.watch import Observers
from lab.router import BgpRouter
from lab.site import Site, clear

if TYPE_CHECKING:
    from types import TracebackType

    from lab.apiclient import ApiClient
    from lab.full import FullLab
    from lab.light import LightLab
    from lab.process import Process

T = TypeVar("T")

PATIENCE_S: Final = 30.0
"""The least that anybody waits for a condition: a busy machine is no failure."""


class Lab:
    """One running lab, whatever its profile."""

    def __init__(self, site: Site) -> None:
        self.site = site
        plan = site.plan
        self.nodes = {node.name: Host(site, node.name, node.ipv4, node.ipv6) for node in plan.nodes}
        self.client = Host(site, "client", plan.client.ipv4, plan.client.ipv6)
        self.control_plane = Host(site, "cp", plan.control_plane.ipv4, plan.control_plane.ipv6)
        self.router = Host(site, "router", plan.router.ipv4, plan.router.ipv6)
        self.outside = Host(site, "outside", topology.WAN_CLIENT)
        self.faults = Faults(site)
        self.observe = Observers(site)
        self.bgp = BgpRouter(site)
        self._api: ApiClient | None = None

    @staticmethod
    def light(name: str = "light", nodes: int = 3, **options: Any) -> LightLab:  # noqa: ANN401
        """Start a light lab; see `lab.light.LightOptions` for the options."""
        from lab.light import LightLab, LightOptions  # noqa: PLC0415  (it stands on this module)

        return LightLab.start(name, nodes, LightOptions(**options))

    @staticmethod
    def full(name: str = "full", nodes: int = 3, **options: Any) -> FullLab:  # noqa: ANN401
        """Start a full lab; see `lab.full.FullOptions` for the options."""
        from lab.full import FullLab, FullOptions  # noqa: PLC0415  (it stands on this module)

        return FullLab.start(name, nodes, FullOptions(**options))

    @staticmethod
    def attach(name: str) -> Lab:
        """Find a lab that is up."""
        site = Site.find(name)
        if site is None:
            raise LabError(f"no lab called {name}; `python -m lab list` names those that are up")
        if site.settings.profile == "light":
            from lab.light import LightLab  # noqa: PLC0415  (it stands on this module)

            return LightLab(site)
        from lab.full import FullLab  # noqa: PLC0415  (it stands on this module)

        return FullLab(site)

    def __enter__(self) -> Self:
        """Use the lab inside the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the lab."""
        self.down()

    @property
    def api(self) -> ApiClient:
        """A quick client of the API server with the administrator's rights."""
        if self._api is None:
            self._api = controlplane.client(self.site)
        return self._api

    def host(self, name: str) -> Host:
        """Return a host by its name, pods' and foreign ones too."""
        known = [self.client, self.control_plane, self.router, self.outside, *self.nodes.values()]
        for host in known:
            if host.name == name:
                return host
        self.site.namespace(name)
        return Host(self.site, name)

    def process(self, name: str) -> Process:
        """Return a process by its name."""
        found = self.site.processes.get(name)
        if found is None:
            names = ", ".join(process.name for process in self.site.processes.all())
            raise LabError(f"no process {name!r}; there are {names}")
        return found

    def kubectl(
        self,
        *words: str,
        stdin: str | None = None,
        check: bool = True,
        timeout_s: float = 60.0,
    ) -> str:
        """Run kubectl as administrator on the control plane; return its standard output."""
        argv = [binaries.kube("kubectl"), *words]
        env = {
            "KUBECONFIG": str(self.site.kubeconfig()),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.site.folder("kubectl")),
        }
        done = netns.command(
            argv,
            netns=self.site.namespace("cp"),
            stdin=stdin,
            env=env,
            check=check,
            timeout_s=timeout_s,
        )
        return done.stdout if done.returncode == 0 else done.stdout + done.stderr

    def kubectl_json(self, *words: str) -> Any:  # noqa: ANN401  (JSON)
        """Run kubectl with ``-o json`` and return the decoded answer."""
        return json.loads(self.kubectl(*words, "-o", "json"))

    def apply(self, manifest: str | Path | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
        """Apply a manifest: YAML text, a file, one object or several."""
        if isinstance(manifest, Path):
            manifest = manifest.read_text()
        if isinstance(manifest, str):
            return self.kubectl("apply", "-f", "-", stdin=manifest)
        several = [manifest] if isinstance(manifest, Mapping) else list(manifest)
        bundle = {"apiVersion": "v1", "kind": "List", "items": several}
        return self.kubectl("apply", "-f", "-", stdin=json.dumps(bundle))

    def wait_for(
        self,
        condition: Callable[[], T],
        *,
        timeout_s: float = 10.0,
        what: str = "",
        interval_s: float = 0.05,
    ) -> T:
        """Wait until the condition returns something true, and return that.

        An OSError or LabError of the condition counts as "not yet"; the last one is told when the
        time is over. On a busy machine that is late: nobody waits less than `PATIENCE_S`, and who
        has to prove that something is quick measures it.
        """
        timeout_s = max(timeout_s, PATIENCE_S)
        deadline = time.monotonic() + timeout_s
        last: object = None
        while True:
            try:
                value = condition()
                if value:
                    return value
                last = value
            except (OSError, LabError) as failed:
                last = failed
            if time.monotonic() > deadline:
                name = what or getattr(condition, "__name__", "condition")
                raise WaitTimeout(f"{name}: not within {timeout_s:g} s; last seen: {last!r}")
            time.sleep(interval_s)

    def down(self) -> None:
        """End every process of the lab and remove all it made."""
        if self._api is not None:
            self._api.close()
        clear(self.site.name)
