"""The full profile: nodes with a real kubelet and containerd, pods from real images, DNS, Helm.

What a user of a cluster sees is real here; what the lab adds is the machines. The chart repository
and the console are there when asked for. See `lab.kubenode` for what a node is made of.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final

from lab import (
    binaries,
    chartrepo,
    controlplane,
    images,
    isolation,
    kubeproxy,
    netns,
    progress,
    topology,
)
from lab.build import apt, helm
from lab.cluster import Lab
from lab.console import Console
from lab.errors import WaitTimeout
from lab.kubenode import Nodes
from lab.site import Settings, Site

if TYPE_CHECKING:
    from lab.apiclient import ApiClient

MANIFESTS: Final = Path(__file__).parent / "manifests"
_READY_TIMEOUT_S: Final = 120.0
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class FullOptions:
    """How a full lab is made.

    With ``serve_chart`` the chart in ``chart`` is packaged and offered at `chartrepo.URL`. Our
    image is imported under the names that this chart asks for. With ``has_frr`` so are the images
    of FRR and frr-k8s, which take a while to import. An owned lab counts as dead once the process
    that started it is.
    """

    proxy_mode: str = "nftables"
    dns: bool = True
    serve_chart: bool = True
    has_frr: bool = False
    chart: str = str(chartrepo.CHART)
    node_grace_s: int = 12
    apiserver_args: tuple[str, ...] = ()
    owned: bool = True


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is installed and built for a full lab."""

    kube: Path
    helm: Path
    bundle: Path


def prepare(chart: Path = chartrepo.CHART, *, has_frr: bool = False) -> Prepared:
    """Install and build all that a full lab needs; quick when everything is cached."""
    apt.ensure_packages(apt.FULL_PACKAGES)
    kube = binaries.kube_dir()
    program = helm.ensure_helm()
    names = chartrepo.image_names(program, chart)
    return Prepared(
        kube, program, images.ensure_bundle([*names, images.our_name()], has_frr=has_frr)
    )


class FullLab(Lab):
    """A running full lab."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.power = Nodes(site, Path(site.settings.options.get("bundle", "")))

    @classmethod
    def start(cls, name: str, nodes: int, options: FullOptions) -> FullLab:
        """Bring a full lab up; whatever goes wrong, nothing of it stays."""
        kubeproxy.check_mode(options.proxy_mode)
        prepared = prepare(Path(options.chart), has_frr=options.has_frr)
        settings = Settings(name, "full", nodes, options=asdict(options))
        settings.options["bundle"] = str(prepared.bundle)
        with Site.begin(settings, owned=options.owned) as site:
            return cls._bring_up(site, options)

    @classmethod
    def _bring_up(cls, site: Site, options: FullOptions) -> FullLab:
        topology.build(site.plan)
        isolation.check(site.plan)
        controlplane.prepare(site)
        control = controlplane.Options(
            node_grace_s=options.node_grace_s, apiserver_args=options.apiserver_args
        )
        controlplane.start_server(site, control)
        lab = cls(site)
        lab.power.start_all()  # kubelets try until the API server answers
        with closing(controlplane.wait_ready(site)) as api:
            progress.say(f"full lab {site.name}: API server is ready")
            controlplane.start_managers(site, control)
            kubeproxy.bind_role(api)
            for node in site.plan.nodes:
                kubeproxy.start(site, node.name, options.proxy_mode)
            if options.dns:
                lab.apply(dns_manifest())
            if options.serve_chart:
                chartrepo.serve(site, helm.ensure_helm(), Path(options.chart))
            _await_nodes(lab, api)
        if options.dns:
            words = ("-n", "kube-system", "rollout", "status", "deployment/coredns")
            lab.kubectl(*words, f"--timeout={_READY_TIMEOUT_S:.0f}s", timeout_s=150)
        return lab

    def import_images(self, archive: Path) -> None:
        """Give every node the images of a docker-archive."""
        for node in self.site.plan.nodes:
            argv = [*self.site.enter_argv(node.name), netns.tool("ctr"), "-n", "k8s.io"]
            netns.command([*argv, "images", "import", "--no-unpack", str(archive)], timeout_s=120)

    def console(self) -> Console:
        """Return terminals on the hosts, with kubectl and helm ready for use."""
        return Console(self.site, binaries.kube_dir(), helm.ensure_helm())


def dns_manifest() -> str:
    """Return the manifest of the cluster's DNS."""
    text = (MANIFESTS / "coredns.yaml").read_text()
    return Template(text).substitute(
        COREDNS_IMAGE=images.COREDNS, CLUSTER_DNS=topology.CLUSTER_DNS4
    )


def ready_nodes(listing: dict[str, Any]) -> set[str]:
    """Name the nodes of a NodeList that are Ready."""
    return {
        item["metadata"]["name"]
        for item in listing["items"]
        for condition in item.get("status", {}).get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    }


def _await_nodes(lab: FullLab, api: ApiClient) -> None:
    """Wait until every node is Ready; a node whose first process ended is told at once."""
    site = lab.site
    wanted = {node.name for node in site.plan.nodes}
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while missing := wanted - ready_nodes(api.get("/api/v1/nodes")):
        for node in sorted(missing):
            lab.power.check(node)
        if time.monotonic() > deadline:
            logs = site.folder("logs")
            raise WaitTimeout(
                f"nodes {', '.join(sorted(missing))} are not Ready after {_READY_TIMEOUT_S:.0f} s; "
                f"see the kubelet's logs in {logs}"
            )
        time.sleep(_POLL_S)
    progress.say(f"full lab {site.name}: {len(wanted)} nodes are Ready")
