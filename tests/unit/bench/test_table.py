"""The table as people see it."""

from __future__ import annotations

import pytest

from bench.figures import rows
from bench.table import embed, render


def test_columns_are_aligned_and_verdicts_told() -> None:
    """Every line's columns start where the head's do; a missed budget is shouted."""
    text = render(rows({"latency_p50_ms": 30.0, "start_s": 2.0}, None), {"cores": "2"})
    about, empty, head, rule, *lines = text.splitlines()
    assert (about, empty) == ("cores 2", "")
    assert rule.split() == ["─" * len(part) for part in rule.split()]
    at = head.index("budget")
    assert [line[at:] for line in lines] == ["≤ 0.6 x MISSED", "≤ 0.25 x met"]
    assert "16 ms (elsewhere)" in lines[0]


def test_the_table_takes_the_place_of_the_one_in_a_document() -> None:
    """What stands around the first block stays, and so does every other block."""
    document = "# Figures\n\n```\nold\nolder\n```\nand\n```\nother\n```\n"
    wanted = "# Figures\n\n```\nnew\n```\nand\n```\nother\n```\n"
    assert embed(document, "new") == wanted
    assert embed(wanted, "new") == wanted


@pytest.mark.parametrize("document", ["", "no block", "```\nwithout an end\n"])
def test_a_document_without_a_block_is_refused(document: str) -> None:
    """Nothing is lost silently."""
    with pytest.raises(ValueError, match="no block"):
        embed(document, "new")
