"""What the tests of the chart's life share: the cluster, the steps, what is left of a release."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import yaml

from lab import chartrepo, demo, images, netns
from lab.console import MANIFESTS
from lab.topology import FORWARDED_TO, WAN_ROUTER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.full import FullLab


RELEASE: Final = "metallb"
CHART: Final = "mercurylb/mercurylb"
READY_S: Final = 300
"""Fifteen containers start on a machine that may be busy."""
GREETING: Final = "Hello from pod"
MIRRORED: Final = {images.FRR: "frr", images.FRRK8S: "frr-k8s", images.our_name(): "mercurylb"}
"""Images that nodes also have as registry.example/mirror/…:lab."""
BY_HAND: Final = {
    *("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Role", "RoleBinding"),
    "ServiceAccount",
}
"""Kinds that some are only given by somebody else."""
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
        for node in self.lab.site.plan.nodes:
            for image, name in MIRRORED.items():
                argv = [*self.lab.site.enter_argv(node.name), netns.tool("ctr"), "-n", "k8s.io"]
                netns.command(
                    [*argv, "images", "tag", image, f"registry.example/mirror/{name}:lab"]
                )
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

    def verify(self) -> None:
        """Run the chart's test; if it fails, show what it found."""
        log = "kubectl -n metallb logs -l app.kubernetes.io/component=test --tail -1"
        line = f"helm test {RELEASE} --timeout 120s --namespace metallb || ({log}; false)"
        self.console.run(line, timeout_s=150.0)

    def fresh_service(self, service_class: str = "") -> None:
        """Make the walk-through's service anew, without an address; give services a class."""
        wanted = f"type: LoadBalancer\n  loadBalancerClass: {service_class}"
        for name in ("service.yaml", "second.yaml"):
            text = (MANIFESTS / name).read_text()
            text = text.replace("type: LoadBalancer", wanted) if service_class else text
            (self.console.folder / name).write_text(text)
        self.console.run("kubectl delete -f service.yaml && kubectl apply -f service.yaml")

    def install(self, words: str) -> None:
        """Install the chart with values."""
        self.helm(f"install {RELEASE} {CHART} {words} --wait --timeout {READY_S}s")

    @contextmanager
    def made_by_hand(self, words: str, more: str, kinds: set[str]) -> Iterator[None]:
        """Make what the chart would make with more values; it has to be there afterwards, too."""
        own = {_key(found) for found in self._render(words)}
        wanted = self._render(f"{words} {more}")
        documents = [it for it in wanted if it["kind"] in kinds and _key(it) not in own]
        (self.console.folder / "by-hand.yaml").write_text(yaml.safe_dump_all(documents))
        # Not applied: the definitions are too long for the annotation that it makes.
        self.console.run("kubectl create -f by-hand.yaml")
        yield
        self.console.run("kubectl delete -f by-hand.yaml")

    def _render(self, words: str) -> list[dict[str, Any]]:
        text = self.console.quiet(f"helm template {RELEASE} {CHART} {words} --namespace metallb")
        return [it for it in yaml.load_all(text, Loader=yaml.CSafeLoader) if it]

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

    def walk_through(self, controller: str) -> None:
        """Do what the walk-through does once the chart is installed."""
        walk = demo.Demo(self.lab.site, self.console, chartrepo.URL, controller=controller)
        walk.pool()
        walk.advertisement()
        walk.look()
        walk.resilience()
        walk.two_services()
        walk.other_types()
        self.console.run("kubectl delete -f second.yaml -f other-types.yaml --grace-period 1")

    def pages(self) -> None:
        """Fetch the page from inside and from outside; nobody remembers who had the address."""
        for name in ("client", "router"):
            self.console.run("ip neigh flush all", host=name)
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


def _key(found: dict[str, Any]) -> tuple[str, str]:
    return found["kind"], found["metadata"]["name"]


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
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "frr-k8s-system"}},
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
