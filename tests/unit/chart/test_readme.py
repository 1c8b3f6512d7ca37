"""The README's tables and the list of names are drawn from values and schemas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from scripts.chart_values import BEGIN, END, keys, marked, merged, names, tables

if TYPE_CHECKING:
    from pathlib import Path

VALUES = """\
# Not of a key, because a line is free below it.

# What the part is. MetalLB has no such part.
part:
  # How many.
  count: 1
  open: {}
  several:
    # Not a key either.
    - name: x
      label: y
top: ""
"""
SCHEMA = {
    "properties": {
        "part": {
            "properties": {
                "count": {"type": "integer"},
                "open": {"type": "object"},
                "several": {"type": "array"},
            }
        },
        "top": {"$ref": "#/definitions/text"},
    },
    "definitions": {"text": {"type": "string"}},
}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Write a small chart."""
    (tmp_path / "values.yaml").write_text(VALUES)
    (tmp_path / "values.schema.json").write_text(json.dumps(SCHEMA))
    return tmp_path


def test_a_comment_belongs_to_the_key_right_below() -> None:
    """And a path is made of the keys above by their indentation."""
    found = {key.path: key.effect for key in keys(VALUES)}
    assert found["part"] == "What the part is. MetalLB has no such part."
    assert found["part.count"] == "How many."
    assert found["part.open"] == found["top"] == ""


def test_each_key_is_a_row_with_its_default(small: Path) -> None:
    """Sections have tables of their own, and what is inside a list is no key."""
    text = tables(small)
    assert "| `part.count` | `1` | How many. |" in text
    assert "### `part`\n\nWhat the part is. **MetalLB has no such part.**\n" in text
    assert '| `top` | `""` |  |' in text
    assert "label" not in "".join(line.partition("` |")[0] for line in text.splitlines())


def test_an_object_that_lists_keys_is_closed(small: Path) -> None:
    """One that lists none belongs to Kubernetes, or to the user."""
    assert names(small) == {
        "part": True,
        "part.count": False,
        "part.open": False,
        "part.several": False,
        "top": False,
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("A. MetalLB has B. C.", "A. **MetalLB has B.** C."),
        ("Alert MetalLBStaleConfig: x.", "Alert MetalLBStaleConfig: x."),
        ("Deprecated in MetalLB; x.", "Deprecated in MetalLB; x."),
        ("a | b <c>", "a \\| b &lt;c>"),
    ],
)
def test_only_sentences_about_metallb_are_bold(text: str, shown: str) -> None:
    """Whoever comes from there sees at once what differs."""
    assert marked(text) == shown


def test_what_is_written_by_hand_stays() -> None:
    """Only what stands between the marks is replaced."""
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert merged(text, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
