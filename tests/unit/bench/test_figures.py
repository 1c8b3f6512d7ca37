"""The table's figures: what is put beside what, and when a budget is met."""

from __future__ import annotations

import pytest

from bench.figures import ELSEWHERE, Budget, number, percentile, rows


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [
        ([5.0], 0.5, 5.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 0.5, 2.0),
        (list(range(1, 101)), 0.95, 95),
        ([1.0, 2.0], 1.0, 2.0),
        ([1.0, 2.0], 0.0, 1.0),
    ],
)
def test_percentile_is_a_value_that_was_seen(
    values: list[float], share: float, wanted: float
) -> None:
    """The smallest value that the share of all values do not exceed."""
    assert percentile(values, share) == wanted


def test_percentile_of_nothing_is_an_error() -> None:
    """No values, no percentile."""
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.05712, "0.0571"),
        (5.0, "5"),
        (5.234, "5.23"),
        (17.84, "17.8"),
        (545.4, "545"),
        (19200.4, "19 200"),
    ],
)
def test_numbers_keep_the_digits_that_mean_something(value: float, text: str) -> None:
    """Three digits, thousands apart."""
    assert number(value) == text


@pytest.mark.parametrize(
    ("budget", "value", "ratio", "is_met"),
    [
        (Budget(1.0), 1.0, None, True),
        (Budget(1.0), 1.1, 0.1, False),
        (Budget(0.6, of_ratio=True), 50.0, 0.6, True),
        (Budget(0.6, of_ratio=True), 0.1, 0.7, False),
        (Budget(0.6, of_ratio=True), 0.1, None, None),
        (Budget(2.0, of_ratio=True, is_least=True), 1.0, 1.9, False),
        (Budget(2.0, of_ratio=True, is_least=True), 1.0, 2.0, True),
    ],
)
def test_budget_bounds_the_figure_or_its_ratio(
    budget: Budget, value: float, ratio: float | None, *, is_met: bool | None
) -> None:
    """A bound of a ratio says nothing when there is nothing to compare with."""
    assert budget.is_met(value, ratio) is is_met


def test_without_a_second_pair_figures_from_elsewhere_are_labelled_so() -> None:
    """A known figure never looks as if it had been measured here."""
    (row,) = rows({"start_s": 1.78}, None)
    assert (row.other, row.other_is) == (ELSEWHERE["start_s"], "elsewhere")
    assert row.ratio == pytest.approx(0.1)
    assert row.is_met is True


def test_a_second_pair_takes_the_place_of_elsewhere() -> None:
    """Figures measured side by side count, and a missing one is not filled in."""
    found = rows({"start_s": 2.0, "failover_kill_wire_max_s": 1.0}, {"start_s": 4.0})
    told = {row.key: (row.other, row.other_is, row.ratio) for row in found}
    assert told == {"start_s": (4.0, "original", 0.5), "failover_kill_wire_max_s": (None, "", None)}


def test_bare_loop_is_compared_within_the_same_pair() -> None:
    """The original's rate does not stand where the bare loop's belongs."""
    ours = {"start_patches_per_s": 450.0, "bare_patches_per_s": 500.0}
    (row,) = rows(ours, {"start_patches_per_s": 50.0})
    assert (row.other, row.other_is, row.is_met) == (500.0, "bare loop", True)


def test_nothing_measured_gives_no_lines() -> None:
    """Scenarios that did not run leave no empty lines."""
    assert rows({}, {"start_s": 4.0}) == []
