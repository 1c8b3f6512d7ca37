"""The sub-chart of frr-k8s: names and selectors that never change, and what its values do."""

from __future__ import annotations

import functools
import json
import subprocess
from typing import Any

import pytest
import yaml

from lab.build.helm import ensure_helm
from scripts.manifests import CHART

Object = dict[str, Any]
Objects = dict[tuple[str, str], Object]

NAME = "metallb-frr-k8s"
IDENTITY = {"app.kubernetes.io/name": "frr-k8s", "app.kubernetes.io/instance": "metallb"}
DAEMON = {**IDENTITY, "app.kubernetes.io/component": "frr-k8s"}
CLEANER = {"app.kubernetes.io/component": "statuscleaner"}
EVERYTHING: Object = {
    "prometheus": {
        "secureMetricsPort": 9240,
        "scrapeAnnotations": True,
        "rbacPrometheus": True,
        "serviceAccount": "prometheus",
        "namespace": "monitoring",
        "serviceMonitor": {"enabled": True, "interval": "15s"},
    },
    "tls": {"minVersion": "VersionTLS12", "metricsTLSSecret": "certificate"},
    "frrk8s": {
        "logLevel": "debug",
        "alwaysBlock": "192.0.2.0/24",
        "bgpDebounceTimeout": 500,
        "disableCertRotation": True,
        "restartOnRotatorSecretRefresh": True,
        "webhookPort": 29443,
        "tolerateMaster": False,
        "nodeSelector": {"rack": "a"},
        "tolerations": [{"operator": "Exists"}],
        "priorityClassName": "high",
        "podAnnotations": {"note": "yes"},
        "resources": {"limits": {"memory": "1Gi"}},
        "frr": {
            "secureMetricsPort": 9241,
            "acceptIncomingBGPConnections": True,
            "tiniPath": "/tini",
            "dockerStartPath": "/start",
            "image": {"repository": "mine/frr", "tag": "1", "pullPolicy": "Never"},
        },
        "frrStatus": {"pollInterval": "1m"},
    },
    "crds": {"validationFailurePolicy": "Ignore"},
}


@functools.cache
def rendered(values: str) -> Objects:
    """Render the chart with frr-k8s; values are JSON."""
    given = {"frrk8s": {"enabled": True}, "frr-k8s": json.loads(values)}
    argv = [str(ensure_helm()), "template", "metallb", str(CHART), "-n", "home", "-f", "-"]
    done = subprocess.run(argv, input=json.dumps(given), capture_output=True, text=True, check=True)
    documents = [one for one in yaml.safe_load_all(done.stdout) if one]
    return {(one["kind"], one["metadata"]["name"]): one for one in documents}


@pytest.fixture
def defaults() -> Objects:
    """Render it as it is."""
    return rendered("{}")


@pytest.fixture
def changed() -> Objects:
    """Render it with everything changed."""
    return rendered(json.dumps(EVERYTHING))


def pod(objects: Objects, kind: str, name: str) -> Object:
    """Return the specification of a workload's pod."""
    spec: Object = objects[kind, name]["spec"]["template"]["spec"]
    return spec


def named(items: list[Object]) -> dict[str, Object]:
    """Return containers by their names."""
    return {one["name"]: one for one in items}


@pytest.mark.rule("manifests-3.frr-k8s.objects")
def test_names_and_selectors(defaults: Objects) -> None:
    """An installed frr-k8s is upgraded in place: nothing immutable differs."""
    expected = {
        ("ClusterRole", f"{NAME}-controller"),
        ("ClusterRoleBinding", f"{NAME}-controller"),
        ("ConfigMap", f"{NAME}-frr-startup"),
        ("DaemonSet", NAME),
        ("Deployment", f"{NAME}-statuscleaner"),
        ("Role", f"{NAME}-controller"),
        ("Role", f"{NAME}-nodestate-cleaner"),
        ("RoleBinding", f"{NAME}-controller"),
        ("RoleBinding", f"{NAME}-nodestate-cleaner"),
        ("Secret", "frr-k8s-webhook-server-cert"),
        ("Service", "frr-k8s-webhook-service"),
        ("ServiceAccount", f"{NAME}-controller"),
        ("ValidatingWebhookConfiguration", "frr-k8s-validating-webhook-configuration"),
    }
    found = {key for key in defaults if "frr-k8s" in key[1]}
    assert found == expected
    daemon = defaults["DaemonSet", NAME]["spec"]
    assert daemon["selector"]["matchLabels"] == DAEMON
    assert daemon["template"]["metadata"]["labels"] == {**DAEMON, "app": "frr-k8s"}
    cleaner = defaults["Deployment", f"{NAME}-statuscleaner"]["spec"]
    assert cleaner["selector"]["matchLabels"] == CLEANER
    assert defaults["Service", "frr-k8s-webhook-service"]["spec"]["selector"] == CLEANER
    kinds = {name for kind, name in defaults if kind == "CustomResourceDefinition"}
    assert {name for name in kinds if name.endswith(".frrk8s.metallb.io")} == {
        f"{plural}.frrk8s.metallb.io"
        for plural in (
            *("bgpsessionstates", "frrconfigurations", "frrk8sconfigurations", "frrnodestates"),
        )
    }


@pytest.mark.rule("manifests-3.frr-k8s.objects")
def test_containers_and_ports(defaults: Objects) -> None:
    """Five containers and four that copy, on the ports that others expect them on."""
    spec = pod(defaults, "DaemonSet", NAME)
    assert list(named(spec["containers"])) == [
        *("controller", "frr", "reloader", "frr-metrics", "frr-status")
    ]
    assert list(named(spec["initContainers"])) == [
        *("cp-frr-files", "cp-reloader", "cp-metrics", "cp-frr-status")
    ]
    ports = [port for one in spec["containers"] for port in one.get("ports", [])]
    assert {port["name"]: port["containerPort"] for port in ports} == {
        "metricshttps": 9140,
        "frrmetricshttps": 9141,
    }
    volumes = {one["name"] for one in spec["volumes"]}
    for one in (*spec["containers"], *spec["initContainers"]):
        assert {mount["name"] for mount in one["volumeMounts"]} <= volumes
    assert spec["hostNetwork"]
    assert spec["shareProcessNamespace"]


def test_frr_k8s_has_no_more_rights_than_needed(defaults: Objects) -> None:
    """Only FRR, its reloader and those who ask it have more than raw sockets."""
    spec = pod(defaults, "DaemonSet", NAME)
    sealed = {
        name: one["securityContext"]["capabilities"]
        for name, one in named(spec["containers"] + spec["initContainers"]).items()
        if one.get("securityContext", {}).get("capabilities", {}).get("drop") == ["ALL"]
    }
    assert sealed == {
        "controller": {"drop": ["ALL"], "add": ["NET_RAW"]},
        "cp-reloader": {"drop": ["ALL"]},
        "cp-metrics": {"drop": ["ALL"]},
        "cp-frr-status": {"drop": ["ALL"]},
    }


@pytest.mark.rule("manifests-3.frr-k8s.values")
def test_values_of_the_daemon(changed: Objects) -> None:
    """What is asked for under frr-k8s reaches its pods."""
    spec = pod(changed, "DaemonSet", NAME)
    containers = named(spec["containers"])
    assert set(containers["controller"]["args"]) == {
        "--node-name=$(NODE_NAME)",
        "--namespace=$(NAMESPACE)",
        "--metrics-bind-address=0.0.0.0:9240",
        "--log-level=debug",
        "--always-block=192.0.2.0/24",
        "--bgp-debounce-timeout=500",
        "--tls-min-version=VersionTLS12",
        "--metrics-cert-dir=/etc/metrics",
    }
    assert containers["controller"]["resources"] == {"limits": {"memory": "1Gi"}}
    frr = containers["frr"]
    assert (frr["image"], frr["imagePullPolicy"]) == ("mine/frr:1", "Never")
    assert frr["command"] == ["/tini", "--", "/start"]
    assert frr["livenessProbe"]["httpGet"]["port"] == 9241
    assert "--metrics-port=9241" in containers["frr-metrics"]["args"]
    assert "--tls-cert-file=/etc/metrics/tls.crt" in containers["frr-metrics"]["args"]
    assert "--poll-interval=1m" in containers["frr-status"]["args"]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", "rack": "a"}
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["priorityClassName"] == "high"
    template = changed["DaemonSet", NAME]["spec"]["template"]["metadata"]
    assert template["annotations"] == {"note": "yes"}
    daemons = changed["ConfigMap", f"{NAME}-frr-startup"]["data"]["daemons"]
    assert 'bgpd_options="-A 127.0.0.1 --limit-fds 100000"' in daemons


@pytest.mark.rule("manifests-3.frr-k8s.values")
def test_values_of_webhook_and_monitor(changed: Objects, defaults: Objects) -> None:
    """The webhook and what Prometheus needs follow the values too."""
    cleaner = pod(changed, "Deployment", f"{NAME}-statuscleaner")["containers"][0]
    assert set(cleaner["args"]) == {
        "--webhook-port=29443",
        "--log-level=debug",
        "--disable-cert-rotation=true",
        "--restart-on-rotator-secret-refresh=true",
        "--namespace=$(NAMESPACE)",
        "--tls-min-version=VersionTLS12",
    }
    hooks = changed["ValidatingWebhookConfiguration", "frr-k8s-validating-webhook-configuration"]
    assert hooks["webhooks"][0]["failurePolicy"] == "Ignore"
    monitor = changed["ServiceMonitor", f"{NAME}-frr-k8s-monitor"]["spec"]
    assert [end["port"] for end in monitor["endpoints"]] == ["metricshttps", "frrmetricshttps"]
    assert {end["interval"] for end in monitor["endpoints"]} == {"15s"}
    service = changed["Service", f"{NAME}-frr-k8s-monitor-service"]
    assert monitor["selector"]["matchLabels"] == service["metadata"]["labels"]
    assert {port["name"]: port["port"] for port in service["spec"]["ports"]} == {
        "metricshttps": 9240,
        "frrmetricshttps": 9241,
    }
    assert ("RoleBinding", f"{NAME}-prometheus") in changed
    assert not [kind for kind, _ in defaults if kind == "ServiceMonitor"]
