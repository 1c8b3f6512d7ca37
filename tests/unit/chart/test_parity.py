"""The same values give the same names, selectors, labels, arguments and ports as MetalLB's chart.

parity.yaml holds the facts; what is different on purpose stands here, with its reason. A release
of MetalLB's chart can only be upgraded in place, and rolled back, while all of this holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

FACTS = yaml.safe_load((Path(__file__).parent / "parity.yaml").read_text())
MISSING_OBJECTS = {
    "no speakers": {
        "Role metallb-pod-lister": "MetalLB's controller has this role too, ours has its own",
        "RoleBinding metallb-pod-lister": "the same",
    },
}
"""Objects of MetalLB's chart that ours does not have."""
FRR = {
    "containers": {
        "reloader": "its program has another name",
        "frr-metrics": "runs in our image, so it needs neither FRR's configuration nor a copy",
    },
    "volumes": {"metrics": "the copy of frr-metrics"},
}
"""What differs where FRR runs beside the speakers."""
NO_KEY = {"/etc/metallb/memberlist": "settings of a member list that there is not"}
FIXED = ("metallb-webhook-configuration", "metallb-webhook-service", "metallb-webhook-cert")

Case = dict[str, Any]


def source(volume: dict[str, Any]) -> str:
    """Say where a volume comes from."""
    for kind in ("secret", "configMap", "emptyDir"):
        if kind in volume:
            named = [volume[kind][key] for key in ("secretName", "name") if key in volume[kind]]
            return " ".join([kind, *named])
    raise AssertionError(volume)


def environment(container: dict[str, Any]) -> dict[str, str]:
    """Give the variables of a container: text, or the field of the pod."""
    return {
        item["name"]: item["value"]
        if "value" in item
        else item["valueFrom"]["fieldRef"]["fieldPath"]
        for item in container.get("env") or []
    }


@pytest.fixture(params=FACTS, ids=lambda name: name.replace(" ", "-"))
def name(request: pytest.FixtureRequest) -> str:
    """Name one case after the other."""
    case: str = request.param
    return case


@pytest.mark.rule(
    "install-3.1.fullname",
    "install-3.1.fixed-names",
    "install-3.2.objects",
    "install-3.2.on-demand",
    "install-3.3.rbac",
)
def test_the_objects_have_the_same_names(render: Any, name: str) -> None:
    """Whatever looks for an object of MetalLB's finds ours."""
    case: Case = FACTS[name]
    ours = {" ".join(key) for key in render(case["values"], release=case["release"])}
    assert set(case["objects"]) - ours == set(MISSING_OBJECTS.get(name, {}))
    assert ours - set(case["objects"]) == set()
    assert [fixed for fixed in FIXED if not any(fixed in item for item in ours)] == []


@pytest.mark.rule(
    "install-3.1.labels",
    "install-3.3.names",
    "install-3.3.service-accounts",
    "install-3.3.scrape-annotations",
)
def test_selectors_labels_and_bindings_are_the_same(render: Any, name: str) -> None:
    """Selectors and what a role is bound to cannot be changed once they are there."""
    case: Case = FACTS[name]
    objects = render(case["values"], release=case["release"])
    for key, expected in case["workloads"].items():
        kind, _, called = key.partition(" ")
        item = objects[kind, called]["spec"]
        template = item["template"]
        assert item["selector"]["matchLabels"] == expected["selector"], key
        assert template["metadata"]["labels"] == expected["labels"], key
        assert template["metadata"].get("annotations") == expected.get("annotations"), key
        assert template["spec"]["serviceAccountName"] == expected["account"], key
    for key, role in case["bound"].items():
        if key not in MISSING_OBJECTS.get(name, {}):
            kind, _, called = key.partition(" ")
            assert objects[kind, called]["roleRef"]["name"] == role


@pytest.mark.rule(
    "install-3.3.lb-class",
    "install-3.3.tls",
    "install-3.3.metrics-port",
    "install-3.3.log-level",
    "install-3.3.webhook-mode",
    "install-3.3.tolerate-master",
    "install-3.3.ignore-exclude-lb",
    "install-3.3.bgp-debounce",
    "install-3.3.secret-name",
    "install-3.3.frrk8s-external",
    "install-3.4.args",
    "install-3.4.env",
    "install-3.4.ports",
    "install-3.5.args",
    "install-3.5.env",
    "install-3.5.ml-labels",
)
def test_containers_are_started_the_same(render: Any, name: str) -> None:
    """Arguments in the same order, and the same environment and ports."""
    case: Case = FACTS[name]
    objects = render(case["values"], release=case["release"])
    for key, expected in case["workloads"].items():
        pod = objects[tuple(key.split(" "))]["spec"]["template"]["spec"]
        containers = {c["name"]: c for c in pod["containers"]}
        assert list(containers) == list(expected["containers"])
        for called, facts in expected["containers"].items():
            ours = containers[called]
            ports = {p["name"]: p["containerPort"] for p in ours.get("ports") or []}
            assert ports == facts.get("ports", {}), called
            if called not in FRR["containers"]:
                assert ours.get("args") == facts.get("args"), called
                assert environment(ours) == facts.get("env", {}), called


@pytest.mark.rule(
    "install-3.3.memberlist-enabled",
    "install-3.3.exclude-interfaces",
    "install-3.4.certificate",
    "install-3.5.mounts",
)
def test_volumes_are_mounted_at_the_same_places(render: Any, name: str) -> None:
    """The same secrets and settings, under the same paths."""
    case: Case = FACTS[name]
    objects = render(case["values"], release=case["release"])
    is_alone = name == "no member list"
    for key, expected in case["workloads"].items():
        pod = objects[tuple(key.split(" "))]["spec"]["template"]["spec"]
        volumes = {v["name"]: source(v) for v in pod.get("volumes") or []}
        dropped = {*FRR["volumes"], *(["memberlist-config"] if is_alone else [])}
        assert volumes == {k: v for k, v in expected["volumes"].items() if k not in dropped}
        for container in pod["containers"]:
            facts = expected["containers"][container["name"]].get("mounts", {})
            ours = {m["mountPath"]: m["name"] for m in container.get("volumeMounts") or []}
            if container["name"] not in FRR["containers"]:
                assert ours == {p: v for p, v in facts.items() if not (is_alone and p in NO_KEY)}


@pytest.mark.rule("install-3.1.fullname")
@pytest.mark.parametrize("release", ["mercurylb", "my-mercurylb"])
def test_a_release_of_our_name_has_plain_names(render: Any, release: str) -> None:
    """Not mercurylb-metallb-controller; labels and selectors stay those that tools know."""
    objects = render(release=release)
    deployment = objects["Deployment", f"{release}-controller"]
    assert ("DaemonSet", f"{release}-speaker") in objects
    assert deployment["spec"]["selector"]["matchLabels"] == {
        "app.kubernetes.io/name": "metallb",
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/component": "controller",
    }
