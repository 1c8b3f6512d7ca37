"""Where the two pods run, how they are replaced, and what else a cluster asks of them."""

from __future__ import annotations

from typing import Any

import pytest

COMPONENTS = ["controller", "speaker"]
MASTER = [
    {"key": f"node-role.kubernetes.io/{role}", "operator": "Exists", "effect": "NoSchedule"}
    for role in ("master", "control-plane")
]
OWN = [{"key": "a", "operator": "Exists"}]


@pytest.mark.parametrize(
    ("values", "tolerations"),
    [
        ({}, MASTER),
        ({"tolerations": OWN}, MASTER + OWN),
        ({"tolerateMaster": False}, None),
        ({"tolerateMaster": False, "tolerations": OWN}, OWN),
    ],
)
@pytest.mark.rule("speaker-3.tolerations")
@pytest.mark.rule("install-3.3.tolerate-master")
def test_speakers_tolerate_the_control_plane_and_what_is_asked(
    render: Any, values: dict[str, Any], tolerations: list[Any] | None
) -> None:
    """Control-plane nodes announce too, unless that is switched off."""
    assert render({"speaker": values}).pod("speaker").get("tolerations") == tolerations


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.rule("speaker-3.linux")
@pytest.mark.rule("install-3.3.pull-secrets", "install-3.3.placement")
def test_placement_and_decoration(render: Any, component: str) -> None:
    """Everything a cluster asks of its pods can be set, and Linux stays required."""
    affinity = {"nodeAffinity": {"some": "rule"}}
    sidecar = {"name": "side", "image": "side:1"}
    values = {
        "imagePullSecrets": [{"name": "pull"}],
        component: {
            "nodeSelector": {"disk": "ssd"},
            "affinity": affinity,
            "priorityClassName": "high",
            "runtimeClassName": "kata",
            "resources": {"limits": {"memory": "100Mi"}},
            "podAnnotations": {"note": "text"},
            "labels": {"team": "net", "level": 3},
            "extraContainers": [sidecar],
            "revisionHistoryLimit": 2,
        },
    }
    objects = render(values)
    pod = objects.pod(component)
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "disk": "ssd"}
    assert pod["affinity"] == affinity
    assert pod["priorityClassName"] == "high"
    assert pod["runtimeClassName"] == "kata"
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert pod["containers"][1:] == [sidecar]
    assert pod["containers"][0]["resources"] == {"limits": {"memory": "100Mi"}}
    kind = "Deployment" if component == "controller" else "DaemonSet"
    workload = objects[kind, f"metallb-{component}"]
    template = workload["spec"]["template"]["metadata"]
    assert template["annotations"] == {"note": "text"}
    for labels in (template["labels"], workload["metadata"]["labels"]):
        assert labels["team"] == "net"
        assert labels["level"] == "3"
    assert "team" not in workload["spec"]["selector"]["matchLabels"]
    assert workload["spec"]["revisionHistoryLimit"] == 2


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.rule("install-3.3.scrape-annotations", "install-7.https")
def test_scrape_annotations_name_scheme_and_port(render: Any, component: str) -> None:
    """Prometheus is told that metrics are HTTPS, next to the user's own annotations."""
    values = {"prometheus": {"scrapeAnnotations": True}, component: {"podAnnotations": {"a": "b"}}}
    kind = "Deployment" if component == "controller" else "DaemonSet"
    workload = render(values)[kind, f"metallb-{component}"]
    assert workload["spec"]["template"]["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/scheme": "https",
        "prometheus.io/port": "9120",
        "a": "b",
    }


@pytest.mark.rule("layer2-5.defaults")
def test_the_excluded_interfaces_are_those_of_metallb(render: Any) -> None:
    """Interfaces that lead to containers are never answered on."""
    text = render()["ConfigMap", "metallb-excludel2"]["data"]["excludel2.yaml"]
    assert text.splitlines() == [
        "announcedInterfacesToExclude:",
        "- ^docker.*",
        "- ^cbr.*",
        "- ^dummy.*",
        "- ^virbr.*",
        "- ^lxcbr.*",
        "- ^veth.*",
        "- ^lo$",
        "- ^cali.*",
        "- ^tunl.*",
        "- ^flannel.*",
        "- ^kube-ipvs.*",
        "- ^cni.*",
        "- ^nodelocaldns.*",
        "- ^lxc.*",
    ]


@pytest.mark.rule("install-3.3.strategy")
@pytest.mark.parametrize(
    ("component", "kind", "key", "value"),
    [
        ("controller", "Deployment", "strategy", {"type": "Recreate"}),
        ("speaker", "DaemonSet", "updateStrategy", {"type": "OnDelete"}),
        (
            "speaker",
            "DaemonSet",
            "updateStrategy",
            {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}},
        ),
    ],
)
def test_how_pods_are_replaced_is_a_value(
    render: Any, component: str, kind: str, key: str, value: dict[str, Any]
) -> None:
    """Rolling unless told, and ten former versions are kept."""
    assert render()[kind, f"metallb-{component}"]["spec"][key] == {"type": "RollingUpdate"}
    spec = render({component: {key: value}})[kind, f"metallb-{component}"]["spec"]
    assert spec[key] == value
    assert spec["revisionHistoryLimit"] == 10
