"""What the walk-through tells of a takeover."""

from __future__ import annotations

from lab.demo import takeover


def test_the_takeover_is_told_with_its_gap() -> None:
    """Who answered before and after, from when to when, and how long nobody did."""
    answers = [{"t": t, "mac": "a"} for t in (9.0, 9.5, 9.99)]
    answers += [{"t": t, "mac": "b"} for t in (10.4, 11.0)]
    assert takeover(answers, 10.0, {"a": "n1", "b": "n2"}.__getitem__) == [
        "  n1 (a) answered 3 questions, from -1.000 s to -0.010 s of the cut",
        "  n2 (b) answered 2 questions, from +0.400 s to +1.000 s of the cut",
        "  nobody answered for 410 ms",
    ]


def test_without_a_takeover_no_gap_is_told() -> None:
    """One host all along."""
    assert takeover([{"t": 1.0, "mac": "a"}], 1.0, str) == [
        "  a (a) answered 1 questions, from +0.000 s to +0.000 s of the cut"
    ]
