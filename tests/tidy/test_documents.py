"""Documents tell the truth: links lead somewhere, commands parse, manifests are right."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import jsonschema  # type: ignore[import-untyped]  # no types are published for it
import pytest
import yaml

from mercurylb.cli.__main__ import command
from mercurylb.cli.documents import parse_documents
from mercurylb.cli.inventory import take_inventory
from mercurylb.cli.validation import validate
from tests.documents import LAB_PAGES, PAGES, REASONS, Block, all_blocks, blocks, missing_in

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(
        part.startswith(".") or part in {"node_modules", "build"}
        for part in path.relative_to(ROOT).parts
    )
)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?(https?:)?//|"""
    r"""<link[^>]*rel=["']?(?:stylesheet|preconnect|preload)[^>]*href=["']?(https?:)?//|"""
    r"""@import|url\(["']?(https?:)?//"""
)
SHELL = all_blocks("sh")
MANIFESTS = [block for block in all_blocks("yaml") if not block.title.endswith("values.yaml")]
VALUES = [block for block in all_blocks("yaml") if block.title.endswith("values.yaml")]
CHART = ROOT / "charts" / "mercurylb"
SUBCHART = "frr-k8s"
FIGURES = re.compile(r"\| ([\d .]+ (?:ms|s|MiB|MB)|[\d.]+ %) \|")


def ids(found: list[Block]) -> list[str]:
    """Name tests by page and line."""
    return [block.name for block in found]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    """A reader who follows a link arrives."""
    site = {"chart.md", "threats.md", "contributing.md", "architecture.md"}
    broken = [
        target
        for target in LINK.findall(document.read_text())
        if not (document.parent / target).exists()
        and not (document.parent == ROOT / "docs" and target in site)
    ]
    assert not broken


@pytest.mark.parametrize("script", ["reference.py", "pictures.py"])
def test_what_is_drawn_is_current(script: str) -> None:
    """The reference of objects and the pictures are what the tree makes of them."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / script, "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stdout + done.stderr


@pytest.mark.timeout(180)
def test_the_site_builds_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    """There is nothing that mkdocs complains of, and no page loads anything from another host."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    assert "WARNING" not in done.stderr
    pages = [*tmp_path.rglob("*.html"), *tmp_path.rglob("*.css")]
    assert len(pages) > len(PAGES)
    fetching = [page.name for page in pages if FETCHED.search(page.read_text())]
    assert not fetching


@pytest.mark.parametrize("block", SHELL, ids=ids(SHELL))
def test_every_shell_block_is_run_or_says_why_not(block: Block) -> None:
    """A block stands on a page that the lab test performs, repeats one, or has a known reason."""
    if block.reason:
        assert block.reason in REASONS
        return
    others = [line for line in block.commands if not _is_checked_here(line)]
    if block.page.name not in LAB_PAGES:
        performed = set(_performed())
        assert [line for line in others if line not in performed] == []


@pytest.mark.parametrize("block", SHELL, ids=ids(SHELL))
def test_commands_of_mercurylb_parse(block: Block) -> None:
    """Every `mercurylb` in a block is taken by the command's own parser, options and all."""
    for line in block.commands:
        for words in _our_commands(line):
            _parse(words)


@pytest.mark.parametrize("block", SHELL, ids=ids(SHELL))
def test_make_has_every_target(block: Block) -> None:
    """Every `make TARGET` is in the Makefile."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    wanted = [line.split()[1] for line in block.commands if line.startswith("make ")]
    assert set(wanted) <= set(targets)


@pytest.mark.parametrize("block", MANIFESTS, ids=ids(MANIFESTS))
def test_manifests_are_right(block: Block) -> None:
    """`mercurylb validate` finds no error in a manifest, and it is a manifest."""
    for document in yaml.safe_load_all(block.text):
        assert {"apiVersion", "kind", "metadata"} <= document.keys()
    text = block.text.encode()
    found = validate(
        take_inventory(parse_documents(text, source=block.name)),
        namespace="metallb",
        backend="native",
    )
    errors = [problem for problem in found.findings if problem.severity == "error"]
    assert not errors


@pytest.mark.parametrize("block", VALUES, ids=ids(VALUES))
def test_values_are_those_of_the_chart(block: Block) -> None:
    """A file of values fits the chart's schema, and the chart knows every name in it."""
    values = yaml.safe_load(block.text)
    jsonschema.validate(values, json.loads((CHART / "values.schema.json").read_text()))
    known = yaml.safe_load((CHART / "values.yaml").read_text())
    assert list(_unknown(values, known)) == []


def test_files_that_commands_name_are_on_the_page() -> None:
    """What `-f` and `--values` name is a block with that title, on the page or one before it."""
    known: set[str] = set()
    missing = []
    for page in LAB_PAGES:
        found = blocks(ROOT / "docs" / page)
        known |= {block.title for block in found if block.title}
        for block in found:
            if block.language == "sh" and not block.reason:
                named = re.findall(r"(?:-f|--values) (\S+\.yaml)", block.text)
                missing += [f"{block.name}: {name}" for name in named if name not in known]
    assert not missing


def test_figures_are_those_of_the_benchmarks() -> None:
    """Each figure on the page about performance is one that was measured."""
    measured = " ".join((ROOT / "docs" / "benchmarks.md").read_text().split())
    told = FIGURES.findall((ROOT / "docs" / "performance.md").read_text())
    assert len(told) > 10
    assert [figure for figure in told if figure not in measured] == []


@pytest.mark.parametrize(
    ("output", "wanted", "missing"),
    [
        ("a  b c\nd", "a b", ""),
        ("a 1 z\nb", "a … z\nb", ""),
        ("b\na", "a\nb", "b"),
        ("", "a", "a"),
        ("x.y", "x?y", "x?y"),
    ],
)
def test_expected_output_is_found_in_order(output: str, wanted: str, missing: str) -> None:
    """Lines are looked for in their order, blanks count once, and an ellipsis is anything."""
    assert missing_in(output, wanted) == missing


def _is_checked_here(line: str) -> bool:
    words = line.split()
    return words[0] == "make" or bool(_our_commands(line))


def _performed() -> Iterator[str]:
    for page in LAB_PAGES:
        for block in blocks(ROOT / "docs" / page):
            yield from block.commands


def _our_commands(line: str) -> list[list[str]]:
    """Give the words after each `mercurylb` that begins a command of a line."""
    found = []
    for part in re.split(r"\||&&|;", line):
        words = shlex.split(part.split(" > ")[0])
        if words and words[0] == "sudo":
            words = words[1:]
        if words and words[0] == "mercurylb":
            found.append(words[1:])
    return found


def _parse(words: list[str]) -> None:
    """Have click parse a command line down to its last subcommand, without running it."""
    current: click.Command = command()
    while isinstance(current, click.Group):
        context = click.Context(current)
        if words and words[0] in {"--help", "--version"}:
            return
        _, found, words = current.resolve_command(context, words)
        assert found is not None
        current = found
    for parameter in current.params:  # files of a page are written only when it is performed
        if isinstance(parameter.type, click.Path):
            parameter.type = click.Path()
    current.make_context(current.name, list(words))


def _unknown(values: dict[str, Any], known: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in values.items():
        if key not in known:
            yield path + key
        elif key != SUBCHART and isinstance(value, dict) and known[key]:
            yield from _unknown(value, known[key], f"{path}{key}.")
