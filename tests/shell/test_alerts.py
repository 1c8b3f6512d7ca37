"""The alerts of the chart, judged by promtool."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.build.apt import PROMETHEUS_PACKAGES, ensure_packages
from lab.build.helm import ensure_helm

ROOT = Path(__file__).resolve().parents[2]
FIRING = Path(__file__).parent / "alerts" / "firing.yaml"
RULE = "prometheus.prometheusRule"
ORIGINALS = {
    "MetalLBStaleConfig": 'metallb_k8s_client_config_stale_bool{job=~"metallb.*"} == 1',
    "MetalLBConfigNotLoaded": 'metallb_k8s_client_config_loaded_bool{job=~"metallb.*"} == 0',
    "MetalLBAddressPoolExhausted": (
        'metallb_allocator_addresses_in_use_total{pool!~""} >= metallb_allocator_addresses_total'
    ),
    **{
        f"MetalLBAddressPoolUsage{percent}Percent": (
            '(metallb_allocator_addresses_in_use_total{pool!~""}'
            f" / metallb_allocator_addresses_total) * 100 > {percent}"
        )
        for percent in (75, 85, 95)
    },
    "MetalLBBGPSessionDown": 'metallb_bgp_session_up{job=~"metallb.*"} == 0',
}
"""What operators know and have silenced, routed or inhibited by name."""


@pytest.fixture(scope="session")
def promtool() -> str:
    """Find promtool, or install it."""
    if shutil.which("promtool") is None:
        if os.geteuid() != 0:
            pytest.skip("promtool is missing, and only root can install it")
        ensure_packages(PROMETHEUS_PACKAGES)
    return str(shutil.which("promtool"))


def groups(*values: str, release: str = "metallb") -> list[dict[str, Any]]:
    """Give the groups of the chart's PrometheusRule."""
    argv = [str(ensure_helm()), "template", release, str(ROOT / "charts" / "mercurylb")]
    argv += ["--show-only", "templates/prometheus-rule.yaml", "--set-json", f"{RULE}.enabled=true"]
    for value in values:
        argv += ["--set-json", f"{RULE}.{value}"]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    found: list[dict[str, Any]] = yaml.safe_load(done.stdout)["spec"]["groups"]
    return found


def alerts(*values: str, release: str = "metallb") -> dict[str, dict[str, Any]]:
    """Give the alerts of the chart by name."""
    ((group),) = groups(*values, release=release)
    return {rule["alert"]: rule for rule in group["rules"]}


def judge(promtool: str, folder: Path, *words: str) -> None:
    """Have promtool say nothing but that all is well."""
    done = subprocess.run(
        [promtool, *words], cwd=folder, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.rule("metrics-1.3.stale", "metrics-1.3.not-loaded", "metrics-1.3.exhausted")
@pytest.mark.rule("metrics-1.3.usage", "metrics-1.3.bgp")
def test_the_alerts_fire_when_they_should(promtool: str, tmp_path: Path) -> None:
    """And at no other time, as promtool plays them; it finds nothing to complain about."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups()}))
    shutil.copy(FIRING, tmp_path / "firing.yaml")
    judge(promtool, tmp_path, "check", "rules", "rules.yaml")
    judge(promtool, tmp_path, "test", "rules", "firing.yaml")


def test_every_alert_is_played() -> None:
    """An alert that is added has to be shown to fire."""
    played = set(re.findall(r'alertname="(\w+)"', FIRING.read_text()))
    assert played == set(alerts())


@pytest.mark.rule("metrics-1.3.table")
def test_the_originals_alerts_are_the_same() -> None:
    """Name, expression, how long, and severity; and the group is named after the release."""
    (group,) = groups()
    assert group["name"] == "metallb.rules"
    found = {name: rule for name, rule in alerts().items() if name in ORIGINALS}
    assert {name: rule["expr"] for name, rule in found.items()} == ORIGINALS
    assert {name: rule.get("for") for name, rule in found.items()} == {
        name: None if "Usage" in name else "1m" for name in ORIGINALS
    }
    critical = {name for name, rule in found.items() if rule["labels"]["severity"] == "critical"}
    assert critical == {
        "MetalLBAddressPoolExhausted",
        "MetalLBAddressPoolUsage95Percent",
        "MetalLBBGPSessionDown",
    }


@pytest.mark.rule("metrics-1.3.exclude-pools", "metrics-1.3.extra")
def test_values_change_alerts(promtool: str, tmp_path: Path) -> None:
    """Pools are left out, thresholds and labels are others, alerts are switched off and added."""
    values = (
        'addressPoolExhausted.excludePools="test.*"',
        'addressPoolUsage={"excludePools":"lab","thresholds":[{"percent":50}]}',
        'bgpSessionDown.labels={"severity":"page","team":"net"}',
        "staleConfig.enabled=false",
        "more.loopLag.enabled=false",
        'extraAlerts=[{"alert":"Mine","expr":"up == 0"}]',
    )
    found = alerts(*values)
    assert 'pool!~"test.*"' in found["MetalLBAddressPoolExhausted"]["expr"]
    usage = found["MetalLBAddressPoolUsage50Percent"]
    assert ('pool!~"lab"' in usage["expr"], usage["expr"].endswith("> 50")) == (True, True)
    assert "labels" not in usage
    assert found["MetalLBBGPSessionDown"]["labels"] == {"severity": "page", "team": "net"}
    gone = {"MetalLBStaleConfig", "MercuryLBLoopLag", "MetalLBAddressPoolUsage75Percent"}
    assert not gone & set(found)
    assert found["Mine"] == {"alert": "Mine", "expr": "up == 0"}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups(*values)}))
    judge(promtool, tmp_path, "check", "rules", "rules.yaml")


def test_alerts_find_the_jobs_of_any_release() -> None:
    """Monitors name jobs after the chart's name, which a full name only begins with by chance."""
    found = alerts(release="edge")
    for name in ("MetalLBStaleConfig", "MetalLBConfigNotLoaded", "MetalLBBGPSessionDown"):
        assert '{job=~"edge-metallb.*|metallb"}' in found[name]["expr"]
