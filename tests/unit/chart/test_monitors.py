"""What the Prometheus operator and Grafana find: monitors, accounts, alerts and dashboards."""

from __future__ import annotations

import json
from typing import Any

import pytest

ACCOUNT = {"serviceAccount": "prometheus", "namespace": "monitoring"}
SELECTOR = {"app.kubernetes.io/name": "metallb", "app.kubernetes.io/instance": "metallb"}
COMPONENTS = ["controller", "speaker"]
INSECURE = {"insecureSkipVerify": True}
RULES = [{"action": "keep"}]
TARGETS = [{"action": "drop"}]
MONITOR = {
    "enabled": True,
    "jobLabel": "app",
    "interval": 30,
    "metricRelabelings": RULES,
    "relabelings": TARGETS,
}
ENDPOINT = {
    "path": "/metrics",
    "scheme": "https",
    "honorLabels": True,
    "interval": "30s",
    "tlsConfig": INSECURE,
    "metricRelabelings": RULES,
    "relabelings": TARGETS,
}
FRR = {"speaker": {"frr": {"enabled": True}}}


def prometheus(**values: Any) -> dict[str, Any]:
    """Give values with an account of Prometheus."""
    return {"prometheus": {**ACCOUNT, **values}}


def added(objects: Any, plain: Any) -> set[tuple[str, str]]:
    """Name what is there beside the default."""
    return set(objects) - set(plain)


@pytest.mark.rule("install-3.2.on-demand", "install-3.3.pod-monitor", "install-3.3.rbac-prometheus")
def test_pod_monitors_bring_an_account_to_scrape_with(render: Any) -> None:
    """Names are those of MetalLB's chart, and Prometheus finds pods of this release only."""
    objects = render(prometheus(podMonitor={"enabled": True}))
    assert added(objects, render()) == {
        ("PodMonitor", "metallb-controller"),
        ("PodMonitor", "metallb-speaker"),
        ("ServiceAccount", "metallb-metrics-reader"),
        ("Secret", "metallb-metrics-token"),
        ("ClusterRole", "metallb-metrics-reader"),
        ("ClusterRoleBinding", "metallb-metrics-reader"),
        ("Role", "metallb-prometheus"),
        ("RoleBinding", "metallb-prometheus"),
    }
    token = objects["Secret", "metallb-metrics-token"]
    assert token["type"] == "kubernetes.io/service-account-token"
    annotations = token["metadata"]["annotations"]
    assert annotations == {"kubernetes.io/service-account.name": "metallb-metrics-reader"}
    assert objects["ClusterRole", "metallb-metrics-reader"]["rules"] == [
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}
    ]
    (reader,) = objects["ClusterRoleBinding", "metallb-metrics-reader"]["subjects"]
    assert (reader["name"], reader["namespace"]) == ("metallb-metrics-reader", "metallb")
    account = objects["ServiceAccount", "metallb-metrics-reader"]
    assert account["automountServiceAccountToken"] is False
    (rule,) = objects["Role", "metallb-prometheus"]["rules"]
    assert rule["resources"] == ["pods"]
    assert rule["verbs"] == ["get", "list", "watch"]
    (subject,) = objects["RoleBinding", "metallb-prometheus"]["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": "prometheus", "namespace": "monitoring"}


@pytest.mark.rule("install-3.3.pod-monitor")
@pytest.mark.parametrize("component", COMPONENTS)
def test_a_pod_monitor_follows_its_values(render: Any, component: str) -> None:
    """Each value of the monitor stands where the operator reads it."""
    decoration = {"additionalLabels": {"team": "net"}, "annotations": {"note": "x"}}
    values = prometheus(podMonitor={**MONITOR, **decoration})
    monitor = render(values)["PodMonitor", f"metallb-{component}"]
    assert monitor["metadata"]["annotations"] == {"note": "x"}
    assert monitor["metadata"]["labels"]["team"] == "net"
    assert monitor["metadata"]["labels"]["app.kubernetes.io/component"] == component
    credentials = {"name": "metallb-metrics-token", "key": "token"}
    endpoint = {
        "port": "metricshttps",
        **ENDPOINT,
        "authorization": {"credentials": credentials},
    }
    assert monitor["spec"] == {
        "jobLabel": "app",
        "namespaceSelector": {"matchNames": ["metallb"]},
        "selector": {"matchLabels": SELECTOR | {"app.kubernetes.io/component": component}},
        "podMetricsEndpoints": [endpoint],
    }


@pytest.mark.rule("install-3.3.service-monitor", "install-3.3.rbac-prometheus")
@pytest.mark.parametrize("component", COMPONENTS)
def test_a_service_monitor_finds_its_headless_service(render: Any, component: str) -> None:
    """Monitor, Service and pods agree, and Prometheus scrapes with its own token."""
    own = {"additionalLabels": {"team": "net"}, "annotations": {"note": "x"}}
    objects = render(prometheus(serviceMonitor={**MONITOR, component: own}))
    name = f"metallb-{component}-monitor"
    monitor = objects["ServiceMonitor", name]
    assert monitor["metadata"]["labels"]["team"] == "net"
    assert monitor["metadata"]["annotations"] == {"note": "x"}
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    assert monitor["spec"] == {
        "jobLabel": "app",
        "namespaceSelector": {"matchNames": ["metallb"]},
        "selector": {"matchLabels": {"name": f"{name}-service"}},
        "endpoints": [{"port": "metricshttps", **ENDPOINT, "bearerTokenFile": token}],
    }
    service = objects["Service", f"{name}-service"]
    assert service["metadata"]["labels"]["name"] == f"{name}-service"
    assert service["metadata"]["annotations"] == {"note": "x"}
    assert service["spec"] == {
        "type": "ClusterIP",
        "clusterIP": "None",
        "sessionAffinity": "None",
        "selector": SELECTOR | {"app.kubernetes.io/component": component},
        "ports": [{"name": "metricshttps", "port": 9120, "targetPort": 9120}],
    }
    (rule,) = objects["Role", "metallb-prometheus"]["rules"]
    assert rule["resources"] == ["pods", "services", "endpoints"]
    assert ("Secret", "metallb-metrics-token") not in objects


@pytest.mark.rule("install-3.3.pod-monitor", "install-3.3.service-monitor")
def test_what_runs_beside_a_speaker_is_scraped_too(render: Any) -> None:
    """With FRR there are two ports on each node."""
    objects = render({**FRR, **prometheus(podMonitor={"enabled": True})})
    ports = [
        e["port"] for e in objects["PodMonitor", "metallb-speaker"]["spec"]["podMetricsEndpoints"]
    ]
    assert sorted(ports) == ["frrmetricshttps", "metricshttps"]
    objects = render({**FRR, **prometheus(serviceMonitor={"enabled": True})})
    endpoints = objects["ServiceMonitor", "metallb-speaker-monitor"]["spec"]["endpoints"]
    assert sorted(e["port"] for e in endpoints) == ["frrmetricshttps", "metricshttps"]
    ports = objects["Service", "metallb-speaker-monitor-service"]["spec"]["ports"]
    assert {p["name"]: p["port"] for p in ports} == {"metricshttps": 9120, "frrmetricshttps": 9121}
    container = next(c for c in objects.pod("speaker")["containers"] if c["name"] == "frr-metrics")
    assert container["ports"][0]["name"] == "frrmetricshttps"


@pytest.mark.rule("install-3.3.rbac-prometheus")
@pytest.mark.parametrize("monitor", ["podMonitor", "serviceMonitor"])
def test_prometheus_may_have_its_rights_already(render: Any, monitor: str) -> None:
    """Then no account has to be named."""
    values = {"prometheus": {"rbacPrometheus": False, monitor: {"enabled": True}}}
    objects = render(values)
    assert ("Role", "metallb-prometheus") not in objects
    assert ("RoleBinding", "metallb-prometheus") not in objects


@pytest.mark.parametrize("off", COMPONENTS)
def test_there_is_no_monitor_of_what_is_not_there(render: Any, off: str) -> None:
    """Nor a Service without pods."""
    for monitor in ("podMonitor", "serviceMonitor"):
        objects = render({**prometheus(**{monitor: {"enabled": True}}), off: {"enabled": False}})
        kinds = {"PodMonitor", "ServiceMonitor", "Service"}
        names = {name for kind, name in objects if kind in kinds}
        assert not [name for name in names if name.startswith(f"metallb-{off}")]


@pytest.mark.parametrize(("given", "shown"), [(15, "15s"), ("1m30s", "1m30s"), (None, None)])
@pytest.mark.rule("install-3.3.interval")
def test_an_interval_is_a_duration(render: Any, given: object, shown: str | None) -> None:
    """The operator's definitions take no number, so seconds get their unit."""
    objects = render(prometheus(podMonitor={"enabled": True, "interval": given}))
    (endpoint,) = objects["PodMonitor", "metallb-controller"]["spec"]["podMetricsEndpoints"]
    assert endpoint.get("interval") == shown


@pytest.mark.rule("install-3.3.scrape-annotations")
def test_the_services_of_monitors_are_annotated_too(render: Any) -> None:
    """As in MetalLB's chart."""
    objects = render(prometheus(scrapeAnnotations=True, serviceMonitor={"enabled": True}))
    for component in COMPONENTS:
        annotations = objects["Service", f"metallb-{component}-monitor-service"]["metadata"][
            "annotations"
        ]
        assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/scheme": "https"}


@pytest.mark.rule("install-3.3.prometheus-rule")
def test_alerts_are_one_group_of_rules(render: Any) -> None:
    """Named after the release, with the user's own alerts last."""
    own = {"alert": "Own", "expr": "vector(1)"}
    rule = {
        "enabled": True,
        "additionalLabels": {"team": "net"},
        "annotations": {"note": "x"},
        "extraAlerts": [own],
    }
    objects = render({"prometheus": {"prometheusRule": rule}}, release="foo")
    found = objects["PrometheusRule", "foo-metallb"]
    assert found["metadata"]["labels"]["team"] == "net"
    assert found["metadata"]["annotations"] == {"note": "x"}
    (group,) = found["spec"]["groups"]
    assert group["name"] == "foo-metallb.rules"
    assert group["rules"][-1] == own
    alerts = {rule["alert"]: rule for rule in group["rules"]}
    assert len(alerts) == len(group["rules"])
    assert alerts["MetalLBStaleConfig"]["labels"] == {"severity": "warning"}
    assert 'job=~"foo-metallb.*' in alerts["MetalLBStaleConfig"]["expr"]


@pytest.mark.rule("install-3.3.prometheus-rule")
@pytest.mark.parametrize(
    ("key", "alert"),
    [
        ("staleConfig", "MetalLBStaleConfig"),
        ("configNotLoaded", "MetalLBConfigNotLoaded"),
        ("addressPoolExhausted", "MetalLBAddressPoolExhausted"),
        ("bgpSessionDown", "MetalLBBGPSessionDown"),
    ],
)
def test_each_alert_has_a_switch_and_labels(render: Any, key: str, alert: str) -> None:
    """Severities are the user's business."""

    def alerts(**values: Any) -> dict[str, Any]:
        rule = {"enabled": True, key: values}
        (group,) = render({"prometheus": {"prometheusRule": rule}})["PrometheusRule", "metallb"][
            "spec"
        ]["groups"]
        return {rule["alert"]: rule for rule in group["rules"]}

    assert alerts(labels={"severity": "page"})[alert]["labels"] == {"severity": "page"}
    assert alert not in alerts(enabled=False)


@pytest.mark.rule("install-3.3.prometheus-rule")
def test_thresholds_make_alerts(render: Any) -> None:
    """One for each, named after its percentage, and not for the pools that are left out."""
    usage = {"thresholds": [{"percent": 50, "labels": {"a": "b"}}], "excludePools": "test-.*"}
    rule = {"enabled": True, "addressPoolUsage": usage}
    (group,) = render({"prometheus": {"prometheusRule": rule}})["PrometheusRule", "metallb"][
        "spec"
    ]["groups"]
    found = [r for r in group["rules"] if r["alert"].startswith("MetalLBAddressPoolUsage")]
    assert [r["alert"] for r in found] == ["MetalLBAddressPoolUsage50Percent"]
    assert found[0]["labels"] == {"a": "b"}
    assert 'pool!~"test-.*"' in found[0]["expr"]


def test_dashboards_are_a_config_map_that_grafana_finds(render: Any, chart: Any) -> None:
    """By the label its collector looks for; each file is there as it is."""
    values = {"grafana": {"dashboards": {"enabled": True, "annotations": {"folder": "net"}}}}
    item = render(values)["ConfigMap", "metallb-dashboards"]
    assert item["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert item["metadata"]["annotations"] == {"folder": "net"}
    files = {path.name: path for path in (chart / "files" / "dashboards").glob("*.json")}
    assert files
    assert set(item["data"]) == set(files)
    for name, text in item["data"].items():
        assert json.loads(text) == json.loads(files[name].read_text())
    assert ("ConfigMap", "metallb-dashboards") not in render()
