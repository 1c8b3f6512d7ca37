"""An installation that is all right, as evidence, and ways to break it."""

from __future__ import annotations

from typing import Any

import msgspec

from mercurylb.api.crd import crd
from mercurylb.api.definition import DEFINITIONS
from mercurylb.cli.verify_evidence import FRR_DEFINITION, Evidence, Look, Trial

Json = dict[str, Any]
HOME = "metallb-system"
LABELS = {
    "app.kubernetes.io/name": "metallb",
    "app.kubernetes.io/version": "v1",
}
READY = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
REFUSED = 'admission webhook "ipaddresspoolvalidationwebhook.metallb.io" denied the request: no'


def labels(component: str) -> dict[str, str]:
    """Give the labels of a component's objects."""
    return {**LABELS, "app.kubernetes.io/component": component}


def definitions() -> dict[str, Look]:
    """Give the definitions of this version, as a cluster has them once they are served."""
    found = {}
    for definition in DEFINITIONS:
        raw: Json = msgspec.json.decode(msgspec.json.encode(crd(definition)))
        raw["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        if definition.conversion is not None:
            raw["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"] = "Q0E="
        found[f"{definition.plural}.{definition.group}"] = Look((raw,))
    found[FRR_DEFINITION] = Look()
    return found


def controller(namespace: str = HOME, *args: str) -> Json:
    """Give a Deployment with one replica that is available."""
    return {
        "kind": "Deployment",
        "metadata": {
            "name": "metallb-controller",
            "namespace": namespace,
            "labels": labels("controller"),
        },
        "spec": {"template": {"spec": {"containers": [{"args": list(args)}]}}},
        "status": {"availableReplicas": 1},
    }


def speakers(namespace: str = HOME, *args: str, ready: int = 3) -> Json:
    """Give a DaemonSet that is wanted on three nodes."""
    container = {
        "args": list(args),
        "env": [{"name": "METALLB_ML_SECRET_KEY_PATH", "value": "/etc/key"}],
        "volumeMounts": [{"name": "key", "mountPath": "/etc/key"}],
    }
    volumes = [{"name": "key", "secret": {"secretName": "metallb-memberlist"}}]
    return {
        "kind": "DaemonSet",
        "metadata": {
            "name": "metallb-speaker",
            "namespace": namespace,
            "labels": labels("speaker"),
        },
        "spec": {"template": {"spec": {"containers": [container], "volumes": volumes}}},
        "status": {"desiredNumberScheduled": 3, "numberReady": ready},
    }


def pod(name: str, component: str, **status: Any) -> Json:
    """Give a pod that is Ready, or has another status."""
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": HOME, "labels": labels(component)},
        "spec": {"nodeName": "n1"},
        "status": status or READY["status"],
    }


def state(name: str, result: str = "Valid", summary: str = "", **annotations: str) -> Json:
    """Give what a program says of the configuration."""
    metadata = {"name": name, "namespace": HOME, "annotations": annotations}
    return {"metadata": metadata, "status": {"result": result, "errorSummary": summary}}


def sound() -> Evidence:
    """Give an installation about which there is nothing to say."""
    return Evidence(
        namespace=HOME,
        definitions=definitions(),
        workloads=Look((controller(), speakers())),
        pods=Look((pod("c", "controller"), pod("s", "speaker"))),
        home=Look(({"metadata": {"name": HOME, "labels": {}}},)),
        secret=Look(({"data": {"secretkey": "a2V5"}},)),
        secret_name="metallb-memberlist",
        webhooks=Look(({"webhooks": [{"name": "w", "clientConfig": {"caBundle": "Q0E="}}]},)),
        trial=Trial(403, REFUSED),
        states=Look((state("controller"), *(state(f"speaker-n{n}") for n in (1, 2, 3)))),
        kube_proxy=Look(({"data": {"config.conf": "mode: iptables"}},)),
    )
