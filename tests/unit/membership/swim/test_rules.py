"""What alive, suspect and dead messages change: one machine, told things by datagram."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from mercurylb.membership.swim import message as wire
from mercurylb.membership.swim.config import LAN
from mercurylb.membership.swim.effect import Refused, SwimChanged, SwimDown, SwimUp
from mercurylb.membership.swim.message import VSN, Alive, Dead, State, Suspect
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.rules import INCARNATION_DOUBT
from mercurylb.membership.swim.table import MEMBERS_MAX
from tests.unit.membership.swim.world import make, read, said

if TYPE_CHECKING:
    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.effect import SwimEffect
    from mercurylb.membership.swim.machine import Swim
    from mercurylb.membership.swim.message import Message

CODEC = PacketCodec(None, random.Random(1))
B = Alive(5, "b", b"\x0a\x00\x00\x02", 7946)
B_MOVED = msgspec.structs.replace(B, addr=b"\x0a\x00\x00\x09")
ME = Alive(1, "a", b"\x0a\x00\x00\x01", 7946)


def started(config: SwimConfig = LAN) -> Swim:
    """Return a machine named a that runs since 0."""
    swim = make(config=config)
    swim.start(0.0)
    return swim


def tell(swim: Swim, *messages: Message, now: float = 1.0) -> list[SwimEffect]:
    """Give it a datagram."""
    payload = CODEC.encode([wire.encode(message) for message in messages])
    effects = swim.on_datagram("10.0.0.99", 7946, payload, now)
    swim.validate()
    return effects


def told(effects: list[SwimEffect]) -> list[SwimEffect]:
    """Leave out what is sent."""
    return [e for e in effects if isinstance(e, SwimUp | SwimDown | SwimChanged)]


def gossip(swim: Swim) -> list[Message]:
    """Return the news that wait."""
    news = swim.parts.broadcasts.take(10_000, overhead=2, limit=99, count_max=99)
    return [wire.decode(packed) for packed in news]


def state(swim: Swim, name: str = "b") -> tuple[State, int]:
    """Return what is held of somebody."""
    member = swim.members()[name]
    return member.state, member.incarnation


# --- alive ---------------------------------------------------------------------------------------


@pytest.mark.rule("membership-6.alive.3", "membership-6.alive.7", "membership-1.5.event")
def test_unknown_member_comes_up() -> None:
    """The first alive message makes a record, an event, and news."""
    swim = started()
    gossip(swim)
    assert told(tell(swim, B)) == [SwimUp("b")]
    found = swim.members()["b"]
    assert (found.address, found.port, found.meta, found.vsn) == ("10.0.0.2", 7946, b"", VSN)
    assert state(swim) == (State.ALIVE, 5)
    assert B in gossip(swim)


@pytest.mark.rule("membership-6.alive.4")
@pytest.mark.parametrize("incarnation", [4, 5])
def test_alive_needs_a_higher_incarnation(incarnation: int) -> None:
    """What is not newer than what is known changes nothing and is not told on."""
    swim = started()
    tell(swim, B)
    gossip(swim)
    before = swim.members()["b"]
    other = msgspec.structs.replace(B, incarnation=incarnation, meta=b"other")
    assert tell(swim, other) == []
    assert swim.members()["b"] is before
    assert B in gossip(swim)


@pytest.mark.rule("membership-6.alive.6", "membership-6.alive.7")
def test_higher_incarnation_is_stored_and_told_on() -> None:
    """Whoever has a higher incarnation is taken over as it is, and that is an event."""
    swim = started()
    tell(swim, B)
    newer = msgspec.structs.replace(B, incarnation=6, meta=b"new")
    assert told(tell(swim, newer, now=2.0)) == [SwimChanged("b")]
    assert swim.members()["b"].meta == b"new"
    assert newer in gossip(swim)
    same = msgspec.structs.replace(newer, incarnation=7)
    assert told(tell(swim, same, now=3.0)) == [SwimChanged("b")]
    assert swim.members()["b"].changed_at == 1.0


@pytest.mark.rule("membership-6.alive.5")
def test_alive_ends_a_suspicion() -> None:
    """A refutation stops the timer."""
    swim = started()
    tell(swim, B)
    tell(swim, Suspect(5, "b", "c"), now=2.0)
    assert told(tell(swim, msgspec.structs.replace(B, incarnation=6), now=3.0)) == [
        SwimChanged("b")
    ]
    assert state(swim) == (State.ALIVE, 6)
    assert swim.members()["b"].changed_at == 3.0


@pytest.mark.rule("membership-6.alive.7")
@pytest.mark.parametrize("origin", ["b", "c"])
def test_the_dead_come_back_with_a_higher_incarnation(origin: str) -> None:
    """Dead or left, an alive message beyond that is a join."""
    swim = started()
    tell(swim, B)
    tell(swim, Dead(5, "b", origin))
    assert told(tell(swim, B)) == []
    assert told(tell(swim, msgspec.structs.replace(B, incarnation=6))) == [SwimUp("b")]


@pytest.mark.rule("membership-6.alive.2")
@pytest.mark.parametrize(
    "vsn",
    [
        pytest.param(bytes((0, 5, 2, 0, 0, 0)), id="no lowest"),
        pytest.param(bytes((1, 0, 2, 0, 0, 0)), id="no highest"),
        pytest.param(bytes((5, 4, 2, 0, 0, 0)), id="lowest above highest"),
        pytest.param(bytes((0, 5, 2)), id="short"),
    ],
)
def test_impossible_versions_are_refused(vsn: bytes) -> None:
    """An alive message whose versions make no sense is ignored."""
    swim = started()
    assert tell(swim, msgspec.structs.replace(B, vsn=vsn)) == []
    assert swim.refused[Refused.VERSION] == 1


@pytest.mark.rule("membership-6.alive.versions")
@pytest.mark.parametrize(
    "vsn",
    [
        pytest.param(b"", id="none"),
        pytest.param(bytes((1, 5, 6, 0, 0, 0)), id="speaks what it does not understand"),
        pytest.param(bytes((3, 9, 6, 0, 0, 0)), id="speaks what we do not understand"),
        pytest.param(bytes((3, 5, 3, 0, 0, 0)), id="does not understand what we speak"),
        pytest.param(bytes((1, 5, 2, 1, 1, 1)), id="another program above"),
    ],
)
def test_versions_that_would_spoil_every_push_pull_are_refused(vsn: bytes) -> None:
    """A record that nobody could merge is not taken in."""
    swim = started()
    assert tell(swim, msgspec.structs.replace(B, vsn=vsn)) == []
    assert swim.refused[Refused.VERSION] == 1


def test_known_member_need_not_repeat_its_versions() -> None:
    """A newer alive message without versions leaves them as they were."""
    swim = started()
    tell(swim, B)
    tell(swim, msgspec.structs.replace(B, incarnation=6, vsn=b""))
    assert (swim.members()["b"].vsn, state(swim)) == (VSN, (State.ALIVE, 6))


@pytest.mark.rule("membership-6.alive.3.conflict")
@pytest.mark.parametrize("accusation", [None, Suspect(5, "b", "c")])
def test_name_of_a_live_member_is_not_taken_away(accusation: Suspect | None) -> None:
    """Another address under a live name is a conflict, whatever its incarnation."""
    swim = started()
    tell(swim, B)
    if accusation:
        tell(swim, accusation)
    assert tell(swim, msgspec.structs.replace(B_MOVED, incarnation=9)) == []
    other_port = msgspec.structs.replace(B, incarnation=9, port=1)
    assert tell(swim, other_port) == []
    assert swim.members()["b"].address == "10.0.0.2"
    assert swim.refused[Refused.CONFLICT] == 2


@pytest.mark.rule("membership-6.alive.3.left")
def test_name_of_a_member_that_left_is_free() -> None:
    """Who has left may come back from elsewhere, even with a lower incarnation."""
    swim = started()
    tell(swim, B)
    tell(swim, Dead(5, "b", "b"))
    assert told(tell(swim, msgspec.structs.replace(B_MOVED, incarnation=1))) == [SwimUp("b")]
    assert (swim.members()["b"].address, state(swim)) == ("10.0.0.9", (State.ALIVE, 1))


@pytest.mark.rule("membership-6.alive.3.dead")
@pytest.mark.parametrize(("incarnation", "is_taken"), [(1, False), (5, False), (6, True)])
def test_dead_member_moves_with_a_higher_incarnation(incarnation: int, is_taken: bool) -> None:  # noqa: FBT001
    """A crashed node that comes back with another address need not wait for the reaper."""
    swim = started()
    tell(swim, B)
    tell(swim, Dead(5, "b", "c"))
    moved = msgspec.structs.replace(B_MOVED, incarnation=incarnation)
    assert told(tell(swim, moved)) == ([SwimUp("b")] if is_taken else [])
    assert swim.members()["b"].address == ("10.0.0.9" if is_taken else "10.0.0.2")


@pytest.mark.rule("membership-6.alive.3.reclaim")
def test_reclaim_time_frees_the_name_of_the_dead() -> None:
    """Where it is configured, a dead name is free after that time."""
    swim = started(msgspec.structs.replace(LAN, dead_node_reclaim_time_s=10.0))
    tell(swim, B)
    tell(swim, Dead(5, "b", "c"), now=2.0)
    again = msgspec.structs.replace(B_MOVED, incarnation=1)
    assert told(tell(swim, again, now=12.0)) == []
    assert told(tell(swim, again, now=12.1)) == [SwimUp("b")]


@pytest.mark.rule("membership-2.address")
def test_ipv4_in_sixteen_bytes_is_the_same_address() -> None:
    """An advertised IPv4-mapped address is no conflict, and is told on in four bytes."""
    swim = started()
    tell(swim, B)
    mapped = msgspec.structs.replace(B, incarnation=6, addr=bytes(10) + b"\xff\xff" + B.addr)
    tell(swim, mapped)
    assert state(swim) == (State.ALIVE, 6)
    assert msgspec.structs.replace(B, incarnation=6) in gossip(swim)


@pytest.mark.rule("membership-4.port")
def test_port_that_is_missing_is_our_own() -> None:
    """Very old members do not tell their port."""
    swim = started()
    tell(swim, msgspec.structs.replace(B, port=0))
    assert swim.members()["b"].port == 7946


@pytest.mark.parametrize(
    "addr",
    [bytes(4), bytes(16), b"\xe0\0\0\1", b"\xff\xff\xff\xff", b"\xff\x02" + bytes(13) + b"\1"],
)
def test_addresses_where_nobody_is_are_refused(addr: bytes) -> None:
    """Nowhere, everywhere and groups are no members."""
    swim = started()
    assert tell(swim, msgspec.structs.replace(B, addr=addr)) == []
    assert swim.refused[Refused.ADDRESS] == 1


def test_table_is_bounded() -> None:
    """Invented members do not fill the memory."""
    swim = started()
    now = 1.0
    for index in range(MEMBERS_MAX + 10):
        alive = Alive(1, f"m{index}", b"\x0a\x01" + index.to_bytes(2, "big"), 7946)
        swim.parts.rules.alive(alive, now)
        swim.parts.outbox.take()
    swim.validate()
    assert len(swim.members()) == MEMBERS_MAX
    assert swim.refused[Refused.MEMBERS] == 11


# --- suspect -------------------------------------------------------------------------------------


@pytest.mark.rule("membership-6.suspect", "membership-1.5.suspect")
def test_suspect_still_counts() -> None:
    """A suspicion is told on and timed, but the member stays usable."""
    swim = started()
    tell(swim, B)
    assert told(tell(swim, Suspect(6, "b", "c"), now=2.0)) == [SwimChanged("b")]
    assert state(swim) == (State.SUSPECT, 6)
    assert swim.members()["b"].is_live
    assert Suspect(6, "b", "c") in gossip(swim)


@pytest.mark.rule("membership-6.suspect")
@pytest.mark.parametrize("suspect", [Suspect(4, "b", "c"), Suspect(9, "nobody", "c")])
def test_old_or_unknown_suspicion_is_ignored(suspect: Suspect) -> None:
    """An incarnation that was refuted, or a name that nobody has, changes nothing."""
    swim = started()
    tell(swim, B)
    assert tell(swim, suspect) == []
    assert state(swim) == (State.ALIVE, 5)


@pytest.mark.rule("membership-6.suspect")
def test_the_dead_are_not_suspected() -> None:
    """Once dead, a suspicion changes nothing."""
    swim = started()
    tell(swim, B)
    tell(swim, Dead(5, "b", "c"))
    assert tell(swim, Suspect(5, "b", "c")) == []


@pytest.mark.rule("membership-6.suspect.confirmation")
def test_confirmation_is_told_on_only_when_it_counts() -> None:
    """Of a suspect, only independent findings are news."""
    swim = started()
    others = [Alive(1, n, bytes((10, 0, 0, i)), 7946) for i, n in enumerate("cdef", start=3)]
    tell(swim, B, *others)
    tell(swim, Suspect(5, "b", "c"), now=2.0)
    assert swim.next_deadline() is not None
    gossip(swim)
    tell(swim, Suspect(5, "b", "c"), now=2.0)
    assert Suspect(5, "b", "d") not in gossip(swim)
    tell(swim, Suspect(5, "b", "d"), now=2.0)
    assert Suspect(5, "b", "d") in gossip(swim)


@pytest.mark.rule("membership-5.1.fire")
def test_suspect_is_dead_when_the_time_is_over() -> None:
    """The verdict is ours, with the incarnation that was suspected."""
    swim = started()
    tell(swim, B)
    tell(swim, Suspect(6, "b", "c"), now=2.0)
    swim.parts.rules.expire(5.9)
    assert state(swim) == (State.SUSPECT, 6)
    swim.parts.rules.expire(6.0)
    assert state(swim) == (State.DEAD, 6)
    assert Dead(6, "b", "a") in gossip(swim)


@pytest.mark.rule("membership-5.1.fire")
def test_late_confirmation_fires_at_once() -> None:
    """When a confirmation makes the time be over already, nobody waits for a timer."""
    swim = started()
    others = [Alive(1, n, bytes((10, 0, 0, i)), 7946) for i, n in enumerate("cdef", start=3)]
    tell(swim, B, *others)
    tell(swim, Suspect(5, "b", "c"), now=2.0)
    assert told(tell(swim, Suspect(5, "b", "d"), now=13.3)) == []
    assert told(tell(swim, Suspect(5, "b", "e"), now=13.31)) == [SwimDown("b", is_leave=False)]


# --- dead ----------------------------------------------------------------------------------------


@pytest.mark.rule("membership-6.dead", "membership-1.5.event")
@pytest.mark.parametrize(
    ("origin", "state_then", "is_leave"), [("c", State.DEAD, False), ("b", State.LEFT, True)]
)
def test_dead_and_left_are_told_apart(origin: str, state_then: State, is_leave: bool) -> None:  # noqa: FBT001
    """Who says it of itself has left."""
    swim = started()
    tell(swim, B)
    effects = tell(swim, Dead(6, "b", origin), now=2.0)
    assert told(effects) == [SwimDown("b", is_leave)]
    assert state(swim) == (state_then, 6)
    assert not swim.members()["b"].is_live
    assert Dead(6, "b", origin) in gossip(swim)


@pytest.mark.rule("membership-6.dead")
@pytest.mark.parametrize("dead", [Dead(4, "b", "c"), Dead(9, "nobody", "c")])
def test_old_or_unknown_death_is_ignored(dead: Dead) -> None:
    """An incarnation that was refuted, or a name that nobody has, changes nothing."""
    swim = started()
    tell(swim, B)
    assert tell(swim, dead) == []
    assert state(swim) == (State.ALIVE, 5)


@pytest.mark.rule("membership-6.dead")
def test_nobody_dies_twice() -> None:
    """Dead stays dead, not left, whatever else is said."""
    swim = started()
    tell(swim, B)
    tell(swim, Dead(5, "b", "c"))
    assert tell(swim, Dead(6, "b", "b")) == []
    assert state(swim) == (State.DEAD, 5)


@pytest.mark.rule("membership-6.dead")
def test_death_ends_a_suspicion() -> None:
    """There is nothing more to wait for."""
    swim = started()
    tell(swim, B)
    tell(swim, Suspect(5, "b", "c"))
    tell(swim, Dead(5, "b", "c"))
    assert len(swim.parts.suspicions) == 0


# --- about ourselves -----------------------------------------------------------------------------


@pytest.mark.rule("membership-6.refute", "membership-10.refute")
@pytest.mark.parametrize(
    ("accusation", "incarnation"),
    [
        pytest.param(Suspect(1, "a", "b"), 2, id="suspected"),
        pytest.param(Dead(1, "a", "b"), 2, id="dead"),
        pytest.param(Dead(1, "a", "a"), 2, id="left, as a former process said"),
        pytest.param(Suspect(7, "a", "b"), 8, id="suspected as a former process"),
        pytest.param(msgspec.structs.replace(ME, incarnation=7), 8, id="alive, later than we are"),
        pytest.param(msgspec.structs.replace(ME, meta=b"x"), 2, id="alive with other metadata"),
        pytest.param(
            msgspec.structs.replace(ME, vsn=bytes((1, 5, 3, 0, 0, 0))), 2, id="other versions"
        ),
    ],
)
def test_what_is_said_of_us_is_refuted(accusation: Message, incarnation: int) -> None:
    """We get past what is said, tell everybody at once, and trust ourselves less."""
    swim = started()
    tell(swim, B)
    effects = tell(swim, accusation)
    alive = msgspec.structs.replace(ME, incarnation=incarnation)
    assert swim.incarnation == incarnation
    assert read(effects) == [("10.0.0.2", (alive,))]
    assert alive in gossip(swim)
    assert swim.score == 1
    assert told(effects) == []


@pytest.mark.rule("membership-6.alive.6", "membership-6.alive.4")
@pytest.mark.parametrize(
    "message",
    [ME, msgspec.structs.replace(ME, incarnation=0, meta=b"x"), Suspect(0, "a", "b")],
)
def test_what_is_true_or_old_needs_no_refutation(message: Message) -> None:
    """Our own words, and those about what we were, are left alone."""
    swim = started()
    assert tell(swim, message) == []
    assert (swim.incarnation, swim.score) == (1, 0)


@pytest.mark.rule("membership-7.key")
def test_refutations_wait_under_our_address() -> None:
    """A refutation does not take the place of what was said under our name."""
    swim = started()
    tell(swim, Suspect(1, "a", "b"))
    waiting = gossip(swim)
    assert {m.incarnation for m in waiting if isinstance(m, Alive)} == {1, 2}


@pytest.mark.rule("membership-6.alive.3.conflict")
def test_our_own_name_elsewhere_is_a_conflict() -> None:
    """Somebody who calls itself like us is refused, not refuted."""
    swim = started()
    assert tell(swim, msgspec.structs.replace(B_MOVED, node="a", incarnation=9)) == []
    assert (swim.incarnation, swim.refused[Refused.CONFLICT]) == (1, 1)


@pytest.mark.rule("membership-6.initial")
def test_former_process_is_outdone() -> None:
    """After a restart from 1 the node gets past what others remember of it."""
    swim = started()
    tell(swim, msgspec.structs.replace(ME, incarnation=41))
    assert swim.incarnation == 42


@pytest.mark.rule("membership-6.incarnation.doubt")
@pytest.mark.parametrize(
    "message",
    [
        msgspec.structs.replace(ME, incarnation=(1 << 32) - 1),
        Suspect(INCARNATION_DOUBT, "a", "b"),
        Dead((1 << 32) - 1, "a", "b"),
        msgspec.structs.replace(B, incarnation=INCARNATION_DOUBT + 6),
        Dead(INCARNATION_DOUBT + 6, "b", "c"),
        Suspect((1 << 32) - 1, "b", "c"),
    ],
)
def test_incarnations_at_the_end_are_not_believed(message: Message) -> None:
    """A forged number that nobody could get past changes nothing."""
    swim = started()
    tell(swim, B)
    assert tell(swim, message) == []
    assert (swim.incarnation, state(swim)) == (1, (State.ALIVE, 5))
    assert swim.refused[Refused.INCARNATION] == 1


@pytest.mark.rule("membership-6.incarnation.doubt")
def test_end_of_the_numbers_is_not_the_end_of_us() -> None:
    """Whoever is there by honest steps goes on at 1, and can refute again."""
    swim = make(incarnation=(1 << 32) - 2)
    swim.start(0.0)
    seen = []
    for _ in range(3):
        tell(swim, Suspect(swim.incarnation, "a", "b"))
        seen.append(swim.incarnation)
    assert seen == [(1 << 32) - 1, 1, 2]


def test_small_steps_near_the_end_are_believed() -> None:
    """A member that came there by steps is followed."""
    swim = started()
    near = INCARNATION_DOUBT - 1
    tell(swim, msgspec.structs.replace(B, incarnation=near))
    tell(swim, msgspec.structs.replace(B, incarnation=near + 5))
    tell(swim, msgspec.structs.replace(B, incarnation=near + 500))
    assert state(swim) == (State.ALIVE, near + 5)


def test_storm_of_accusations_is_answered_by_gossip() -> None:
    """Telling everybody at once is rationed, and the ration comes back."""
    swim = started()
    tell(swim, B)
    counts = [len(said(tell(swim, Suspect(swim.incarnation, "a", "c")))) for _ in range(100)]
    assert sum(counts) == 32
    assert swim.refused[Refused.URGENT] == 68
    assert len(said(tell(swim, Suspect(swim.incarnation, "a", "c"), now=2.0))) == 1
