"""Machines wired to each other in virtual time: what the tests of the protocol run in."""

from __future__ import annotations

import heapq
import itertools
import random
from typing import TYPE_CHECKING

from mercurylb.errors import WireError
from mercurylb.membership.member import Exchange, SendDatagram
from mercurylb.membership.swim.config import LAN
from mercurylb.membership.swim.machine import Swim, SwimDown, SwimLeft, SwimUp
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.stream import StreamDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mercurylb.membership.seal import Seal
    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.effect import SwimEffect
    from mercurylb.membership.swim.message import Message, State

PORT = 7946
DELAY_S = 0.001


def make(  # noqa: PLR0913 (what a machine is made of)
    name: str = "a",
    address: str = "10.0.0.1",
    *,
    config: SwimConfig = LAN,
    incarnation: int = 1,
    meta: bytes = b"",
    seed: int = 1,
    seal: Seal | None = None,
) -> Swim:
    """Return a machine that has not started."""
    chance = random.Random(seed)
    codec = PacketCodec(seal, chance, is_compressed=config.enable_compression)
    return Swim(
        name,
        address,
        PORT,
        config=config,
        codec=codec,
        chance=chance,
        meta=meta,
        incarnation=incarnation,
    )


def read(effects: Sequence[SwimEffect]) -> list[tuple[str, tuple[Message, ...]]]:
    """Return what datagrams say, and to whom."""
    codec = PacketCodec(None, random.Random(1))
    return [
        (effect.address, codec.decode(effect.payload))
        for effect in effects
        if isinstance(effect, SendDatagram)
    ]


def said(effects: Sequence[SwimEffect]) -> list[Message]:
    """Return all that datagrams say."""
    return [message for _, messages in read(effects) for message in messages]


class Node:
    """One machine, and what it told."""

    def __init__(self, name: str, address: str, swim: Swim) -> None:
        self.name = name
        self.address = address
        self.swim = swim
        self.is_running = True
        self.effects: list[SwimEffect] = []
        self.told: list[tuple[float, SwimEffect]] = []
        self.sent = 0
        self.sent_bytes = 0
        self.armed_at: float | None = None

    def live(self) -> set[str]:
        """Return the names it holds for alive, suspect or not."""
        return {member.name for member in self.swim.members().values() if member.is_live}

    def state(self, name: str) -> State | None:
        """Return what it holds somebody for."""
        member = self.swim.members().get(name)
        return None if member is None else member.state

    def when(self, effect: SwimEffect) -> float | None:
        """Return when it first told something."""
        return next((at for at, told in self.told if told == effect), None)


class World:
    """A network and a clock."""

    def __init__(
        self, *, config: SwimConfig = LAN, seed: int = 1, seal: Seal | None = None
    ) -> None:
        self.now = 0.0
        self.config = config
        self.seal = seal
        self.chance = random.Random(seed)
        self.nodes: dict[str, Node] = {}
        self.is_lost: Callable[[str, str], bool] = lambda _source, _target: False
        """Of datagrams, by name."""
        self.is_cut: Callable[[str, str], bool] = lambda _source, _target: False
        """Of connections, by name."""
        self.has_checks = True
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()

    def add(self, name: str, *, incarnation: int = 1, meta: bytes = b"") -> Node:
        """Start a machine; a former one of this name is gone."""
        count = len(self.nodes)
        known = self.nodes.get(name)
        address = known.address if known else f"10.0.{count // 200}.{count % 200 + 1}"
        if known is not None:
            known.is_running = False
        swim = make(
            name,
            address,
            config=self.config,
            incarnation=incarnation,
            meta=meta,
            seed=self.chance.randrange(1 << 30),
            seal=self.seal,
        )
        node = self.nodes[name] = Node(name, address, swim)
        self.perform(node, swim.start(self.now))
        return node

    def cluster(self, count: int) -> list[Node]:
        """Start and join some machines, and let them find each other."""
        nodes = [self.add(f"n{index}") for index in range(count)]
        for node in nodes[1:]:
            self.perform(node, node.swim.on_join([(nodes[0].address, PORT)], self.now))
        self.run(2.0)
        return nodes

    def kill(self, name: str) -> None:
        """End a machine without a word."""
        self.nodes[name].is_running = False

    def perform(self, node: Node, effects: Sequence[SwimEffect]) -> None:
        """Carry out what a machine asks for."""
        if self.has_checks:
            node.swim.validate()
        for effect in effects:
            match effect:
                case SendDatagram():
                    self._send(node, effect)
                case Exchange():
                    self._connect(node, effect)
                case _:
                    node.told.append((self.now, effect))
        self._arm(node)

    def run(self, span_s: float) -> None:
        """Let time pass."""
        until = self.now + span_s
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = until

    def run_until(self, condition: Callable[[], bool], within_s: float) -> float:
        """Let time pass until something is so; return how long it took."""
        since, until = self.now, self.now + within_s
        while not condition():
            assert self._events, "nothing more will happen"
            assert self._events[0][0] <= until, f"not within {within_s} s"
            self.now, _, event = heapq.heappop(self._events)
            event()
        return self.now - since

    def _at(self, at: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at, next(self._serial), event))

    def _arm(self, node: Node) -> None:
        at = node.swim.next_deadline()
        if at is None or at == node.armed_at:
            return
        node.armed_at = at

        def fire() -> None:
            if node.armed_at == at and node.is_running:
                node.armed_at = None
                self.perform(node, node.swim.on_deadline(self.now))

        self._at(max(at, self.now), fire)

    def _find(self, address: str) -> Node | None:
        node = next((node for node in self.nodes.values() if node.address == address), None)
        return node if node is not None and node.is_running else None

    def _send(self, source: Node, effect: SendDatagram) -> None:
        source.sent += 1
        source.sent_bytes += len(effect.payload)
        target = self._find(effect.address)
        if target is None or self.is_lost(source.name, target.name):
            return

        def arrive() -> None:
            if target.is_running:
                self.perform(
                    target,
                    target.swim.on_datagram(source.address, PORT, effect.payload, self.now),
                )

        self._at(self.now + DELAY_S, arrive)

    def _connect(self, source: Node, effect: Exchange) -> None:
        source.sent_bytes += len(effect.request)

        def end(message: Message | None) -> None:
            if source.is_running:
                self.perform(source, source.swim.on_reply(effect.id, message, self.now))

        target = self._find(effect.address)
        if target is None or self.is_cut(source.name, target.name):
            self._at(self.now + min(effect.timeout_s, 0.5), lambda: end(None))
            return

        def arrive() -> None:
            try:
                request = StreamDecoder(PacketCodec(self.seal, self.chance)).feed(effect.request)
            except WireError:
                request = None
            reply = None
            if target.is_running:
                effects, reply = target.swim.on_request(source.address, request, self.now)
                self.perform(target, effects)
            if reply is None:
                self._at(self.now + DELAY_S, lambda: end(None))
                return
            target.sent_bytes += len(reply)
            message = StreamDecoder(PacketCodec(self.seal, self.chance), is_reply=True).feed(reply)
            self._at(self.now + DELAY_S, lambda: end(message))

        self._at(self.now + DELAY_S, arrive)


__all__ = [
    "DELAY_S",
    "PORT",
    "Node",
    "SwimDown",
    "SwimLeft",
    "SwimUp",
    "World",
    "make",
    "read",
    "said",
]
