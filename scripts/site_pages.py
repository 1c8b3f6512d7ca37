"""Pages of the site whose text is elsewhere in the tree, and links that leave the site.

mkdocs calls the functions (`hooks` in mkdocs.yml). A page such as ARCHITECTURE.md stays where a
reader of the tree looks for it, and is shown in the site under another name; links to it, and in
it, are turned round. A link to a file that is not in the site becomes the file's name.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parent.parent
BORROWED: Final = {
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "THREATS.md": "threats.md",
    "charts/mercurylb/README.md": "chart.md",
}
"""Where a text is in the tree, and the page of the site that shows it."""

DECISIONS: Final = "adr/index.md"
_LINK: Final = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")
_FENCE: Final = re.compile(r"^\s*```")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the borrowed pages, and a list of the decisions."""
    from mkdocs.structure.files import File  # noqa: PLC0415 (only there when the site is built)

    for source, page in BORROWED.items():
        if (ROOT / source).exists():
            files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    files.append(File.generated(config, DECISIONS, content=decisions()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page to where their targets are in the site."""
    del config
    known = {file.src_uri for file in files}
    return relinked(markdown, page.file.src_uri, known)


def decisions() -> str:
    """Give a page that lists the records of decisions by their titles."""
    lines = ["# Decisions", "", "Why things are as they are, one page for each decision.", ""]
    for path in sorted((ROOT / "docs" / "adr").glob("[0-9]*.md")):
        title = path.read_text().partition("\n")[0].removeprefix("# ")
        lines.append(f"* [{title}]({path.name})")
    return "\n".join([*lines, ""])


def relinked(markdown: str, page: str, known: set[str]) -> str:
    """Give the text of a page (its place in the site) with links that lead within the site."""
    source = next((one for one, shown in BORROWED.items() if shown == page), f"docs/{page}")
    is_code = False
    lines = []
    for line in markdown.split("\n"):
        is_code ^= bool(_FENCE.match(line))
        lines.append(line if is_code else _LINK.sub(_turn(source, page, known), line))
    return "\n".join(lines)


def _turn(source: str, page: str, known: set[str]) -> Callable[[re.Match[str]], str]:
    def turned(match: re.Match[str]) -> str:
        mark, text, target, anchor = match.groups()
        wanted = os.path.normpath(PurePosixPath(source).parent / target)
        if wanted == "docs/adr":
            shown = DECISIONS
        else:
            shown = BORROWED.get(wanted, wanted.removeprefix("docs/"))
        is_inside = wanted in BORROWED or wanted.startswith("docs/")
        if not is_inside or shown not in known:
            return text if "`" in text else f"{text} (`{wanted}`)"
        there = os.path.relpath(shown, PurePosixPath(page).parent)
        return f"{mark}[{text}]({there}{anchor or ''})"

    return turned
