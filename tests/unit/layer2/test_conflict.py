"""Claims of others: who is answered, and what people are told."""

from __future__ import annotations

import pytest

from mercurylb.layer2 import conflict
from mercurylb.layer2.conflict import Claim, Claimant, ConflictWatch
from tests.unit.layer2.scene import MEMBER_MAC, STRANGER_MAC, V4

CLAIM = Claim("eth0", V4, STRANGER_MAC)
MEMBERS = Claim("eth0", V4, MEMBER_MAC)


@pytest.fixture
def watch() -> ConflictWatch:
    """Return a watch that knows one member."""
    made = ConflictWatch()
    made.on_members({MEMBER_MAC: "other"}, has_unknown=False)
    return made


def defended(
    watch: ConflictWatch, claim: Claim, *times: float, yields: bool = False
) -> list[float]:
    """Return at which times a claim is answered."""
    return [at for at in times if watch.judge(claim, at, yields=yields).is_defended]


def test_stranger_is_defended_against_once_per_interval(watch: ConflictWatch) -> None:
    """One announcement in 10 s (RFC 5227 §2.4 c), however often and by whomever it is claimed."""
    assert defended(watch, CLAIM, 0.0, 0.1, 5.0, 9.9, 10.0, 19.9, 20.0) == [0.0, 10.0, 20.0]
    assert defended(watch, Claim("eth0", V4, b"\x02" * 6), 21.0, 30.0) == [30.0]


def test_each_address_and_interface_is_defended_by_itself(watch: ConflictWatch) -> None:
    """A claim on one interface does not use up what another one may need."""
    assert defended(watch, CLAIM, 0.0) == [0.0]
    assert defended(watch, Claim("eth1", V4, STRANGER_MAC), 1.0) == [1.0]
    assert defended(watch, Claim("eth0", "10.0.0.2", STRANGER_MAC), 1.0) == [1.0]


def test_member_is_answered_by_the_better_ranked_only(watch: ConflictWatch) -> None:
    """The one who yields never speaks, so two members cannot answer each other for ever."""
    assert defended(watch, MEMBERS, 0.0, 1.0, yields=True) == []
    assert defended(watch, MEMBERS, 0.0, 0.2, 0.4, 0.8) == [0.0, 0.4, 0.8]


def test_stranger_is_told_of_at_once_and_seldom_again(watch: ConflictWatch) -> None:
    """People hear at the first claim, then once a minute with what has happened meanwhile."""
    told = [watch.judge(CLAIM, float(at), yields=False).told for at in range(61)]
    spoken = [(at, word) for at, word in enumerate(told) if word is not None]
    assert [at for at, _ in spoken] == [0, 60]
    last = spoken[1][1]
    assert (last.address, last.interface, last.mac) == (V4, "eth0", "02:00:00:00:00:bb")
    assert (last.node, last.count, last.defended) == ("", 61, 7)


def test_member_s_claim_is_a_conflict_only_when_it_goes_on(watch: ConflictWatch) -> None:
    """The moment in which an address moves is none; claims for 2 s without a long pause are."""
    for at in (0.0, 1.9):
        assert watch.judge(MEMBERS, at, yields=False).told is None
    assert watch.conflicts(2.0) == ()
    assert watch.judge(MEMBERS, 40.0, yields=False).told is None
    verdict = watch.judge(MEMBERS, 42.0, yields=False)
    assert verdict.claimant is Claimant.MEMBER
    assert verdict.told is not None
    assert verdict.told.node == "other"


def test_unknown_claims_are_defended_but_alarm_late(watch: ConflictWatch) -> None:
    """While members do not tell their MAC addresses, a claim may be part of a move."""
    watch.on_members({}, has_unknown=True)
    first = watch.judge(CLAIM, 0.0, yields=False)
    assert (first.claimant, first.is_defended, first.told) == (Claimant.UNKNOWN, True, None)
    assert watch.judge(CLAIM, 2.5, yields=False).told is not None


def test_what_a_node_claimed_before_it_joined_is_over(watch: ConflictWatch) -> None:
    """A speaker that could not hear the others is replaced by one that can; others stay told."""
    watch.on_members({}, has_unknown=True)
    for at in (0.0, 2.5):
        watch.judge(CLAIM, at, yields=False)
        watch.judge(MEMBERS, at, yields=False)
    watch.on_members({MEMBER_MAC: "other"}, has_unknown=True)
    assert [found.mac for found in watch.conflicts(3.0)] == [STRANGER_MAC.hex(":")]
    watch.judge(MEMBERS, 4.0, yields=False)
    watch.on_members({MEMBER_MAC: "other"}, has_unknown=False)
    assert watch.judge(MEMBERS, 6.5, yields=False).told is not None


def test_conflicts_are_told_latest_first_and_forgotten(watch: ConflictWatch) -> None:
    """The observation has the newest ones, and none of yesterday."""
    for number in range(40):
        watch.judge(Claim("eth0", f"10.0.1.{number}", STRANGER_MAC), float(number), yields=False)
    found = watch.conflicts(50.0)
    assert len(found) == conflict.TOLD_MAX
    assert [(c.address, c.age_s) for c in found[:2]] == [("10.0.1.39", 11.0), ("10.0.1.38", 12.0)]
    assert watch.conflicts(39.0 + conflict.REMEMBERED_S + 1) == ()


def test_claimant_that_claims_again_is_the_latest(watch: ConflictWatch) -> None:
    """The order is that of the latest claims, also for whom is forgotten first."""
    again = Claim("eth0", "10.0.1.0", STRANGER_MAC)
    for number in range(3):
        watch.judge(Claim("eth0", f"10.0.1.{number}", STRANGER_MAC), float(number), yields=False)
    watch.judge(again, 3.0, yields=False)
    watch.validate()
    assert [c.address for c in watch.conflicts(4.0)] == ["10.0.1.0", "10.0.1.2", "10.0.1.1"]


def test_flood_of_claimants_stays_bounded(watch: ConflictWatch) -> None:
    """Neither the table nor what people are told grows with the number of claimants."""
    told = 0
    for number in range(5000):
        claim = Claim("eth0", f"10.0.{number % 250}.1", number.to_bytes(6, "big"))
        told += watch.judge(claim, number / 1000, yields=False).told is not None
        watch.validate()
    assert told == conflict.TELLS_MAX


def test_too_many_claims_make_deaf_for_a_second(watch: ConflictWatch) -> None:
    """After a burst nothing is looked at until the deadline, then again."""
    admitted = 0
    while watch.admit(5.0):
        admitted += 1
    assert admitted == conflict.CLAIMS_PER_S
    assert watch.is_deaf
    assert watch.next_deadline() == 6.0
    assert not watch.on_deadline(5.9)
    assert watch.on_deadline(6.0)
    assert not watch.is_deaf
    assert watch.admit(6.0)


def test_steady_claims_within_the_bound_are_all_looked_at(watch: ConflictWatch) -> None:
    """Fifty claims a second are no flood."""
    assert all(watch.admit(number / 50) for number in range(1000))
