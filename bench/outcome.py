"""The table of the failover trials: a line per scenario, the second pair's below it.  Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.figures import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HEAD: Final = (
    "failover (gaps in ms: p50 / p95 / max)",
    "rounds",
    "no ARP or NDP answer",
    "no echo (200/s)",
    "no connection",
    "after mending",
    "two owners",
    "… after mending",
    "false",
    "lost",
)
_NOTE: Final = (
    "“after mending”, “two owners”: the longest; “false”: takeovers without a reason; “lost”: of "
    "datagrams at 1 000/s"
)


def outcome(
    titles: Mapping[str, str],
    ours: Mapping[str, float],
    original: Mapping[str, float] | None,
) -> str:
    """Return the table of the scenarios that were tried; nothing when none was."""
    rows: list[tuple[str, ...]] = []
    for name, title in titles.items():
        if row := _row(title, name, ours):
            rows.append(row)
            if original is not None and (other := _row("  the original", name, original)):
                rows.append(other)
    return _render([_HEAD, *rows]) + f"\n\n{_NOTE}" if rows else ""


def totals(found: Mapping[str, float]) -> dict[str, float]:
    """Return the sums over all scenarios."""
    false = [value for key, value in found.items() if key.endswith("_false")]
    failed = [value for key, value in found.items() if key.endswith("_failed")]
    return {"failover_false": sum(false), "failover_failed": sum(failed)} if found else {}


def _row(title: str, name: str, found: Mapping[str, float]) -> tuple[str, ...] | None:
    key = f"failover_{name}"
    if f"{key}_failed" in found:
        return (title, "not got through", *([""] * (len(_HEAD) - 2)))
    if f"{key}_rounds" not in found:
        return None
    return (
        title,
        number(found[f"{key}_rounds"]),
        *(_gaps(found, f"{key}_{what}") for what in ("wire", "udp", "tcp")),
        *(_ms(found.get(f"{key}_{what}_max_s")) for what in ("back", "two", "two_after")),
        number(found[f"{key}_false"]),
        number(found[f"{key}_lost"]) if f"{key}_lost" in found else "",
    )


def _gaps(found: Mapping[str, float], key: str) -> str:
    if f"{key}_max_s" not in found:
        return ""
    return " / ".join(_ms(found[f"{key}_{word}_s"]) for word in ("p50", "p95", "max"))


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else number(round(seconds * 1000))


def _render(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "  ".join("─" * width for width in widths), *lines[1:]])
