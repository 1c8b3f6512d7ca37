"""The failure detector: what is sent when, and what follows from answers and silence."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from mercurylb.membership.member import Exchange, SendDatagram
from mercurylb.membership.swim import message as wire
from mercurylb.membership.swim.awareness import Awareness
from mercurylb.membership.swim.config import LAN
from mercurylb.membership.swim.effect import Refused
from mercurylb.membership.swim.message import (
    VSN,
    Ack,
    Alive,
    IndirectPing,
    Nack,
    Ping,
    State,
    Suspect,
)
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.relay import RELAYS_MAX
from mercurylb.membership.swim.stream import StreamDecoder
from tests.unit.membership.swim.world import make, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.effect import SwimEffect
    from mercurylb.membership.swim.machine import Swim
    from mercurylb.membership.swim.message import Message

CODEC = PacketCodec(None, random.Random(1))
ME = bytes((10, 0, 0, 1))


def address(name: str) -> bytes:
    """Return where a member named by one letter is."""
    return bytes((10, 0, 0, ord(name) - ord("a") + 1))


def started(
    others: str = "b", *, config: SwimConfig = LAN, vsn: bytes = VSN, incarnation: int = 5
) -> Swim:
    """Return machine a that runs since 0, knows some others and has no news to tell."""
    swim = make(config=config)
    swim.start(0.0)
    for name in others:
        swim.parts.rules.alive(Alive(incarnation, name, address(name), 7946, vsn=vsn), 0.0)
    swim.parts.outbox.take()
    quiet(swim)
    return swim


def quiet(swim: Swim) -> None:
    """Let the news be forgotten."""
    while swim.parts.broadcasts.take(10_000, overhead=2, limit=1, count_max=99):
        pass
    swim._settle(0.0)


def tell(swim: Swim, message: Message, now: float) -> list[SwimEffect]:
    """Give it a message from somebody who does not matter."""
    effects = swim.on_datagram("10.0.0.99", 4000, CODEC.encode([wire.encode(message)]), now)
    swim.validate()
    return effects


def tick(swim: Swim) -> tuple[float, list[SwimEffect]]:
    """Let it do the next thing that is due."""
    now = swim.next_deadline()
    assert now is not None
    effects = swim.on_deadline(now)
    swim.validate()
    return now, effects


def begin(swim: Swim) -> tuple[float, Ping]:
    """Let it begin a probe."""
    while True:
        now, effects = tick(swim)
        for _, messages in read(effects):
            if isinstance(messages[0], Ping):
                return now, messages[0]


def asked(effects: Sequence[SwimEffect]) -> list[tuple[str, IndirectPing]]:
    """Return who was asked to ping."""
    return [
        (to, message)
        for to, messages in read(effects)
        for message in messages
        if isinstance(message, IndirectPing)
    ]


@pytest.mark.rule("membership-5.ping")
def test_ping_says_whom_and_from_whom() -> None:
    """A ping names its target, and where the answer goes."""
    swim = started()
    now, effects = tick(swim)
    ((to, (ping,)),) = read(effects)
    assert isinstance(ping, Ping)
    assert (to, ping.node) == ("10.0.0.2", "b")
    assert (ping.source_addr, ping.source_port, ping.source_node) == (ME, 7946, "a")
    assert 0 <= now < LAN.probe_interval_s


@pytest.mark.rule("membership-5.interval", "membership-5.order")
def test_one_probe_per_interval() -> None:
    """Answered in time, the next probe begins one interval later, with another number."""
    swim = started("bc")
    seen = set()
    first, ping = begin(swim)
    for count in range(1, 5):
        seen.add(ping.seq)
        assert tell(swim, Ack(ping.seq), first + count - 0.9) == []
        now, ping = begin(swim)
        assert now == pytest.approx(first + count)
    assert len(seen) == 4


@pytest.mark.rule("membership-5.suspect", "membership-3.6.when")
def test_suspect_is_told_so_along_with_the_ping() -> None:
    """A suspect gets the accusation with the ping, checked by a CRC, and nothing else."""
    swim = started()
    tell(swim, Suspect(5, "b", "c"), 0.0)
    quiet(swim)
    _, effects = tick(swim)
    ((_, (ping, suspect)),) = read(effects)
    assert isinstance(ping, Ping)
    assert suspect == Suspect(5, "b", "a")
    assert first_byte(effects) == wire.Type.HAS_CRC


def first_byte(effects: Sequence[SwimEffect]) -> int:
    """Return the type of the first datagram."""
    return next(e.payload[0] for e in effects if isinstance(e, SendDatagram))


@pytest.mark.rule("membership-3.6.when")
def test_ordinary_ping_has_no_checksum() -> None:
    """Only where the destination's record is at hand is there a CRC."""
    _, effects = tick(started())
    assert first_byte(effects) != wire.Type.HAS_CRC


@pytest.mark.rule("membership-3.6.when")
def test_member_named_like_its_address_gets_a_checksum() -> None:
    """For then memberlist finds its record by the address."""
    swim = started("")
    swim.parts.rules.alive(Alive(1, "10.0.0.2", address("b"), 7946), 0.0)
    quiet(swim)
    _, effects = tick(swim)
    assert first_byte(effects) == wire.Type.HAS_CRC


@pytest.mark.rule("membership-5.indirect", "membership-5.tcp")
def test_silence_is_asked_about() -> None:
    """After the timeout, others are asked with the same number, and the target is tried by TCP."""
    swim = started("bcdef")
    begun, ping = begin(swim)
    now, effects = tick(swim)
    assert now == pytest.approx(begun + LAN.probe_timeout_s)
    helpers = asked(effects)
    assert len(helpers) == 3
    target = ping.node
    assert {to for to, _ in helpers} < {f"10.0.0.{i}" for i in range(2, 7)} - {
        f"10.0.0.{address(target)[3]}"
    }
    for _, indirect in helpers:
        assert indirect == IndirectPing(
            ping.seq,
            address(target),
            7946,
            target,
            True,
            ME,
            7946,
            "a",
        )
    (exchange,) = [e for e in effects if isinstance(e, Exchange)]
    assert exchange.address == f"10.0.0.{address(target)[3]}"
    assert exchange.timeout_s == pytest.approx(LAN.probe_interval_s - LAN.probe_timeout_s)
    assert StreamDecoder(CODEC).feed(exchange.request) == ping


@pytest.mark.rule("membership-5.indirect", "membership-10.vsn")
@pytest.mark.parametrize(
    ("pmax", "has_tcp", "has_nack"), [(2, False, False), (3, True, False), (4, True, True)]
)
def test_old_members_are_asked_for_less(pmax: int, has_tcp: bool, has_nack: bool) -> None:  # noqa: FBT001
    """TCP pings came with protocol 3, nacks with 4."""
    swim = started("bc", vsn=bytes((1, pmax, 2, 0, 0, 0)))
    begin(swim)
    _, effects = tick(swim)
    assert [indirect.nack for _, indirect in asked(effects)] == [has_nack]
    assert any(isinstance(e, Exchange) for e in effects) == has_tcp


@pytest.mark.rule("membership-5.tcp")
def test_tcp_pings_can_be_disabled() -> None:
    """As the configuration says."""
    swim = started(config=msgspec.structs.replace(LAN, disable_tcp_pings=True))
    begin(swim)
    _, effects = tick(swim)
    assert not [e for e in effects if isinstance(e, Exchange)]


@pytest.mark.rule("membership-5.indirect")
def test_only_the_alive_are_asked() -> None:
    """Neither suspects nor the dead nor ourselves help."""
    swim = started("bcd")
    begun, ping = begin(swim)
    for name in set("bcd") - {ping.node}:
        tell(swim, Suspect(5, name, "x"), begun)
    _, effects = tick(swim)
    assert asked(effects) == []


@pytest.mark.rule("membership-5.failure")
def test_silence_to_the_end_is_a_suspicion() -> None:
    """Nothing from anybody makes the target suspect, on our word."""
    swim = started("b")
    begun, ping = begin(swim)
    tick(swim)
    now, _ = tick(swim)
    assert now == pytest.approx(begun + LAN.probe_interval_s)
    assert swim.members()["b"].state is State.SUSPECT
    assert tell(swim, Ack(ping.seq), now) == []
    assert swim.members()["b"].state is State.SUSPECT


@pytest.mark.rule("membership-5.success")
@pytest.mark.parametrize("after_s", [0.1, 0.7, 0.99])
def test_any_ack_in_time_is_enough(after_s: float) -> None:
    """Direct or relayed, before the interval is over."""
    swim = started("bc")
    begun, ping = begin(swim)
    if after_s > LAN.probe_timeout_s:
        tick(swim)
    tell(swim, Ack(ping.seq), begun + after_s)
    begin(swim)
    assert swim.members()[ping.node].state is State.ALIVE


@pytest.mark.rule("membership-5.success")
@pytest.mark.parametrize(
    ("seq_offset", "state"), [(0, State.ALIVE), (1, State.SUSPECT), (None, State.SUSPECT)]
)
def test_tcp_answer_is_enough_too(seq_offset: int | None, state: State) -> None:
    """Judged at the end only, so that acks may come; a wrong or missing answer is none."""
    swim = started()
    _, ping = begin(swim)
    now, effects = tick(swim)
    (exchange,) = [e for e in effects if isinstance(e, Exchange)]
    reply = None if seq_offset is None else Ack(ping.seq + seq_offset)
    assert swim.on_reply(exchange.id, reply, now + 0.1) == []
    tick(swim)
    assert swim.members()["b"].state is state


@pytest.mark.rule("membership-5.stray-ack")
def test_acks_to_nothing_are_ignored() -> None:
    """A number that is not waited for changes nothing."""
    swim = started()
    begun, ping = begin(swim)
    assert tell(swim, Ack((ping.seq + 1) % (1 << 32)), begun + 0.1) == []
    tick(swim)
    tick(swim)
    assert swim.members()["b"].state is State.SUSPECT


# --- health --------------------------------------------------------------------------------------


@pytest.mark.rule("membership-5.health")
def test_score_keeps_its_bounds() -> None:
    """From 0 to one less than the multiplier; the interval is that much longer."""
    awareness = Awareness(8)
    awareness.add(-3)
    assert (awareness.score, awareness.scale(1.0)) == (0, 1.0)
    awareness.add(5)
    assert awareness.scale(1.0) == 6.0
    awareness.add(5)
    assert (awareness.score, awareness.scale(2.0)) == (7, 16.0)
    unlimited = Awareness(0)
    unlimited.add(1)
    assert unlimited.scale(1.0) == 1.0


@pytest.mark.rule("membership-5.health")
@pytest.mark.parametrize(
    ("others", "nack_count", "score"),
    [("b", 0, 1), ("bcde", 0, 3), ("bcde", 2, 1), ("bcde", 3, 0), ("bcde", 9, 0)],
)
def test_failed_probe_costs_what_nacks_are_missing(
    others: str, nack_count: int, score: int
) -> None:
    """Without helpers 1, with helpers one for each nack that did not come."""
    swim = started(others)
    _, ping = begin(swim)
    now, _ = tick(swim)
    for _ in range(nack_count):
        tell(swim, Nack(ping.seq), now + 0.1)
    tick(swim)
    assert swim.score == score


@pytest.mark.rule("membership-5.health")
def test_unhealthy_member_waits_longer_but_asks_as_soon() -> None:
    """The interval of a probe is scaled, the timeout is not; the next probe follows at once."""
    swim = started("bcde")
    swim.parts.awareness.add(2)
    begun, ping = begin(swim)
    assert tick(swim)[0] == pytest.approx(begun + 0.5)
    now, effects = tick(swim)
    assert now == pytest.approx(begun + 3.0)
    assert swim.members()[ping.node].state is State.SUSPECT
    assert any(isinstance(messages[0], Ping) for _, messages in read(effects))


@pytest.mark.rule("membership-5.health")
def test_answered_probe_heals() -> None:
    """One less for each success."""
    swim = started()
    swim.parts.awareness.add(2)
    begun, ping = begin(swim)
    tell(swim, Ack(ping.seq), begun + 0.1)
    assert swim.score == 1


# --- for others ----------------------------------------------------------------------------------


@pytest.mark.rule("membership-5.answer", "membership-10.ack")
@pytest.mark.parametrize(
    ("ping", "where"),
    [
        (Ping(9, "a", address("c"), 1234, "c"), ("10.0.0.3", 1234)),
        (Ping(9, "", address("c"), 1234, "c"), ("10.0.0.3", 1234)),
        (Ping(9, "a"), ("10.0.0.99", 4000)),
        (Ping(9, "a", address("c")), ("10.0.0.99", 4000)),
        (Ping(9, "a", b"", 1234), ("10.0.0.99", 4000)),
        (Ping(9, "a", bytes(4), 1234), ("10.0.0.99", 4000)),
    ],
)
def test_pings_are_answered_where_they_say(ping: Ping, where: tuple[str, int]) -> None:
    """With the same number, to the source it names, or else where it came from."""
    (effect,) = tell(started(), ping, 1.0)
    assert isinstance(effect, SendDatagram)
    assert (effect.address, effect.port) == where
    assert CODEC.decode(effect.payload) == (Ack(9),)


@pytest.mark.rule("membership-5.other-node")
def test_ping_for_somebody_else_is_not_answered() -> None:
    """Whoever has had our address before is not kept alive by us."""
    swim = started()
    assert tell(swim, Ping(9, "z", address("c"), 1234, "c"), 1.0) == []
    assert swim.refused[Refused.NODE] == 1


REQUEST = IndirectPing(70, address("b"), 7946, "b", True, address("c"), 1234, "c")


@pytest.mark.rule("membership-5.relay")
@pytest.mark.parametrize(
    ("request_", "where"),
    [
        (REQUEST, ("10.0.0.3", 1234)),
        (msgspec.structs.replace(REQUEST, source_port=0), ("10.0.0.99", 4000)),
    ],
)
def test_answer_is_relayed(request_: IndirectPing, where: tuple[str, int]) -> None:
    """The target is pinged in our name, the answer passed on under the requester's number."""
    swim = started("")
    (effect,) = tell(swim, request_, 1.0)
    assert isinstance(effect, SendDatagram)
    assert (effect.address, effect.port) == ("10.0.0.2", 7946)
    (ping,) = CODEC.decode(effect.payload)
    assert isinstance(ping, Ping)
    assert ping == Ping(ping.seq, "b", ME, 7946, "a")
    (answer,) = tell(swim, Ack(ping.seq, b"payload"), 1.2)
    assert isinstance(answer, SendDatagram)
    assert (answer.address, answer.port) == where
    assert CODEC.decode(answer.payload) == (Ack(70),)
    assert tell(swim, Ack(ping.seq), 1.3) == []


@pytest.mark.rule("membership-5.relay.port")
def test_relay_without_a_port_uses_our_own() -> None:
    """Very old requesters do not tell the port."""
    (effect,) = tell(started(""), msgspec.structs.replace(REQUEST, port=0), 1.0)
    assert isinstance(effect, SendDatagram)
    assert effect.port == 7946


@pytest.mark.rule("membership-5.relay.nack")
@pytest.mark.parametrize("wants_nack", [True, False])
def test_silence_is_relayed_where_it_is_wanted(wants_nack: bool) -> None:  # noqa: FBT001
    """After the probe timeout a nack goes back, if asked for; the ack is too late then."""
    swim = started("")
    ((_, (ping,)),) = read(tell(swim, msgspec.structs.replace(REQUEST, nack=wants_nack), 1.0))
    assert isinstance(ping, Ping)
    while (now := swim.next_deadline()) is not None and now < 1.5:
        assert swim.on_deadline(now) == []
    assert read(swim.on_deadline(1.5)) == ([("10.0.0.3", (Nack(70),))] if wants_nack else [])
    assert tell(swim, Ack(ping.seq), 1.6) == []


def test_relays_are_bounded() -> None:
    """Requests beyond the bound are refused until some are over."""
    swim = started("")
    for _ in range(RELAYS_MAX):
        assert tell(swim, REQUEST, 1.0)
    assert tell(swim, REQUEST, 1.0) == []
    assert swim.refused[Refused.RELAYS] == 1
    while tick(swim)[0] < 1.5:
        pass
    assert tell(swim, REQUEST, 1.6)


def test_nowhere_is_not_pinged() -> None:
    """An indirect ping to no address, or to a group, is refused."""
    swim = started("")
    for target in (bytes(4), b"\xe0\0\0\1"):
        assert tell(swim, msgspec.structs.replace(REQUEST, target=target), 1.0) == []
    assert swim.refused[Refused.ADDRESS] == 2


def test_no_probes_without_an_interval() -> None:
    """An interval of 0 in the file turns probing off, as in the original."""
    swim = started(config=msgspec.structs.replace(LAN, probe_interval_s=0.0))
    deadline = swim.next_deadline()
    assert deadline is not None
    assert deadline >= LAN.push_pull_interval_s


def test_timeout_beyond_the_interval_ends_with_it() -> None:
    """Then others are asked at the end only, and it is too late for their answers."""
    swim = started("bc", config=msgspec.structs.replace(LAN, probe_timeout_s=5.0))
    begun, ping = begin(swim)
    now, effects = tick(swim)
    assert now == pytest.approx(begun + 1.0)
    assert len(asked(effects)) == 1
    assert swim.members()[ping.node].state is State.SUSPECT
