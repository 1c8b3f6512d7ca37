"""Values are honoured or refused, never silently ignored."""

from __future__ import annotations

from typing import Any

import pytest

REFUSED = [
    ({"frrk8s": {"enabled": True}}, "frrk8s.enabled"),
    ({"frrk8s": {"external": True}}, "needs frrk8s.namespace"),
    (
        {"frrk8s": {"external": True, "namespace": "x"}, "speaker": {"enabled": False}},
        "needs speaker.enabled=true",
    ),
    (
        {
            "frrk8s": {"external": True, "namespace": "x"},
            "speaker": {"frr": {"enabled": True}},
        },
        "only one of them can speak BGP",
    ),
    ({"prometheus": {"podMonitor": {"enabled": True}}}, "prometheus.podMonitor.enabled"),
    ({"prometheus": {"serviceMonitor": {"enabled": True}}}, "prometheus.serviceMonitor.enabled"),
    ({"prometheus": {"prometheusRule": {"enabled": True}}}, "prometheus.prometheusRule.enabled"),
    ({"networkpolicies": {"enabled": True}}, "networkpolicies.enabled"),
    ({"networkpolicies": {"defaultDeny": True}}, "networkpolicies.defaultDeny"),
    ({"configInline": {"peers": []}}, "configInline"),
    (
        {"speaker": {"memberlist": {"enabled": False}, "nodeSelector": {"a": "b"}}},
        "speaker.memberlist.enabled=true",
    ),
]
WRONG = [
    ({"speeker": {}}, "Additional property speeker"),
    ({"speaker": {"tolerateMasters": True}}, "Additional property tolerateMasters"),
    ({"controller": {"logLevel": "loud"}}, "controller.logLevel"),
    ({"speaker": {"logLevel": "trace"}}, "speaker.logLevel"),
    ({"controller": {"image": {"pullPolicy": "Sometimes"}}}, "controller.image.pullPolicy"),
    ({"controller": {"webhookMode": "maybe"}}, "controller.webhookMode"),
    ({"controller": {"replicas": 0}}, "controller.replicas"),
    ({"prometheus": {"metricsPort": 65536}}, "prometheus.metricsPort"),
    ({"prometheus": {"podMonitor": {"interval": "30s"}}}, "prometheus.podMonitor.interval"),
    ({"speaker": {"memberlist": {"mlBindPort": 0}}}, "speaker.memberlist.mlBindPort"),
    ({"speaker": {"memberlist": {"mlSecretKeyPath": "k"}}}, "speaker.memberlist.mlSecretKeyPath"),
    ({"speaker": {"bgpDebounceTimeout": 0}}, "speaker.bgpDebounceTimeout"),
    ({"speaker": {"gratuitousARPInterval": -1}}, "speaker.gratuitousARPInterval"),
    ({"speaker": {"gratuitousARPInterval": 2**31}}, "speaker.gratuitousARPInterval"),
    ({"speaker": {"nodeSelector": {"a": 1}}}, "speaker.nodeSelector.a"),
    ({"controller": {"livenessProbe": {"port": 0}}}, "controller.livenessProbe.port"),
    ({"controller": {"strategy": {"type": "OnDelete"}}}, "controller.strategy.type"),
    ({"speaker": {"updateStrategy": {"type": "Recreate"}}}, "speaker.updateStrategy.type"),
    ({"crds": {"validationFailurePolicy": "Warn"}}, "crds.validationFailurePolicy"),
    ({"tls": {"minVersion": "TLS1.2"}}, "tls.minVersion"),
]
HARMLESS = [
    {"global": {"registry": "mirror"}},
    {"enabled": True},
    {"prometheus": {"podMonitor": {"enabled": False, "interval": 30, "jobLabel": "x"}}},
    {"prometheus": {"rbacPrometheus": True, "serviceAccount": "", "namespace": ""}},
    {"prometheus": {"prometheusRule": {"staleConfig": {"enabled": True}}}},
    {"speaker": {"frr": {"image": {"tag": "10.5.3"}, "metricsPort": 9121}}},
    {"speaker": {"reloader": {"resources": {}}, "startupProbe": {"enabled": False}}},
    {"frr-k8s": {"prometheus": {}}},
    {"speaker": {"secretName": None, "command": None, "image": {"tag": None}}},
]


@pytest.mark.parametrize(("values", "named"), REFUSED, ids=[named for _, named in REFUSED])
def test_what_cannot_be_honoured_is_refused_by_name(
    render: Any, refusal: type[Exception], values: dict[str, Any], named: str
) -> None:
    """Whoever asks for something missing learns so at once, and what to do."""
    with pytest.raises(refusal, match="cannot be honoured") as caught:
        render(values)
    assert named in str(caught.value)


def test_all_refusals_are_told_together(render: Any, refusal: type[Exception]) -> None:
    """A file of values from MetalLB's chart needs one correction, not five attempts."""
    values = {
        "frrk8s": {"enabled": True},
        "prometheus": {"podMonitor": {"enabled": True}},
        "networkpolicies": {"enabled": True},
    }
    with pytest.raises(refusal) as caught:
        render(values)
    lines = [line for line in str(caught.value).splitlines() if line.startswith("  - ")]
    assert len(lines) == 3


@pytest.mark.parametrize(("values", "named"), WRONG, ids=[named for _, named in WRONG])
def test_wrong_values_are_refused_by_the_schema(
    render: Any, refusal: type[Exception], values: dict[str, Any], named: str
) -> None:
    """A slip of the pen is told by its path."""
    with pytest.raises(refusal, match="specifications of the schema") as caught:
        render(values)
    assert named in str(caught.value)


@pytest.mark.parametrize("values", HARMLESS, ids=str)
def test_values_that_ask_for_nothing_are_accepted(render: Any, values: dict[str, Any]) -> None:
    """Defaults of MetalLB's chart, written out, and keys of umbrella charts do no harm."""
    assert render(values) == render()
