"""A chart that bears the original's names, selectors and labels, and does nothing.

It stands for an installed MetalLB 0.16 where none is at hand: programs that sleep, definitions that
take anything, no webhooks.  What another chart finds in its place is what Helm and the API server
go by: names, labels, selectors, ports (spec: metrics-and-install §3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

from lab import paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE: Final = "localhost/busybox:lab"
RELEASE: Final = "metallb"
DEFINITIONS: Final = paths.REPOSITORY / "config" / "crd"
LABELS: Final = {
    "helm.sh/chart": "metallb-0.16.2",
    "app.kubernetes.io/name": "metallb",
    "app.kubernetes.io/instance": RELEASE,
    "app.kubernetes.io/version": "v0.16.2",
    "app.kubernetes.io/managed-by": "Helm",
}
COMPONENTS: Final = {"controller": "Deployment", "speaker": "DaemonSet"}


def write_chart(folder: Path) -> Path:
    """Write the chart into a folder; return it."""
    (folder / "templates").mkdir(parents=True)
    about = {"apiVersion": "v2", "name": "metallb", "version": "0.16.2", "appVersion": "v0.16.2"}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(about))
    documents = [*_accounts(), *_rights(), *_objects(), *_definitions()]
    documents += [_workload(kind, component) for component, kind in COMPONENTS.items()]
    (folder / "templates" / "all.yaml").write_text(yaml.safe_dump_all(documents))
    return folder


def _meta(name: str, component: str = "", *, cluster: bool = False) -> dict[str, Any]:
    labels = dict(LABELS)
    if component:
        labels["app.kubernetes.io/component"] = component
    found: dict[str, Any] = {"name": name, "labels": labels}
    return found if cluster else {**found, "namespace": "{{ .Release.Namespace }}"}


def _accounts() -> Iterator[dict[str, Any]]:
    for component in COMPONENTS:
        meta = _meta(f"{RELEASE}-{component}", component)
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}


def _rights() -> Iterator[dict[str, Any]]:
    api = "rbac.authorization.k8s.io"
    rule = {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]}
    rights = [
        ("ClusterRole", f"{RELEASE}:controller", "controller"),
        ("ClusterRole", f"{RELEASE}:speaker", "speaker"),
        ("Role", f"{RELEASE}-controller", "controller"),
        ("Role", f"{RELEASE}-pod-lister", "speaker"),
    ]
    for kind, name, component in rights:
        meta = _meta(name, cluster=kind == "ClusterRole")
        head = {"apiVersion": f"{api}/v1", "metadata": meta}
        yield {**head, "kind": kind, "rules": [rule]}
        subject = {
            "kind": "ServiceAccount",
            "name": f"{RELEASE}-{component}",
            "namespace": "{{ .Release.Namespace }}",
        }
        role = {"apiGroup": api, "kind": kind, "name": name}
        yield {**head, "kind": f"{kind}Binding", "subjects": [subject], "roleRef": role}


def _objects() -> Iterator[dict[str, Any]]:
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _meta("metallb-excludel2"),
        "data": {"excludel2.yaml": "announcedInterfacesToExclude: [^docker.*]\n"},
    }
    yield {"apiVersion": "v1", "kind": "Secret", "metadata": _meta("metallb-webhook-cert")}
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta("metallb-webhook-service"),
        "spec": {
            "ports": [{"port": 443, "targetPort": 9443}],
            "selector": _selector("controller"),
        },
    }
    yield {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": _meta("metallb-webhook-configuration", cluster=True),
    }


def _definitions() -> Iterator[dict[str, Any]]:
    """Give the original's kinds, which take whatever they are given."""
    for file in sorted(DEFINITIONS.glob("*.yaml")):
        found = yaml.safe_load(file.read_text())
        if found["spec"]["group"] != "metallb.io":
            continue
        spec = {key: found["spec"][key] for key in ("group", "names", "scope")}
        loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        spec["versions"] = [
            {
                "name": version["name"],
                "served": version["served"],
                "storage": version["storage"],
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": loose},
            }
            for version in found["spec"]["versions"]
        ]
        yield {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": _meta(found["metadata"]["name"], cluster=True),
            "spec": spec,
        }


def _selector(component: str) -> dict[str, str]:
    names = ("app.kubernetes.io/name", "app.kubernetes.io/instance")
    return {**{name: LABELS[name] for name in names}, "app.kubernetes.io/component": component}


def _workload(kind: str, component: str) -> dict[str, Any]:
    """Give a program that sleeps, on the node's network if it is a speaker."""
    container = {
        "name": component,
        "image": IMAGE,
        "command": ["/bin/sh", "-c", "trap exit TERM; while :; do sleep 1; done"],
        "ports": [{"name": "metricshttps", "containerPort": 9120}],
    }
    spec: dict[str, Any] = {
        "serviceAccountName": f"{RELEASE}-{component}",
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
    }
    if component == "speaker":
        spec["hostNetwork"] = True
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": _meta(f"{RELEASE}-{component}", component),
        "spec": {
            "selector": {"matchLabels": _selector(component)},
            "template": {"metadata": {"labels": _selector(component)}, "spec": spec},
        },
    }
