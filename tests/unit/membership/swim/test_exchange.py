"""Push/pull: what is told, what is believed of it, and when it is done."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from mercurylb.membership.member import Exchange
from mercurylb.membership.swim.config import LAN
from mercurylb.membership.swim.effect import Refused, SwimDown, SwimUp
from mercurylb.membership.swim.exchange import EXCHANGES_MAX, can_merge, scaled_interval_s
from mercurylb.membership.swim.message import (
    VSN,
    Ack,
    Alive,
    ErrorMessage,
    NodeState,
    Ping,
    PushPull,
    State,
    Suspect,
    User,
)
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.stream import StreamDecoder
from tests.unit.membership.swim.world import make, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.membership.swim.effect import SwimEffect
    from mercurylb.membership.swim.machine import Swim
    from mercurylb.membership.swim.message import Message

CODEC = PacketCodec(None, random.Random(1))
ME = NodeState("a", bytes((10, 0, 0, 1)), 7946, b"", 1, State.ALIVE, VSN)
B = NodeState("b", bytes((10, 0, 0, 2)), 7946, b"", 5, State.ALIVE, VSN)
C = NodeState("c", bytes((10, 0, 0, 3)), 7946, b"", 1, State.ALIVE, VSN)
ALIVE_ME = Alive(1, "a", ME.addr, 7946)


def started() -> Swim:
    """Return machine a that runs since 0."""
    swim = make()
    swim.start(0.0)
    return swim


def with_member(node: NodeState, swim: Swim | None = None) -> Swim:
    """Return a machine that has been told of a member."""
    swim = swim or started()
    swim.parts.rules.alive(
        Alive(node.incarnation, node.name, node.addr, node.port, node.meta, node.vsn), 0.0
    )
    swim.parts.outbox.take()
    return swim


def replace(node: NodeState, **changes: object) -> NodeState:
    """Return another one."""
    return msgspec.structs.replace(node, **changes)


def ask(swim: Swim, message: object) -> tuple[list[SwimEffect], Message | None]:
    """Let somebody open a connection."""
    effects, reply = swim.on_request("10.0.0.9", message, 1.0)
    swim.validate()
    found = None if reply is None else StreamDecoder(CODEC, is_reply=True).feed(reply)
    return effects, found


def requests(effects: Sequence[SwimEffect]) -> list[Exchange]:
    """Return the connections that are to be opened."""
    return [effect for effect in effects if isinstance(effect, Exchange)]


def told(effects: Sequence[SwimEffect]) -> list[SwimEffect]:
    """Return who came or went."""
    return [effect for effect in effects if isinstance(effect, SwimUp | SwimDown)]


@pytest.mark.rule("membership-4.reply", "membership-4.everybody", "membership-10.streams")
@pytest.mark.parametrize("is_join", [True, False])
def test_push_pull_is_answered_with_what_was_known_before(is_join: bool) -> None:  # noqa: FBT001
    """The reply has everybody, the dead too, and echoes the join; then both are merged."""
    swim = with_member(C, with_member(B))
    swim.on_dead("c", 1, 0.5)
    effects, reply = ask(
        swim, PushPull((replace(C, name="d", addr=bytes((10, 0, 0, 4))),), is_join)
    )
    assert reply == PushPull((ME, B, replace(C, state=State.DEAD)), is_join)
    assert told(effects) == [SwimUp("d")]


@pytest.mark.rule("membership-8.join", "membership-10.streams")
def test_joining_tells_everything_and_takes_everything() -> None:
    """One connection per address, with the own port unless another is given."""
    swim = started()
    first, second = requests(swim.on_join([("10.0.0.2", 0), ("10.0.0.3", 99)], 1.0))
    assert [(e.address, e.port, e.timeout_s) for e in (first, second)] == [
        ("10.0.0.2", 7946, 10.0),
        ("10.0.0.3", 99, 10.0),
    ]
    assert first.id != second.id
    assert StreamDecoder(CODEC).feed(first.request) == PushPull((ME,), is_join=True)
    effects = swim.on_reply(first.id, PushPull((B, C, ME), is_join=True), 1.1)
    assert told(effects) == [SwimUp("b"), SwimUp("c")]
    assert read(effects) == [("10.0.0.2", (ALIVE_ME,)), ("10.0.0.3", (ALIVE_ME,))]
    again = swim.on_reply(second.id, PushPull((B, C, ME), is_join=True), 1.2)
    assert (told(again), read(again)) == ([], [])


@pytest.mark.rule("membership-8.join")
@pytest.mark.parametrize("reply", [None, ErrorMessage("no"), Ack(1), User(b"")])
def test_join_that_fails_changes_nothing(reply: Message | None) -> None:
    """Nobody there, refused, or something else said: counted, and that is all."""
    swim = started()
    (exchange,) = requests(swim.on_join([("10.0.0.2", 0)], 1.0))
    assert swim.on_reply(exchange.id, reply, 1.1) == []
    assert swim.refused[Refused.REPLY] == 1
    assert swim.on_reply(exchange.id, PushPull((B,), is_join=True), 1.2) == []
    assert set(swim.members()) == {"a"}


@pytest.mark.rule("membership-4.merge.alive")
def test_alive_is_merged_as_alive() -> None:
    """With the rules of an alive message: a conflict stays one."""
    swim = with_member(B)
    ask(swim, PushPull((replace(B, incarnation=6, meta=b"x"), C), is_join=False))
    assert (swim.members()["b"].meta, swim.members()["c"].state) == (b"x", State.ALIVE)
    ask(swim, PushPull((replace(C, incarnation=9, addr=bytes((10, 0, 0, 9))),), is_join=False))
    assert swim.refused[Refused.CONFLICT] == 1


@pytest.mark.rule("membership-4.merge.left")
def test_left_is_merged_as_left() -> None:
    """Who has left, has left by its own word."""
    swim = with_member(B)
    effects, _ = ask(swim, PushPull((replace(B, state=State.LEFT),), is_join=False))
    assert told(effects) == [SwimDown("b", is_leave=True)]
    assert swim.members()["b"].state is State.LEFT


@pytest.mark.rule("membership-4.merge.dead")
@pytest.mark.parametrize("state", [State.DEAD, State.SUSPECT])
def test_dead_is_merged_as_suspect(state: State) -> None:
    """Whom others hold for dead may refute it, unless we hold it for dead ourselves."""
    swim = with_member(B)
    effects, _ = ask(swim, PushPull((replace(B, state=state),), is_join=False))
    assert told(effects) == []
    assert swim.members()["b"].state is State.SUSPECT
    unknown, _ = ask(swim, PushPull((replace(C, state=state),), is_join=False))
    assert told(unknown) == []
    assert "c" not in swim.members()


@pytest.mark.rule("membership-4.merge.dead", "membership-6.refute")
def test_we_refute_what_is_merged() -> None:
    """Somebody who holds us for dead is told otherwise at once."""
    swim = with_member(B)
    effects, _ = ask(swim, PushPull((replace(ME, state=State.DEAD, incarnation=8),), is_join=False))
    assert swim.incarnation == 9
    assert read(effects) == [("10.0.0.2", (msgspec.structs.replace(ALIVE_ME, incarnation=9),))]


def vsn(*numbers: int) -> bytes:
    """Return versions."""
    return bytes(numbers)


@pytest.mark.rule("membership-4.versions")
@pytest.mark.parametrize(
    ("theirs", "is_accepted"),
    [
        pytest.param([], True, id="nobody"),
        pytest.param([B], True, id="like ours"),
        pytest.param([replace(B, vsn=vsn(1, 2, 2, 0, 0, 0))], True, id="older"),
        pytest.param([replace(B, vsn=vsn(2, 9, 2, 0, 0, 0))], True, id="newer that speaks ours"),
        pytest.param([replace(B, vsn=vsn(1, 5, 5, 0, 0, 0))], True, id="speaks what we know"),
        pytest.param([replace(B, vsn=vsn(1, 9, 6, 0, 0, 0))], False, id="speaks what we do not"),
        pytest.param([replace(B, vsn=vsn(3, 5, 3, 0, 0, 0))], False, id="knows not what we speak"),
        pytest.param([replace(B, vsn=vsn(1, 1, 1, 0, 0, 0))], False, id="knows only what is older"),
        pytest.param([replace(B, vsn=vsn(1, 5, 2, 0, 1, 1))], False, id="other delegate"),
        pytest.param([replace(B, vsn=b"")], False, id="no versions count as 0"),
        pytest.param([replace(B, vsn=vsn(1, 5, 2))], False, id="half a vector"),
        pytest.param([replace(B, vsn=b"", state=State.DEAD)], False, id="of the dead too"),
        pytest.param(
            [replace(B, vsn=vsn(1, 1, 2, 0, 0, 0), state=State.DEAD)], True, id="dead set no bounds"
        ),
        pytest.param(
            [replace(B, vsn=vsn(1, 4, 2, 0, 0, 0)), replace(C, vsn=vsn(1, 5, 5, 0, 0, 0))],
            False,
            id="theirs not among themselves",
        ),
    ],
)
def test_versions_decide_about_the_whole(theirs: list[NodeState], is_accepted: bool) -> None:  # noqa: FBT001
    """One member who cannot live with the others spoils the exchange, not only itself."""
    swim = started()
    assert can_merge(theirs, swim.members().values()) is is_accepted
    good = replace(C, name="good", addr=bytes((10, 0, 0, 7)))
    _, reply = ask(swim, PushPull((good, *theirs), is_join=False))
    assert reply is not None
    assert ("good" in swim.members()) is is_accepted
    assert swim.refused[Refused.MERGE] == (not is_accepted)


@pytest.mark.rule("membership-4.ping")
@pytest.mark.parametrize(("node", "reply"), [("a", Ack(7)), ("", Ack(7)), ("z", None)])
def test_ping_by_connection(node: str, reply: Message | None) -> None:
    """Answered by an ack of the same number, but not for somebody else."""
    assert ask(started(), Ping(7, node)) == ([], reply)


@pytest.mark.parametrize("message", [None, User(b"x"), Ack(1), ErrorMessage("x"), object()])
def test_other_requests_are_closed(message: object) -> None:
    """Whatever is not asked for gets no reply."""
    assert ask(started(), message) == ([], None)


@pytest.mark.rule("membership-7.push-pull")
@pytest.mark.parametrize(
    ("count", "interval_s"),
    [(1, 30), (32, 30), (33, 60), (50, 60), (64, 60), (65, 90), (100, 90), (128, 90), (1000, 180)],
)
def test_interval_grows_with_the_cluster(count: int, interval_s: float) -> None:
    """So that the exchanges of a large cluster do not fill the network."""
    assert scaled_interval_s(30.0, count) == interval_s


@pytest.mark.rule("membership-7.push-pull")
def test_somebody_alive_is_asked_once_in_a_while() -> None:
    """A random live member, not as a join, after an interval and a random part of one more."""
    config = msgspec.structs.replace(LAN, probe_interval_s=0.0, gossip_nodes=0)
    firsts = set()
    for seed in range(20):
        swim = make(config=config, seed=seed)
        swim.start(0.0)
        with_member(C, with_member(B, swim))
        swim.parts.rules.suspect(Suspect(1, "c", "x"), 0.0)
        times = []
        while len(times) < 3:
            now = swim.next_deadline()
            assert now is not None
            for exchange in requests(swim.on_deadline(now)):
                times.append(now)
                assert exchange.address == "10.0.0.2"
                request = StreamDecoder(CODEC).feed(exchange.request)
                assert isinstance(request, PushPull)
                assert not request.is_join
        assert 30 <= times[0] < 60
        assert [round(b - a) for a, b in itertools.pairwise(times)] == [30, 30]
        firsts.add(times[0])
    assert len(firsts) == 20


def test_nobody_to_ask_is_asked_nothing() -> None:
    """Alone, no connection is opened."""
    swim = make(config=msgspec.structs.replace(LAN, probe_interval_s=0.0, gossip_nodes=0))
    swim.start(0.0)
    for _ in range(5):
        now = swim.next_deadline()
        assert now is not None
        assert swim.on_deadline(now) == []


def test_connections_are_bounded() -> None:
    """Addresses beyond the bound are refused, not remembered."""
    swim = started()
    targets = [(f"10.1.0.{index}", 0) for index in range(EXCHANGES_MAX + 5)]
    assert len(requests(swim.on_join(targets, 1.0))) == EXCHANGES_MAX
    assert swim.refused[Refused.EXCHANGES] == 5
    assert requests(swim.on_join(targets[:1], 1.0)) == []
    swim.validate()
