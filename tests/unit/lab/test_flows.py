"""What flows through a router lost, judged."""

from __future__ import annotations

from typing import Any

import pytest

from lab.failover import flows


def tries(flow: int, lost: tuple[tuple[float, float], ...] = (), who: str = "a") -> list[Any]:
    """Give a flow's datagrams, one every 10 ms for a second, lost within some spans."""
    found = []
    for i in range(100):
        t = i / 100
        is_lost = any(a <= t < b for a, b in lost)
        found.append({"t": t, "flow": flow, "ok": not is_lost, **({} if is_lost else {"who": who})})
    return found


@pytest.mark.parametrize(
    ("lines", "lost", "outage_s", "hit"),
    [
        (tries(0) + tries(1), 0, 0.0, 0),
        # From the first that was lost to the next that was not.
        (tries(0) + tries(1, ((0.2, 0.5),)), 30, 0.3, 1),
        # Two rows of losses are two outages, the longer one counts.
        (tries(0, ((0.1, 0.2), (0.3, 0.5))), 30, 0.2, 1),
        # Two flows that lost one after the other had no outage together.
        (tries(0, ((0.1, 0.2),)) + tries(1, ((0.2, 0.3),)), 20, 0.1, 2),
        # Without an end it lasts until the last one.
        (tries(0, ((0.9, 2.0),)), 10, 0.09, 1),
        ([], 0, 0.0, 0),
    ],
)
def test_losses(lines: list[Any], lost: int, outage_s: float, hit: int) -> None:
    """Losses are counted over all flows, an outage is one flow's."""
    found = flows.judge(lines, 0.0, 1.0)
    assert (found.lost, found.flows_hit) == (lost, hit)
    assert found.outage_s == pytest.approx(outage_s, abs=1e-9)


def test_only_the_stretch_of_time_counts() -> None:
    """What was sent before or after it is not judged."""
    found = flows.judge(tries(0, ((0.0, 0.2),)), 0.5, 0.595)
    assert (found.sent, found.lost) == (10, 0)


def test_who_answered_is_counted() -> None:
    """Echoes tell by which pod they came."""
    found = flows.judge(tries(0, who="a") + tries(1, ((0, 0.5),), who="b"), 0.0, 1.0)
    assert found.answered_by == {"a": 100, "b": 50}
