"""Values are honoured or refused, never silently ignored."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.unit.chart.conftest import CHART, HelmError, template

if TYPE_CHECKING:
    from pathlib import Path

MONITORED = {"serviceAccount": "prometheus", "namespace": "monitoring"}
NEEDS_ACCOUNT = {"podMonitor": {"enabled": True}}
EXTERNAL = {"external": True, "namespace": "x"}
REFUSED = [
    pytest.param(
        {"frrk8s": {"enabled": True, "external": True, "namespace": "x"}},
        "frrk8s.enabled, frrk8s.external: ",
        marks=pytest.mark.rule("install-3.3.frrk8s-external"),
    ),
    pytest.param(
        {"frrk8s": {"external": True}},
        "frrk8s.external: needs frrk8s.namespace",
        marks=pytest.mark.rule("install-3.3.frrk8s-external"),
    ),
    pytest.param({"frrk8s": {"secretPassthrough": True}}, "frrk8s.secretPassthrough: only"),
    pytest.param(
        {"frrk8s": EXTERNAL, "speaker": {"enabled": False}},
        "frrk8s.external: needs speaker.enabled=true",
        marks=pytest.mark.rule("install-3.3.speaker-enabled"),
    ),
    pytest.param(
        {"frrk8s": {"enabled": True}, "speaker": {"enabled": False}},
        "frrk8s.enabled: needs speaker.enabled=true",
        marks=pytest.mark.rule("install-3.3.speaker-enabled"),
    ),
    pytest.param(
        {"frrk8s": EXTERNAL, "speaker": {"frr": {"enabled": True}}},
        "speaker.frr.enabled, frrk8s.external: only one of them can speak BGP",
        marks=pytest.mark.rule("install-3.3.frr"),
    ),
    pytest.param(
        {"frrk8s": {"enabled": True}, "speaker": {"frr": {"enabled": True}}},
        "speaker.frr.enabled, frrk8s.enabled: only one of them can speak BGP",
        marks=pytest.mark.rule("install-3.3.frr"),
    ),
    pytest.param(
        {"prometheus": {**MONITORED, **NEEDS_ACCOUNT, "serviceMonitor": {"enabled": True}}},
        "prometheus.podMonitor.enabled, prometheus.serviceMonitor.enabled: ",
        marks=pytest.mark.rule("install-3.3.service-monitor"),
    ),
    pytest.param(
        {"prometheus": {**NEEDS_ACCOUNT, "namespace": "x"}},
        "prometheus.podMonitor.enabled: needs prometheus.serviceAccount",
        marks=pytest.mark.rule("install-3.3.prometheus-account"),
    ),
    pytest.param(
        {"prometheus": {"serviceMonitor": {"enabled": True}, "serviceAccount": "x"}},
        "prometheus.serviceMonitor.enabled: needs prometheus.namespace",
        marks=pytest.mark.rule("install-3.3.prometheus-account"),
    ),
    pytest.param(
        {"prometheus": {**MONITORED, **NEEDS_ACCOUNT, "metricsPort": 0}},
        "prometheus.podMonitor.enabled: there is nothing to scrape",
    ),
    pytest.param(
        {"configInline": {"peers": []}},
        "configInline: configuration is made of custom resources",
        marks=pytest.mark.rule("install-3.3.config-inline", "install-7.config-inline"),
    ),
    pytest.param(
        {"speaker": {"memberlist": {"enabled": False}, "nodeSelector": {"a": "b"}}},
        "speaker.nodeSelector: needs speaker.memberlist.enabled=true",
        marks=pytest.mark.rule("install-3.3.memberlist-enabled"),
    ),
    pytest.param(
        {"controller": {"livenessProbe": {"port": 1111}}},
        "controller.readinessProbe.port: is 17472, but health is served on "
        "controller.livenessProbe.port alone, which is 1111",
    ),
    pytest.param(
        {"prometheus": {"metricsPort": 7946}},
        "prometheus.metricsPort, speaker.memberlist.mlBindPort: all are 7946",
    ),
    pytest.param(
        {"speaker": {"frr": {"enabled": True, "metricsPort": 9120}}},
        "prometheus.metricsPort, speaker.frr.metricsPort: all are 9120",
    ),
]
UNKNOWN = [
    ({"speaker": {"tolerateMasters": True}}, "speaker.tolerateMasters", "speaker.tolerateMaster"),
    ({"speeker": {"enabled": True}}, "speeker", "speaker"),
    ({"Controller": {}}, "Controller", "controller"),
    ({"imagePullSecret": []}, "imagePullSecret", "imagePullSecrets"),
    (
        {"prometheus": {"podMonitor": {"additionalLables": {}}}},
        "prometheus.podMonitor.additionalLables",
        "prometheus.podMonitor.additionalLabels",
    ),
    (
        {"speaker": {"livenessProbe": {"failureTreshold": 1}}},
        "speaker.livenessProbe.failureTreshold",
        "speaker.livenessProbe.failureThreshold",
    ),
    ({"logLevel": "debug"}, "logLevel", "controller.logLevel or speaker.logLevel"),
    (
        {"metricsPort": 1},
        "metricsPort",
        "prometheus.metricsPort or speaker.frr.metricsPort",
    ),
    ({"wanConfig": True}, "wanConfig", "speaker.wanConfig"),
    ({"controller": {"sidecars": []}}, "controller.sidecars", None),
    (
        {"frr-k8s": {"frrk8s": {"tolerateMasters": True}}},
        "frr-k8s.frrk8s.tolerateMasters",
        "frr-k8s.frrk8s.tolerateMaster",
    ),
    (
        {
            "frr-k8s": {"prometheus": {"serviceMonitor": {"enable": True}}},
            "frrk8s": {"enabled": True},
        },
        "frr-k8s.prometheus.serviceMonitor.enable",
        "frr-k8s.prometheus.serviceMonitor.enabled",
    ),
]
LOG_LEVEL = pytest.mark.rule("install-3.3.schema")
WRONG = [
    pytest.param({"controller": {"logLevel": "loud"}}, "controller.logLevel", marks=LOG_LEVEL),
    pytest.param({"speaker": {"logLevel": "trace"}}, "speaker.logLevel", marks=LOG_LEVEL),
    pytest.param(
        {"controller": {"image": {"pullPolicy": "Sometimes"}}},
        "controller.image.pullPolicy",
        marks=LOG_LEVEL,
    ),
    pytest.param(
        {"prometheus": {"podMonitor": {"interval": "half a minute"}}},
        "prometheus.podMonitor.interval",
        marks=LOG_LEVEL,
    ),
    pytest.param(
        {"crds": {"validationFailurePolicy": "Warn"}},
        "crds.validationFailurePolicy",
        marks=LOG_LEVEL,
    ),
    pytest.param(
        {"speaker": {"bgpDebounceTimeout": 0}},
        "speaker.bgpDebounceTimeout",
        marks=pytest.mark.rule("install-3.3.bgp-debounce"),
    ),
    ({"controller": {"webhookMode": "maybe"}}, "controller.webhookMode"),
    ({"controller": {"replicas": 0}}, "controller.replicas"),
    ({"prometheus": {"metricsPort": 65536}}, "prometheus.metricsPort"),
    ({"prometheus": {"serviceMonitor": {"interval": 0}}}, "prometheus.serviceMonitor.interval"),
    ({"speaker": {"memberlist": {"mlBindPort": 0}}}, "speaker.memberlist.mlBindPort"),
    ({"speaker": {"memberlist": {"mlSecretKeyPath": "k"}}}, "speaker.memberlist.mlSecretKeyPath"),
    ({"speaker": {"gratuitousARPInterval": -1}}, "speaker.gratuitousARPInterval"),
    ({"speaker": {"gratuitousARPInterval": 2**31}}, "speaker.gratuitousARPInterval"),
    ({"speaker": {"nodeSelector": {"a": 1}}}, "speaker.nodeSelector.a"),
    ({"controller": {"livenessProbe": {"port": 0}}}, "controller.livenessProbe.port"),
    ({"controller": {"strategy": {"type": "OnDelete"}}}, "controller.strategy.type"),
    ({"speaker": {"updateStrategy": {"type": "Recreate"}}}, "speaker.updateStrategy.type"),
    ({"tls": {"minVersion": "TLS1.2"}}, "tls.minVersion"),
    ({"imagePullSecrets": ["name"]}, "imagePullSecrets.0"),
    ({"global": {"imageRegistry": "https:// x"}}, "global.imageRegistry"),
    ({"shadow": "yes"}, "shadow"),
]
HARMLESS = [
    {"global": {"registry": "mirror"}},
    {"enabled": True},
    {"prometheus": {"podMonitor": {"enabled": False, "interval": 30, "jobLabel": "x"}}},
    {"prometheus": {"rbacPrometheus": True, "serviceAccount": "", "namespace": ""}},
    {"prometheus": {"prometheusRule": {"staleConfig": {"enabled": True}}}},
    {"networkpolicies": {"defaultDeny": True, "apiPort": 443}},
    {"speaker": {"frr": {"image": {"tag": "10.5.3"}, "metricsPort": 9121}}},
    {"speaker": {"reloader": {"resources": {}}, "startupProbe": {"enabled": False}}},
    {"speaker": {"initContainers": {"cpMetrics": {"resources": {"limits": {"cpu": 1}}}}}},
    {"frr-k8s": {"prometheus": {"serviceMonitor": {"enabled": True}}}},
    {"speaker": {"secretName": None, "command": None, "image": {"tag": None}}},
]


@pytest.mark.parametrize(("values", "told"), REFUSED)
def test_what_cannot_be_honoured_is_refused_by_name(
    render: Any, values: dict[str, Any], told: str
) -> None:
    """Whoever asks for a contradiction learns so at once, and what to do."""
    with pytest.raises(HelmError, match="cannot be honoured") as caught:
        render(values)
    assert f"  - {told}" in str(caught.value)


@pytest.mark.parametrize(("values", "path", "meant"), UNKNOWN, ids=[path for _, path, _ in UNKNOWN])
@pytest.mark.rule("install-3.3.unknown")
def test_an_unknown_value_is_refused_with_the_nearest_name(
    render: Any, values: dict[str, Any], path: str, meant: str | None
) -> None:
    """At any depth; and a name that stands elsewhere is told with its place."""
    with pytest.raises(HelmError, match="cannot be honoured") as caught:
        render(values)
    hint = f"; did you mean {meant}?" if meant else ""
    assert f"  - {path}: no such value{hint}\n" in str(caught.value)


def test_all_refusals_are_told_together(render: Any) -> None:
    """A file of values needs one correction, not five attempts."""
    values = {
        "frrk8s": {"external": True},
        "speaker": {"tolerateMasters": True, "frr": {"enabled": True}},
        "prometheus": {"podMonitor": {"enabled": True}},
        "nonsense": 1,
    }
    with pytest.raises(HelmError) as caught:
        render(values)
    lines = [line for line in str(caught.value).splitlines() if line.startswith("  - ")]
    assert len(lines) == 6


@pytest.mark.parametrize(("values", "named"), WRONG)
def test_wrong_values_are_refused_by_the_schema(
    render: Any, values: dict[str, Any], named: str
) -> None:
    """A value of the wrong kind is told by its path."""
    with pytest.raises(HelmError, match="specifications of the schema") as caught:
        render(values)
    assert f"- {named}: " in str(caught.value)


@pytest.mark.parametrize(
    "name", ["imageRegistri", "ImageRegistry", "imageregistry", "mageRegistry"]
)
def test_a_slip_below_global_is_told(render: Any, name: str) -> None:
    """What all charts share may hold anything, but not nearly what ours is called."""
    with pytest.raises(HelmError, match="cannot be honoured") as caught:
        render({"global": {name: "mirror.example"}})
    told = f"  - global.{name}: no such value; did you mean global.imageRegistry?\n"
    assert told in str(caught.value)


@pytest.mark.parametrize("name", ["imagePullSecrets", "registry", "imageRegistryMirror", "domain"])
def test_what_other_charts_have_below_global_is_left_to_them(render: Any, name: str) -> None:
    """An umbrella chart's own keys do no harm."""
    assert render({"global": {name: "x"}}) == render()


def test_values_that_ask_for_nothing_are_accepted(render: Any) -> None:
    """Defaults of MetalLB's chart, written out, and keys of umbrella charts do no harm."""
    expected = render()
    for values in HARMLESS:
        assert render(values) == expected, values


def test_defaults_of_another_chart_are_refused(helm: Path, tmp_path: Path) -> None:
    """`helm upgrade --reuse-values` puts the old chart's defaults in the place of ours."""
    copy = tmp_path / "chart"
    shutil.copytree(CHART, copy)
    values = yaml.safe_load((copy / "values.yaml").read_text())
    for key in ("shadow", "grafana", "global", "tls"):
        del values[key]
    (copy / "values.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(HelmError, match="--reset-then-reuse-values"):
        template(helm, copy, "metallb")
