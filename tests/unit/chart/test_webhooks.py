"""The webhooks' objects, as the API server must find them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from mercurylb.webhook.admission import KINDS
from mercurylb.webhook.server import PORT

BOTH = ["CREATE", "UPDATE"]
TABLE = [
    ("bgppeers", "v1beta2", "/validate-metallb-io-v1beta2-bgppeer", BOTH, "bgppeer"),
    (
        "ipaddresspools",
        "v1beta1",
        "/validate-metallb-io-v1beta1-ipaddresspool",
        BOTH,
        "ipaddresspool",
    ),
    (
        "bgpadvertisements",
        "v1beta1",
        "/validate-metallb-io-v1beta1-bgpadvertisement",
        BOTH,
        "bgpadvertisement",
    ),
    (
        "l2advertisements",
        "v1beta1",
        "/validate-metallb-io-v1beta1-l2advertisement",
        BOTH,
        "l2advertisement",
    ),
    ("communities", "v1beta1", "/validate-metallb-io-v1beta1-community", BOTH, "community"),
    (
        "bfdprofiles",
        "v1beta1",
        "/validate-metallb-io-v1beta1-bfdprofile",
        ["CREATE", "DELETE"],
        "bfdprofile",
    ),
]
CONFIGURATION = ("ValidatingWebhookConfiguration", "metallb-webhook-configuration")
SERVICE = ("Service", "metallb-webhook-service")
MODES = ["enabled", "onlywebhook"]


@pytest.mark.rule("config-11.webhooks")
@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
@pytest.mark.rule("install-3.6.webhooks")
def test_each_row_of_the_table(render: Any, row: tuple[str, str, str, list[str], str]) -> None:
    """Resource, version, path, operations and name, and nothing that changes objects."""
    plural, version, path, operations, name = row
    (hook,) = [h for h in render()[CONFIGURATION]["webhooks"] if h["name"].startswith(name)]
    assert hook == {
        "name": f"{name}validationwebhook.metallb.io",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "clientConfig": {
            "service": {"name": "metallb-webhook-service", "namespace": "metallb", "path": path}
        },
        "rules": [
            {
                "apiGroups": ["metallb.io"],
                "apiVersions": [version],
                "operations": operations,
                "resources": [plural],
            }
        ],
    }


@pytest.mark.rule("config-11.webhooks")
def test_there_are_no_other_webhooks(render: Any) -> None:
    """Every path that is asked is answered, and every one that is answered is asked."""
    objects = render()
    asked = {h["clientConfig"]["service"]["path"] for h in objects[CONFIGURATION]["webhooks"]}
    assert asked == set(KINDS) == {path for _, _, path, _, _ in TABLE}
    assert not any(kind.startswith("Mutating") for kind, _ in objects)


@pytest.mark.rule("config-11.webhooks")
@pytest.mark.rule("install-3.3.crds")
def test_the_failure_policy_is_a_value(render: Any) -> None:
    """Whoever prefers stored mistakes to refused objects may say so."""
    hooks = render({"crds": {"validationFailurePolicy": "Ignore"}})[CONFIGURATION]["webhooks"]
    assert {hook["failurePolicy"] for hook in hooks} == {"Ignore"}


@pytest.mark.rule("config-11.port")
@pytest.mark.parametrize("mode", MODES)
def test_the_service_leads_to_the_controllers_port(render: Any, mode: str) -> None:
    """443 to where the program listens, on the pods of this release only."""
    objects = render({"controller": {"webhookMode": mode}})
    spec = objects[SERVICE]["spec"]
    assert spec["ports"] == [{"port": 443, "targetPort": PORT}]
    labels = objects["Deployment", "metallb-controller"]["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"].items() <= labels.items()
    ports = objects.container("controller")["ports"]
    assert {"name": "webhook-server", "containerPort": PORT} in ports


@pytest.mark.parametrize("mode", MODES)
def test_the_certificate_is_mounted_where_the_original_reads_it(render: Any, mode: str) -> None:
    """A controller whose rotation is switched off finds the secret's files."""
    objects = render({"controller": {"webhookMode": mode}})
    volume = {"name": "cert", "secret": {"secretName": "metallb-webhook-cert", "defaultMode": 420}}
    assert objects.pod("controller")["volumes"] == [volume]
    mount = {
        "name": "cert",
        "mountPath": "/tmp/k8s-webhook-server/serving-certs",
        "readOnly": True,
    }
    assert objects.container("controller")["volumeMounts"] == [mount]
    assert "data" not in objects["Secret", "metallb-webhook-cert"]


def test_without_webhooks_the_controller_has_neither_port_nor_volume(render: Any) -> None:
    """What is off leaves nothing behind."""
    objects = render({"controller": {"webhookMode": "disabled"}})
    ports = objects.container("controller")["ports"]
    assert [port["name"] for port in ports] == ["metricshttps"]
    assert "volumes" not in objects.pod("controller")
    assert "volumeMounts" not in objects.container("controller")


def peers(render: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Give the definition of BGPPeer."""
    found: dict[str, Any] = render(values, crds=True)[
        "CustomResourceDefinition", "bgppeers.metallb.io"
    ]
    return found


@pytest.mark.rule("api-3.3.webhook")
@pytest.mark.rule("install-3.6.conversion", "install-3.6.authority")
def test_peers_are_converted_by_the_controller_of_this_release(render: Any) -> None:
    """Without an authority: that is injected, and an upgrade leaves it alone."""
    assert peers(render, {})["spec"]["conversion"] == {
        "strategy": "Webhook",
        "webhook": {
            "conversionReviewVersions": ["v1beta1", "v1beta2"],
            "clientConfig": {
                "service": {
                    "name": "metallb-webhook-service",
                    "namespace": "metallb",
                    "path": "/convert",
                }
            },
        },
    }


def test_without_webhooks_nobody_is_asked_to_convert(render: Any) -> None:
    """A webhook without an answer would block every read of a peer."""
    definition = peers(render, {"controller": {"webhookMode": "disabled"}})
    assert definition["spec"]["conversion"] == {"strategy": "None", "webhook": None}


@pytest.mark.parametrize("mode", ["enabled", "disabled"])
def test_nothing_else_of_a_definition_changes(render: Any, definitions: Any, mode: str) -> None:
    """Large numbers and texts survive the templates."""
    values = {"controller": {"webhookMode": mode}}
    rendered = {k: o for k, o in render(values, crds=True).items() if "Definition" in k[0]}
    originals = {crd["metadata"]["name"]: crd for crd in definitions.values()}
    assert len(rendered) == len(originals)
    for (_, name), item in rendered.items():
        expected = yaml.safe_load(yaml.safe_dump(originals[name]))
        expected["spec"].pop("conversion", None)
        item["spec"].pop("conversion", None)
        assert item == expected


@pytest.mark.parametrize(("replicas", "expected"), [(None, None), (1, 1), (3, 3)])
def test_several_controllers_may_run(
    render: Any, replicas: int | None, expected: int | None
) -> None:
    """One unless told."""
    deployment = render({"controller": {"replicas": replicas}})["Deployment", "metallb-controller"]
    assert deployment["spec"].get("replicas") == expected
