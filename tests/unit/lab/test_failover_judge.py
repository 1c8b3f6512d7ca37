"""Rounds of the failover trials, judged."""

from __future__ import annotations

from typing import Any

import pytest

from lab.failover import judge
from lab.failover.judge import Marks, Seen

FIRST, SECOND, THIRD = "a", "b", "c"
MARKS = Marks(begin=0.0, fault=1.0, mended=3.0, end=5.0)


def asked(begin: float = 0.0, end: float = 5.0) -> list[dict[str, Any]]:
    """Give questions in the observer's rhythm."""
    return [{"t": begin + i / 100, "kind": "asked"} for i in range(round((end - begin) * 100))]


def answered(mac: str, begin: float, end: float) -> list[dict[str, Any]]:
    """Give a host's answers, each a millisecond after its question."""
    return [{"t": line["t"] + 0.001, "kind": "answer", "mac": mac} for line in asked(begin, end)]


def tries(*spans: tuple[float, float]) -> list[dict[str, Any]]:
    """Give tries that succeed within some spans and fail outside."""
    times = [i / 200 for i in range(1000)]
    return [{"t": t, "end": t + 0.001, "ok": any(a <= t < b for a, b in spans)} for t in times]


def check(lines: list[dict[str, Any]], *, moves: bool = True) -> judge.Figures:
    """Judge a round of one family."""
    return judge.judge(Seen({"ARP": lines}, {}, {}), MARKS, first=FIRST, moves=moves)


def test_a_takeover_and_the_way_back() -> None:
    """The gap of the fault and that of the return are told apart; nothing is false."""
    lines = asked()
    lines += answered(FIRST, 0, 1) + answered(SECOND, 1.5, 3.2) + answered(FIRST, 3.1, 5)
    found = check(lines)
    assert found.wire_gap_s == pytest.approx(0.51, abs=0.002)
    assert found.back_gap_s == 0
    assert found.two_owners_after_s == pytest.approx(0.09, abs=0.002)
    assert (found.two_owners_s, found.false_takeovers, found.after) == (0, 0, (FIRST,))


def test_the_worse_family_counts() -> None:
    """A gap of one family is a gap."""
    good = asked() + answered(FIRST, 0, 5)
    bad = asked() + answered(FIRST, 0, 1) + answered(FIRST, 1.4, 5)
    found = judge.judge(Seen({"ARP": good, "NDP": bad}, {}, {}), MARKS, first=FIRST, moves=False)
    assert found.wire_gap_s == pytest.approx(0.41, abs=0.002)


def test_nobody_answers_until_the_end() -> None:
    """Without a takeover the gap lasts as long as the fault."""
    found = check(asked() + answered(FIRST, 0, 1))
    assert found.wire_gap_s == pytest.approx(2.0, abs=0.02)
    assert found.back_gap_s == pytest.approx(2.0, abs=0.02)
    assert found.after == ()


def test_an_observer_that_stood_still_proves_nothing() -> None:
    """No gap where nothing was asked."""
    lines = asked(0, 2) + asked(2.5, 5) + answered(FIRST, 0, 2) + answered(FIRST, 2.5, 5)
    assert check(lines).wire_gap_s == 0


@pytest.mark.parametrize(
    ("spans", "moves", "wanted"),
    [
        ([(SECOND, 1.5, 3)], True, 0),
        ([(SECOND, 1.5, 3)], False, 1),
        ([(SECOND, 1.5, 2), (SECOND, 2.6, 3)], True, 1),
        ([(SECOND, 1.5, 3), (THIRD, 1.5, 1.6)], True, 1),
        ([(THIRD, 0.2, 0.21)], False, 1),
        # A few lost answers do not make a second takeover.
        ([(SECOND, 1.5, 2), (SECOND, 2.2, 3)], True, 0),
    ],
)
def test_takeovers_without_a_reason_are_counted(
    spans: list[tuple[str, float, float]], *, moves: bool, wanted: int
) -> None:
    """One takeover by one host is due where the address is to move, and none elsewhere."""
    lines = asked() + answered(FIRST, 0, 5)
    for mac, begin, end in spans:
        lines += answered(mac, begin, end)
    assert check(lines, moves=moves).false_takeovers == wanted


def test_tries_and_losses() -> None:
    """UDP and TCP have gaps of their own; every datagram without an echo is lost."""
    lines = asked() + answered(FIRST, 0, 5)
    udp, tcp = tries((0, 1), (1.25, 5)), tries((0, 1), (2, 5))
    seen = Seen({"ARP": lines}, {"4": udp}, {"4": tcp}, flood=udp)
    found = judge.judge(seen, MARKS, first=FIRST, moves=True)
    assert found.udp_gap_s == pytest.approx(0.255, abs=0.002)
    assert found.tcp_gap_s == pytest.approx(1.005, abs=0.002)
    assert found.lost == 50


def test_nothing_tried_is_no_figure() -> None:
    """Where traffic cannot tell anything, there is none."""
    found = check(asked() + answered(FIRST, 0, 5))
    assert (found.udp_gap_s, found.tcp_gap_s, found.lost) == (None, None, None)


def test_a_client_that_was_not_told_is_noticed() -> None:
    """Its kernel's cache still names another host than the owner."""
    lines = asked() + answered(FIRST, 0, 5)
    seen = Seen({"ARP": lines}, {}, {}, caches=(FIRST, SECOND))
    assert judge.judge(seen, MARKS, first=FIRST, moves=False).astray == 1
