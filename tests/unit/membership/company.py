"""A few membership machines on a network without chance: everything takes one millisecond."""

from __future__ import annotations

import heapq
import itertools
import random
from typing import TYPE_CHECKING

import msgspec

from mercurylb.membership.combined import CombinedMembership
from mercurylb.membership.member import (
    Exchange,
    Left,
    MemberDown,
    MemberHearsUs,
    MemberUp,
    ProbeKernel,
    SendDatagram,
)
from mercurylb.membership.swim.config import LAN
from mercurylb.membership.swim.machine import Swim
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.stream import StreamDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PORT = 7946
FLIGHT_S = 0.001
TELLING = MemberUp | MemberDown | MemberHearsUs | Left


class Peer(msgspec.Struct, frozen=True):
    """Another node."""

    node: str
    address: str


def peer(name: str) -> Peer:
    """Return where the node of a one-letter name is."""
    return Peer(name, f"10.0.0.{ord(name) - ord('a') + 1}")


class Foreign:
    """A speaker that knows gossip only, behind the methods that the company calls."""

    def __init__(self, name: str, others: Iterable[str]) -> None:
        codec = PacketCodec(None, random.Random(name))
        self.swim = Swim(
            name, peer(name).address, PORT, config=LAN, codec=codec, chance=random.Random(name)
        )
        self._codec = codec
        self._others = [peer(other).address for other in others]
        self.next_deadline = self.swim.next_deadline
        self.on_deadline = self.swim.on_deadline
        self.on_request = self.swim.on_request
        self.on_reply = self.swim.on_reply
        self.validate = self.swim.validate
        self.fast_count = 0

    def begin(self, now: float) -> list[object]:
        """Start and join."""
        return self.swim.start(now) + self.swim.on_join([(a, PORT) for a in self._others], now)

    def on_datagram(self, source: str, port: int, payload: bytes, now: float) -> list[object]:
        """Take in a datagram, and remember what it would not have understood."""
        self.fast_count += payload[:1] == b"M"
        return self.swim.on_datagram(source, port, payload, now)

    def on_refused(self, address: str, now: float) -> list[object]:
        """Draw no conclusion."""
        del address, now
        return []

    def stream_decoder(self) -> StreamDecoder:
        """Return what reads a connection."""
        return StreamDecoder(self._codec)

    def live(self) -> set[str]:
        """Return who counts as alive."""
        return {name for name, member in self.swim.members().items() if member.is_live}


class Company:
    """Machines by name, and what they told."""

    def __init__(self, names: str, *, now: float = 100.0) -> None:
        self.now = now
        self.names = names
        self.nodes: dict[str, CombinedMembership | Foreign] = {}
        self.told: dict[str, list[tuple[float, object]]] = {name: [] for name in names}
        self.sent: dict[str, list[object]] = {name: [] for name in names}
        self.cut: set[str] = set()
        self.deaf: set[tuple[str, str]] = set()
        """Pairs (sender, receiver) between which nothing passes in this direction."""
        self.stopped_until: dict[str, float] = {}
        self.has_icmp = True
        self._by_address = {peer(name).address: name for name in names}
        self._timers: dict[str, float] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    # --- verbs -------------------------------------------------------------------------------

    def make(self, name: str, *, incarnation: int = 1000) -> CombinedMembership:
        """Put a new process, which is not ready yet, onto a node."""
        machine = CombinedMembership(
            name,
            peer(name).address,
            PORT,
            secret=b"between us",
            seal=None,
            config=LAN,
            chance=random.Random(name),
            incarnation=incarnation,
        )
        self.nodes[name] = machine
        others = [peer(other) for other in self.names if other != name]
        self.take(name, machine.on_peers(others, self.now))
        return machine

    def start(self, *names: str, incarnation: int = 1000) -> None:
        """Start processes that are ready, one after the other."""
        for name in names:
            machine = self.make(name, incarnation=incarnation)
            self.take(name, machine.on_ready(True, self.now))
            self.run(0.2)

    def start_foreign(self, name: str) -> Foreign:
        """Start a speaker that knows gossip only."""
        machine = Foreign(name, [other for other in self.names if other != name])
        self.nodes[name] = machine
        self.take(name, machine.begin(self.now))
        self.run(0.2)
        return machine

    def do(self, name: str, fact: str, *args: object) -> list[object]:
        """Tell a machine a fact, carry out what follows, and return it."""
        effects = getattr(self.nodes[name], fact)(*args, self.now)
        self.take(name, effects)
        return effects

    def run(self, seconds: float) -> None:
        """Let time pass."""
        ends_at = self.now + seconds
        while self._events and self._events[0][0] <= ends_at:
            when, _, call = heapq.heappop(self._events)
            self.now = max(self.now, when)
            call()
        self.now = ends_at

    # --- the world ---------------------------------------------------------------------------

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something later."""
        heapq.heappush(self._events, (self.now + seconds, next(self._order), call))

    def take(self, name: str, effects: Iterable[object]) -> None:
        """Carry out effects and set the timer."""
        machine = self.nodes[name]
        machine.validate()
        for effect in effects:
            if isinstance(effect, TELLING):
                self.told[name].append((self.now, effect))
            elif isinstance(effect, SendDatagram | Exchange | ProbeKernel):
                self.sent[name].append(effect)
                self._carry(name, effect)
        deadline = machine.next_deadline()
        if deadline is not None and self._timers.get(name) != deadline:
            self._timers[name] = deadline
            self.after(deadline - self.now, lambda: self._fire(name, machine, deadline))

    def is_open(self, sender: str, receiver: str) -> bool:
        """Return whether anything passes."""
        return not self.cut & {sender, receiver} and (sender, receiver) not in self.deaf

    def _fire(self, name: str, machine: object, deadline: float) -> None:
        if self.nodes.get(name) is not machine or self._timers.get(name) != deadline:
            return
        if self.stopped_until.get(name, 0.0) > self.now:
            wait_s = self.stopped_until[name] - self.now
            self.after(wait_s, lambda: self._fire(name, machine, deadline))
            return
        del self._timers[name]
        self.take(name, machine.on_deadline(self.now))

    def _give(self, name: str, call: Callable[[object], object]) -> None:
        machine = self.nodes.get(name)
        if machine is None:
            return
        if self.stopped_until.get(name, 0.0) > self.now:
            self.after(self.stopped_until[name] - self.now + 0.0005, lambda: self._give(name, call))
            return
        self.take(name, call(machine))

    def _carry(self, sender: str, effect: SendDatagram | Exchange | ProbeKernel) -> None:
        receiver = self._by_address.get(effect.address)
        if isinstance(effect, Exchange):
            self._connect(sender, receiver, effect)
        elif receiver is not None and self.is_open(sender, receiver):
            source = peer(sender).address
            if isinstance(effect, ProbeKernel):
                if self.is_open(receiver, sender):
                    self._later(sender, lambda m: m.on_kernel_answer(effect.address, self.now))
            elif receiver in self.nodes:
                self._later(
                    receiver, lambda m: m.on_datagram(source, PORT, effect.payload, self.now)
                )
            elif self.has_icmp and self.is_open(receiver, sender):
                self._later(sender, lambda m: m.on_refused(effect.address, self.now))

    def _later(self, name: str, call: Callable[[object], object]) -> None:
        self.after(FLIGHT_S, lambda: self._give(name, call))

    def _connect(self, client: str, server: str | None, wanted: Exchange) -> None:
        def answer(reply: bytes | None) -> None:
            message = None
            if reply is not None and client in self.nodes:
                message = self.nodes[client].stream_decoder().feed(reply)
            self._later(client, lambda m: m.on_reply(wanted.id, message, self.now))

        def ask(machine: object) -> list[object]:
            message = machine.stream_decoder().feed(wanted.request)
            effects, reply = machine.on_request(peer(client).address, message, self.now)
            answer(reply)
            return effects

        is_there = server is not None and self.is_open(client, server)
        if not is_there or not self.is_open(server, client):
            self.after(wanted.timeout_s, lambda: answer(None))
        elif server not in self.nodes:
            answer(None)
        else:
            self._later(server, ask)

    # --- measures ----------------------------------------------------------------------------

    def told_since(self, name: str, since: float) -> list[object]:
        """Return what a machine told from a time on."""
        return [effect for at, effect in self.told[name] if at >= since]

    def when(self, name: str, effect: object) -> float:
        """Return when a machine told something last."""
        return max(at for at, told in self.told[name] if told == effect)

    def owners(self) -> dict[str, str]:
        """Return whom each thinks to be the first alive, of the names in their order."""
        return {name: min(machine.live() or "-") for name, machine in self.nodes.items()}

    def agree_on(self, names: str) -> bool:
        """Return whether all who run hold exactly these for alive."""
        return all(machine.live() == set(names) for machine in self.nodes.values())


def company(names: str = "abc") -> Company:
    """Return some that are up and agree, for a while."""
    made = Company(names)
    made.start(*names)
    made.run(3.0)
    assert made.agree_on(names)
    return made
