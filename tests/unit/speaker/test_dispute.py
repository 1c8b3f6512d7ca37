"""Somebody else's claim becomes events: when it begins, changes, lasts and ends, and seldom."""

from __future__ import annotations

import pytest

from mercurylb.plan.testimony import Dispute
from mercurylb.speaker.dispute import EVENT_INTERVAL_S, REPEAT_S, DisputeTeller, describe

STRANGER = Dispute("2026-03-01T10:00:00Z", "192.0.2.8", "eth0", "02:00:00:00:00:66")
OTHER = Dispute("2026-03-01T10:00:05Z", "192.0.2.8", "eth0", "02:00:00:00:00:67")
MEMBER = Dispute("2026-03-01T10:00:00Z", "192.0.2.8", "eth0", "02:00:00:00:00:02", "n2")


def told(teller: DisputeTeller, now: float, *disputes: Dispute) -> list[str]:
    """Give the reasons of the events of one moment."""
    return [event.reason for event in teller.step({"default/web": disputes}, now)]


def test_a_claim_that_goes_on_is_told_now_and_then() -> None:
    """Once when it begins, again after a long time, and once when it is over."""
    teller = DisputeTeller("n1")
    assert told(teller, 0.0) == []
    assert told(teller, 1.0, STRANGER) == ["addressConflict"]
    assert told(teller, 2.0, STRANGER) == []
    assert told(teller, REPEAT_S, STRANGER) == []
    assert told(teller, 1.0 + REPEAT_S, STRANGER) == ["addressConflict"]
    assert told(teller, 2.0 + REPEAT_S) == ["addressConflictOver"]
    assert told(teller, 3.0 + REPEAT_S) == []


def test_another_claimant_is_told_but_not_each_at_once() -> None:
    """Whoever claims with a new MAC address each second gets one event a minute."""
    teller = DisputeTeller("n1")
    assert told(teller, 0.0, STRANGER) == ["addressConflict"]
    assert told(teller, 1.0, STRANGER, OTHER) == []
    assert told(teller, EVENT_INTERVAL_S, STRANGER, OTHER) == ["addressConflict"]
    flood = [
        told(teller, EVENT_INTERVAL_S + second, Dispute("t", "a", "eth0", str(second)))
        for second in range(1, 601)
    ]
    assert sum(map(len, flood)) == 10


def test_a_service_that_is_given_up_is_not_said_to_be_at_peace() -> None:
    """Who announces it no longer does not know how it goes on."""
    teller = DisputeTeller("n1")
    told(teller, 0.0, STRANGER)
    teller.forget("default/web")
    assert told(teller, 1.0) == []


@pytest.mark.parametrize(
    ("disputes", "words"),
    [
        ((STRANGER,), ["192.0.2.8", '"n1"', "02:00:00:00:00:66", '"eth0"', "10:00:00Z", "find"]),
        ((STRANGER, OTHER), ["02:00:00:00:00:67", "1 more"]),
        ((MEMBER,), ['node "n2"', "log of the speaker"]),
    ],
)
def test_the_event_says_who_where_since_when_and_what_to_do(
    disputes: tuple[Dispute, ...], words: list[str]
) -> None:
    """Everything an operator needs is in one message that the API takes."""
    message = describe(disputes, "n1")
    assert [word for word in words if word not in message] == []
    assert len(message) <= 1024
