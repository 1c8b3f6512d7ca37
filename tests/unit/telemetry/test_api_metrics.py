"""What a program and the API server have to do with each other, in numbers."""

from __future__ import annotations

from mercurylb.kube.watcher import WatchCounts
from mercurylb.kube.writer import WriteCounts
from mercurylb.telemetry.api_metrics import add_api_metrics
from mercurylb.telemetry.metrics import Registry


def test_counts_are_taken_at_each_scrape() -> None:
    """Also those of a watch that began later, all watches together."""
    registry, writes = Registry(), WriteCounts()
    watches: list[WatchCounts] = []
    add_api_metrics(registry, writes=writes, watches=watches)
    writes.done, writes.failed, writes.superseded, writes.retries = 4, 3, 2, 1
    watches += [WatchCounts(10, 1, 2, 3), WatchCounts(20, 1, 0, 0)]
    text = registry.render().decode()
    results = {"done": 4, "failed": 3, "superseded": 2, "retried": 1}
    events = {"change": 30, "list": 2, "break": 2, "unreadable": 3}
    for result, count in results.items():
        assert f'mercurylb_api_writes_total{{result="{result}"}} {count}\n' in text
    for event, count in events.items():
        assert f'mercurylb_api_watch_total{{event="{event}"}} {count}\n' in text
