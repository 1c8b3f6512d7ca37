"""Two nodes with a session between them, on a network that does what networks do."""

from __future__ import annotations

import heapq
import random
from typing import TYPE_CHECKING

import msgspec

from mercurylb.bfd.effect import Arrival, BfdChanged, BfdEffect, BfdKey, ClosePort, SendPacket
from mercurylb.bfd.table import BfdTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.bfd.settings import BfdSettings

EVENTS_MAX = 1_000_000


class Weather(msgspec.Struct, frozen=True):
    """What the network does to packets, each for itself."""

    loss: float = 0.0
    delay_s: float = 0.001
    jitter_s: float = 0.0
    """Added to the delay at random, so that packets overtake each other."""
    repeats: float = 0.0
    """Share of the packets that come twice."""


class Node:
    """One side."""

    def __init__(self, name: str, peer: str, settings: BfdSettings, seed: int) -> None:
        self.name = name
        self.key = BfdKey(peer, interface="eth0")
        self.settings = settings
        self.table = BfdTable(random.Random(seed))
        self.waiting: list[Arrival] = []
        """In its socket, while it stands still."""
        self.heard_at = 0.0
        """When the latest packet was put into its socket."""
        self.stands_until = 0.0
        self.changes: list[tuple[float, BfdChanged]] = []
        self.timer_at: float | None = None

    @property
    def state(self) -> str:
        report = self.table.report(self.key, 0.0)
        return report.state if report else ""


class World:
    """Two nodes, the network, and the time."""

    def __init__(
        self,
        seed: int,
        *,
        left: BfdSettings,
        right: BfdSettings,
        weather: Weather | None = None,
    ) -> None:
        self.chance = random.Random(seed)
        self.weather = weather or Weather()
        self.now = 0.0
        self.is_cut = False
        self.lost = self.repeated = self.stalls = 0
        self.tapped: list[tuple[Node, Arrival]] = []
        """The latest packets, for who wants to repeat them."""
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self.left = Node("left", "192.0.2.2", left, seed + 1)
        self.right = Node("right", "192.0.2.1", right, seed + 2)
        self.nodes = self.left, self.right
        for node in self.nodes:
            self.want(node, node.settings)

    def want(self, node: Node, settings: BfdSettings | None) -> None:
        """Tell a node what it wants of its session; None ends it."""
        wanted = {} if settings is None else {node.key: settings}
        self._perform(node, node.table.on_wanted(wanted, self.now))

    def at(self, moment: float, what: Callable[[], None]) -> None:
        """Do something later."""
        self._number += 1
        heapq.heappush(self._heap, (moment, self._number, what))

    def stall(self, node: Node, seconds: float) -> None:
        """Let a node stand still: nothing is read, and no timer fires."""
        self.stalls += 1
        node.stands_until = self.now + seconds
        self.at(node.stands_until, lambda: self._wake(node))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        for _ in range(EVENTS_MAX):
            if not self._heap or self._heap[0][0] > until:
                break
            self.now, _, what = heapq.heappop(self._heap)
            what()
        else:
            raise AssertionError("this never ends")
        self.now = until

    def arrive(self, node: Node, arrival: Arrival) -> None:
        """Put a packet into a node's socket."""
        node.heard_at = self.now
        if self.now < node.stands_until:
            node.waiting.append(arrival)
        else:
            self._perform(node, node.table.on_packet(arrival, self.now))

    def _wake(self, node: Node) -> None:
        """Go on after a standstill: the timer first, which is the worse order."""
        if self.now < node.stands_until:
            return
        self._fire(node)
        waiting, node.waiting = node.waiting, []
        for arrival in waiting:
            self._perform(node, node.table.on_packet(arrival, self.now))

    def _fire(self, node: Node) -> None:
        if self.now < node.stands_until:
            return
        deadline = node.table.next_deadline()
        if deadline is not None and deadline <= self.now:
            self._perform(node, node.table.on_deadline(self.now))
        else:
            self._arm(node)

    def _arm(self, node: Node) -> None:
        deadline = node.table.next_deadline()
        if deadline is None or (node.timer_at is not None and self.now < node.timer_at <= deadline):
            return
        node.timer_at = max(deadline, self.now)
        self.at(node.timer_at, lambda: self._fire(node))

    def _perform(self, node: Node, effects: list[BfdEffect]) -> None:
        for effect in effects:
            match effect:
                case SendPacket():
                    self._carry(node, effect.octets)
                case BfdChanged():
                    node.changes.append((self.now, effect))
                    self._check(node, effect)
                case ClosePort():
                    assert effect.key == node.key
        node.table.validate()
        self._arm(node)

    def _check(self, node: Node, change: BfdChanged) -> None:
        """Assert that nobody is declared silent whose packets are there."""
        if change.diagnostic == "Control Detection Time Expired":
            assert not node.waiting
            other = self.right if node is self.left else self.left
            interval_ms = min(node.settings.receive_interval_ms, 50)
            least_s = other.settings.detect_multiplier * interval_ms / 1000
            assert self.now - node.heard_at > least_s

    def _carry(self, sender: Node, octets: bytes) -> None:
        receiver = self.right if sender is self.left else self.left
        arrival = Arrival(receiver.key.peer, octets, 255, sender.key.peer, "eth0")
        self.tapped = [*self.tapped[-50:], (receiver, arrival)]
        if self.is_cut or self.chance.random() < self.weather.loss:
            self.lost += 1
            return
        copies = 1 + (self.chance.random() < self.weather.repeats)
        self.repeated += copies - 1
        for _ in range(copies):
            delay_s = self.weather.delay_s + self.chance.random() * self.weather.jitter_s
            self.at(self.now + delay_s, lambda: self.arrive(receiver, arrival))

    def failures(self) -> list[tuple[float, BfdChanged]]:
        """Return the failures that any node found."""
        found = [change for node in self.nodes for change in node.changes]
        return sorted((each for each in found if each[1].is_failure), key=lambda each: each[0])

    def both_are(self, state: str) -> bool:
        """Return whether both sides are in a state."""
        return all(node.state == state for node in self.nodes)
