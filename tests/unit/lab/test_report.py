"""Figures out of observers' lines."""

from __future__ import annotations

from typing import Any

import pytest

from lab.observe import report


def _asked(*times: float) -> list[dict[str, Any]]:
    return [{"t": t, "kind": "asked"} for t in times]


def _answers(mac: str, *times: float) -> list[dict[str, Any]]:
    return [{"t": t, "kind": "answer", "mac": mac} for t in times]


def _steps(begin: float, end: float) -> list[float]:
    return [begin + i / 100 for i in range(round((end - begin) * 100) + 1)]


def test_a_move_from_one_owner_to_another() -> None:
    """Two intervals and the gap between them."""
    lines = _asked(*_steps(0, 3)) + _answers("a", *_steps(0, 1)) + _answers("b", *_steps(1.5, 3))
    seen = report.owners(lines)
    assert [(i.mac, i.begin, i.end) for i in seen.intervals] == [("a", 0, 1), ("b", 1.5, 3)]
    assert [(gap.begin, gap.end, gap.open) for gap in seen.gaps] == [(1, 1.5, False)]
    assert seen.owners == ("a", "b")
    assert seen.longest_gap_s == 0.5
    assert seen.two_owners_s == 0


def test_two_owners_at_once_are_measured() -> None:
    """The overlap counts, and how many times they alternate does not."""
    lines = _asked(*_steps(0, 3)) + _answers("a", *_steps(0, 2)) + _answers("b", *_steps(1.5, 3))
    assert report.owners(lines).two_owners_s == pytest.approx(0.5)


def test_silence_to_the_end_is_an_open_gap() -> None:
    """Nobody took over before the observation ended."""
    seen = report.owners(_asked(*_steps(0, 2)) + _answers("a", *_steps(0, 1)))
    assert [(gap.length_s, gap.open) for gap in seen.gaps] == [(1, True)]


def test_silence_from_the_start_is_a_gap() -> None:
    """An address that nobody answers for is one gap over all."""
    seen = report.owners(_asked(*_steps(0, 2)))
    assert [(gap.length_s, gap.open) for gap in seen.gaps] == [(2, True)]
    assert seen.intervals == ()


def test_a_gratuitous_frame_is_no_answer() -> None:
    """Only answers to our questions prove an owner."""
    lines = [*_asked(0, 0.01), {"t": 0.005, "kind": "gratuitous", "mac": "a"}]
    assert report.owners(lines).intervals == ()


def test_probes_are_counted_by_pod_and_error() -> None:
    """Who answered, what failed, how long it took."""
    lines = [
        {"t": 0.0, "end": 0.01, "ok": True, "who": "w1"},
        {"t": 0.1, "end": 0.13, "ok": True, "who": "w2"},
        {"t": 0.2, "end": 1.2, "ok": False, "error": "timeout"},
        {"t": 0.9, "end": 0.91, "ok": True, "who": "w2"},
    ]
    seen = report.probes(lines)
    assert (seen.tried, seen.succeeded) == (4, 3)
    assert seen.by_pod == {"w1": 1, "w2": 2}
    assert seen.errors == {"timeout": 1}
    assert seen.latency_max_ms == pytest.approx(30)
    assert seen.longest_gap_s == pytest.approx(0.78)


def test_nothing_observed_is_no_gap() -> None:
    """A report of no tries is empty and does not fail."""
    assert report.probes([]).longest_gap_s == 0
    assert report.owners([]).gaps == ()
