"""One event in the log is one constant name, and docs/events.md lists them all."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "alloc|announcer|bfd|bgp|config|controller|daemon|frr|kube|layer2|log|membership|metrics"
    "|shadow|speaker|webhook"
)
CONSTANT = re.compile(rf"(?<!import )\"((?:{ROOMS})\.(?!conf\")[a-z0-9_]+)\"")
ROW = re.compile(r"^\| `([a-z0-9_.]+)` \|", re.MULTILINE)


def events_in_code() -> set[str]:
    """Return every constant of the package that has the form of an event's name."""
    return {
        name for path in (ROOT / "src").rglob("*.py") for name in CONSTANT.findall(path.read_text())
    }


def test_the_catalogue_and_the_code_name_the_same_events() -> None:
    """An operator finds every event of the log in the catalogue, and nothing that never comes."""
    listed = set(ROW.findall((ROOT / "docs" / "events.md").read_text()))
    assert events_in_code() == listed
