"""Loss, doubt, and our own lateness."""

from __future__ import annotations

import pytest

from mercurylb.membership.fast.patience import Loss, Stalls, weigh


@pytest.mark.parametrize(("every", "share"), [(1, 0.0), (10, 0.1), (3, 1 / 3), (2, 0.5)])
def test_loss_is_measured_by_the_gaps(every: int, share: float) -> None:
    """If one of n datagrams is missing, the loss comes out as 1/n."""
    loss = Loss()
    for sequence in range(1, 2000):
        if every == 1 or sequence % every:
            loss.on_sequence(sequence)
    assert loss.share == pytest.approx(share, abs=0.03)


def test_an_outage_is_no_loss() -> None:
    """A gap of minutes counts like a few lost datagrams."""
    loss = Loss()
    loss.on_sequence(1)
    loss.on_sequence(10_000)
    assert loss.share < 0.15


def test_what_comes_late_changes_nothing() -> None:
    """A datagram that was overtaken is neither loss nor proof of none."""
    loss = Loss()
    for sequence in (1, 3, 5):
        loss.on_sequence(sequence)
    before = loss.share
    loss.on_sequence(2)
    assert loss.share == before


@pytest.mark.parametrize(
    ("loss", "counts", "weight"),
    [
        (0.1, (1, 0, 0), 1.0),
        (0.1, (3, 0, 0), 3.0),
        (0.5, (0, 1, 0), 0.125),
        (0.5, (0, 1, 1), 0.25),
    ],
)
def test_doubt_is_a_power_of_ten(loss: float, counts: tuple[int, int, int], weight: float) -> None:
    """A missed beat is lost once in 1/loss; a question without an answer, on either way."""
    beats, pings, probes = counts
    found = weigh(loss, beat_count=beats, ping_count=pings, probe_count=probes)
    assert found == pytest.approx(weight, abs=0.001)


def test_stalls_count_from_when_they_ended() -> None:
    """Only what ended after the latest sign is taken off a silence."""
    stalls = Stalls()
    stalls.add(10.0, 0.2)
    stalls.add(11.0, 0.3)
    assert stalls.lost_since(9.0) == pytest.approx(0.5)
    assert stalls.lost_since(10.0) == pytest.approx(0.3)
    assert stalls.lost_since(11.5) == 0
    assert stalls.latest_at == 11.0
