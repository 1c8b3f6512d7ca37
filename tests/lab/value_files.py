"""Files of values for the chart, and which of its keys each of them is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from lab import chartrepo

FOLDER: Final = Path(__file__).parent / "values"
EVERY_KEY: Final = FOLDER / "every-key.yaml"
MORE: Final = FOLDER / "every-key-more.yaml"
SWITCHED_OFF: Final = FOLDER / "switched-off.yaml"
METALLB_DEFAULTS: Final = FOLDER / "metallb-defaults.yaml"
_KUBERNETES: Final = "Kubernetes takes 1 alone"
_HIDES: Final = "without the probe its other keys would have no effect"
AS_BY_DEFAULT: Final = {
    "controller.enabled": "nobody would give addresses",
    "speaker.enabled": "nobody would announce them",
    "shadow": "nothing would be announced; test_migrate_page installs it so",
    "networkpolicies.apiPort": "the API server of the lab listens there",
    "controller.livenessProbe.successThreshold": _KUBERNETES,
    "speaker.livenessProbe.successThreshold": _KUBERNETES,
    "frr-k8s.frrk8s.livenessProbe.successThreshold": _KUBERNETES,
    "frr-k8s.frrk8s.livenessProbe.enabled": _HIDES,
    "frr-k8s.frrk8s.readinessProbe.enabled": _HIDES,
    "frr-k8s.frrk8s.startupProbe.enabled": _HIDES,
    "frr-k8s.frrk8s.disableCertRotation": "somebody would have to fill a secret of the release",
}
"""Keys that have another value in none of the files, and why."""


def load(file: Path) -> dict[str, Any]:
    """Read a file of values."""
    return dict(yaml.safe_load(file.read_text()))


def defaults() -> dict[str, Any]:
    """Give the chart's own values, with those of the chart in it."""
    own = load(chartrepo.CHART / "values.yaml")
    return {**own, "frr-k8s": load(chartrepo.CHART / "charts/frr-k8s/values.yaml")}


def leaves(tree: object, path: str = "") -> dict[str, object]:
    """Give the value of each key that has no keys below it."""
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    return {
        name: leaf
        for key, value in tree.items()
        for name, leaf in leaves(value, f"{path}.{key}" if path else str(key)).items()
    }


def value_at(path: str, tree: object, missing: object) -> object:
    """Give the value of a key, or what stands for one that is not set."""
    for part in path.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return missing
        tree = tree[part]
    return tree
