"""The machine as a whole: its life, its news, and what it makes of bad input."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from mercurylb.membership.member import SendDatagram
from mercurylb.membership.swim import message as wire
from mercurylb.membership.swim.config import LAN
from mercurylb.membership.swim.effect import Refused, SwimChanged, SwimDown, SwimLeft, SwimUp
from mercurylb.membership.swim.message import (
    VSN,
    Ack,
    Alive,
    Dead,
    Ping,
    PushPull,
    State,
    Suspect,
    User,
)
from mercurylb.membership.swim.packet import PacketCodec
from tests.unit.membership.swim.world import PORT, make, read, said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.effect import SwimEffect
    from mercurylb.membership.swim.machine import Swim
    from mercurylb.membership.swim.message import Message

CODEC = PacketCodec(None, random.Random(1))
QUIET = msgspec.structs.replace(LAN, probe_interval_s=0.0, push_pull_interval_s=0.0)
"""Nothing but gossip happens by itself."""
ME = Alive(1, "a", bytes((10, 0, 0, 1)), PORT)


def started(others: str = "", config: SwimConfig = QUIET) -> Swim:
    """Return machine a that runs since 0 and knows some others, named by a letter."""
    swim = make(config=config)
    swim.start(0.0)
    for name in others:
        addr = bytes((10, 0, 0, ord(name) - ord("a") + 1))
        swim.parts.rules.alive(Alive(1, name, addr, PORT), 0.0)
    swim.parts.outbox.take()
    while swim.parts.broadcasts.take(10_000, overhead=2, limit=1, count_max=99):
        pass
    swim._settle(0.0)
    return swim


def tell(swim: Swim, *messages: Message, now: float = 1.0) -> list[SwimEffect]:
    """Give it a datagram."""
    payload = CODEC.encode([wire.encode(message) for message in messages])
    effects = swim.on_datagram("10.0.0.99", 4000, payload, now)
    swim.validate()
    return effects


def told(effects: Sequence[SwimEffect]) -> list[SwimEffect]:
    """Leave out what is sent."""
    return [e for e in effects if not isinstance(e, SendDatagram)]


def run(swim: Swim, until: float) -> list[tuple[float, SwimEffect]]:
    """Let it do all that is due."""
    done = []
    while (now := swim.next_deadline()) is not None and now <= until:
        done += [(now, effect) for effect in swim.on_deadline(now)]
        swim.validate()
    return done


# --- life ----------------------------------------------------------------------------------------


@pytest.mark.rule("membership-1.1.node-name", "membership-1.5.start", "membership-6.initial")
def test_start_makes_us_the_first_member() -> None:
    """The list has only ourselves, alive as of incarnation 1, and that is an event."""
    swim = make(meta=b"m")
    assert dict(swim.members()) == {}
    assert swim.start(5.0) == [SwimUp("a")]
    (me,) = swim.members().values()
    assert (me.name, me.address, me.port, me.meta, me.vsn) == ("a", "10.0.0.1", PORT, b"m", VSN)
    assert (me.state, me.incarnation, me.changed_at) == (State.ALIVE, 1, 5.0)
    assert swim.start(6.0) == []


@pytest.mark.rule("membership-1.5.silent")
def test_nothing_is_answered_before_the_start() -> None:
    """A process that is not ready is as good as none."""
    swim = make()
    assert tell(swim, Ping(1, "a"), Alive(1, "b", b"\n\0\0\2", 1)) == []
    assert swim.on_request("10.0.0.2", Ping(1, "a"), 1.0) == ([], None)
    assert swim.on_request("10.0.0.2", PushPull((), is_join=True), 1.0) == ([], None)
    assert swim.on_join([("10.0.0.2", 0)], 1.0) == []
    assert swim.on_dead("b", 1, 1.0) == []
    assert swim.on_deadline(1.0) == []
    assert swim.next_deadline() is None
    swim.validate()


def test_join_is_the_callers_business() -> None:
    """The machine joins nobody by itself."""
    assert run(started(), 1000.0) == []


@pytest.mark.rule("membership-6.leave", "membership-1.5.stop")
def test_leaving_is_told_to_everybody_and_gossiped() -> None:
    """The death in our own name goes out at once, is gossiped, and ends us when that is done."""
    swim = started("bc")
    effects = swim.on_leave(1.0)
    dead = Dead(1, "a", "a")
    assert told(effects) == [SwimDown("a", is_leave=True)]
    assert read(effects) == [("10.0.0.2", (dead,)), ("10.0.0.3", (dead,))]
    assert swim.members()["a"].state is State.LEFT
    later = run(swim, 9.0)
    sent = [effect for _, effect in later if isinstance(effect, SendDatagram)]
    assert said(sent) == [dead] * 4
    assert later[-1][1] == SwimLeft()
    assert later[-1][0] == pytest.approx(1.0 + 1.5 * LAN.gossip_interval_s), "no tick is waited for"
    assert swim.next_deadline() is None


@pytest.mark.rule("membership-6.leave", "membership-1.5.stop")
def test_leaving_lasts_a_second_at_most() -> None:
    """Where gossip is slow nobody waits for it."""
    swim = started("b", msgspec.structs.replace(QUIET, gossip_interval_s=0.9))
    swim.on_leave(1.0)
    done = run(swim, 9.0)
    assert done[-1] == (2.0, SwimLeft())


@pytest.mark.rule("membership-6.leave")
@pytest.mark.parametrize("others", ["", "b"])
def test_who_is_alone_leaves_at_once(others: str) -> None:
    """The dead need not be told."""
    swim = started(others)
    if others:
        swim.on_dead("b", 1, 0.5)
    assert told(swim.on_leave(1.0)) == [SwimDown("a", is_leave=True), SwimLeft()]
    assert swim.on_leave(1.1) == []
    assert tell(swim, Ping(1, "a")) == []


def test_leaving_before_the_start_is_quick() -> None:
    """There is nobody to tell, and it cannot start any more."""
    swim = make()
    assert swim.on_leave(1.0) == [SwimLeft()]
    assert swim.start(2.0) == []


@pytest.mark.rule("membership-6.alive.1", "membership-6.dead")
def test_who_leaves_does_not_come_back() -> None:
    """While we leave, nothing said about us is refuted, but pings are answered."""
    swim = started("b")
    swim.on_leave(1.0)
    for message in (
        msgspec.structs.replace(ME, incarnation=9),
        Dead(9, "a", "b"),
        Suspect(9, "a", "b"),
    ):
        assert told(tell(swim, message, now=1.05)) == []
    assert swim.on_accused(9, 1.05) == []
    assert (swim.incarnation, swim.members()["a"].state) == (1, State.LEFT)
    assert Ack(3) in said(tell(swim, Ping(3, "a"), now=1.05))


@pytest.mark.rule("membership-7.urgent.own")
def test_new_metadata_is_told_to_everybody_at_once() -> None:
    """One datagram per live member, besides the gossip; the same again is nothing."""
    swim = started("bcd")
    swim.on_dead("d", 1, 0.5)
    effects = swim.on_meta(b"new", 1.0)
    alive = msgspec.structs.replace(ME, incarnation=2, meta=b"new")
    assert told(effects) == [SwimChanged("a")]
    assert read(effects) == [("10.0.0.2", (alive,)), ("10.0.0.3", (alive,))]
    assert swim.on_meta(b"new", 1.1) == []


def test_metadata_before_the_start_is_what_we_start_with() -> None:
    """It needs no second incarnation."""
    swim = make()
    swim.on_meta(b"m", 0.0)
    swim.start(1.0)
    assert (swim.members()["a"].meta, swim.incarnation) == (b"m", 1)


# --- verdicts of others --------------------------------------------------------------------------


@pytest.mark.rule("membership-7.urgent.verdict")
@pytest.mark.parametrize(("is_leave", "origin"), [(False, "a"), (True, "b")])
def test_verdict_is_told_to_everybody_at_once(is_leave: bool, origin: str) -> None:  # noqa: FBT001
    """As a death in our name, to the accused too so that it can refute; or as its leaving."""
    swim = started("bcd")
    effects = swim.on_dead("b", 1, 1.0, is_leave=is_leave)
    dead = Dead(1, "b", origin)
    assert told(effects) == [SwimDown("b", is_leave)]
    to = {"10.0.0.3", "10.0.0.4"} | (set() if is_leave else {"10.0.0.2"})
    assert {address for address, _ in read(effects)} == to
    assert set(said(effects)) == {dead}
    assert swim.on_dead("b", 1, 1.1) == []


def test_verdict_that_others_tell_is_left_to_gossip() -> None:
    """Not everybody tells everybody."""
    swim = started("bcd")
    assert swim.on_dead("b", 1, 1.0, is_told=True) == [SwimDown("b", is_leave=False)]
    assert Dead(1, "b", "a") in said([e for _, e in run(swim, 2.0) if isinstance(e, SendDatagram)])


@pytest.mark.parametrize(("node", "incarnation"), [("b", 0), ("z", 1), ("a", 1)])
def test_verdict_about_the_past_is_none(node: str, incarnation: int) -> None:
    """Who has refuted meanwhile, is unknown, or is ourselves, is not found dead."""
    swim = started("bc")
    assert swim.on_dead(node, incarnation, 1.0) == []
    assert swim.members()["b"].is_live


@pytest.mark.rule("membership-6.refute")
def test_accusation_is_refuted_like_any_other() -> None:
    """What the fast detector hears said of us raises our incarnation."""
    swim = started("b")
    assert read(swim.on_accused(4, 1.0)) == [
        ("10.0.0.2", (msgspec.structs.replace(ME, incarnation=5),))
    ]
    assert swim.on_accused(4, 1.1) == []


def test_greeting_says_who_we_are() -> None:
    """To whoever is there, known or not."""
    swim = started()
    assert read(swim.greet([("10.0.0.7", 1), ("10.0.0.8", 2)], 1.0)) == [
        ("10.0.0.7", (ME,)),
        ("10.0.0.8", (ME,)),
    ]


# --- gossip --------------------------------------------------------------------------------------


def datagrams(done: list[tuple[float, SwimEffect]]) -> list[tuple[float, str, tuple[Message, ...]]]:
    """Return what was sent when, and to whom."""
    return [
        (now, effect.address, CODEC.decode(effect.payload))
        for now, effect in done
        if isinstance(effect, SendDatagram)
    ]


@pytest.mark.rule("membership-7.targets", "membership-7.limit")
def test_news_go_to_a_few_at_a_time() -> None:
    """Every interval to so many members, until they were sent often enough."""
    swim = started("bcdefg")
    tell(swim, Alive(2, "b", b"\n\0\0\2", PORT))
    sent = datagrams(run(swim, 9.0))
    times = sorted({now for now, _, _ in sent})
    assert [sum(at == now for at, _, _ in sent) for now in times] == [3, 1]
    assert times[1] - times[0] == pytest.approx(LAN.gossip_interval_s)
    assert 1.0 < times[0] <= 1.0 + LAN.gossip_interval_s
    assert swim.next_deadline() is None


@pytest.mark.rule("membership-7.targets")
@pytest.mark.parametrize(
    ("accusation", "after_s", "is_told"),
    [
        (Suspect(1, "b", "c"), 0.1, True),
        (Dead(1, "b", "c"), 29.0, True),
        (Dead(1, "b", "c"), 31.0, False),
        (Dead(1, "b", "b"), 0.1, False),
    ],
)
def test_suspects_and_the_newly_dead_hear_news_too(
    accusation: Message,
    after_s: float,
    is_told: bool,  # noqa: FBT001
) -> None:
    """So that they can refute; those who left do not."""
    swim = started("b", msgspec.structs.replace(QUIET, probe_interval_s=1000.0))
    tell(swim, accusation, now=1.0)
    while swim.parts.broadcasts.take(10_000, overhead=2, limit=1, count_max=99):
        pass
    swim._settle(1.0)
    tell(swim, Suspect(1, "a", "c"), now=1.0 + after_s)
    addresses = {to for _, to, _ in datagrams(run(swim, 1.5 + after_s))}
    assert addresses == ({"10.0.0.2"} if is_told else set())


@pytest.mark.rule("membership-7.form", "membership-3.6.when")
def test_gossip_is_checked_and_compound_if_need_be() -> None:
    """One news is sent bare, several as one; both with the checksum of those who know it."""
    swim = started("b", msgspec.structs.replace(QUIET, enable_compression=False))
    tell(swim, Alive(2, "b", b"\n\0\0\2", PORT))
    first = next(e.payload for _, e in run(swim, 1.2) if isinstance(e, SendDatagram))
    assert (first[0], first[5]) == (wire.Type.HAS_CRC, wire.Type.ALIVE)
    tell(swim, Alive(1, "c", b"\n\0\0\3", PORT), now=1.3)
    second = next(e.payload for _, e in run(swim, 1.5) if isinstance(e, SendDatagram))
    assert (second[0], second[5]) == (wire.Type.HAS_CRC, wire.Type.COMPOUND)


@pytest.mark.rule("membership-3.6.when")
def test_members_who_know_no_checksum_get_none() -> None:
    """Below protocol 5."""
    swim = started("", msgspec.structs.replace(QUIET, enable_compression=False))
    tell(swim, Alive(1, "b", b"\n\0\0\2", PORT, vsn=bytes((1, 4, 2, 0, 0, 0))))
    sent = [e.payload for _, e in run(swim, 2.0) if isinstance(e, SendDatagram)]
    assert sent
    assert all(payload[0] != wire.Type.HAS_CRC for payload in sent)


@pytest.mark.rule("membership-7.budget")
@pytest.mark.parametrize("is_piggyback", [False, True])
def test_datagrams_keep_their_size(is_piggyback: bool) -> None:  # noqa: FBT001
    """However many news wait, a datagram fits the buffer that is configured."""
    swim = started("b", msgspec.structs.replace(QUIET, enable_compression=False))
    for index in range(100):
        alive = Alive(1, f"node-{index}", bytes((10, 1, 0, index)), PORT)
        swim.parts.rules.alive(alive, 1.0)
    swim._settle(1.0)
    effects = tell(swim, Ping(1, "a")) if is_piggyback else [e for _, e in run(swim, 1.2)]
    sizes = [len(e.payload) for e in effects if isinstance(e, SendDatagram)]
    assert sizes
    crc = 5
    assert all(1300 < size <= 1400 + crc for size in sizes)


@pytest.mark.rule("membership-7.piggyback")
def test_news_go_along_with_every_datagram() -> None:
    """An ack carries news behind itself, and that counts as sent."""
    swim = started("b", msgspec.structs.replace(QUIET, gossip_interval_s=0.0))
    news = Alive(2, "b", b"\n\0\0\2", PORT)
    tell(swim, news)
    answers = [said(tell(swim, Ping(seq, "a"))) for seq in range(6)]
    assert answers == [[Ack(seq), news] for seq in range(4)] + [[Ack(4)], [Ack(5)]]


@pytest.mark.rule("membership-7.handling")
def test_newest_is_handled_first_and_alive_before_the_rest() -> None:
    """Of one datagram, the last alive message counts first, then the last of the others."""
    swim = started("b")
    effects = tell(
        swim,
        Dead(3, "b", "x"),
        Alive(2, "b", b"\n\0\0\2", PORT, b"first"),
        Suspect(3, "b", "x"),
        Alive(3, "b", b"\n\0\0\2", PORT, b"second"),
    )
    assert told(effects) == [SwimChanged("b"), SwimChanged("b"), SwimDown("b", is_leave=False)]
    assert swim.members()["b"].meta == b"second"


@pytest.mark.rule("membership-7.handling")
def test_so_many_messages_are_handled_and_no_more() -> None:
    """The bound is that of the configuration, for each class; the earliest are taken."""
    swim = started("bcd", msgspec.structs.replace(QUIET, handoff_queue_depth=2))
    tell(swim, *(Dead(1, name, "x") for name in "bcd"))
    assert [name for name in "bcd" if swim.members()[name].is_live] == ["d"]
    assert swim.refused[Refused.QUEUE] == 1


@pytest.mark.rule("membership-3.user")
def test_user_messages_are_ignored() -> None:
    """Nothing above us has anything to say."""
    assert tell(started("b"), User(b"hello")) == []


# --- bad input and bad times ---------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\xff" * 50, b"\x04\x80", bytes(70_000)])
def test_what_does_not_decode_is_counted(payload: bytes) -> None:
    """Nothing raises, nothing changes."""
    swim = started("b")
    assert swim.on_datagram("10.0.0.9", 1, payload, 1.0) == []
    assert sum(swim.refused.values()) == 1


@pytest.mark.rule("membership-5.lateness")
def test_own_lateness_is_nobodys_death() -> None:
    """A timer that comes seconds late gives suspects, probes and relays the time they missed."""
    swim = started("b", LAN)
    tell(swim, Suspect(1, "b", "c"), now=1.0)
    deadline = swim.next_deadline()
    assert deadline is not None
    assert deadline < 2.0
    swim.on_deadline(deadline + 60.0)
    assert swim.members()["b"].state is State.SUSPECT
    done = run(swim, 80.0)
    down = [now for now, effect in done if effect == SwimDown("b", is_leave=False)]
    assert down == [pytest.approx(65.0)]


def test_usual_lateness_costs_nothing() -> None:
    """A timer that is a little late changes no deadline."""
    swim = started("b", LAN)
    tell(swim, Suspect(1, "b", "c"), now=1.0)
    while (deadline := swim.next_deadline()) is not None and deadline < 4.0:
        swim.on_deadline(deadline + 0.4)
    assert swim.parts.suspicions.next_deadline() == 5.0


def test_story_tells_what_happened() -> None:
    """The latest changes, each with its time and cause."""
    swim = started("b")
    tell(swim, Suspect(1, "b", "c"), now=2.0)
    tell(swim, Dead(1, "b", "d"), now=3.0)
    assert list(swim.story)[-2:] == [(2.0, "b suspected by c"), (3.0, "b dead says d")]
    for _ in range(100):
        swim.on_accused(swim.incarnation, 4.0)
    assert len(swim.story) == 64
