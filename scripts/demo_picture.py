"""Draw the terminal of a real `make demo` as SVG, from the transcript docs/pictures/demo.txt.

The transcript is the demo's output as it came. Shown are the steps named in `STEPS`, without the
waiting; nothing is invented, lines are only left out (an ellipsis stands there) or cut at the edge.
A new one: `scripts/demo-picture --record`, which runs the demo.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

TRANSCRIPT: Final = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "demo.txt"
STEPS: Final = (2, 3, 4, 6, 7)
TOLD_STEPS: Final = (7,)
"""Steps whose explanations and measurements are shown as well."""
COLUMNS: Final = 122
LINE: Final = 17
OUTPUT_MAX: Final = 9
"""Lines of output of one command; an ellipsis stands for the others."""
_STEP: Final = re.compile(r"── (\d+)\. ")
_PROMPT: Final = re.compile(r"^(client|router|outside|n\d+|lan) \$ (.*)$")
_LEFT_OUT: Final = re.compile(
    r"^(client \$ (cat |kubectl drain|kubectl get pods -A|kubectl uncordon|openssl|kubectl wait))"
)
_HEAD: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img">
<title>The output of make demo</title>
<style>
  text {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace }}
  text {{ font-size: 12.5px; fill: #d7dce5; white-space: pre }}
  .command {{ fill: #ffffff; font-weight: 600 }} .prompt {{ fill: #7fd49a }}
  .head {{ fill: #9db8ff; font-weight: 600 }} .say {{ fill: #9aa4b8 }}
</style>
<rect width="{w}" height="{h}" rx="10" fill="#171b24"/>
<circle cx="20" cy="18" r="6" fill="#e5675f"/><circle cx="40" cy="18" r="6" fill="#e8bd4f"/>
<circle cx="60" cy="18" r="6" fill="#63c466"/>
"""


def demo() -> str:
    """Give the picture of the committed transcript."""
    lines = chosen(TRANSCRIPT.read_text().splitlines())
    width, height = round(COLUMNS * 8) + 36, LINE * len(lines) + 58
    rows = [_row(line, 52 + LINE * index) for index, line in enumerate(lines)]
    return "\n".join([_HEAD.format(w=width, h=height).rstrip("\n"), *rows, "</svg>\n"])


def chosen(transcript: list[str]) -> list[str]:
    """Give the lines of the steps that are shown; a command left out takes its output along."""
    kept: list[str] = []
    for lines in _commands(transcript):
        if not _LEFT_OUT.match(lines[0]):
            more = ["…"] if len(lines) > OUTPUT_MAX + 1 else []
            kept += ["", *lines[: OUTPUT_MAX + 1], *more]
    return kept[1:]


def _commands(transcript: list[str]) -> Iterator[list[str]]:
    """Give titles, and commands with their output, of the steps that are shown."""
    lines: list[str] = []
    is_said = False
    step = 0
    for line in [*transcript, "── 0. "]:
        if _STEP.match(line) or _PROMPT.match(line):
            if lines:
                yield lines
            step = int(match[1]) if (match := _STEP.match(line)) else step
            lines = [line] if step in STEPS else []
            is_said = False
        elif not line.strip():
            is_said = True
        elif step in TOLD_STEPS and _is_prose(line, is_said=is_said):
            yield lines
            lines, is_said = [line], False
        elif lines and not _is_prose(line, is_said=is_said):
            lines.append(line)


def _is_prose(line: str, *, is_said: bool) -> bool:
    """Tell whether a line is one of the demo's explanations: after a blank, no prompt, no title."""
    return (
        is_said and not _STEP.match(line) and not _PROMPT.match(line) and not line.startswith(" ")
    )


def _row(line: str, y: int) -> str:
    text = line if len(line) <= COLUMNS else line[: COLUMNS - 1] + "…"
    if match := _PROMPT.match(text):
        return (
            f'<text x="18" y="{y}"><tspan class="prompt">{match[1]} $</tspan>'
            f'<tspan class="command"> {escape(match[2])}</tspan></text>'
        )
    kind = ' class="head"' if _STEP.match(text) else ""
    return f'<text{kind} x="18" y="{y}" xml:space="preserve">{escape(text)}</text>'
