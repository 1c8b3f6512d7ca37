"""How long a suspect is waited for."""

from __future__ import annotations

import pytest

from mercurylb.membership.swim.config import LAN, WAN, SwimConfig
from mercurylb.membership.swim.suspicion import Suspicion, Suspicions, shortest_s


@pytest.mark.rule("membership-5.1.table")
@pytest.mark.parametrize(
    ("count", "least_s"),
    [(0, 4.0), (1, 4.0), (9, 4.0), (10, 4.0), (50, 6.792), (100, 8.0), (1000, 12.0)],
)
def test_shortest_time_grows_with_the_logarithm(count: int, least_s: float) -> None:
    """The factor of the table's sizes is cut to three decimals."""
    assert shortest_s(LAN.suspicion_mult, count, LAN.probe_interval_s) == pytest.approx(least_s)


@pytest.mark.rule("membership-5.1.start", "membership-5.1.confirmation", "membership-5.1.examples")
@pytest.mark.parametrize(
    ("count", "origins", "ends_s"),
    [
        pytest.param(3, [], 4.0, id="too few others to wait for any"),
        pytest.param(3, ["b", "c"], 4.0, id="and none counts then"),
        pytest.param(4, [], 24.0, id="nobody confirms"),
        pytest.param(10, [], 24.0, id="nobody confirms in a larger cluster"),
        pytest.param(4, ["b"], 11.381, id="one does"),
        pytest.param(4, ["b", "b", "a"], 11.381, id="the same again, or who began it, counts not"),
        pytest.param(10, ["b", "c"], 4.0, id="two do"),
        pytest.param(10, ["b", "c", "d"], 4.0, id="more are not needed"),
        pytest.param(100, ["b", "c"], 8.0, id="two do in a large cluster"),
    ],
)
def test_confirmations_shorten_the_time(count: int, origins: list[str], ends_s: float) -> None:
    """The time comes down from its longest to its shortest with each independent finding."""
    suspicion = Suspicion("a", count=count, config=LAN, now=100.0)
    for origin in origins:
        suspicion.confirm(origin)
    assert suspicion.deadline == pytest.approx(100.0 + ends_s)


@pytest.mark.rule("membership-5.1.confirmation")
def test_only_news_count() -> None:
    """At most k findings are news, each of another member."""
    suspicion = Suspicion("a", count=10, config=LAN, now=0.0)
    assert [suspicion.confirm(origin) for origin in "abbcd"] == [False, True, False, True, False]


@pytest.mark.parametrize(("config", "k"), [(LAN, 2), (WAN, 4), (SwimConfig(suspicion_mult=0), 0)])
def test_confirmations_wanted_follow_the_multiplier(config: SwimConfig, k: int) -> None:
    """Two less than the multiplier, and never less than none."""
    assert Suspicion("a", count=20, config=config, now=0.0).k == k
    assert Suspicion("a", count=k + 1, config=config, now=0.0).k == 0


def test_those_who_are_due_come_in_their_order() -> None:
    """What was cancelled, confirmed or shifted does not come too early or twice."""
    suspicions = Suspicions()
    for at, name in enumerate("abcd"):
        suspicions.start(name, "x", count=4, config=LAN, now=float(at))
    suspicions.cancel("b")
    suspicions.confirm("d", "y")
    suspicions.confirm("d", "z")
    suspicions.validate()
    assert suspicions.next_deadline() == 7.0
    assert [suspicions.take_due(7.0), suspicions.take_due(7.0)] == ["d", None]
    suspicions.shift(10.0)
    assert suspicions.next_deadline() == 34.0
    assert [suspicions.take_due(100.0) for _ in range(3)] == ["a", "c", None]
    assert suspicions.next_deadline() is None


def test_memory_is_bounded_however_often_somebody_is_suspected() -> None:
    """Beginning and ending suspicions for ever leaves nothing behind."""
    suspicions = Suspicions()
    for at in range(5000):
        suspicions.start("a", "x", count=4, config=LAN, now=float(at))
        suspicions.validate()
        suspicions.cancel("a")
    assert len(suspicions) == 0
