"""The membership of production when nodes die, are cut off, stand still, and come back."""

from __future__ import annotations

import pytest

from mercurylb.membership.member import (
    DownReason,
    Exchange,
    MemberDown,
    MemberHearsUs,
    MemberUp,
    SendDatagram,
)
from tests.unit.membership.company import Company, company

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
    assert any(isinstance(effect, SendDatagram | Exchange) for effect in batch)


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
