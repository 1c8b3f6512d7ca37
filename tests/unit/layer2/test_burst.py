"""When gratuitous rounds are sent."""

from __future__ import annotations

import pytest

from mercurylb.layer2.burst import SLICE_MAX, BurstSchedule


def rounds(
    schedule: BurstSchedule, until: float, announced: tuple[str, ...] = ()
) -> list[tuple[float, str]]:
    """Run the schedule and return what is sent when."""
    sent = []
    while (deadline := schedule.next_deadline()) is not None and deadline <= until:
        sent += [(round(deadline, 3), ip) for ip, _ in schedule.due(announced, deadline)]
    return sent


@pytest.mark.rule("layer2-8.burst")
def test_isolated_trigger_gives_one_and_four_rounds() -> None:
    """One round at once, then every 1.1 s until 5 s have passed."""
    schedule = BurstSchedule(0, 10.0)
    schedule.trigger("a", 10.0)
    assert [at for at, _ in rounds(schedule, 100)] == [10.0, 11.1, 12.2, 13.3, 14.4]
    assert schedule.next_deadline() is None


@pytest.mark.rule("layer2-8.burst")
def test_trigger_during_a_burst_only_extends_it() -> None:
    """Nothing is sent at once, and the end is 5 s after the latest trigger."""
    schedule = BurstSchedule(0, 0.0)
    schedule.trigger("a", 0.0)
    assert [at for at, _ in rounds(schedule, 3.0)] == [0.0, 1.1, 2.2]
    schedule.trigger("a", 3.0)
    assert [at for at, _ in rounds(schedule, 100)] == [3.3, 4.4, 5.5, 6.6, 7.7]


@pytest.mark.rule("layer2-8.burst")
def test_all_bursts_share_one_ticker() -> None:
    """A second address is sent at the ticks of the first."""
    schedule = BurstSchedule(0, 0.0)
    schedule.trigger("a", 0.0)
    rounds(schedule, 0.5)
    schedule.trigger("b", 1.0)
    sent = rounds(schedule, 100)
    assert [at for at, ip in sent if ip == "b"] == [1.0, 1.1, 2.2, 3.3, 4.4, 5.5]


@pytest.mark.rule("layer2-8.withdrawn")
def test_withdrawn_address_is_silent() -> None:
    """A forgotten address gets no round, and the ticker ends with the last one."""
    schedule = BurstSchedule(0, 0.0)
    schedule.trigger("a", 0.0)
    schedule.keep(())
    assert schedule.next_deadline() is None


@pytest.mark.rule("layer2-8.periodic")
def test_periodic_mode_sends_each_address_once() -> None:
    """Every interval one round of each announced address, also while it has a burst."""
    schedule = BurstSchedule(10, 0.0)
    assert rounds(schedule, 20, ("a", "b")) == [(10, "a"), (10, "b"), (20, "a"), (20, "b")]


@pytest.mark.parametrize(("late_s", "following"), [(0.4, 12.2), (3.0, 15.2)])
def test_late_tick_is_harmless(late_s: float, following: float) -> None:
    """A tick that comes late keeps the rhythm, or starts a new one when it lost it."""
    schedule = BurstSchedule(0, 10.0)
    schedule.trigger("a", 10.0)
    schedule.due((), 11.1 + late_s)
    assert schedule.next_deadline() == pytest.approx(following)


def test_announcement_is_sent_during_a_burst() -> None:
    """Where neighbours must hear now, a running burst is no reason to wait; once is enough."""
    schedule = BurstSchedule(0, 0.0)
    schedule.trigger("a", 0.0)
    schedule.due((), 0.0)
    schedule.announce("a", 0.5)
    schedule.announce("a", 0.5)
    schedule.announce("a", 0.5, 7)
    assert schedule.due((), 0.5) == [("a", None), ("a", 7)]


def test_many_rounds_are_sent_in_slices() -> None:
    """Thousands of addresses are due at once, a hundred at a time, none twice and none left."""
    schedule = BurstSchedule(0, 0.0)
    names = [f"10.0.{number // 250}.{number % 250}" for number in range(1050)]
    for name in names:
        schedule.trigger(name, 1.0)
    slices = []
    while schedule.next_deadline() == 1.0:
        slices.append([ip for ip, _ in schedule.due((), 1.0)])
    assert [len(part) for part in slices] == [SLICE_MAX] * 10 + [50]
    assert [ip for part in slices for ip in part] == names
    schedule.due((), 2.2)
    schedule.keep(names[:150])
    assert [ip for ip, _ in schedule.due((), 2.2)] == names[100:150]
