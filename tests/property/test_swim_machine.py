"""The SWIM machine under anything: no exception, bounded memory, invariants; and it converges."""

from __future__ import annotations

import contextlib
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mercurylb.errors import ConfigError
from mercurylb.membership.member import Exchange
from mercurylb.membership.swim import message as wire
from mercurylb.membership.swim.config import SwimConfig, parse_config
from mercurylb.membership.swim.effect import Refused, SwimDown, SwimEffect, SwimUp
from mercurylb.membership.swim.message import (
    VSN,
    Ack,
    Alive,
    Dead,
    ErrorMessage,
    IndirectPing,
    Message,
    Nack,
    NodeState,
    Ping,
    PushPull,
    State,
    Suspect,
    User,
)
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.reason import Reason
from tests.unit.membership.swim.world import PORT, World, make

CODEC = PacketCodec(None, random.Random(1), is_compressed=False)
REASONS = {reason.value for reason in Reason} | {reason.value for reason in Refused}

names = st.sampled_from(["a", "b", "c", "d", "10.0.0.2", "ä"])
incarnations = st.one_of(st.integers(0, 4), st.sampled_from([(1 << 32) - 1, (1 << 32) - (1 << 16)]))
addresses = st.sampled_from(
    [bytes((10, 0, 0, n)) for n in range(1, 4)]
    + [bytes(4), bytes(16), b"\xff" * 4, b"\xff\x02" + bytes(14)]
    + [bytes(10) + b"\xff\xff\n\0\0\2", bytes.fromhex("fd" + "00" * 14 + "01")]
)
ports = st.sampled_from([0, 1, PORT])
versions = st.sampled_from([VSN, b"", b"\1", bytes((1, 2, 2, 0, 0, 0)), bytes((1, 9, 7, 0, 0, 0))])
metas = st.sampled_from([b"", b"m", bytes(512)])
sequences = st.integers(0, 3)
sources = st.one_of(st.just(b""), addresses)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Alive, incarnations, names, addresses, ports, metas, versions),
    st.builds(Suspect, incarnations, names, names),
    st.builds(Dead, incarnations, names, names),
    st.builds(Ping, sequences, names, sources, ports, names),
    st.builds(
        IndirectPing, sequences, addresses, ports, names, st.booleans(), sources, ports, names
    ),
    st.builds(Ack, sequences),
    st.builds(Nack, sequences),
    st.builds(User, st.binary(max_size=4)),
)
states = st.builds(
    NodeState, names, addresses, ports, metas, incarnations, st.sampled_from(State), versions
)
streams: st.SearchStrategy[object] = st.one_of(
    st.builds(PushPull, st.lists(states, max_size=4).map(tuple), st.booleans()),
    st.builds(Ping, sequences, names),
    st.builds(Ack, sequences),
    st.builds(ErrorMessage, st.just("no")),
    st.none(),
)


class Machine(RuleBasedStateMachine):
    """One machine, told anything at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.swim = make()
        self.live: set[str] = set()
        self.open: list[int] = []

    def take(self, effects: list[SwimEffect]) -> None:
        """Keep the account that somebody who hears only effects has."""
        for effect in effects:
            match effect:
                case SwimUp(node=node):
                    assert node not in self.live
                    self.live.add(node)
                case SwimDown(node=node):
                    self.live.remove(node)
                case Exchange(id=number):
                    assert number not in self.open
                    self.open.append(number)
                case _:
                    pass

    @rule()
    def start(self) -> None:
        """Begin."""
        self.take(self.swim.start(self.now))

    @rule(said=st.lists(messages, min_size=1, max_size=6))
    def hear(self, said: list[Message]) -> None:
        """Take a datagram."""
        payload = CODEC.encode([wire.encode(message) for message in said])
        self.take(self.swim.on_datagram("10.0.0.9", 1, payload, self.now))

    @rule(payload=st.binary(max_size=40))
    def hear_noise(self, payload: bytes) -> None:
        """Take a datagram of nobody."""
        self.take(self.swim.on_datagram("10.0.0.9", 1, payload, self.now))

    @rule(message=streams)
    def be_asked(self, message: object) -> None:
        """Take a connection."""
        self.take(self.swim.on_request("10.0.0.9", message, self.now)[0])

    @rule(message=streams, which=st.integers(0, 5))
    def get_reply(self, message: object, which: int) -> None:
        """Take a reply, maybe to nothing."""
        number = self.open.pop(which) if which < len(self.open) else which + 1000
        self.take(self.swim.on_reply(number, message, self.now))

    @rule(span_s=st.sampled_from([0.0, 0.01, 0.2, 1.0, 10.0, 40.0]))
    def wait(self, span_s: float) -> None:
        """Let time pass, with a timer that is as late as it may be."""
        self.now += span_s
        for _ in range(3):
            self.take(self.swim.on_deadline(self.now))

    @rule(span_s=st.sampled_from([1.0, 40.0]))
    def run(self, span_s: float) -> None:
        """Let time pass, with a timer that is right."""
        until = self.now + span_s
        while (deadline := self.swim.next_deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.take(self.swim.on_deadline(self.now))
        self.now = until

    @rule(node=names, incarnation=incarnations, is_leave=st.booleans(), is_told=st.booleans())
    def find_dead(self, node: str, incarnation: int, is_leave: bool, is_told: bool) -> None:  # noqa: FBT001
        """Take a verdict."""
        self.take(
            self.swim.on_dead(node, incarnation, self.now, is_leave=is_leave, is_told=is_told)
        )

    @rule(incarnation=incarnations)
    def be_accused(self, incarnation: int) -> None:
        """Take an accusation."""
        self.take(self.swim.on_accused(incarnation, self.now))

    @rule(meta=metas)
    def change_meta(self, meta: bytes) -> None:
        """Say something else."""
        self.take(self.swim.on_meta(meta, self.now))

    @rule(port=ports)
    def join(self, port: int) -> None:
        """Join, and greet."""
        self.take(self.swim.on_join([("10.0.0.2", port)], self.now))
        self.take(self.swim.greet([("10.0.0.2", port)], self.now))

    @rule()
    def leave(self) -> None:
        """End, most of the time only at the very end."""
        if self.now > 60.0:
            self.take(self.swim.on_leave(self.now))

    @invariant()
    def agrees(self) -> None:
        """Hold what is sound, and what was told; count nothing under no name."""
        self.swim.validate()
        assert self.live == {m.name for m in self.swim.members().values() if m.is_live}
        assert set(self.swim.refused) <= REASONS
        assert len(self.swim.members()) <= 7
        assert len(self.swim.parts.broadcasts) <= 8
        assert len(self.swim.story) <= 64


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestMachine = Machine.TestCase


@given(st.integers(0, 1 << 30), st.floats(0.0, 0.3))
@settings(max_examples=15)
@pytest.mark.rule("membership-7.limit")
def test_lossy_cluster_converges_once_the_loss_ends(seed: int, loss: float) -> None:
    """Whatever was lost, and whoever died and came back, all agree in the end."""
    world = World(seed=seed)
    chance = random.Random(seed)
    world.is_lost = lambda _source, _target: chance.random() < loss
    nodes = [world.add(f"n{index}") for index in range(3)]
    for node in nodes[1:]:
        world.perform(node, node.swim.on_join([(nodes[0].address, PORT)], world.now))
    world.run(20.0)
    nodes[1].swim.on_meta(b"x", world.now)
    world.kill("n2")
    world.run(chance.random() * 40.0)
    again = world.add("n2")
    world.perform(again, again.swim.on_join([(nodes[0].address, PORT)], world.now))
    world.run(10.0)
    world.is_lost = lambda _source, _target: False
    world.run_until(
        lambda: all(
            node.live() == set(world.nodes)
            and node.swim.members()["n1"].meta == b"x"
            and {m.incarnation for m in node.swim.members().values() if m.name == "n2"}
            == {again.swim.incarnation}
            for node in world.nodes.values()
        ),
        200.0,
    )


@given(st.binary(max_size=200))
def test_config_of_any_bytes_is_read_or_refused(raw: bytes) -> None:
    """A parser raises its own error only."""
    with contextlib.suppress(ConfigError):
        assert isinstance(parse_config(raw), SwimConfig)


KEYS = st.sampled_from(["TCPTimeout", "ProbeInterval", "GossipNodes", "EnableCompression", "x"])
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("1s")
)


@given(st.dictionaries(KEYS, VALUES))
def test_config_of_any_values_is_refused_by_name(found: dict[str, object]) -> None:
    """Durations are missing here, so there always is something to tell."""
    with pytest.raises(ConfigError) as caught:
        parse_config(msgspec.json.encode(found))
    assert all(problem.field and problem.message for problem in caught.value.problems)
