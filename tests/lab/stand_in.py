"""A chart and a manifest that bear the original's names, selectors and labels.

They stand for an installed MetalLB 0.16 where none is at hand: definitions that take anything, no
webhooks, and programs that either sleep or, as `Programs.SPEAK`, are those of
`tests/interop/go/foreign`.  What another chart finds in its place is what Helm and the API server
go by: names, labels, selectors, ports (spec: metrics-and-install §3, §4).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from lab import paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION: Final = "v0.16.2"
SLEEPER: Final = {"repository": "localhost/busybox", "tag": "lab"}
RELEASE: Final = "metallb"
HOME: Final = "metallb-system"
DEFINITIONS: Final = paths.REPOSITORY / "config" / "crd"
COMPONENTS: Final = {"controller": "Deployment", "speaker": "DaemonSet"}
RBAC: Final = "rbac.authorization.k8s.io"
KEY_FOLDER: Final = "/etc/ml_secret_key"


class Programs(enum.Enum):
    """What runs in the pods."""

    SLEEP = "sleep"
    SPEAK = "speak"


def image_of(component: str) -> dict[str, str]:
    """Give the image of a component that speaks, named as the original's."""
    return {"repository": f"localhost/metallb/{component}", "tag": VERSION}


def write_chart(folder: Path, programs: Programs = Programs.SLEEP) -> Path:
    """Write the chart into a folder; return it."""
    (folder / "templates").mkdir(parents=True)
    about = {"apiVersion": "v2", "name": "metallb", "version": "0.16.2", "appVersion": VERSION}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(about))
    speaks = programs is Programs.SPEAK
    values = {name: {"image": image_of(name) if speaks else SLEEPER} for name in COMPONENTS}
    values["speaker"]["updateStrategy"] = {"type": "RollingUpdate"}
    (folder / "values.yaml").write_text(yaml.safe_dump(values))
    style = _Style(
        prefix=f"{RELEASE}-",
        namespace="{{ .Release.Namespace }}",
        labels={
            "helm.sh/chart": "metallb-0.16.2",
            "app.kubernetes.io/name": "metallb",
            "app.kubernetes.io/instance": RELEASE,
            "app.kubernetes.io/version": VERSION,
            "app.kubernetes.io/managed-by": "Helm",
        },
        selected=("app.kubernetes.io/name", "app.kubernetes.io/instance"),
        component_key="app.kubernetes.io/component",
        images={
            name: ":".join(
                "{{ .Values." + f"{name}.image.{part}" + " }}" for part in ("repository", "tag")
            )
            for name in COMPONENTS
        },
        strategy={"type": "{{ .Values.speaker.updateStrategy.type }}"},
        speaks=speaks,
    )
    (folder / "templates" / "all.yaml").write_text(yaml.safe_dump_all(_documents(style)))
    return folder


def write_manifest(file: Path) -> Path:
    """Write the manifest of programs that speak; return it."""
    style = _Style(
        prefix="",
        namespace=HOME,
        labels={"app": "metallb"},
        selected=("app",),
        component_key="component",
        images={name: ":".join(image_of(name).values()) for name in COMPONENTS},
        speaks=True,
    )
    file.write_text(yaml.safe_dump_all(_documents(style)))
    return file


@dataclass(frozen=True)
class _Style:
    """In what chart and manifest differ."""

    prefix: str
    namespace: str
    labels: dict[str, str]
    selected: tuple[str, ...]
    component_key: str
    images: dict[str, str]
    strategy: dict[str, str] = field(default_factory=dict)
    speaks: bool = False

    def meta(self, name: str, component: str = "", *, cluster: bool = False) -> dict[str, Any]:
        labels = dict(self.labels)
        if component:
            labels[self.component_key] = component
        found: dict[str, Any] = {"name": name, "labels": labels}
        return found if cluster else {**found, "namespace": self.namespace}

    def selector(self, component: str) -> dict[str, str]:
        selected = {name: self.labels[name] for name in self.selected}
        return {**selected, self.component_key: component}

    @property
    def wide(self) -> str:
        """What names of cluster-wide roles begin with."""
        return self.prefix.rstrip("-") or HOME


def _documents(style: _Style) -> Iterator[dict[str, Any]]:
    for component in COMPONENTS:
        meta = style.meta(f"{style.prefix}{component}", component)
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
    yield from _rights(style)
    yield from _objects(style)
    yield from _definitions(style)
    for component, kind in COMPONENTS.items():
        yield _workload(style, kind, component)


def _rights(style: _Style) -> Iterator[dict[str, Any]]:
    rules = [
        _rule("", ["services", "pods"], ["get", "list", "watch"]),
        _rule("", ["services/status"], ["patch"]),
        _rule("", ["secrets"], ["create", "list"]),
        _rule("apps", ["deployments"], ["get"]),
        _rule("discovery.k8s.io", ["endpointslices"], ["get", "list", "watch"]),
        _rule("metallb.io", ["ipaddresspools"], ["get", "list", "watch"]),
    ]
    rights = [
        ("ClusterRole", f"{style.wide}:controller", "controller"),
        ("ClusterRole", f"{style.wide}:speaker", "speaker"),
        ("Role", f"{style.prefix}controller", "controller"),
        ("Role", f"{style.prefix}pod-lister", "speaker"),
    ]
    for kind, name, component in rights:
        meta = style.meta(name, cluster=kind == "ClusterRole")
        head = {"apiVersion": f"{RBAC}/v1", "metadata": meta}
        yield {**head, "kind": kind, "rules": rules}
        account = f"{style.prefix}{component}"
        subject = {"kind": "ServiceAccount", "name": account, "namespace": style.namespace}
        role = {"apiGroup": RBAC, "kind": kind, "name": name}
        yield {**head, "kind": f"{kind}Binding", "subjects": [subject], "roleRef": role}


def _rule(group: str, resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _objects(style: _Style) -> Iterator[dict[str, Any]]:
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": style.meta("metallb-excludel2"),
        "data": {"excludel2.yaml": "announcedInterfacesToExclude: [^docker.*]\n"},
    }
    yield {"apiVersion": "v1", "kind": "Secret", "metadata": style.meta("metallb-webhook-cert")}
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": style.meta("metallb-webhook-service"),
        "spec": {
            "ports": [{"port": 443, "targetPort": 9443}],
            "selector": style.selector("controller"),
        },
    }
    yield {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": style.meta("metallb-webhook-configuration", cluster=True),
    }


def _definitions(style: _Style) -> Iterator[dict[str, Any]]:
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
            "metadata": style.meta(found["metadata"]["name"], cluster=True),
            "spec": spec,
        }


def _workload(style: _Style, kind: str, component: str) -> dict[str, Any]:
    """Give a workload, whose speakers are on the node's network."""
    container: dict[str, Any] = {
        "name": component,
        "image": style.images[component],
        "ports": [{"name": "metricshttps", "containerPort": 9120}],
    }
    spec: dict[str, Any] = {
        "serviceAccountName": f"{style.prefix}{component}",
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
    }
    if component == "speaker":
        spec["hostNetwork"] = True
    if style.speaks:
        container |= _speaking(style, component)
        if component == "speaker":
            secret = {"secretName": f"{style.prefix}memberlist"}
            spec["volumes"] = [{"name": "memberlist", "secret": secret}]
    else:
        container["command"] = ["/bin/sh", "-c", "trap exit TERM; while :; do sleep 1; done"]
    found: dict[str, Any] = {
        "selector": {"matchLabels": style.selector(component)},
        "template": {"metadata": {"labels": style.selector(component)}, "spec": spec},
    }
    if component == "speaker" and style.strategy:
        found["updateStrategy"] = style.strategy
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": style.meta(f"{style.prefix}{component}", component),
        "spec": found,
    }


def _speaking(style: _Style, component: str) -> dict[str, Any]:
    """Give what makes a container run the foreign program, with the original's environment."""
    probe: dict[str, Any] = {"path": "/readyz", "port": 17472}
    if component == "controller":
        given = {
            "METALLB_ML_SECRET_NAME": f"{style.prefix}memberlist",
            "METALLB_DEPLOYMENT": f"{style.prefix}controller",
        }
        return {
            "env": [{"name": name, "value": value} for name, value in given.items()],
            "readinessProbe": {"httpGet": probe, "periodSeconds": 1},
        }
    labels = ",".join(f"{key}={value}" for key, value in style.selector(component).items())
    fields = {"METALLB_NODE_NAME": "spec.nodeName", "METALLB_ML_BIND_ADDR": "status.podIP"}
    given = {"METALLB_ML_LABELS": labels, "METALLB_ML_SECRET_KEY_PATH": KEY_FOLDER}
    return {
        "env": [
            *(
                {"name": key, "valueFrom": {"fieldRef": {"fieldPath": at}}}
                for key, at in fields.items()
            ),
            *({"name": name, "value": value} for name, value in given.items()),
        ],
        "readinessProbe": {"httpGet": {**probe, "host": "127.0.0.1"}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]},
        },
        "volumeMounts": [{"name": "memberlist", "mountPath": KEY_FOLDER, "readOnly": True}],
    }
