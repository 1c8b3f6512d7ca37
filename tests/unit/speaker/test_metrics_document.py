"""docs/metrics.md lists what programs expose, what alerts there are, and what they ask for."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from mercurylb.controller.definitions import DefinitionCheck
from mercurylb.controller.metrics import ControllerMetrics
from mercurylb.frr_metrics.families import Families
from mercurylb.kube.writer import WriteCounts
from mercurylb.speaker.metrics import SpeakerMetrics
from mercurylb.telemetry.api_metrics import add_api_metrics
from mercurylb.telemetry.metrics import Registry, add_process_metrics
from mercurylb.telemetry.shadow import ShadowTeller
from mercurylb.webhook.service import WebhookService
from tests.lab.prometheus_rows import frrk8s_client_rows, frrk8s_rows

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs" / "metrics.md"
FILES = ROOT / "charts" / "mercurylb" / "files"
MANIFESTS = sorted((ROOT / "config" / "manifests").glob("metallb-*.yaml"))
BOARDS = sorted((FILES / "dashboards").glob("*.json"))
NAME = re.compile(r"\b((?:metallb|mercurylb|frrk8s|process)_[a-z0-9_]+)\b")
SUFFIXES = ("_bucket", "_sum", "_count")


def cells(line: str) -> list[str]:
    """Give the cells of a row of a table."""
    return [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]


def documented() -> dict[str, str]:
    """Give the labels of each family that the document has."""
    lines = DOCUMENT.read_text().splitlines()
    rows = [cells(line) for line in lines if line.startswith(("| `m", "| `process_"))]
    return {name: labels for name, labels, _ in rows}


def labels_of(*registries: Registry) -> dict[str, str]:
    """Give the labels of all families."""
    return {
        name: ", ".join(family.labels)
        for registry in registries
        for name, family in registry._families.items()
    }


def speaker() -> Registry:
    """Give what a speaker has."""
    registry = Registry()
    add_process_metrics(registry)
    add_api_metrics(registry, writes=WriteCounts(), watches=())
    ShadowTeller(registry)
    SpeakerMetrics(registry)
    return registry


def controller() -> Registry:
    """Give what a controller has."""
    registry = Registry()
    add_process_metrics(registry)
    add_api_metrics(registry, writes=WriteCounts(), watches=())
    ShadowTeller(registry)
    ControllerMetrics(registry)
    DefinitionCheck(cast("Any", None), registry)
    settings = SimpleNamespace(
        webhook_secret="s",
        disable_cert_rotation=False,
        cert_dir="",
        cert_service_name="w",
        tls_min_version="",
        tls_cipher_suites="",
        tls_curve_preferences="",
    )
    WebhookService(
        cast("Any", settings),
        cast("Any", None),
        namespace="home",
        backend="native",
        registry=registry,
        random=random.Random(1),
    )
    return registry


@pytest.mark.rule("metrics-1.2.services-allocated")
def test_every_family_is_documented() -> None:
    """With exactly its labels, so that whoever writes an alert need not look at a program."""
    assert documented() == labels_of(speaker(), controller())


def test_the_exporter_has_nothing_else() -> None:
    """Its families are those of the speaker, one less, and have two labels each."""
    registry = Registry()
    Families(registry)
    exported = set(registry._families)
    assert set(labels_of(registry).values()) == {"peer, vrf"}
    of_sessions = {name for name in documented() if re.match(r"metallb_(bgp|bfd)_", name)}
    assert of_sessions - exported == {"metallb_bgp_pending_prefixes_total"}
    assert exported <= of_sessions


@pytest.mark.rule("metrics-1.2.frr-k8s")
def test_alerts_and_dashboards_ask_for_what_there_is() -> None:
    """Every name in them is documented; those of frr-k8s are MetalLB's with another beginning."""
    pools = "metallb_allocator_addresses"
    alerts = (FILES / "alerts.yaml").read_text().replace(f'"{pools}"', "")
    texts = [alerts.replace("{{ $pools }}", pools)]
    texts += [
        target["expr"]
        for board in BOARDS
        for panel in json.loads(board.read_text())["panels"]
        for target in panel.get("targets", ())
    ]
    known = set(documented())
    known |= {name + suffix for name in known for suffix in SUFFIXES}
    known |= {
        name.replace("metallb_", "frrk8s_", 1) for name in known if name.startswith("metallb_b")
    }
    asked = {name for text in texts for name in NAME.findall(text)}
    assert asked - known == set()
    assert any(name.startswith("frrk8s_") for name in asked)


@pytest.mark.rule("metrics-1.2.frr-k8s")
def test_what_frr_k8s_tells_is_documented() -> None:
    """The families, types and labels that a real Prometheus finds there, and no others."""
    lines = DOCUMENT.read_text().splitlines()
    rows = [cells(line)[:3] for line in lines if line.startswith("| `frrk8s_")]
    scraped = [*frrk8s_rows("", instance="", peer=""), *frrk8s_client_rows("")]
    found = [[it.name, it.kind, ", ".join(name for name, _ in it.labels)] for it in scraped]
    assert sorted(rows) == sorted(found)


def test_every_alert_is_documented() -> None:
    """With the value that switches it off, and how long it waits."""
    text = (FILES / "alerts.yaml").read_text()
    lines = DOCUMENT.read_text().splitlines()
    rows = [cells(line) for line in lines if re.match(r"\| Me\w+LB\w", line)]
    listed = {name.partition("75")[0]: (key, after) for name, after, key, _ in rows}
    found = {}
    for part in re.split(r"\{\{-? with ", text)[1:]:
        alert = re.search(r"- alert: (\w+)", part)
        if alert is None:
            continue
        key = re.match(r"\$rule\.(\w+) |\(\$rule\.more\)\.(\w+) ", part)
        after = re.search(r"^  for: (\w+)$", part, re.MULTILINE)
        assert key is not None
        found[alert[1]] = (key[1] or f"more.{key[2]}", after[1] if after else "")
    assert listed == found
    values = yaml.safe_load((ROOT / "charts" / "mercurylb" / "values.yaml").read_text())
    rule = values["prometheus"]["prometheusRule"]
    for key, _ in found.values():
        section = rule["more"][key.partition(".")[2]] if "." in key else rule[key]
        assert section["enabled"] is True


@pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_whole(board: Path) -> None:
    """Panels have numbers, places, titles and descriptions of their own, and fetch nothing else."""
    text = board.read_text()
    assert "http" not in text
    read = json.loads(text)
    assert read["uid"] == f"mercurylb-{board.stem}"
    panels = read["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert all(0 <= x < 24 for x, _ in cells)
    for panel in panels:
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["datasource"]["uid"] == "${datasource}"


@pytest.mark.rule("metrics-1.1.manifests")
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_manifests_let_the_programs_ask_who_may_read(manifest: Path) -> None:
    """Controller and speaker may create both reviews in every variant, also without Prometheus."""
    roles: dict[str, set[str]] = {}
    for document in yaml.safe_load_all(manifest.read_text()):
        if document and document["kind"] == "ClusterRole":
            rules = document["rules"] or ()
            granted = {item for rule in rules for item in rule.get("resources", ())}
            roles[document["metadata"]["name"]] = granted
    for component in ("controller", "speaker"):
        (granted,) = [roles[name] for name in roles if name.endswith(f"system:{component}")]
        assert granted >= {"tokenreviews", "subjectaccessreviews"}
