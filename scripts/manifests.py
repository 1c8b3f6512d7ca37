"""Draw the bases in config/ from the chart, and the manifests in config/manifests from the bases.

The manifests differ from the chart in names, labels and a few settings, and in nothing else: what
is the same for all ways to speak BGP lies in config/common, what is not in the folder of each. The
kustomizations themselves, monitors included, are written by hand.

`--check` writes nothing and fails, naming the files, when one is not what it would be.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import yaml

from lab import netns
from lab.build import helm, kube
from scripts import manifest_objects
from scripts.crds import Dumper

ROOT: Final = Path(__file__).resolve().parent.parent
CONFIG: Final = ROOT / "config"
CHART: Final = ROOT / "charts" / "mercurylb"
NAMESPACE: Final = "metallb-system"
HEADER: Final = "# Made from the chart by scripts/manifests: change that.\n"
ALL: Final = ("prometheus.scrapeAnnotations=true", "networkpolicies.enabled=true")
VARIANTS: Final = {
    "native": (),
    "frr": ("speaker.frr.enabled=true",),
    "frr-k8s": ("frrk8s.enabled=true",),
    "frr-k8s-external": ("frrk8s.external=true", "frrk8s.namespace=frr-k8s-system"),
}
"""Folders, and the values that make the chart do the same."""
MANIFESTS: Final = {
    "metallb-native.yaml": "native",
    "metallb-frr.yaml": "frr",
    "metallb-frr-k8s.yaml": "frr-k8s",
    "metallb-native-prometheus.yaml": "prometheus-native",
    "metallb-frr-prometheus.yaml": "prometheus-frr",
    "metallb-frr-k8s-prometheus.yaml": "prometheus-frr-k8s",
}
"""Files, and the folders that they are built from."""
FILES: Final = {
    "ConfigMap": "settings",
    "DaemonSet": "speaker",
    "Deployment": "controller",
    "NetworkPolicy": "policies",
    "Secret": "webhooks",
    "Service": "webhooks",
    "ValidatingWebhookConfiguration": "webhooks",
}
"""Where kinds go; all others are rights."""

Object = dict[str, Any]


def render(values: tuple[str, ...]) -> list[Object]:
    """Return the objects of the chart with some values, without definitions and tests."""
    argv = [str(helm.ensure_helm()), "template", "metallb", str(CHART), "--namespace", NAMESPACE]
    argv += ["--set", ",".join((*ALL, "networkpolicies.defaultDeny=true", *values))]
    text = netns.command(argv).stdout
    return [
        item
        for item in yaml.safe_load_all(text)
        if item
        and item["kind"] != "CustomResourceDefinition"
        and "helm.sh/hook" not in item["metadata"].get("annotations", {})
    ]


def bases() -> dict[str, str]:
    """Return the text of each generated file below config/ by its name."""
    folders: dict[str, list[Object]] = {"networkpolicies": [], "frr-k8s-daemon": []}
    for variant, values in VARIANTS.items():
        objects = render(values)
        theirs = [item for item in objects if manifest_objects.is_of_frrk8s(item)]
        folders[variant] = [manifest_objects.ours(item) for item in objects if item not in theirs]
        if theirs:
            folders["frr-k8s-daemon"] = [manifest_objects.of_frrk8s(item) for item in theirs]
    variants = [folders[name] for name in VARIANTS]
    common = [item for item in variants[0] if all(item in objects for objects in variants)]
    for name in VARIANTS:
        folders[name] = [item for item in folders[name] if item not in common]
    folders["networkpolicies"] = [item for item in common if item["kind"] == "NetworkPolicy"]
    folders["common"] = [item for item in common if item["kind"] != "NetworkPolicy"]
    return {
        f"{folder}/{file}.yaml": text
        for folder, objects in folders.items()
        for file, text in _files(folder, objects).items()
    }


def _files(folder: str, objects: list[Object]) -> dict[str, str]:
    texts: dict[str, list[str]] = {}
    for item in sorted(objects, key=lambda item: (item["kind"], item["metadata"]["name"])):
        file = FILES.get(item["kind"], "rights")
        if folder == "frr-k8s-daemon":
            file = {"speaker": "daemon", "controller": "status-cleaner"}.get(file, file)
        text = yaml.dump(item, Dumper=Dumper, sort_keys=False, width=100, allow_unicode=True)
        texts.setdefault(file, []).append(text)
    return {file: HEADER + "---\n".join(parts) for file, parts in texts.items()}


def manifest(folder: str) -> str:
    """Return what kubectl makes of a folder with a kustomization."""
    argv = [str(kube.ensure_kube() / "kubectl"), "kustomize", str(CONFIG / folder)]
    return netns.command(argv).stdout


def main(words: list[str]) -> int:
    """Write or compare all files."""
    is_check, stale = "--check" in words, []
    for name, text in bases().items():
        stale += _settle(CONFIG / name, text, is_check=is_check)
    for name, folder in MANIFESTS.items():
        stale += _settle(CONFIG / "manifests" / name, manifest(folder), is_check=is_check)
    for path in stale:
        print(f"{path.relative_to(ROOT)} is not what scripts/manifests makes")  # noqa: T201
    return 1 if stale else 0


def _settle(path: Path, text: str, *, is_check: bool) -> list[Path]:
    if path.exists() and path.read_text() == text:
        return []
    if is_check:
        return [path]
    path.write_text(text)
    return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
