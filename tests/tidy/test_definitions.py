"""The definitions that are installed are those the structs make."""

from __future__ import annotations

from scripts.crds import differing


def test_the_committed_definitions_are_current() -> None:
    """Who changes a struct runs scripts/crds.py; nobody edits config/crd by hand."""
    assert differing() == []
