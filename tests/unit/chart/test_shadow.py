"""A release in the shadow of another load balancer takes nothing from it and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.chart.conftest import HelmError

REVIEWS = {"tokenreviews", "subjectaccessreviews"}
READING = {"get", "list", "watch"}
SHADOW = {"shadow": True}
ML_LABELS = "app.kubernetes.io/name=metallb,app.kubernetes.io/component=speaker"
ONCE_PER_CLUSTER = {
    ("ValidatingWebhookConfiguration", "metallb-webhook-configuration"),
    ("Service", "metallb-webhook-service"),
    ("Secret", "metallb-webhook-cert"),
    ("ConfigMap", "metallb-excludel2"),
}


def test_both_programs_are_told(render: Any) -> None:
    """By one flag; and the controller answers no webhooks."""
    objects = render(SHADOW)
    plain = render()
    for component in ("controller", "speaker"):
        assert "--shadow" in objects.container(component)["args"]
        assert "--shadow" not in plain.container(component)["args"]
    assert "--webhook-mode=disabled" in objects.container("controller")["args"]


def test_it_takes_nothing_that_the_other_has(render: Any) -> None:
    """Objects whose names do not follow the release exist once in a namespace or cluster."""
    objects = render(SHADOW, release="shadow", crds=True)
    assert not set(objects) & ONCE_PER_CLUSTER
    assert "CustomResourceDefinition" not in {kind for kind, _ in objects}
    assert not set(objects) & set(render(release="metallb"))


@pytest.mark.parametrize(
    ("kind", "component"), [("Deployment", "controller"), ("DaemonSet", "speaker")]
)
def test_its_pods_are_not_taken_for_the_others(render: Any, kind: str, component: str) -> None:
    """Neither by Services and member lists, which go by the component, nor by its own selectors."""
    spec = render(SHADOW)[kind, f"metallb-{component}"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == f"{component}-shadow"
    assert spec["selector"]["matchLabels"].items() <= labels.items()


def test_its_monitors_find_its_pods(render: Any) -> None:
    """By the same labels."""
    monitors = {"podMonitor": {"enabled": True}, "serviceAccount": "a", "namespace": "b"}
    objects = render({**SHADOW, "prometheus": monitors})
    for component in ("controller", "speaker"):
        labels = objects["PodMonitor", f"metallb-{component}"]["spec"]["selector"]["matchLabels"]
        assert labels["app.kubernetes.io/component"] == f"{component}-shadow"


def test_its_speakers_touch_neither_network_nor_key(render: Any) -> None:
    """No port of the node can clash, and they join no member list; but they know whom it has."""
    values = {**SHADOW, "speaker": {"realTime": True, "frr": {"enabled": True}}}
    objects = render(values)
    pod = objects.pod("speaker")
    assert pod["hostNetwork"] is False
    assert not pod.get("volumes")
    (container,) = pod["containers"]
    assert not container.get("volumeMounts")
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert [port["name"] for port in container["ports"]] == ["metricshttps"]
    assert "host" not in container["readinessProbe"]["httpGet"]
    variables = {item["name"]: item.get("value") for item in container["env"]}
    assert [key for key in variables if "_ML_" in key] == ["METALLB_ML_LABELS"]
    assert variables["METALLB_ML_LABELS"] == ML_LABELS
    told = [item["name"] for item in objects.container("controller")["env"]]
    assert told == ["METALLB_POD_NAME"]


def test_it_may_only_read(render: Any) -> None:
    """No right to write, except to ask who scrapes the metrics."""
    objects = render(SHADOW)
    roles = [item for (kind, _), item in objects.items() if kind in {"Role", "ClusterRole"}]
    assert len(roles) == 4
    for role in roles:
        assert role["rules"]
        for rule in role["rules"]:
            assert rule["verbs"]
            if not set(rule["resources"]) <= REVIEWS:
                assert set(rule["verbs"]) <= READING


def test_nobody_speaks_bgp_in_it(render: Any) -> None:
    """frr-k8s would announce what it is told, so it is refused."""
    with pytest.raises(HelmError, match=r"shadow, frrk8s\.enabled"):
        render({**SHADOW, "frrk8s": {"enabled": True}})


def test_it_rings_no_alarm_and_forbids_nothing(render: Any) -> None:
    """Its metrics are not those of an installation, and the namespace is the other one's."""
    values = {
        "prometheus": {"prometheusRule": {"enabled": True}},
        "networkpolicies": {"enabled": True, "defaultDeny": True},
    }
    rules = {("PrometheusRule", "metallb")}
    policies = {("NetworkPolicy", name) for name in ("controller", "default-deny")}
    assert rules | policies <= set(render(values))
    objects = render({**SHADOW, **values}, tests=True)
    assert not (rules | policies) & set(objects)


@pytest.mark.parametrize(("port", "is_open"), [(9120, True), (0, False)])
def test_it_works_where_the_other_forbids_the_rest(
    render: Any, port: int, *, is_open: bool
) -> None:
    """Its pods and its test may ask the API server, by policies with names of the release's own."""
    values = {
        "networkpolicies": {"enabled": True, "apiPort": 443},
        "prometheus": {"metricsPort": port},
    }
    objects = render({**SHADOW, **values}, release="shadow", tests=True)
    found = {name for kind, name in objects if kind == "NetworkPolicy"}
    assert found == {"shadow-metallb-shadow", "shadow-metallb-test"}
    spec = objects["NetworkPolicy", "shadow-metallb-shadow"]["spec"]
    for name in found:
        policy = objects["NetworkPolicy", name]["spec"]
        assert policy["egress"] == [{"ports": [{"protocol": "TCP", "port": 443}]}]
        assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    metrics = [{"ports": [{"protocol": "TCP", "port": "metricshttps"}]}]
    assert spec["ingress"] == (metrics if is_open else [])
    (chosen,) = spec["podSelector"]["matchExpressions"]
    for kind, component in (("Deployment", "controller"), ("DaemonSet", "speaker")):
        template = objects[kind, f"shadow-metallb-{component}"]["spec"]["template"]
        labels = template["metadata"]["labels"]
        assert spec["podSelector"]["matchLabels"].items() <= labels.items()
        assert (chosen["operator"], labels[chosen["key"]] in chosen["values"]) == ("In", True)
