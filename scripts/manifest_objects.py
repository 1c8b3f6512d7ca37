"""What an object of the chart is called, and how it is labelled, in the plain manifests."""

from __future__ import annotations

from typing import Any, Final

Object = dict[str, Any]

NAMES: Final = {
    "metallb-controller": "controller",
    "metallb-speaker": "speaker",
    "metallb-pod-lister": "pod-lister",
    "metallb-memberlist": "memberlist",
    "metallb-frr-startup": "frr-startup",
    "metallb:controller": "metallb-system:controller",
    "metallb:speaker": "metallb-system:speaker",
    "bgppeervalidationwebhook.metallb.io": "bgppeersvalidationwebhook.metallb.io",
}
"""What stands for what, wherever it is all of a text."""
FRRK8S_NAMES: Final = {
    "metallb-frr-k8s": "frr-k8s-daemon",
    "metallb-frr-k8s-controller": "frr-k8s-daemon",
    "metallb-frr-k8s-statuscleaner": "frr-k8s-statuscleaner",
    "metallb-frr-k8s-nodestate-cleaner": "frr-k8s-nodestate-cleaner",
    "metallb-frr-k8s-frr-startup": "frr-k8s-frr-startup",
}
FLAG_DEFAULTS: Final = ("--health-probe-port=17472", "--webhook-mode=enabled")
"""Arguments of the chart that say what the programs do anyway."""
NAMESPACE_FLAG: Final = "--frrk8s-namespace="
MEMBER_LABELS: Final = "app=metallb,component=speaker"
HISTORY: Final = {"Deployment": 3}
_LABEL: Final = "app.kubernetes.io/"


def is_of_frrk8s(item: Object) -> bool:
    """Tell whether an object belongs to frr-k8s."""
    return "frr-k8s" in item["metadata"]["name"]


def ours(item: Object) -> Object:
    """Return one of our objects as the manifests have it."""
    done: Object = _walk(item, NAMES, _our_labels)
    if done["kind"] == "Service":
        del done["spec"]["selector"]["app"]
    if done["kind"] in {"Deployment", "DaemonSet"}:
        _settle_workload(done)
    return done


def of_frrk8s(item: Object) -> Object:
    """Return an object of frr-k8s as the manifests have it."""
    done: Object = _walk(item, FRRK8S_NAMES, _frrk8s_labels)
    kind = done["kind"]
    if kind in {"Role", "ClusterRole"}:
        done["metadata"]["name"] += "-role"
    if kind in {"RoleBinding", "ClusterRoleBinding"}:
        done["metadata"]["name"] += "-rolebinding"
        done["roleRef"]["name"] += "-role"
    if kind in {"Deployment", "DaemonSet"}:
        component = done["metadata"]["labels"]["control-plane"]
        done["spec"]["selector"]["matchLabels"] = {"control-plane": component}
    if kind == "Service":
        done["spec"]["selector"] = {"control-plane": done["spec"]["selector"]["control-plane"]}
    return done


def _walk(value: Any, names: dict[str, str], relabel: Any) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, dict):
        if any(key.startswith((_LABEL, "helm.sh/")) for key in value):
            return relabel(value)
        return {key: _walk(child, names, relabel) for key, child in value.items()}
    if isinstance(value, list):
        return [_walk(child, names, relabel) for child in value]
    return names.get(value, value) if isinstance(value, str) else value


def _our_labels(labels: dict[str, str]) -> dict[str, str]:
    component = labels.get(f"{_LABEL}component")
    return {"app": "metallb"} | ({"component": component} if component else {})


def _frrk8s_labels(labels: dict[str, str]) -> dict[str, str]:
    component = labels.get(f"{_LABEL}component")
    if component in {"frr-k8s", "statuscleaner"}:
        return {
            "app": "frr-k8s",
            f"{_LABEL}component": component,
            "control-plane": component,
        }
    return {"app": "frr-k8s"}


def _settle_workload(item: Object) -> None:
    """Give a Deployment or DaemonSet the settings that the manifests always had."""
    spec = item["spec"]
    for key in ("revisionHistoryLimit", "strategy", "updateStrategy"):
        spec.pop(key, None)
    if item["kind"] in HISTORY:
        spec["revisionHistoryLimit"] = HISTORY[item["kind"]]
    container = spec["template"]["spec"]["containers"][0]
    env = {variable["name"]: variable for variable in container["env"]}
    env.pop("METALLB_ML_BIND_PORT", None)
    if "METALLB_ML_LABELS" in env:
        env["METALLB_ML_LABELS"]["value"] = MEMBER_LABELS
    args = [word for word in container["args"] if word not in FLAG_DEFAULTS]
    for word in [word for word in args if word.startswith(NAMESPACE_FLAG)]:
        args.remove(word)
        name = "FRRK8S_NAMESPACE"
        env[name] = {"name": name, "value": word.removeprefix(NAMESPACE_FLAG)}
    container["args"] = args
    container["env"] = list(env.values())
