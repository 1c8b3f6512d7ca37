"""Bytes and facts from anywhere do no harm to the fast detector and the membership around it."""

from __future__ import annotations

import random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.errors import WireError
from mercurylb.membership.combined import CombinedMembership
from mercurylb.membership.fast import codec
from mercurylb.membership.fast.codec import Beat, Query, Receipt, Report, Verdict
from mercurylb.membership.fast.ring import RING_COUNT, Rings
from mercurylb.membership.member import SendDatagram
from mercurylb.membership.swim import message
from mercurylb.membership.swim.config import LAN
from mercurylb.membership.swim.message import Alive, Dead, NodeState, PushPull, State, Suspect
from tests.unit.membership.company import PORT, peer

NAMES = st.sampled_from(["a", "b", "c", "d", "stranger"])
NUMBERS = st.one_of(st.integers(0, 5), st.integers(995, 1005), st.just(2**32 - 1))
U63 = st.integers(0, 2**63 - 1)
AGES = st.integers(-1, 2**31 - 1)
KEY = codec.derive_key(b"s")

heads = {
    "sender": st.text(min_size=1, max_size=60),
    "session": U63,
    "sequence": U63,
    "incarnation": st.integers(0, 2**32 - 1),
}
datagrams = st.one_of(
    st.builds(
        Beat,
        **heads,
        flags=st.integers(0, 7),
        echo_session=U63,
        echo_sequence=U63,
        status=st.integers(0, 3),
        status_incarnation=st.integers(0, 2**32 - 1),
    ),
    st.builds(Query, **heads, accused=NAMES),
    st.builds(
        Report, **heads, accused=NAMES, heard_age_ms=AGES, kernel_age_ms=AGES, refused_age_ms=AGES
    ),
    st.builds(
        Verdict,
        **heads,
        accused=NAMES,
        accused_incarnation=NUMBERS,
        reason=st.sampled_from(["silent", "gone", "ill", "told", ""]),
        witness_count=st.integers(0, 9),
    ),
    st.builds(Receipt, **heads, accused=NAMES, accused_incarnation=NUMBERS),
)


@given(datagram=datagrams, key=st.sampled_from([b"", KEY]))
def test_round_trip(datagram: codec.AnyDatagram, key: bytes) -> None:
    """Every datagram decodes to itself, signed or not."""
    assert codec.decode(codec.encode(datagram, key, "b"), key, "b") == datagram


@given(data=st.data(), datagram=datagrams, key=st.sampled_from([b"", KEY]))
def test_garbage_is_refused(data: st.DataObject, datagram: codec.AnyDatagram, key: bytes) -> None:
    """Whatever comes in, it decodes or is a WireError with a reason."""
    spoiled = bytearray(codec.encode(datagram, key, "b"))
    for _ in range(data.draw(st.integers(0, 4))):
        spoiled[data.draw(st.integers(0, len(spoiled) - 1))] = data.draw(st.integers(0, 255))
    payload = bytes(spoiled[: data.draw(st.integers(0, len(spoiled)))])
    payload += data.draw(st.binary(max_size=20))
    try:
        codec.decode(payload, key, "b")
    except WireError as error:
        assert error.reason  # noqa: PT017 (both outcomes are right)


@given(names=st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=40))
def test_watching_is_mutual_and_bounded(names: set[str]) -> None:
    """Whatever they are called, everybody with company is watched, by those he watches."""
    rings = Rings(sorted(names))
    for name in names:
        watchers = rings.neighbours(name)
        assert bool(watchers) == (len(names) > 1)
        assert len(watchers) <= 2 * RING_COUNT
        assert all(name in rings.neighbours(watcher) for watcher in watchers)


class Facts:
    """Node a and whatever may happen to it, with the right key and from the right places."""

    def __init__(self) -> None:
        self.now = 10.0
        self.sequence = 0
        self.machine = CombinedMembership(
            "a", peer("a").address, PORT, secret=b"", seal=None, config=LAN,
            chance=random.Random(1), incarnation=1000,
        )  # fmt: skip
        self.machine.on_peers([peer(name) for name in "bcd"], self.now)

    def fast(self, datagram: codec.AnyDatagram, sender: str, session: int) -> None:
        """Hand over a fast datagram as if a node had sent it."""
        self.sequence += 1
        said = msgspec.structs.replace(
            datagram, sender=sender, session=session, sequence=self.sequence
        )
        source = peer(sender[0]).address
        self.machine.on_datagram(source, PORT, codec.encode(said, b"", "a"), self.now)

    def gossip(self, said: message.Message, sender: str) -> None:
        """Hand over a datagram of SWIM."""
        source = peer(sender[0]).address
        self.machine.on_datagram(source, PORT, message.encode(said), self.now)

    def reply(self, nodes: tuple[NodeState, ...], exchange: int) -> None:
        """Let an exchange end."""
        self.machine.on_reply(exchange, PushPull(nodes, is_join=False), self.now)


def _alive(name: str, incarnation: int, meta: bytes) -> Alive:
    addr = bytes(int(part) for part in peer(name[0]).address.split("."))
    return Alive(incarnation, name, addr, PORT, meta)


def _state(name: str, incarnation: int, state: State) -> NodeState:
    alive = _alive(name, incarnation, b"mlb1")
    return NodeState(name, alive.addr, PORT, alive.meta, incarnation, state, alive.vsn)


METAS = st.sampled_from([b"", b"mlb1", b"mlb1note"])
STEPS = st.one_of(
    st.tuples(st.just("fast"), datagrams, NAMES, st.integers(1, 3)),
    st.tuples(st.just("gossip"), st.builds(_alive, NAMES, NUMBERS, METAS), NAMES),
    st.tuples(st.just("gossip"), st.builds(Suspect, NUMBERS, NAMES, NAMES), NAMES),
    st.tuples(st.just("gossip"), st.builds(Dead, NUMBERS, NAMES, NAMES), NAMES),
    st.tuples(
        st.just("reply"),
        st.lists(st.builds(_state, NAMES, NUMBERS, st.sampled_from(State)), max_size=3).map(tuple),
        st.sampled_from([-3, -2, -1, 1, 2, 3, 99]),
    ),
    st.tuples(st.just("on_refused"), NAMES),
    st.tuples(st.just("on_kernel_answer"), NAMES),
    st.tuples(st.just("on_carrier"), st.booleans()),
    st.tuples(st.just("on_ready"), st.booleans()),
    st.tuples(st.just("on_note"), st.binary(max_size=5)),
    st.tuples(st.just("on_leave")),
    st.tuples(st.just("wait"), st.floats(0.0, 3.0)),
)


@given(steps=st.lists(STEPS, max_size=30))
def test_no_story_breaks_an_invariant(steps: list[tuple[object, ...]]) -> None:
    """Any facts in any order leave the machine whole, and it comes to rest between its timers."""
    facts = Facts()
    facts.machine.on_ready(True, facts.now)
    for verb, *args in steps:
        match verb:
            case "wait":
                _wait(facts, args[0])
            case "fast" | "gossip" | "reply":
                getattr(facts, verb)(*args)
            case "on_refused" | "on_kernel_answer":
                getattr(facts.machine, verb)(peer(args[0][0]).address, facts.now)
            case _:
                getattr(facts.machine, verb)(*args, facts.now)
        facts.machine.validate()
        facts.machine.views(facts.now)


def _wait(facts: Facts, seconds: float) -> None:
    ends_at, count = facts.now + seconds, 0
    while (deadline := facts.machine.next_deadline()) is not None and deadline <= ends_at:
        facts.now = max(facts.now, deadline)
        facts.machine.on_deadline(facts.now)
        count += 1
        assert count < 1000 * (1 + seconds), "it never rests"
    facts.now = ends_at


@given(payloads=st.lists(st.binary(max_size=80), max_size=20), is_fast=st.booleans())
def test_unsigned_garbage_changes_nothing(payloads: list[bytes], is_fast: bool) -> None:  # noqa: FBT001
    """Nobody comes, nobody goes, nothing is answered, and every piece is counted."""
    machine = CombinedMembership(
        "a", peer("a").address, PORT, secret=b"s", seal=None, config=LAN, chance=random.Random(1)
    )
    machine.on_peers([], 10.0)
    machine.on_ready(True, 10.0)
    live, views = machine.live(), machine.views(10.0)
    for payload in payloads:
        head = b"M" if is_fast else b"\x0f"
        effects = machine.on_datagram("10.0.0.9", PORT, head + payload, 10.0)
        assert not [effect for effect in effects if isinstance(effect, SendDatagram)]
    assert (machine.live(), machine.views(10.0)) == (live, views)
    assert sum(machine.counts().values()) == len(payloads)
