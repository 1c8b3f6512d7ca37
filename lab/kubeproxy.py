"""kube-proxy on each node, with nftables rules unless told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lab import binaries, netns, topology
from lab.errors import LabError

if TYPE_CHECKING:
    from lab.apiclient import ApiClient
    from lab.cluster import Lab
    from lab.process import Process
    from lab.site import Site

MODES: Final = ("nftables", "iptables")
# The role a kube-proxy needs is one of the API server's own; only the binding is ours to make.
ROLE_BINDING: Final[dict[str, Any]] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "lab:kube-proxy"},
    "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "system:node-proxier",
    },
    "subjects": [
        {"kind": "User", "name": "system:kube-proxy", "apiGroup": "rbac.authorization.k8s.io"}
    ],
}


def check_mode(mode: str) -> None:
    """Raise LabError if there is no such mode."""
    if mode not in MODES:
        raise LabError(f"proxy mode {mode!r}: choose {', '.join(MODES)}")


def bind_role(api: ApiClient) -> None:
    """Give kube-proxy's user its role."""
    api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", ROLE_BINDING)


def argv(site: Site, node: str, mode: str) -> list[str]:
    """Return kube-proxy's command line on a node."""
    return [
        binaries.kube("kube-proxy"),
        f"--kubeconfig={site.kubeconfig('kube-proxy')}",
        f"--hostname-override={node}",
        f"--proxy-mode={mode}",
        f"--cluster-cidr={topology.POD_CIDRS}",
        # The machine's connection-tracking limits are not the lab's to set.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    ]


def start(site: Site, node: str, mode: str = "nftables") -> Process:
    """Start kube-proxy in the node's network namespace; the Node object must exist."""
    return site.start(f"kube-proxy-{node}", node, argv(site, node, mode))


def await_known(lab: Lab, *addresses: str) -> None:
    """Wait until every node's kube-proxy, in its nftables mode, sends on what is for the addresses.

    A connection that comes before stays a connection to nobody: the node's kernel remembers it as
    untranslated for two minutes, and takes every later one from the same port of the client for it.
    """
    for node, address in ((node, address) for node in lab.nodes for address in addresses):
        lab.wait_for(
            lambda node=node, address=address: _is_known(lab.site, node, address),  # type: ignore[misc]
            what=f"kube-proxy of {node} knows {address}",
        )


def _is_known(site: Site, node: str, address: str) -> bool:
    family = "ip6" if ":" in address else "ip"
    words = [netns.tool("nft"), "list", "map", family, "kube-proxy", "service-ips"]
    told = netns.command(words, netns=site.namespace(node), check=False).stdout
    return f" {address} . " in told
