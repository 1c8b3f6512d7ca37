"""Who may talk to the pods that do not use their node's network, and whom they may call."""

from __future__ import annotations

from typing import Any

import pytest

SELECTOR = {"app.kubernetes.io/name": "metallb", "app.kubernetes.io/instance": "metallb"}
BOTH = {"Ingress", "Egress"}


def tcp(*ports: int | str) -> list[dict[str, Any]]:
    """Give a rule that allows ports of everybody."""
    return [{"ports": [{"protocol": "TCP", "port": port} for port in ports]}]


@pytest.mark.rule("install-3.2.on-demand", "install-3.3.networkpolicies")
def test_the_controller_calls_the_api_server_and_is_scraped_and_asked(render: Any) -> None:
    """The one policy of MetalLB's chart, under its name."""
    objects = render({"networkpolicies": {"enabled": True}})
    assert set(objects) - set(render()) == {("NetworkPolicy", "controller")}
    spec = objects["NetworkPolicy", "controller"]["spec"]
    assert set(spec["policyTypes"]) == BOTH
    labels = SELECTOR | {"app.kubernetes.io/component": "controller"}
    assert spec["podSelector"] == {"matchLabels": labels}
    template = objects["Deployment", "metallb-controller"]["spec"]["template"]
    assert labels.items() <= template["metadata"]["labels"].items()
    assert spec["egress"] == tcp(6443)
    assert spec["ingress"] == tcp("metricshttps", "webhook-server")
    ports = {port["name"] for port in objects.container("controller")["ports"]}
    assert ports == {"metricshttps", "webhook-server"}


@pytest.mark.rule("install-3.3.networkpolicies")
@pytest.mark.parametrize(
    ("values", "ingress"),
    [
        ({"controller": {"webhookMode": "disabled"}}, tcp("metricshttps")),
        ({"prometheus": {"metricsPort": 0}}, tcp("webhook-server")),
        ({"controller": {"webhookMode": "disabled"}, "prometheus": {"metricsPort": 0}}, []),
    ],
)
def test_a_port_that_is_not_served_is_not_open(
    render: Any, values: dict[str, Any], ingress: list[Any]
) -> None:
    """A policy that names a port which no container has would mean nothing."""
    objects = render({**values, "networkpolicies": {"enabled": True, "apiPort": 443}})
    spec = objects["NetworkPolicy", "controller"]["spec"]
    assert spec["ingress"] == ingress
    assert spec["egress"] == tcp(443)


@pytest.mark.rule("install-3.3.networkpolicies")
def test_everything_else_can_be_forbidden(render: Any) -> None:
    """Only together with what allows the rest to work."""
    both = render({"networkpolicies": {"enabled": True, "defaultDeny": True}})
    spec = both["NetworkPolicy", "default-deny"]["spec"]
    assert set(spec.pop("policyTypes")) == BOTH
    assert spec == {"podSelector": {}}
    alone = render({"networkpolicies": {"enabled": False, "defaultDeny": True}})
    assert not [kind for kind, _ in alone if kind == "NetworkPolicy"]


def test_the_test_may_ask_the_api_server_too(render: Any) -> None:
    """`helm test` passes in a namespace where everything else is forbidden."""
    values = {"networkpolicies": {"enabled": True, "defaultDeny": True}}
    objects = render(values, tests=True)
    policy = objects["NetworkPolicy", "metallb-test"]
    assert policy["spec"]["egress"] == tcp(6443)
    labels = policy["spec"]["podSelector"]["matchLabels"]
    assert labels.items() <= objects["Pod", "metallb-test"]["metadata"]["labels"].items()
    assert ("NetworkPolicy", "metallb-test") not in render(tests=True)
