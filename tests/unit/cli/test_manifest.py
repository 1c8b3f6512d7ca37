"""Manifests that we write: text stays text for every reader."""

from __future__ import annotations

import pytest

from mercurylb.cli.manifest import to_yaml


@pytest.mark.parametrize(
    "text",
    [
        "64512:1",
        "0:30",
        "y",
        "No",
        "1e3",
        "0x1F",
        "010",
        "~",
        "",
        "null",
        "2026-01-01",
        "<<",
        "1_0",
    ],
)
def test_ambiguous_text_is_quoted(text: str) -> None:
    """What any reader could take for a number, a time or a boolean stands in double quotes."""
    assert to_yaml({"a": text}) == f'a: "{text}"\n'


@pytest.mark.parametrize("text", ["65535:65281", "192.0.2.1", "2001:db8::1", "1m30s", "a b"])
def test_plain_text_is_left_alone(text: str) -> None:
    """What nobody takes for anything else needs no quotes."""
    assert to_yaml({"a": text}) == f"a: {text}\n"
