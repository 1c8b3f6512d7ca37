"""How faults become rules."""

from __future__ import annotations

from lab import faults
from lab.faults import Drop, State


def test_no_faults_leave_no_rules() -> None:
    """Healing everything leaves empty chains."""
    text = faults.render(State())
    assert "drop" not in text
    assert text.startswith("table bridge faults\ndelete table bridge faults\n")


def test_a_share_is_a_lottery_at_each_side() -> None:
    """Frames from a host are lost once on entry, frames to it once on exit."""
    text = faults.render(State(drops=[Drop("n1", 0.25, to_host=True, from_host=True)]))
    before, _, through = text.partition("chain through")
    assert 'iifname "n1" numgen random mod 10000 < 2500 drop' in before
    assert 'oifname "n1" numgen random mod 10000 < 2500 drop' in through


def test_everything_is_lost_without_a_lottery() -> None:
    """A share of one is certain."""
    drop = Drop("n1", 1.0, to_host=False, from_host=True, match="udp dport 7946")
    text = faults.render(State(drops=[drop]))
    assert 'iifname "n1" udp dport 7946 drop' in text
    assert "oifname" not in text


def test_groups_are_split_both_ways_and_not_inside() -> None:
    """Between groups nothing passes, within a group everything does."""
    pairs = faults.split_pairs([["n1", "n2"], ["n3"]])
    assert set(pairs) == {("n1", "n3"), ("n2", "n3"), ("n3", "n1"), ("n3", "n2")}
    text = faults.render(State(blocked=pairs))
    assert 'iifname "n3" oifname "n1" drop' in text
    assert 'iifname "n1" oifname "n2" drop' not in text
