"""The control plane: etcd, API server, controller-manager and scheduler on host ``cp``.

Both profiles use it.  ``prepare`` makes keys and kubeconfig files, ``start_server`` brings etcd
and the API server up, ``wait_ready`` waits for it, ``start_managers`` starts the other two.  In the
full profile nodes may be started before the server is ready; kubelets retry.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lab import binaries, topology
from lab.apiclient import ApiClient
from lab.errors import ProcessError, WaitTimeout
from lab.pki import Authority, write_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lab.site import Site

API_PORT: Final = 6443
NODE_LIFECYCLE: Final = "node-lifecycle-controller"
# Identity -> (user, groups); nodes come on top, one identity each, named after the node.
IDENTITIES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "admin": ("lab-admin", ("system:masters",)),
    "kubelet-client": ("lab-kubelet-client", ("system:masters",)),
    "kube-controller-manager": ("system:kube-controller-manager", ()),
    "kube-scheduler": ("system:kube-scheduler", ()),
    "kube-proxy": ("system:kube-proxy", ()),
}


@dataclass(frozen=True, slots=True)
class Options:
    """How the control plane differs between profiles and experiments.

    With ``node_lifecycle`` nodes that stop renewing their lease become NotReady after
    ``node_grace_s`` and their pods are evicted; without it a registered node stays as it is.
    """

    node_lifecycle: bool = True
    node_grace_s: int = 12
    scheduler: bool = True
    apiserver_args: tuple[str, ...] = ()
    controller_manager_args: tuple[str, ...] = ()


def server_url(site: Site) -> str:
    """Return the API server's address as everyone inside the lab uses it."""
    return f"https://{site.plan.control_plane.ipv4}:{API_PORT}"


def pki_dir(site: Site) -> Path:
    """Return the folder with the lab's keys and certificates."""
    return site.folder("pki")


def prepare(site: Site) -> None:
    """Make the PKI and a kubeconfig file for each identity and each node."""
    authority = Authority(pki_dir(site))
    control_plane = site.plan.control_plane
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    names += ["kubernetes.default.svc.cluster.local", "localhost", topology.FIRST_SERVICE_IP]
    names += [control_plane.ipv4, control_plane.ipv6, "127.0.0.1", "::1"]
    authority.issue("apiserver", "kube-apiserver", alternative_names=names)
    authority.write_signing_key("service-accounts")
    for identity, (user, groups) in IDENTITIES.items():
        add_identity(site, identity, user, groups)
    for node in site.plan.nodes:
        add_identity(
            site,
            node.name,
            f"system:node:{node.name}",
            ("system:nodes",),
            alternative_names=(node.name, node.ipv4, node.ipv6),
        )


def add_identity(
    site: Site,
    identity: str,
    user: str,
    groups: Sequence[str] = (),
    alternative_names: Sequence[str] = (),
) -> Path:
    """Issue a certificate ``pki/<identity>.{crt,key}`` and return its kubeconfig file."""
    authority = Authority(pki_dir(site))
    pair = authority.issue(identity, user, groups=groups, alternative_names=alternative_names)
    file = site.kubeconfig(identity)
    write_kubeconfig(file, server_url(site), authority.ca_file, pair)
    return file


def client(site: Site, identity: str = "admin") -> ApiClient:
    """Return a client that speaks to the API server as the given identity."""
    control_plane = site.plan.control_plane
    return ApiClient(
        site.plan.namespace(control_plane.name),
        control_plane.ipv4,
        API_PORT,
        pki_dir(site),
        identity,
    )


def start_server(site: Site, options: Options) -> None:
    """Start etcd and the API server; does not wait."""
    data = site.folder("etcd")
    etcd = [binaries.kube("etcd"), f"--data-dir={data}", "--unsafe-no-fsync", "--name=lab"]
    etcd += ["--listen-client-urls=http://127.0.0.1:2379"]
    etcd += ["--advertise-client-urls=http://127.0.0.1:2379"]
    etcd += ["--listen-peer-urls=http://127.0.0.1:2380", "--log-level=warn"]
    etcd += ["--initial-advertise-peer-urls=http://127.0.0.1:2380"]
    etcd += ["--initial-cluster=lab=http://127.0.0.1:2380", "--quota-backend-bytes=2147483648"]
    site.start("etcd", "cp", etcd)
    site.start("kube-apiserver", "cp", apiserver_argv(site, options))


def apiserver_argv(site: Site, options: Options) -> list[str]:
    """Return the API server's command line."""
    pki = pki_dir(site)
    return [
        binaries.kube("kube-apiserver"),
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={site.plan.control_plane.ipv4}",
        f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={topology.SERVICE_CIDRS}",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        f"--service-account-key-file={pki}/service-accounts.pub",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        # The control plane has no kube-proxy: webhooks and aggregated APIs are reached at their
        # endpoints' addresses, for which it has routes.
        "--enable-aggregator-routing=true",
        *options.apiserver_args,
    ]


def wait_ready(site: Site, timeout_s: float = 90.0) -> ApiClient:
    """Wait until the API server is ready; return a client with the administrator's identity."""
    api = client(site)
    deadline = time.monotonic() + timeout_s
    while not api.is_ready():
        for name in ("etcd", "kube-apiserver"):
            process = site.processes.get(name)
            if process is None or not process.is_alive():
                tail = process.log()[-1500:] if process else "never started"
                raise ProcessError(f"{name} died while the API server was starting:\n{tail}")
        if time.monotonic() > deadline:
            raise WaitTimeout(f"API server not ready after {timeout_s:.0f} s")
        time.sleep(0.05)
    return api


def start_managers(site: Site, options: Options) -> None:
    """Start the controller-manager and the scheduler."""
    pki = pki_dir(site)
    config = site.kubeconfig("kube-controller-manager")
    controllers = "*" if options.node_lifecycle else f"*,-{NODE_LIFECYCLE}"
    manager = [
        binaries.kube("kube-controller-manager"),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/service-accounts.key",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        f"--controllers={controllers}",
        "--allocate-node-cidrs=false",
        f"--service-cluster-ip-range={topology.SERVICE_CIDRS}",
        f"--cluster-cidr={topology.POD_CIDRS}",
        "--node-monitor-period=1s",
        f"--node-monitor-grace-period={options.node_grace_s}s",
        *options.controller_manager_args,
    ]
    site.start("kube-controller-manager", "cp", manager)
    if options.scheduler:
        config = site.kubeconfig("kube-scheduler")
        scheduler = [binaries.kube("kube-scheduler"), f"--kubeconfig={config}"]
        scheduler += [f"--authentication-kubeconfig={config}"]
        scheduler += [f"--authorization-kubeconfig={config}", "--leader-elect=false"]
        site.start("kube-scheduler", "cp", scheduler)
