"""The full profile: nodes with a real kubelet and containerd, pods from real images.

`prepare` installs and builds what is needed before a lab starts; `Nodes` starts, cuts the power of,
and enters the nodes of one lab. The first process of a node is `lab.nodeinit`; this module only
writes what it reads. Files of a node live in ``<lab>/nodes/<node>/``.

Traps that are met here: a machine without CAP_SYS_RESOURCE cannot lower oom_score_adj; a kubelet of
this version refuses version-1 control groups unless told; there is no registry, so images must never
be collected; a node's ``/run`` is its own, so paths below it are bound back.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

import yaml

from lab import cgroup, chartrepo, images, netns, paths
from lab.build import apt, helm, kube
from lab.errors import LabError
from lab.nodeinit import NodeConfig
from lab.pki import Authority, write_kubeconfig
from lab.process import Process
from lab.site import Site
from lab.topology import CLUSTER_DNS4, NodePlan

CNI_PROGRAMS: Final = "/usr/lib/cni"
CONTAINERD_SOCKET: Final = "unix:///run/containerd/containerd.sock"
PODS_MAX: Final = 60
_MANIFESTS: Final = Path(__file__).parent / "manifests"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a full lab is made of, installed and built."""

    kube: Path
    helm: Path
    bundle: Path


def prepare(chart: Path | None = None) -> Prepared:
    """Install and build all that a full lab needs; quick when everything is cached.

    Our image gets the names that `chart` asks for with its default values.
    """
    apt.ensure_packages(apt.FULL_PACKAGES)
    kube_dir = kube.ensure_kube()
    helm_program = helm.ensure_helm()
    names = chartrepo.image_names(helm_program, chart or chartrepo.CHART)
    return Prepared(kube_dir, helm_program, images.ensure_bundle([*names, images.our_name()]))


class Nodes:
    """The nodes of one full lab."""

    def __init__(self, site: Site, prepared: Prepared, server: str) -> None:
        self._site = site
        self._prepared = prepared
        self._server = server

    def start_all(self) -> None:
        """Start every node; they join as soon as the API server answers."""
        for node in self._site.plan.nodes:
            self.start(node)

    def start(self, node: NodePlan) -> Process:
        """Write a node's files and start its first process."""
        state = self.folder(node.name)
        config = state / "node.json"
        self._write_files(node, state).write(config)
        cgroup.create(self._site.name, node.name)
        return self._site.start(
            process_name(node.name),
            node.name,
            [sys.executable, "-m", "lab.nodeinit", str(config)],
            env={"PYTHONPATH": str(paths.REPOSITORY)},
        )

    def power_off(self, name: str) -> None:
        """End a node at once, as if its plug was pulled; its disk stays."""
        self._process(name).kill()
        pid_file = self.folder(name) / "init.pid"
        pid_file.unlink(missing_ok=True)

    def power_on(self, name: str) -> None:
        """Start a node again from its disk."""
        self._process(name).start()

    def kill_daemon(self, name: str, daemon: str) -> None:
        """Kill the kubelet or containerd of a node; its first process starts it again."""
        pid = int((self.folder(name) / f"{daemon}.pid").read_text())
        netns.command([*self.enter_argv(name), "kill", "-KILL", str(pid)])

    def enter_argv(self, name: str) -> list[str]:
        """Return the words that, put before a command line, run it inside a node."""
        file = self.folder(name) / "init.pid"
        if not file.exists():
            raise LabError(f"node {name} is not running")
        spaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
        return [netns.tool("nsenter"), "--target", file.read_text().strip(), *spaces, "--"]

    def folder(self, name: str) -> Path:
        """Return the folder that is a node's disk."""
        return self._site.folder("nodes", name)

    def _process(self, name: str) -> Process:
        process = self._site.processes.get(process_name(name))
        if process is None:
            raise LabError(f"node {name} was never started")
        return process

    def _write_files(self, node: NodePlan, state: Path) -> NodeConfig:
        pair = self._issue(node)
        authority = Authority(self._site.folder("pki"))
        kubeconfig = self._site.kubeconfig(f"kubelet-{node.name}")
        write_kubeconfig(kubeconfig, self._server, authority.ca_file, pair)
        (state / "resolv.conf").write_text("# The lab's machines have no name server.\n")
        cni = self._site.folder("nodes", node.name, "cni-net")
        (cni / "10-lab.conflist").write_text(json.dumps(cni_config(node), indent=1))
        (state / "containerd.toml").write_text(containerd_config(cni))
        settings = kubelet_config(state, authority.ca_file, pair)
        (state / "kubelet.yaml").write_text(yaml.safe_dump(settings))
        kubelet = [
            str(self._prepared.kube / "kubelet"),
            f"--config={state / 'kubelet.yaml'}",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={node.name}",
            f"--node-ip={node.ipv4},{node.ipv6}",
        ]
        return NodeConfig(
            lab=self._site.name,
            name=node.name,
            state=str(state),
            keep=str(paths.state_root()),
            log=str(self._site.folder("logs")),
            containerd=[netns.tool("containerd"), "--config", str(state / "containerd.toml")],
            kubelet=kubelet,
            ctr=netns.tool("ctr"),
            bundle=str(self._prepared.bundle),
            tmpfs_images=filesystem_of(state) == "overlay",
        )

    def _issue(self, node: NodePlan) -> tuple[Path, Path]:
        return Authority(self._site.folder("pki")).issue(
            f"kubelet-{node.name}",
            f"system:node:{node.name}",
            groups=["system:nodes"],
            alternative_names=[node.name, node.ipv4, node.ipv6],
        )


def process_name(node: str) -> str:
    """Return the name under which a node's first process is recorded."""
    return f"node-{node}"


def clear(lab: str) -> None:
    """Remove what a full lab leaves outside its folder; harmless for any other lab."""
    for pid in cgroup.processes(lab):
        with _gone_is_fine():
            os.kill(pid, 9)
    cgroup.remove(lab)


def dns_manifest() -> str:
    """Return the manifest of the cluster's DNS."""
    text = (_MANIFESTS / "coredns.yaml").read_text()
    return Template(text).substitute(COREDNS_IMAGE=images.COREDNS, CLUSTER_DNS=CLUSTER_DNS4)


def cni_config(node: NodePlan) -> dict[str, object]:
    """Return the pod network of a node: a bridge with one subnet of each family."""
    ipam = {
        "type": "host-local",
        "ranges": [
            [{"subnet": node.pod_cidr4, "gateway": node.pod_gateway4}],
            [{"subnet": node.pod_cidr6, "gateway": node.pod_gateway6}],
        ],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "ipam": ipam,
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "lab", "plugins": [bridge, ports]}


def containerd_config(cni_folder: Path) -> str:
    """Return containerd's configuration, the same for every node but for the CNI folder."""
    return f"""\
version = 2
disabled_plugins = [
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.internal.v1.opt",
]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{images.PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PROGRAMS}"
    conf_dir = "{cni_folder}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def kubelet_config(state: Path, ca: Path, pair: Sequence[Path]) -> dict[str, object]:
    """Return a kubelet's configuration."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "failSwapOn": False,
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": CONTAINERD_SOCKET,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(ca)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pair[0]),
        "tlsPrivateKeyFile": str(pair[1]),
        "clusterDNS": [CLUSTER_DNS4],
        "clusterDomain": "cluster.local",
        "resolvConf": str(state / "resolv.conf"),
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "makeIPTablesUtilChains": False,
        "nodeStatusUpdateFrequency": "2s",
        "nodeLeaseDurationSeconds": 8,
        "maxPods": PODS_MAX,
        "shutdownGracePeriod": "0s",
    }


def filesystem_of(folder: Path) -> str:
    """Return the kind of file system that holds `folder`."""
    best, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split()[4]
        if folder.resolve().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, rest.split(" ", 1)[0]
    return kind


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        return
