"""No test is forgotten: every file that looks like one is found by pytest where it stands."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
FOLDERS = {"unit", "property", "sim", "shell", "interop", "lab", "tidy"}
"""The folders that `make test` hands to pytest (scripts/check.py and the Makefile)."""

TEST_FILES = sorted(TESTS.rglob("test_*.py"))


def test_functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the test functions and methods of a file."""
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]


test_functions.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_each_test_file_stands_where_pytest_looks(path: Path) -> None:
    """A test file outside the known folders would never run."""
    assert path.relative_to(TESTS).parts[0] in FOLDERS


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_each_test_states_its_promise(path: Path) -> None:
    """Every test function opens with a sentence that says what it promises."""
    silent = [node.name for node in test_functions(path) if not ast.get_docstring(node)]
    assert not silent
