"""The code blocks of README.md and docs/: what they are, and what runs them.

A comment right above a block says what is special about it:

* ``<!-- output -->``: what the block before prints: these lines in this order, `…` for anything.
* ``<!-- host: n1 -->``: its commands are run there, not on a machine of the LAN.
* ``<!-- fails -->``: its last command is refused.
* ``<!-- not run: REASON -->``: no lab test runs it, for one of `REASONS`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

LAB_PAGES: Final = (
    "install.md",
    "first-service.md",
    "layer2.md",
    "usage.md",
    "troubleshooting.md",
    "bgp.md",
    "from-metallb.md",
    "operations.md",
)
"""Pages whose blocks tests/lab/test_documents.py runs, one page after the other."""

REASONS: Final = (
    "the URL is that of your repository",
    "needs podman and a registry; tests/lab/test_image.py builds the Containerfile",
    "another way to install; run by the test of the manifests",
    "replaces the release that other pages use; run by the test of the chart's values",
    "run by the test of helm's tests",
    "run by the test of the chart's values",
    "run by tests/lab/test_migrate_page.py",
    "takes minutes",
)
"""Why a block may be left out."""

_FENCE: Final = re.compile(r"^( *)```([a-z]*) *(?:title=\"([^\"]*)\")?\s*$")
_NOTE: Final = re.compile(r"^ *<!-- (.*) -->$")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    language: str
    title: str
    note: str
    text: str

    @property
    def name(self) -> str:
        """Give page and line, as a person looks for it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_output(self) -> bool:
        """Tell whether it is what the block before prints."""
        return self.note == "output"

    @property
    def reason(self) -> str:
        """Give why it is not run; empty where it is."""
        return self.note.removeprefix("not run: ") if self.note.startswith("not run") else ""

    @property
    def host(self) -> str:
        """Give the machine its commands are typed on."""
        return self.note.removeprefix("host: ") if self.note.startswith("host: ") else "client"

    @property
    def commands(self) -> list[str]:
        """Give its command lines, continued lines joined, comments left out."""
        joined = self.text.replace("\\\n", " ")
        lines = [re.sub(r"\s+#.*$", "", line).strip() for line in joined.splitlines()]
        return [line for line in lines if line and not line.startswith("#")]


def blocks(page: Path) -> list[Block]:
    """Give the blocks of a page in order."""
    found: list[Block] = []
    lines = page.read_text().splitlines()
    index = 0
    while index < len(lines):
        match = _FENCE.match(lines[index])
        if not match:
            index += 1
            continue
        indent, language, title = match[1], match[2], match[3] or ""
        end = next(
            at for at in range(index + 1, len(lines)) if lines[at].rstrip() == f"{indent}```"
        )
        text = "\n".join(line.removeprefix(indent) for line in lines[index + 1 : end]) + "\n"
        found.append(Block(page, index + 1, language, title, _note_above(lines, index), text))
        index = end + 1
    return found


def all_blocks(language: str = "") -> list[Block]:
    """Give the blocks of all pages, or those in one language."""
    found = [block for page in PAGES for block in blocks(page)]
    return [block for block in found if not language or block.language == language]


def missing_in(output: str, wanted: str) -> str:
    """Give the first wanted line that the output lacks after those before it, or nothing."""
    lines = [" ".join(line.split()) for line in output.splitlines()]
    at = 0
    for line in wanted.splitlines():
        if not line.strip():
            continue
        parts = [re.escape(part.strip()) for part in " ".join(line.split()).split("…")]
        pattern = re.compile(r".*?".join(parts))
        while at < len(lines) and not pattern.search(lines[at]):
            at += 1
        if at == len(lines):
            return line
    return ""


def _note_above(lines: list[str], index: int) -> str:
    match = _NOTE.match(lines[index - 1]) if index else None
    return match[1] if match else ""
