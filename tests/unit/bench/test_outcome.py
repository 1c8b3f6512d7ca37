"""The failover trials as a table."""

from __future__ import annotations

from bench.failover import summarise
from bench.outcome import outcome, totals
from lab.failover import Figures


def round_of(
    gap_s: float, *, false: int = 0, lost: int | None = None, udp_s: float | None = 0.1
) -> Figures:
    """Give a round of which only some figures matter."""
    return Figures(
        wire_gap_s=gap_s,
        udp_gap_s=udp_s,
        tcp_gap_s=None,
        back_gap_s=0.01,
        two_owners_s=0.0,
        two_owners_after_s=0.02,
        false_takeovers=false,
        lost=lost,
        after=("a",),
        astray=0,
    )


def test_rounds_become_median_percentile_and_maximum() -> None:
    """Gaps are spread, what must not happen is summed, what was not measured is left out."""
    rounds = [round_of(i / 100, false=i == 3, lost=2) for i in range(1, 21)]
    found = summarise("cut", rounds)
    assert found["failover_cut_rounds"] == 20
    assert found["failover_cut_wire_p50_s"] == 0.1
    assert found["failover_cut_wire_p95_s"] == 0.19
    assert found["failover_cut_wire_max_s"] == 0.2
    assert found["failover_cut_false"] == 1
    assert found["failover_cut_lost"] == 40
    assert not [key for key in found if "_tcp_" in key]


def test_the_second_pair_stands_below() -> None:
    """Only scenarios that were tried have a line; one that failed says so."""
    titles = {"cut": "node cut off", "kill": "speaker killed", "stop": "planned stop"}
    ours = summarise("cut", [round_of(0.4)]) | summarise("stop", [round_of(0, lost=0)])
    text = outcome(titles, ours, summarise("cut", [round_of(5.2)]) | {"failover_stop_failed": 1.0})
    lines = [line.split("  ")[0] or line.strip() for line in text.splitlines()[2:6]]
    assert "400 / 400 / 400" in text
    assert "5 200 / 5 200 / 5 200" in text
    assert "speaker killed" not in text
    assert lines[0] == "node cut off"
    assert "not got through" in text.splitlines()[5]


def test_nothing_tried_is_no_table() -> None:
    """The text is empty then, and there are no totals."""
    assert outcome({"cut": "node cut off"}, {}, None) == ""
    assert totals({}) == {}


def test_totals_are_over_all_scenarios() -> None:
    """False takeovers and scenarios that failed are added up."""
    found = summarise("cut", [round_of(0.4, false=1)]) | summarise("stop", [round_of(0, false=2)])
    assert totals({**found, "failover_kill_failed": 1.0}) == {
        "failover_false": 3.0,
        "failover_failed": 1.0,
    }
