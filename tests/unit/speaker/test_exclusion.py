"""The file of excluded interfaces is read, or refused with the entry that is wrong."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.errors import ConfigError
from mercurylb.speaker.exclusion import load_exclusions, parse_exclusions

if TYPE_CHECKING:
    from pathlib import Path

STOCK = """announcedInterfacesToExclude: ["^docker.*", "^veth.*", "^lo$", "^cni.*"]"""


def is_excluded(name: str, text: str = STOCK) -> bool:
    """Tell whether any pattern of the file finds the name."""
    return any(pattern.search(name) for pattern in parse_exclusions(text, source="file"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("docker0", True), ("veth1a2b", True), ("lo", True), ("lo0", False), ("eth0", False)],
)
@pytest.mark.rule("api-10.exclude-l2")
@pytest.mark.rule("layer2-5.file")
def test_names(name: str, expected: bool) -> None:  # noqa: FBT001 (a table's column)
    """The stock file excludes virtual interfaces and nothing else."""
    assert is_excluded(name) is expected


@pytest.mark.parametrize("text", ["", "---", "other: 1", "announcedInterfacesToExclude:"])
def test_nothing_is_excluded(text: str) -> None:
    """An empty file or an absent key excludes nothing."""
    assert parse_exclusions(text, source="file") == ()


@pytest.mark.rule("layer2-5.file")
def test_an_absent_file_excludes_nothing(tmp_path: Path) -> None:
    """The file is optional."""
    assert load_exclusions(tmp_path / "absent.yaml") == ()


@pytest.mark.rule("layer2-5.file")
def test_every_wrong_entry_is_named() -> None:
    """All entries that are no regular expression are reported, with their place."""
    text = 'announcedInterfacesToExclude: ["^eth", "(", 7, "[[:alpha:]]"]'
    with pytest.raises(ConfigError) as caught:
        parse_exclusions(text, source="excludel2.yaml")
    assert [problem.field for problem in caught.value.problems] == [
        "announcedInterfacesToExclude[1]",
        "announcedInterfacesToExclude[2]",
        "announcedInterfacesToExclude[3]",
    ]


@given(st.text())
def test_any_text_gives_patterns_or_our_own_error(text: str) -> None:
    """No file, however broken, raises anything else."""
    with contextlib.suppress(ConfigError):
        parse_exclusions(text, source="file")
