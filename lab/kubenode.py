"""Nodes with a real kubelet and containerd: their files, their start, their plug.

The first process of a node is `lab.nodeinit`; this module only writes what that reads. A node's
disk is ``<lab>/nodes/<node>/``.

Traps met here: a machine without CAP_SYS_RESOURCE cannot lower oom_score_adj; a kubelet of this
version refuses version-1 control groups unless told; there is no registry to pull from again, so
images must never be collected; a node's ``/run`` is its own, so the lab's folder is bound back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from lab import binaries, cgroup, controlplane, images, netns, paths
from lab.errors import LabError, ProcessError
from lab.nodeinit import NodeConfig
from lab.topology import CLUSTER_DNS4, NodePlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.process import Process
    from lab.site import Site

CNI_PROGRAMS: Final = "/usr/lib/cni"
CONTAINERD_SOCKET: Final = "unix:///run/containerd/containerd.sock"
PODS_MAX: Final = 60


class Nodes:
    """The nodes of one full lab."""

    def __init__(self, site: Site, bundle: Path) -> None:
        self._site = site
        self._bundle = bundle

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
            binaries.helper_argv("lab.nodeinit", str(config)),
            env=binaries.helper_env(),
        )

    def power_off(self, name: str) -> None:
        """End a node at once, as if its plug was pulled; its disk stays.

        Its network stack lives on and would still forward: cut the cable too (`Faults.cut`).
        """
        self._process(name).kill()
        pid_file = self.folder(name) / "init.pid"
        pid_file.unlink(missing_ok=True)

    def power_on(self, name: str) -> None:
        """Start a node again from its disk."""
        self._process(name).start()

    def kill_daemon(self, name: str, daemon: str) -> None:
        """Kill the kubelet or containerd of a node; its first process starts it again."""
        pid = int((self.folder(name) / f"{daemon}.pid").read_text())
        netns.command([*self._site.enter_argv(name), "kill", "-KILL", str(pid)])

    def check(self, name: str) -> None:
        """Raise ProcessError when the first process of a node has ended."""
        process = self._process(name)
        if not process.is_alive():
            raise ProcessError(f"node {name} ended: {process.log().strip()[-1500:]}")

    def folder(self, name: str) -> Path:
        """Return the folder that is a node's disk."""
        return self._site.folder("nodes", name)

    def _process(self, name: str) -> Process:
        process = self._site.processes.get(process_name(name))
        if process is None:
            raise LabError(f"node {name} was never started")
        return process

    def _write_files(self, node: NodePlan, state: Path) -> NodeConfig:
        pki = controlplane.pki_dir(self._site)
        pair = (pki / f"{node.name}.crt", pki / f"{node.name}.key")
        (state / "resolv.conf").write_text("# The lab's machines have no name server.\n")
        cni = self._site.folder("nodes", node.name, "cni-net")
        (cni / "10-lab.conflist").write_text(json.dumps(cni_config(node), indent=1))
        (state / "containerd.toml").write_text(containerd_config(cni))
        settings = kubelet_config(state, pki / "ca.crt", pair)
        (state / "kubelet.yaml").write_text(yaml.safe_dump(settings))
        kubelet = [
            binaries.kube("kubelet"),
            f"--config={state / 'kubelet.yaml'}",
            f"--kubeconfig={self._site.kubeconfig(node.name)}",
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
            bundle=str(self._bundle),
            tmpfs_images=filesystem_of(state) == "overlay",
        )


def process_name(node: str) -> str:
    """Return the name under which a node's first process is recorded."""
    return f"node-{node}"


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
