"""What scripts/audit makes of pip-audit's answers."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from scripts import audit

SOUND = {"name": "a", "version": "1", "vulns": []}
FAULT = {"id": "PYSEC-1", "fix_versions": ["2"]}
FAULTY = {"name": "b", "version": "1", "vulns": [FAULT]}
SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "status"),
    [
        ([SOUND], 0),
        ([SOUND, FAULTY], 1),
        ([SOUND, SKIPPED], 2),
        ([FAULTY, SKIPPED], 1),
        ([], 2),
    ],
)
def test_what_nobody_judged_is_not_called_sound(packages: list[Any], status: int) -> None:
    """Success needs an answer for every package."""
    assert audit.judge(json.dumps({"dependencies": packages})).status() == status


def test_a_fault_is_told_with_the_version_that_mends_it() -> None:
    """An operator reads what to update to."""
    lines = audit.judge(json.dumps({"dependencies": [FAULTY]})).lines("x.lock")
    assert "b 1: PYSEC-1; fixed in 2" in "\n".join(lines)


@pytest.mark.parametrize("name", [audit.IMAGE, audit.DEVELOPERS])
def test_every_locked_package_has_a_version_and_digests(name: str) -> None:
    """Nothing is installed that was not meant when the lock was made."""
    text = (audit.ROOT / name).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) == len(audit.names(audit.ROOT / name)) > 10
    for entry in entries:
        assert re.match(r"[a-z0-9._\[\]-]+==[0-9][^ ]* ", entry), entry
        assert "--hash=sha256:" in entry, entry
