"""What a program and the API server have to do with each other, in numbers that are counted anyway.

The parts that count are handed in; this room does not know them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.telemetry.metrics import Registry


class WriteCounts(Protocol):
    """What became of writes."""

    done: int
    failed: int
    superseded: int
    retries: int


class WatchCounts(Protocol):
    """What came by one watch."""

    lines: int
    relists: int
    failures: int
    unreadable: int
    is_kind_missing: bool


def add_api_metrics(
    registry: Registry, *, writes: WriteCounts, watches: Iterable[WatchCounts]
) -> None:
    """Add the families, filled at each scrape; `watches` is read again each time."""
    written = registry.counter(
        "mercurylb_api_writes_total",
        "Writes to the API server, by what became of them.",
        ("result",),
    )
    watched = registry.counter(
        "mercurylb_api_watch_total",
        "What came by watches: changes, lists, breaks, and objects that do not decode.",
        ("event",),
    )
    missing = registry.gauge(
        "mercurylb_api_kinds_missing",
        "Kinds that are watched and that the API server does not know.",
    )

    def refresh() -> None:
        written.replace(
            {
                ("done",): writes.done,
                ("failed",): writes.failed,
                ("superseded",): writes.superseded,
                ("retried",): writes.retries,
            }
        )
        counts = tuple(watches)
        missing.set(sum(count.is_kind_missing for count in counts))
        watched.replace(
            {
                ("change",): sum(count.lines for count in counts),
                ("list",): sum(count.relists for count in counts),
                ("break",): sum(count.failures for count in counts),
                ("unreadable",): sum(count.unreadable for count in counts),
            }
        )

    registry.on_scrape(refresh)
