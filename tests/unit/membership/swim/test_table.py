"""Who is known, and whose turn it is."""

from __future__ import annotations

import random

import msgspec
import pytest

from mercurylb.membership.swim.effect import SwimMember
from mercurylb.membership.swim.message import VSN, State
from mercurylb.membership.swim.table import Table


def member(name: str, state: State = State.ALIVE, changed_at: float = 0.0) -> SwimMember:
    """Return a record."""
    return SwimMember(
        name=name,
        address="10.0.0.1",
        port=1,
        meta=b"",
        vsn=VSN,
        incarnation=1,
        state=state,
        changed_at=changed_at,
        addr=b"\n\0\0\1",
    )


def table(count: int, seed: int = 1) -> Table:
    """Return a table of m0, m1 and so on."""
    found = Table(random.Random(seed))
    for index in range(count):
        found.put(member(f"m{index}"))
    found.validate()
    return found


def turns(found: Table, count: int, now: float = 0.0) -> list[str]:
    """Return whose turns come, m0 being ourselves."""
    taken = [found.next_turn("m0", now=now, keep_s=30.0) for _ in range(count)]
    found.validate()
    return [probed.name for probed in taken if probed is not None]


@pytest.mark.rule("membership-5.order")
def test_everybody_has_one_turn_in_a_round() -> None:
    """A round is all but ourselves, and the next round has another order."""
    found = table(20)
    turns(found, 19)
    first, second = turns(found, 19), turns(found, 19)
    assert sorted(first) == sorted(second) == sorted(f"m{index}" for index in range(1, 20))
    assert first != second


@pytest.mark.rule("membership-5.order")
@pytest.mark.parametrize("state", [State.DEAD, State.LEFT])
def test_the_dead_have_no_turn(state: State) -> None:
    """Who is dead or has left is not probed; a suspect is."""
    found = table(3)
    found.put(member("m1", state))
    found.put(member("m2", State.SUSPECT))
    assert turns(found, 3) == ["m2", "m2", "m2"]


@pytest.mark.rule("membership-5.reap", "membership-10.keep")
@pytest.mark.parametrize("state", [State.DEAD, State.LEFT])
def test_the_dead_are_kept_for_a_while(state: State) -> None:
    """At the end of a round those are dropped who have been gone for longer than the time."""
    found = table(3)
    found.put(member("m1", state, changed_at=10.0))
    turns(found, 3, now=40.0)
    assert "m1" in found.members
    turns(found, 3, now=40.1)
    assert "m1" not in found.members
    assert len(found) == 2


def test_nobody_to_probe_is_no_endless_round() -> None:
    """Alone, or among the dead, there is no turn."""
    assert turns(Table(random.Random(1)), 3) == []
    found = table(1)
    assert turns(found, 3) == []
    found.put(member("m1", State.DEAD))
    assert turns(found, 3) == []


@pytest.mark.rule("membership-5.insert")
def test_new_members_come_to_random_places() -> None:
    """The last one to come is probed early by some and late by others."""
    places = set()
    for seed in range(40):
        places.add([*turns(table(10, seed), 9), "m9"].index("m9"))
    assert len(places) > 5


@pytest.mark.parametrize("count", [3, 8, 30, 500])
def test_picks_are_different_and_wanted(count: int) -> None:
    """So many as asked for, if there are so many; all of them get picked in time."""
    found = table(count)
    seen = set()
    for _ in range(60 * count):
        picked = [m.name for m in found.pick(3, lambda m: m.name != "m0")]
        assert len(picked) == len(set(picked)) == min(3, count - 1)
        seen.update(picked)
    assert seen == {f"m{index}" for index in range(1, count)}


def test_few_among_many_are_found() -> None:
    """The search is complete also where chance alone would not do."""
    found = table(500)
    wanted = {"m7", "m450"}
    for _ in range(20):
        assert {m.name for m in found.pick(3, lambda m: m.name in wanted)} == wanted


def test_view_follows_the_table() -> None:
    """Nobody has to ask again."""
    found = table(2)
    view = found.members
    found.put(msgspec.structs.replace(member("m1"), incarnation=7))
    assert view["m1"].incarnation == 7
    assert [m.name for m in found.live("m0")] == ["m1"]
