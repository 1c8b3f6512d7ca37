"""The membership of production: SWIM and the fast detector as one."""

from __future__ import annotations

import random

import pytest

from mercurylb.membership.combined import CombinedMembership
from mercurylb.membership.member import (
    DownReason,
    Exchange,
    Left,
    MemberDown,
    MemberHearsUs,
    MemberNote,
    MemberUp,
)
from mercurylb.membership.swim.config import LAN
from mercurylb.membership.swim.message import PushPull, State
from tests.unit.membership.company import PORT, Company, company, peer

FAST = b"M"


def machine(name: str = "a") -> CombinedMembership:
    """Return one that is alone."""
    return CombinedMembership(
        name, peer(name).address, PORT, secret=b"s", seal=None, config=LAN,
        chance=random.Random(1), incarnation=1000,
    )  # fmt: skip


# --- beginning ---------------------------------------------------------------------------------


def test_a_lonely_node_starts_at_once() -> None:
    """Without peers there is nobody to wait for."""
    alone = machine()
    alone.on_peers([], 10.0)
    assert alone.on_ready(True, 10.0)[0] == MemberUp("a")
    assert alone.live() == {"a"}


def test_nothing_is_sent_before_the_node_is_ready() -> None:
    """No datagram, no connection, and no request is answered."""
    idle = machine()
    assert idle.on_peers([peer("b")], 10.0) == []
    assert idle.next_deadline() is None
    assert idle.on_request(peer("b").address, PushPull((), is_join=True), 10.1) == ([], None)
    assert idle.on_datagram(peer("b").address, PORT, b"\x00\x01", 10.1) == []
    assert idle.counts() == {"idle": 2}
    assert idle.live() == frozenset()


def test_a_starting_node_asks_without_telling_of_itself() -> None:
    """Until it knows who lives, all it says is: who lives?"""
    starting = machine()
    starting.on_peers([peer("b"), peer("c")], 10.0)
    effects = starting.on_ready(True, 10.0)
    assert {type(effect) for effect in effects} == {Exchange}
    for effect in effects:
        request = starting.stream_decoder().feed(effect.request)
        assert request == PushPull((), is_join=False)
    assert starting.live() == frozenset()


def test_a_starting_node_owns_first_and_tells_afterwards() -> None:
    """When it becomes alive it knows who else is, and that comes before anything it sends."""
    made = Company("abc")
    made.start("b", "c")
    made.start("a")
    up = [effect for _, effect in made.told["a"]][:3]
    assert up == [MemberUp("a"), MemberUp("b"), MemberUp("c")]
    assert made.when("a", MemberUp("a")) < made.when("b", MemberUp("a"))
    later = made.told_since("a", 0)[3:]
    assert sorted(later, key=repr) == [MemberHearsUs("b"), MemberHearsUs("c")]


@pytest.mark.parametrize(("is_cut", "after_s"), [(True, 1.0), (False, 0.002)])
def test_a_starting_node_waits_no_longer_than_it_must(is_cut: bool, after_s: float) -> None:  # noqa: FBT001
    """A peer that does not answer delays the start by 1 s, one that refuses by nothing."""
    made = Company("ab")
    made.cut = {"b"} if is_cut else set()
    made.make("a")
    made.do("a", "on_ready", True)
    made.run(1.1)
    assert made.when("a", MemberUp("a")) == pytest.approx(100.0 + after_s, abs=0.002)


def test_whom_nobody_knows_is_not_presumed_alive() -> None:
    """A listed peer that is dead takes nothing away from a node that starts."""
    made = Company("abc")
    made.start("c")
    made.cut = {"a"}
    made.start("b")
    assert made.nodes["b"].live() == {"b", "c"}


@pytest.mark.rule("membership-1.5.join")
def test_peers_that_are_listed_later_are_joined() -> None:
    """A node that is there but no member is joined soon; whoever is not there, again and again."""
    made = Company("ab")
    made.start("a")
    made.run(20.0)
    tries = [e for e in made.sent["a"] if isinstance(e, Exchange) and e.id > 0]
    assert 4 <= len(tries) <= 8
    made.nodes["b"] = CombinedMembership(
        "b", peer("b").address, PORT, secret=b"between us", seal=None, config=LAN,
        chance=random.Random(2), incarnation=1000,
    )  # fmt: skip
    made.do("b", "on_peers", [])
    made.do("b", "on_ready", True)
    made.do("a", "on_peers", [])
    made.do("a", "on_peers", [peer("b")])
    made.run(1.0)
    assert made.agree_on("ab")


def test_one_of_ours_that_knows_us_is_joined_at_once() -> None:
    """Its brain may know of us before ours knows of it."""
    made = company("ab")
    made.nodes["b"].on_peers([], made.now)
    made.cut = {"a"}
    made.run(45.0)
    assert made.nodes["b"].live() == {"b"}
    made.cut = set()
    made.run(0.5)
    assert made.agree_on("ab")


# --- going -------------------------------------------------------------------------------------


def test_a_leaver_is_replaced_before_it_is_silent() -> None:
    """Everybody acts first; only then it is out, within milliseconds."""
    made = company("abc")
    since = made.now
    effects = made.do("a", "on_leave")
    assert Left() not in effects
    assert "a" in made.nodes["a"].live()
    made.run(0.1)
    left_at = made.when("a", Left())
    for name in "bc":
        assert made.told_since(name, since) == [MemberDown("a", DownReason.LEAVING)]
        assert made.when(name, MemberDown("a", DownReason.LEAVING)) < left_at
    assert made.nodes["a"].live() == frozenset()


@pytest.mark.rule("membership-1.5.stop")
def test_a_leaver_lingers_one_second_at_most() -> None:
    """A member that does not echo holds nobody back for longer."""
    made = company("abc")
    made.stopped_until["b"] = made.now + 5.0
    since = made.now
    made.do("a", "on_leave")
    made.run(0.95)
    assert "a" in made.nodes["a"].live()
    made.run(0.1)
    assert made.told_since("a", since) == [Left()]


def test_a_leaver_gives_gossipers_some_time() -> None:
    """They cannot say that they have acted, so it goes on for 300 ms."""
    made = Company("abz")
    made.start("a", "b")
    foreign = made.start_foreign("z")
    made.do("a", "on_leave")
    made.run(0.01)
    assert foreign.live() == {"b", "z"}
    made.run(0.28)
    assert "a" in made.nodes["a"].live()
    made.run(0.02)
    assert made.nodes["a"].live() == frozenset()


@pytest.mark.parametrize("is_ready", [False, True])
def test_a_leaver_without_anybody_leaves_at_once(is_ready: bool) -> None:  # noqa: FBT001
    """There is nobody to hand over to."""
    alone = machine()
    alone.on_peers([], 10.0)
    alone.on_ready(is_ready, 10.0)
    assert Left() in alone.on_leave(10.1)
    assert alone.next_deadline() is None
    assert alone.on_leave(10.2) == []


def test_readiness_that_ends_is_told_and_comes_back() -> None:
    """A node that may not own any more leaves, and joins again with a higher incarnation."""
    made = company("abc")
    since = made.now
    effects = made.do("a", "on_ready", False)
    assert effects[0] == MemberDown("a", DownReason.NOT_READY)
    made.run(0.1)
    assert made.told_since("b", since) == [MemberDown("a", DownReason.LEAVING)]
    assert made.nodes["a"].live() == frozenset()
    made.do("a", "on_ready", True)
    made.run(0.3)
    assert made.agree_on("abc")


# --- telling -----------------------------------------------------------------------------------


def test_notes_reach_everybody_and_come_first() -> None:
    """What a node says about itself is known before it counts as alive, and when it changes."""
    made = Company("abz")
    made.start("b")
    made.make("a").on_note(b"first", made.now)
    notes: list[tuple[object, ...]] = []
    take = made.take
    made.take = lambda name, effects: (  # type: ignore[method-assign]
        notes.append(tuple(e for e in effects if isinstance(e, MemberNote | MemberUp))),
        take(name, effects),
    )[1]
    made.do("a", "on_ready", True)
    made.run(0.1)
    assert (MemberNote("a", b"first"), MemberUp("a")) in notes
    made.do("a", "on_note", b"second")
    made.run(0.1)
    assert (MemberNote("a", b"second"),) in notes
    assert made.do("a", "on_note", b"second") == []
    made.start_foreign("z")
    assert not [n for batch in notes for n in batch if n == MemberNote("z", b"")]


def test_views_are_for_people() -> None:
    """Every listed or known node, with its state and why."""
    made = Company("abcdz")
    made.start("a", "b", "c")
    made.start_foreign("z")
    made.run(2.0)
    made.do("c", "on_leave")
    made.run(0.5)
    made.cut = {"b"}
    made.run(1.0)
    views = made.nodes["a"].views(made.now)
    assert [(v.node, v.state, v.reason, v.is_ours) for v in views] == [
        ("b", "down", "silent", True),
        ("c", "left", "leaving", True),
        ("d", "down", "", False),
        ("z", "up", "", False),
    ]


def test_what_is_not_believed_is_counted_by_reason() -> None:
    """Of SWIM's datagrams and of the fast ones, and nothing changes."""
    made = company("ab")
    live, before = made.nodes["a"].live(), _swim_count(made)
    for payload in (FAST, FAST + b"\x01" + bytes(40), b"", b"\xff\xff", b"\x04rubbish"):
        made.do("a", "on_datagram", peer("b").address, PORT, payload)
    counts = made.nodes["a"].counts()
    assert counts["fast.version"] == 1
    assert counts["fast.signature"] == 1
    assert _swim_count(made) - before == 3
    assert made.nodes["a"].live() == live


def _swim_count(made: Company) -> int:
    counts = made.nodes["a"].counts()
    return sum(count for name, count in counts.items() if name.startswith("swim."))


def test_cost_of_quiet_times_does_not_grow_with_the_cluster() -> None:
    """In a second each of eight sends no more than four beats each tenth, and little gossip."""
    made = company("abcdefgh")
    made.run(10.0)
    before = len(made.sent["a"])
    made.run(1.0)
    assert len(made.sent["a"]) - before <= 4 * 11 + 10


@pytest.mark.rule("membership-1.5.suspect")
def test_a_live_member_without_a_word_is_a_suspect_to_people_only() -> None:
    """A suspect still counts as alive."""
    made = Company("az")
    made.start("a")
    made.start_foreign("z")
    made.run(1.0)
    made.cut = {"z"}
    for _ in range(40):
        made.run(0.1)
        [view] = made.nodes["a"].views(made.now)
        if view.state == "suspect":
            break
    assert view.state == "suspect"
    assert "z" in made.nodes["a"].live()
    assert made.nodes["a"]._life.pair.swim.members()["z"].state is State.SUSPECT
