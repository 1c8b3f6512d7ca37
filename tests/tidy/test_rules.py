"""Every rule of the specification is held by a test, or is a deviation that is written down.

`scripts/coverage-table` draws docs/coverage.md anew; `scripts/coverage-table --missing` lists gaps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts import rule_coverage
from scripts.rule_coverage import Findings, collect, draw, merged

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def findings() -> Findings:
    """Read the tree once."""
    return collect()


def test_rules_and_marks_are_well_formed(findings: Findings) -> None:
    """Ids are unique and belong to their file, marks are literal and stand on tests."""
    assert findings.problems == ()


def test_there_are_rules_of_each_part_of_the_specification(findings: Findings) -> None:
    """A file of rules that went missing would make every other promise here easy to keep."""
    assert {rule.file for rule in findings.rules} >= {"allocator", "api", "config", "controller"}


def test_each_rule_has_a_test_or_is_a_deviation(findings: Findings) -> None:
    """No rule is left to good intentions."""
    assert [rule.id for rule in findings.missing()] == []


def test_each_mark_names_a_rule(findings: Findings) -> None:
    """A mistyped id does not pass for a proof."""
    assert findings.unknown_marks() == []


def test_each_deviation_is_a_row_of_the_document(findings: Findings) -> None:
    """Who looks up a deviation finds its reason."""
    assert [(rule.id, rule.deviation) for rule in findings.unknown_deviations()] == []


def test_the_table_is_the_one_that_is_generated(findings: Findings) -> None:
    """docs/coverage.md shows what the tree holds; `scripts/coverage-table` draws it anew."""
    path = rule_coverage.ROOT / rule_coverage.TABLE
    text = path.read_text()
    assert text == merged(text, draw(findings))


TREE = {
    "docs/rules/api.toml": """
[[rule]]
id = "api-1"
text = "One."
[[rule]]
id = "api-2.row1"
text = "Two."
deviation = "subject two"
[[rule]]
id = "api-3"
text = "Three."
deviation = "no such subject"
[[rule]]
id = "api-4"
text = "Four."
""",
    "docs/compatibility.md": "| subject | why |\n|---|---|\n| subject two | because |\n",
    "tests/rows.py": 'import pytest\nROWS = [pytest.param(1, marks=pytest.mark.rule("api-8"))]\n',
    "tests/test_it.py": """
import pytest
from tests.rows import ROWS
BASE = [pytest.param(1, marks=[pytest.mark.rule("api-5"), pytest.mark.lab])]
CASES = [*BASE, pytest.param(2, marks=pytest.mark.rule("api-6"))]
UNUSED = [pytest.param(1, marks=pytest.mark.rule("api-99"))]
pytestmark = [pytest.mark.rule("api-0")]

@pytest.mark.rule("api-1", "api-2.row1")
def test_one(): ...

@pytest.mark.parametrize("row", CASES)
def test_constant(row): ...

@pytest.mark.parametrize("row", ROWS)
async def test_elsewhere(row): ...

@pytest.mark.rule("api-7")
class TestGroup:
    def test_a(self): ...
    @pytest.mark.rule("api-9")
    def test_b(self): ...

TestMachine.pytestmark = pytest.mark.rule("api-10")
""",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Write a small tree."""
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_marks_are_found_wherever_they_may_stand(tree: Path) -> None:
    """Decorators, classes, modules, parameters and constants of parameters all count, once used."""
    found = {(mark.rule, mark.test) for mark in collect(tree).marks}
    assert found == {
        ("api-0", ""),
        ("api-1", "test_one"),
        ("api-2.row1", "test_one"),
        ("api-5", "test_constant"),
        ("api-6", "test_constant"),
        ("api-7", "TestGroup::test_a"),
        ("api-7", "TestGroup::test_b"),
        ("api-8", "test_elsewhere"),
        ("api-9", "TestGroup::test_b"),
        ("api-10", "TestMachine"),
    }


def test_gaps_of_each_kind_are_told(tree: Path) -> None:
    """A rule without proof, a mark without rule and a deviation without row are each named."""
    findings = collect(tree)
    assert [rule.id for rule in findings.missing()] == ["api-4"]
    assert "api-9" in {mark.rule for mark in findings.unknown_marks()}
    assert [rule.id for rule in findings.unknown_deviations()] == ["api-3"]
    assert findings.problems == ()
    told = "\n".join(rule_coverage.gaps(findings))
    assert "1 of 4 rules have no test" in told
    assert "api-4: Four." in told


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ('id = "config-1"\ntext = "Of another file."', "an id looks like"),
        ('id = "api"\ntext = "No section."', "an id looks like"),
        ('id = "api-5.x y"\ntext = "A space."', "an id looks like"),
        ('id = "api-1"\ntext = "Twice."', "used in api.toml already"),
        ('id = "api-5"', "needed"),
        ('id = "api-5"\ntext = " "', "not empty"),
        ('id = "api-5"\ntext = "x"\nwhy = "y"', "unknown key why"),
    ],
)
def test_a_malformed_rule_is_told(tree: Path, entry: str, told: str) -> None:
    """Its file and the mistake are named, and it does not count."""
    path = tree / "docs" / "rules" / "api.toml"
    path.write_text(f"{path.read_text()}\n[[rule]]\n{entry}\n")
    findings = collect(tree)
    assert len(findings.rules) == 4
    (problem,) = findings.problems
    assert problem.startswith("api.toml: rule 5")
    assert told in problem


@pytest.mark.parametrize(
    ("test", "told"),
    [
        ("@pytest.mark.rule(NAME)\ndef test_x(): ...", "literal"),
        ("@pytest.mark.rule()\ndef test_x(): ...", "literal"),
        ('@pytest.mark.rule("api-1")\ndef helper(): ...', "is no test"),
    ],
)
def test_a_mark_that_proves_nothing_is_told(tree: Path, test: str, told: str) -> None:
    """Marks are literal, name something, and stand on tests."""
    (tree / "tests" / "test_more.py").write_text(f"import pytest\n{test}\n")
    (problem,) = collect(tree).problems
    assert told in problem


def test_what_is_written_by_hand_stays(tree: Path) -> None:
    """Drawing the table anew changes nothing outside its part, and twice is like once."""
    table = draw(collect(tree))
    first = merged("# Title\n\nBy hand.\n", table)
    assert first.startswith("# Title\n\nBy hand.\n\n<!--")
    assert merged(first, table) == first
    row = "| api-2.row1 | Two. | [test_one](../tests/test_it.py), "
    assert row + "deviation: [subject two](compatibility.md) |" in first
    assert "| api-4 | Four. | **nothing** |" in first
