"""When a certificate is renewed: the table of the rotation's decisions."""

from __future__ import annotations

import pytest

from mercurylb.webhook.rotation import (
    CHECK_INTERVAL_S,
    DAY_S,
    LOOKAHEAD_S,
    Action,
    Facts,
    Validity,
    decide,
    is_usable,
)

NOW = 1_000_000_000.0
LONG = Validity(NOW - 1, NOW + 200 * DAY_S)


def until(days: float) -> Validity:
    """Give a validity that ends in so many days."""
    return Validity(NOW - 1, NOW + days * DAY_S)


@pytest.mark.rule("config-11.3.lifetimes")
@pytest.mark.parametrize(
    ("authority", "server", "action", "reason"),
    [
        (LONG, LONG, Action.KEEP, ""),
        (LONG, until(91), Action.KEEP, ""),
        (LONG, until(89), Action.RENEW_SERVER, "server certificate: expires in less than 90 days"),
        (LONG, until(-1), Action.RENEW_SERVER, "server certificate: expired"),
        (LONG, Validity(NOW + 9, NOW + 9e9), Action.RENEW_SERVER, "not valid yet"),
        (LONG, Validity(defect="not for x"), Action.RENEW_SERVER, "server certificate: not for x"),
        (until(89), LONG, Action.RENEW_ALL, "authority: expires in less than 90 days"),
        (until(-1), LONG, Action.RENEW_ALL, "authority: expired"),
        (Validity(defect="ca.crt is empty"), LONG, Action.RENEW_ALL, "authority: ca.crt is empty"),
        (Validity(defect="a"), Validity(defect="b"), Action.RENEW_ALL, "authority: a"),
    ],
)
def test_decisions(authority: Validity, server: Validity, action: Action, reason: str) -> None:
    """What is not good today and 90 days from now is renewed; an authority takes all with it."""
    decision = decide(Facts(authority, server), now=NOW)
    assert decision.action is action
    assert reason in decision.reason


@pytest.mark.rule("config-11.3.lifetimes")
@pytest.mark.parametrize(
    ("days", "wait_s"),
    [(200, CHECK_INTERVAL_S), (90.25, DAY_S / 4), (90, 0)],
)
def test_the_next_look(days: float, wait_s: float) -> None:
    """Every twelve hours, or when the first of both is due."""
    decision = decide(Facts(LONG, until(days)), now=NOW)
    assert decision.look_again_at == pytest.approx(NOW + wait_s)
    swapped = decide(Facts(until(days), LONG), now=NOW)
    assert swapped.look_again_at == pytest.approx(NOW + wait_s)


@pytest.mark.parametrize(
    ("authority", "server", "usable"),
    [
        (LONG, until(1), True),
        (until(1), LONG, True),
        (LONG, until(-1), False),
        (until(-1), LONG, False),
        (LONG, Validity(NOW - 1, NOW + 9, defect="x"), False),
        (LONG, Validity(NOW + 1, NOW + 9), False),
    ],
)
def test_what_is_due_may_still_be_served(
    authority: Validity, server: Validity, *, usable: bool
) -> None:
    """A pair that must be renewed soon is served until that is done."""
    assert is_usable(Facts(authority, server), now=NOW) is usable


def test_the_lookahead_is_ninety_days() -> None:
    """The original's rotator looks as far ahead, so both renew on the same day."""
    assert LOOKAHEAD_S == 90 * 86_400
