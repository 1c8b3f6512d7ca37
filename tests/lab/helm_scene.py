"""What the tests of the chart's life share: the cluster, the steps, what is left of a release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lab import chartrepo, demo
from lab.topology import FORWARDED_TO, WAN_ROUTER

if TYPE_CHECKING:
    from pathlib import Path

    from lab.full import FullLab

RELEASE: Final = "metallb"
CHART: Final = "mercurylb/mercurylb"
READY_S: Final = 300
"""Fifteen containers start on a machine that may be busy."""
GREETING: Final = "Hello from pod"
FLEETING: Final = {
    "componentstatuses",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "events",
    "events.events.k8s.io",
    "pods",
    "replicasets.apps",
}
"""Kinds whose objects come and go by themselves."""
MONITORING: Final = {
    "podmonitors": "PodMonitor",
    "prometheusrules": "PrometheusRule",
    "servicemonitors": "ServiceMonitor",
}


class HelmScene:
    """One full lab in which releases come and go."""

    def __init__(self, lab: FullLab) -> None:
        self.lab = lab
        self.console = lab.console()
        self.walk = demo.Demo(lab.site, self.console, chartrepo.URL)

    def prepare(self) -> None:
        """Make everything a release needs around it, and the walk-through's application."""
        out = self.console
        out.run(f"helm repo add mercurylb {chartrepo.URL}")
        self.lab.wait_for(
            lambda: self.lab.apply(surroundings()), timeout_s=120, what="the API server's schema"
        )
        out.run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 "
            "-subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout m.key -out m.crt "
            "2>/dev/null && kubectl -n metallb create secret tls metrics-tls --cert m.crt "
            "--key m.key"
        )
        out.run("kubectl apply -f web.yaml")
        self.walk.service()

    def helm(self, words: str, *, timeout_s: float = READY_S + 30.0) -> str:
        """Run Helm on the release's namespace."""
        return self.console.run(f"helm {words} --namespace metallb", timeout_s=timeout_s)

    def install(self, values: Path | None) -> None:
        """Install the chart with a file of values; return when every pod is ready."""
        file = f" --values {values}" if values else ""
        self.helm(f"install {RELEASE} {CHART}{file} --wait --timeout {READY_S}s")
        self.await_pods()

    def await_pods(self) -> dict[str, int]:
        """Wait until every pod is ready and none is ending; return how many there are of each."""

        def ready() -> dict[str, int]:
            counts: dict[str, int] = {}
            for pod in self.lab.kubectl_json("-n", "metallb", "get", "pods")["items"]:
                conditions = pod["status"].get("conditions", ())
                is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
                if not is_ready or "deletionTimestamp" in pod["metadata"]:
                    return {}
                kind = pod["metadata"]["ownerReferences"][0]["name"]
                kind = kind.removesuffix(
                    "-" + pod["metadata"]["labels"].get("pod-template-hash", "")
                )
                counts[kind] = counts.get(kind, 0) + 1
            return counts

        return self.lab.wait_for(ready, timeout_s=READY_S, what="every pod ready")

    def walk_through(self, *, resilience: bool) -> None:
        """Do what the walk-through does once the chart is installed."""
        self.walk.pool()
        self.walk.advertisement()
        self.walk.look()
        if resilience:
            self.walk.resilience()
        self.walk.two_services()
        self.walk.other_types()
        self.console.run("kubectl delete -f second.yaml -f other-types.yaml --grace-period 1")

    def pages(self) -> None:
        """Fetch the page from inside and from outside."""
        for host, address in ((self.lab.client, FORWARDED_TO), (self.lab.outside, WAN_ROUTER)):
            self.lab.wait_for(
                lambda host=host, address=address: (  # type: ignore[misc]
                    GREETING in host.http_get(f"http://{address}/").text
                ),
                timeout_s=30,
                what=f"the page from {host.name}",
            )

    def uninstall(self) -> None:
        """Remove the release; return when its pods are gone."""
        self.helm(f"uninstall {RELEASE} --wait --timeout 90s", timeout_s=100.0)
        self.lab.wait_for(
            lambda: not self.lab.kubectl_json("-n", "metallb", "get", "pods")["items"],
            timeout_s=60,
            what="no pods",
        )

    def inventory(self) -> set[str]:
        """Name every object of the cluster that does not come and go by itself."""
        kinds = self.lab.kubectl("api-resources", "--verbs=list", "--output=name").split()
        wanted = ",".join(sorted(set(kinds) - FLEETING))
        columns = "K:.kind,S:.metadata.namespace,N:.metadata.name"
        words = ("get", wanted, "-A", "--no-headers", "--ignore-not-found", "-o")
        table = self.lab.kubectl(*words, f"custom-columns={columns}", timeout_s=90)
        return {" ".join(line.split()) for line in table.splitlines()}

    def identity(self, kind: str, name: str) -> str:
        """Return the identity of an object: another one means that it was made anew."""
        found = self.lab.kubectl_json("-n", "metallb", "get", kind, name)
        return str(found["metadata"]["uid"])


def surroundings() -> list[dict[str, Any]]:
    """Describe what a release finds: namespaces, a runtime class, the kinds of a monitoring."""
    modes = ("enforce", "audit", "warn")
    labels = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in modes}
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "metallb", "labels": labels},
        },
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring"}},
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": "plain"},
            "handler": "runc",
        },
        *(_definition(plural, kind) for plural, kind in MONITORING.items()),
    ]


def _definition(plural: str, kind: str) -> dict[str, Any]:
    """Describe a kind that takes whatever it is given."""
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": loose},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def leaves(tree: object, path: str = "") -> set[str]:
    """Name the keys of a values file that have no keys below them."""
    if not isinstance(tree, dict) or not tree:
        return {path}
    return {
        found
        for key, value in tree.items()
        for found in leaves(value, f"{path}.{key}" if path else str(key))
    }


def is_set(path: str, tree: object) -> bool:
    """Tell whether a file of values says something about a key."""
    for part in path.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True
