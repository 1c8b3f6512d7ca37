"""The table for people.  Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.figures import Row, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HEAD: Final = ("what", "ours", "compared with", "ratio", "budget")
_VERDICTS: Final = {True: "met", False: "MISSED", None: ""}


def render(rows: Sequence[Row], machine: Mapping[str, str]) -> str:
    """Return the table with a line about the machine above it."""
    cells = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(_HEAD))]
    lines = [_join(line, widths) for line in cells]
    lines.insert(1, "  ".join("─" * width for width in widths))
    about = ", ".join(f"{name} {value}" for name, value in machine.items())
    return "\n".join([about, "", *lines])


def embed(document: str, table: str) -> str:
    """Return a document with the table in its first block between fences instead of what is there.

    Raises ValueError when it has no such block.
    """
    before, fence, rest = document.partition("```\n")
    _, end, after = rest.partition("```\n")
    if not fence or not end:
        raise ValueError("the document has no block between fences to put the table in")
    return f"{before}{fence}{table}\n{end}{after}"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.what,
        _figure(row.ours, row.unit),
        f"{_figure(row.other, row.unit)} ({row.other_is})" if row.other is not None else "",
        f"{number(row.ratio)} x" if row.ratio is not None else "",
        f"{row.budget} {_VERDICTS[row.is_met]}".strip(),
    )


def _figure(value: float | None, unit: str) -> str:
    return "" if value is None else f"{number(value)} {unit}".rstrip()


def _join(line: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (
        cell.rjust(width) if 0 < i < len(widths) - 1 else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    return "  ".join([first, *rest]).rstrip()
