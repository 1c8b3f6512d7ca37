"""docs/metrics.md lists what a speaker exposes."""

from __future__ import annotations

from pathlib import Path

from mercurylb.speaker.metrics import SpeakerMetrics
from mercurylb.telemetry.metrics import Registry

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"


def test_every_family_is_documented() -> None:
    """With exactly its labels, so that whoever writes an alert need not look at a speaker."""
    registry = Registry()
    SpeakerMetrics(registry)
    rows = {
        line.split("|")[1].strip().strip("`"): line.split("|")[2].strip()
        for line in DOCUMENT.read_text().splitlines()
        if line.startswith("| `m")
    }
    assert rows == {name: ", ".join(family.labels) for name, family in registry._families.items()}
