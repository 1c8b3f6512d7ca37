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
    SendDatagram,
)
from mercurylb.membership.swim.config import LAN
from mercurylb.membership.swim.message import PushPull, State
from tests.unit.membership.company import PORT, Company, peer

FAST = b"M"


def company(names: str = "abc") -> Company:
    """Return some that are up and agree, for a while."""
    made = Company(names)
    made.start(*names)
    made.run(3.0)
    assert made.agree_on(names)
    return made


def machine(name: str = "a") -> CombinedMembership:
    """Return one that is alone."""
    return CombinedMembership(
        name, peer(name).address, PORT, secret=b"s", seal=None, config=LAN,
        chance=random.Random(1), incarnation=1000,
    )  # fmt: skip


def sends(effects: list[object]) -> list[object]:
    """Return what is sent."""
    return [effect for effect in effects if isinstance(effect, SendDatagram | Exchange)]


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


# --- dying -------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["ab", "abc", "abcdefgh"])
def test_a_cut_off_node_is_down_within_450_ms(names: str) -> None:
    """Everywhere; and on its own side it is alone in the end."""
    made = company(names)
    cut_at = made.now
    made.cut = {"a"}
    made.run(0.45)
    for name in names[1:]:
        assert made.told_since(name, cut_at)[:1] == [MemberDown("a", DownReason.SILENT)]
    made.run(2.0)
    assert made.nodes["a"].live() == {"a"}


def test_who_finds_a_node_dead_knows_how_long_it_was_silent() -> None:
    """Also afterwards, whatever else comes; as long as it lives, its silence is short."""
    made = company("abc")

    def silence() -> float | None:
        (seen,) = [view for view in made.nodes["b"].views(made.now) if view.node == "a"]
        return seen.silent_s

    alive_s = silence()
    assert alive_s is not None
    assert alive_s < 0.2
    made.cut = {"a"}
    made.run(0.45)
    found_s = silence()
    assert found_s is not None
    assert 0.1 < found_s < 0.45
    made.run(1.0)
    assert silence() == found_s


def test_what_a_death_means_comes_before_what_is_sent() -> None:
    """The takeover is done before anybody is told."""
    made = company("abc")
    made.cut = {"a"}
    seen: list[list[object]] = []
    take = made.take
    made.take = lambda name, effects: (seen.append(list(effects)), take(name, effects))[1]  # type: ignore[method-assign]
    made.run(0.45)
    [batch] = [b for b in seen if MemberDown("a", DownReason.SILENT) in b][:1]
    assert isinstance(batch[0], MemberDown)
    assert sends(batch)


def test_a_killed_process_is_gone_within_300_ms() -> None:
    """Its kernel says that nobody listens."""
    made = company()
    del made.nodes["a"]
    killed_at = made.now
    made.run(0.3)
    assert made.told_since("b", killed_at) == [MemberDown("a", DownReason.GONE)]


def test_a_killed_process_is_ill_within_1_6_s_where_kernels_do_not_tell() -> None:
    """Its kernel answers, its process does not."""
    made = company()
    made.has_icmp = False
    del made.nodes["a"]
    killed_at = made.now
    made.run(1.4)
    assert made.told_since("b", killed_at) == []
    made.run(0.25)
    assert made.told_since("b", killed_at) == [MemberDown("a", DownReason.ILL)]


def test_speakers_that_know_gossip_only_act_on_a_verdict_at_once() -> None:
    """They are told by SWIM, and never get a datagram they would not understand."""
    made = Company("abcz")
    made.start("a", "b", "c")
    foreign = made.start_foreign("z")
    made.run(2.0)
    assert foreign.live() == {"a", "b", "c", "z"}
    made.cut = {"a"}
    made.run(0.45)
    assert foreign.live() == {"b", "c", "z"}
    assert foreign.fast_count == 0


def test_a_speaker_that_knows_gossip_only_is_lost_by_gossip() -> None:
    """Its silence is measured by SWIM alone; when it comes, it is taken to act after a while."""
    made = Company("abz")
    made.start("a", "b")
    made.start_foreign("z")
    joined_at = made.when("a", MemberUp("z"))
    made.run(1.0)
    assert made.when("a", MemberHearsUs("z")) - joined_at == pytest.approx(0.5, abs=0.01)
    made.cut = {"z"}
    made.run(2.0)
    assert "z" in made.nodes["a"].live()
    made.run(15.0)
    assert made.nodes["a"].live() == {"a", "b"}
    assert made.told_since("a", joined_at)[-1] == MemberDown("z", DownReason.TOLD)


def test_a_one_way_link_kills_nobody() -> None:
    """Whom somebody else hears is alive."""
    made = company("abc")
    made.deaf = {("a", "b")}
    since = made.now
    made.run(5.0)
    for name in "abc":
        assert made.told_since(name, since) == []


def test_whom_nobody_hears_gives_in() -> None:
    """Of two, the one that cannot make itself heard withdraws, so that one owner is left."""
    made = company("ab")
    made.deaf = {("a", "b")}
    made.run(3.0)
    assert made.nodes["b"].live() == {"b"}
    assert "a" not in made.nodes["a"].live()
    made.deaf = set()
    made.run(0.3)
    assert made.agree_on("ab")


# --- coming back -------------------------------------------------------------------------------


@pytest.mark.parametrize("parted_s", [0.6, 3.0, 70.0])
@pytest.mark.parametrize("names", ["ab", "abcde"])
def test_a_healed_cut_is_over_within_250_ms(names: str, parted_s: float) -> None:
    """However long it lasted, and also if SWIM has forgotten the other side."""
    made = company(names)
    made.cut = {"a"}
    made.run(parted_s)
    made.cut = set()
    healed_at = made.now
    made.run(0.25)
    assert made.agree_on(names)
    for name in names[1:]:
        assert made.when("a", MemberHearsUs(name)) >= healed_at
        assert made.when(name, MemberHearsUs("a")) >= healed_at


def test_a_process_that_is_started_anew_is_down_until_it_is_ready() -> None:
    """The new one tells whoever asks that it is new."""
    made = company("abc")
    made.make("a", incarnation=2000)
    started_at = made.now
    made.run(0.4)
    assert made.told_since("b", started_at) == [MemberDown("a", DownReason.RESTARTED)]
    made.do("a", "on_ready", True)
    made.run(0.1)
    assert made.agree_on("abc")


@pytest.mark.parametrize("incarnation", [1, 999, 1001])
def test_a_restart_is_believed_whatever_the_clock_says(incarnation: int) -> None:
    """A node whose clock went back hears of its former self and goes beyond it."""
    made = company("abc")
    made.start("a", incarnation=incarnation)
    made.run(0.3)
    assert made.agree_on("abc")


def test_a_reaped_node_comes_back_with_a_lower_incarnation() -> None:
    """What was found about a record that is forgotten holds against nobody."""
    made = company("ab")
    made.cut = {"a"}
    made.run(60.0)
    made.cut = set()
    del made.nodes["a"]
    made.start("a", incarnation=5)
    made.run(0.5)
    assert made.agree_on("ab")


# --- standing still ----------------------------------------------------------------------------


@pytest.mark.parametrize("stopped_s", [0.1, 0.3, 0.45, 0.7])
def test_a_short_stall_changes_nothing(stopped_s: float) -> None:
    """Neither what others hold of us, nor what we hold of them."""
    made = company("abc")
    since = made.now
    for name in "ab":
        made.stopped_until[name] = made.now + stopped_s
    made.run(3.0)
    for name in "abc":
        assert made.told_since(name, since) == []


@pytest.mark.parametrize("stopped_s", [1.0, 2.0, 10.0, 100.0])
@pytest.mark.parametrize("names", ["ab", "abcde"])
def test_a_process_that_goes_on_owns_nothing_until_it_is_known(
    names: str, stopped_s: float
) -> None:
    """It withdraws first of all, accuses nobody, and is back within 250 ms."""
    made = company(names)
    made.stopped_until["a"] = made.now + stopped_s
    made.run(stopped_s)
    since = made.now
    made.run(0.25)
    told = made.told_since("a", since)
    assert told[0] == MemberDown("a", DownReason.ISOLATED)
    assert [e for e in told if isinstance(e, MemberDown)] == told[:1]
    assert MemberUp("a") in told
    assert made.agree_on(names)
    since = made.now
    made.run(2.0)
    assert made.told_since("a", since) == []


def test_a_stalled_node_that_is_alone_owns_again_after_the_grace() -> None:
    """Nobody else can."""
    made = company("ab")
    del made.nodes["b"]
    made.run(2.0)
    made.stopped_until["a"] = made.now + 2.0
    made.run(2.01)
    assert made.nodes["a"].live() == frozenset()
    made.run(1.1)
    assert made.nodes["a"].live() == {"a"}


def test_a_stop_while_learning_asks_again() -> None:
    """The answers may be waiting unread, so the grace is not over."""
    made = Company("abc")
    made.start("b", "c")
    made.make("a")
    made.do("a", "on_ready", True)
    made.stopped_until["a"] = made.now + 3.0
    made.run(3.0)
    since = made.now
    made.run(0.1)
    assert made.told_since("a", since)[:3] == [MemberUp("a"), MemberUp("b"), MemberUp("c")]


def test_a_stalled_node_among_gossipers_is_back_once_they_have_answered() -> None:
    """MetalLB's speakers cannot prove anything, but tell by a push and pull if we are dead."""
    made = Company("ayz")
    made.start_foreign("y")
    made.start_foreign("z")
    made.start("a")
    made.run(2.0)
    made.stopped_until["a"] = made.now + 2.0
    made.run(2.0)
    since = made.now
    made.run(0.1)
    assert made.told_since("a", since) == [MemberDown("a", DownReason.ISOLATED), MemberUp("a")]


def test_a_lost_carrier_withdraws_at_once_and_accuses_nobody() -> None:
    """Silence says nothing to the deaf; when the carrier is back it asks before it owns."""
    made = company("abc")
    made.cut = {"a"}
    effects = made.do("a", "on_carrier", False)
    assert effects == [MemberDown("a", DownReason.ISOLATED)]
    made.run(10.0)
    assert made.nodes["a"].live() == {"b", "c"}
    assert made.nodes["b"].live() == {"b", "c"}
    made.cut = set()
    made.do("a", "on_carrier", True)
    made.run(0.25)
    assert made.agree_on("abc")


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
