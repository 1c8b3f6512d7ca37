"""A few shapes for pictures of the documents: boxes, arrows and words, as SVG.

A picture has its own background and follows the reader's colour scheme, so it is readable on light
and dark pages. It names no font that would have to be fetched.
"""

from __future__ import annotations

from html import escape
from typing import Final

_STYLE: Final = """\
<style>
  text { font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
  text { font-size: 14px; fill: #1d2333 }
  .page { fill: #f5f7fb } .group { fill: #e6ebf7; stroke: none }
  .frame { fill: none; stroke: #8a97c4; stroke-width: 1.2 }
  .box { fill: #ffffff; stroke: #4a5fa8; stroke-width: 1.5 }
  .strong { fill: #d8f0df; stroke: #2c8048; stroke-width: 2 }
  .gone { fill: #f0e4e4; stroke: #a33a3a; stroke-width: 1.5; stroke-dasharray: 5 4 }
  .title { font-weight: 600 } .soft { fill: #566079; font-size: 12.5px }
  .head { font-weight: 600; font-size: 15.5px } .number { fill: #ffffff; font-weight: 600 }
  .dot { fill: #4a5fa8; stroke: none }
  .line { stroke: #4a5fa8; stroke-width: 1.8; fill: none }
  .flow { stroke: #2c8048; stroke-width: 2.4; fill: none }
  .lost { stroke: #a33a3a; stroke-width: 1.8; fill: none; stroke-dasharray: 5 4 }
  .tip-line { fill: #4a5fa8 } .tip-flow { fill: #2c8048 } .tip-lost { fill: #a33a3a }
  @media (prefers-color-scheme: dark) {
    text { fill: #e8ebf4 } .page { fill: #1c202b } .group { fill: #272d3d }
    .box { fill: #323a4f; stroke: #9db0f2 } .strong { fill: #1f4a30; stroke: #6fce90 }
    .gone { fill: #4a2b2e; stroke: #e58a8a } .soft { fill: #b3bbcf }
    .dot { fill: #9db0f2 } .number { fill: #1c202b }
    .line { stroke: #9db0f2 } .flow { stroke: #6fce90 } .lost { stroke: #e58a8a }
    .tip-line { fill: #9db0f2 } .tip-flow { fill: #6fce90 } .tip-lost { fill: #e58a8a }
  }
</style>
"""
_TIP: Final = (
    '<marker id="{kind}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
    'orient="auto-start-reverse"><path class="tip-{kind}" d="M0 0 10 5 0 10z"/></marker>'
)
_ROOT: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
    'height="{height}" role="img">'
)
LINE_HEIGHT: Final = 18


class Picture:
    """One picture, drawn from the back to the front."""

    def __init__(self, width: int, height: int, *, title: str) -> None:
        self._size = (width, height)
        self._title = title
        self._parts: list[str] = []

    def group(self, x: int, y: int, w: int, h: int, title: str = "") -> None:
        """Draw a field behind things that belong together, with its name in its upper corner."""
        self._parts.append(
            f'<rect class="group" x="{x}" y="{y}" width="{w}" height="{h}" rx="12"/>'
        )
        if title:
            self.words(x + 14, y + 22, title, style="soft")

    def field(self, x: int, y: int, w: int, h: int, title: str) -> None:
        """Draw a framed field within a group, with its name in its upper corner."""
        self._parts.append(
            f'<rect class="frame" x="{x}" y="{y}" width="{w}" height="{h}" rx="10"/>'
        )
        self.words(x + 12, y + 21, title, style="soft")

    def rail(self, x: int, y: int, w: int) -> None:
        """Draw a thick line that things hang on, such as a network."""
        self._parts.append(
            f'<rect class="frame" x="{x}" y="{y - 3}" width="{w}" height="6" rx="3"/>'
        )

    def box(self, x: int, y: int, w: int, h: int, *lines: str, style: str = "box") -> None:
        """Draw a box with words in its middle; the first line is its name."""
        self._parts.append(
            f'<rect class="{style}" x="{x}" y="{y}" width="{w}" height="{h}" rx="8"/>'
        )
        top = y + h / 2 - LINE_HEIGHT * (len(lines) - 1) / 2 + 5
        for index, line in enumerate(lines):
            kind = "title" if index == 0 else "soft"
            self._write(x + w / 2, top + LINE_HEIGHT * index, line, kind, "middle")

    def words(
        self, x: float, y: float, *lines: str, style: str = "", anchor: str = "start"
    ) -> None:
        """Write lines of text, the first one at this place."""
        for index, line in enumerate(lines):
            self._write(x, y + LINE_HEIGHT * index, line, style, anchor)

    def arrow(self, *points: tuple[int, int], style: str = "line", both: bool = False) -> None:
        """Draw an arrow along these points."""
        path = "M" + " L".join(f"{x} {y}" for x, y in points)
        start = f' marker-start="url(#{style})"' if both else ""
        self._parts.append(f'<path class="{style}" d="{path}"{start} marker-end="url(#{style})"/>')

    def number(self, x: int, y: int, value: int) -> None:
        """Draw the number of a step."""
        self._parts.append(f'<circle class="dot" cx="{x}" cy="{y}" r="11"/>')
        self._write(x, y + 5, str(value), "number", "middle")

    def svg(self) -> str:
        """Give the file."""
        width, height = self._size
        tips = "".join(_TIP.format(kind=kind) for kind in ("line", "flow", "lost"))
        return "\n".join(
            [
                _ROOT.format(width=width, height=height),
                f"<title>{escape(self._title)}</title>",
                _STYLE + f"<defs>{tips}</defs>",
                f'<rect class="page" width="{width}" height="{height}" rx="14"/>',
                *self._parts,
                "</svg>\n",
            ]
        )

    def _write(self, x: float, y: float, text: str, style: str, anchor: str) -> None:
        kind = f' class="{style}"' if style else ""
        self._parts.append(
            f'<text{kind} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
        )
