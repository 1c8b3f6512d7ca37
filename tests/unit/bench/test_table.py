"""The table as people see it."""

from __future__ import annotations

from bench.figures import rows
from bench.table import render


def test_columns_are_aligned_and_verdicts_told() -> None:
    """Every line's columns start where the head's do; a missed budget is shouted."""
    text = render(rows({"latency_p50_ms": 30.0, "start_s": 2.0}, None), {"cores": "2"})
    about, empty, head, rule, *lines = text.splitlines()
    assert (about, empty) == ("cores 2", "")
    assert rule.split() == ["─" * len(part) for part in rule.split()]
    at = head.index("budget")
    assert [line[at:] for line in lines] == ["≤ 0.6 x MISSED", "≤ 0.25 x met"]
    assert "16 ms (elsewhere)" in lines[0]
