"""Announcer cores on a fake network in virtual time.

Everything is driven by one seeded random source and one heap of events; no clock is read. The
network loses, delays, duplicates and reorders datagrams, has groups that cannot reach each other,
and nodes can crash, leave, return, or stall (their timers and receptions come late).
"""

from __future__ import annotations

import heapq
import itertools
import random
from typing import TYPE_CHECKING

from mercurylb.announcer.core import AnnouncerCore, Finish
from mercurylb.layer2 import arp
from mercurylb.layer2.effect import SendFrame
from mercurylb.layer2.interface import Interface, NodeInterfaces
from mercurylb.layer2.responder import Responder
from mercurylb.membership.heartbeat import HeartbeatMembership
from mercurylb.membership.member import SendDatagram
from mercurylb.plan.desired import DesiredState, Layer2Service, Member, Renewal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mercurylb.announcer.core import CoreEffect

SECRET = b"between us"
RENEWAL_S = 100.0


class Node:
    """One announcer, running or not."""

    def __init__(self, number: int) -> None:
        self.name = f"node-{number}"
        self.address = f"10.0.0.{number}"
        self.mac = bytes((2, 0, 0, 0, 0, number))
        self.core: AnnouncerCore | None = None
        self.incarnation = 1000
        self.stalled_until = 0.0
        self.is_slow = False
        self.is_leaving = False
        self.timer_at: float | None = None

    @property
    def owned(self) -> set[str]:
        """Return what this node announces."""
        return set() if self.core is None else {o.service for o in self.core.responder.owned}


class Cluster:
    """A cluster that is driven by `run`."""

    def __init__(self, seed: int, *, node_count: int, service_count: int) -> None:
        self.chance = random.Random(seed)
        self.now = 50.0
        self.nodes = [Node(number) for number in range(1, node_count + 1)]
        self.by_address = {node.address: node for node in self.nodes}
        self.services = tuple(
            Layer2Service(
                f"default/s{number}",
                (f"192.0.2.{number}", f"2001:db8::{number:x}"),
                tuple(self.chance.sample([node.name for node in self.nodes], node_count)),
                None,
            )
            for number in range(1, service_count + 1)
        )
        self.group_of = {node.name: 0 for node in self.nodes}
        self.loss = 0.0
        self.delay_s = 0.002
        self.duplication = 0.0
        self.seen: set[str] = set()
        """Faults that really happened to a datagram or a node."""
        self.claims: dict[str, str] = {}
        """Address to the node whose gratuitous frame was heard last, by everybody it reaches."""
        self.falsely_down: list[tuple[float, str, str]] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    # --- the operator's verbs ----------------------------------------------------------------

    def start(self, node: Node) -> None:
        """Start a node with its links and its brain; its clock may have gone back."""
        node.incarnation += self.chance.choice((1, 500, -200))
        node.is_leaving = False
        node.core = AnnouncerCore(
            node.name,
            HeartbeatMembership(node.name, incarnation=node.incarnation, secret=SECRET),
            Responder(node.name, now=self.now),
            lease_s=RENEWAL_S * 10,
        )
        interface = Interface(2, "eth0", node.mac, True, True, bytes((0xFE, 0x80, *[0] * 14)))
        self.perform(node, node.core.on_links(NodeInterfaces(("eth0",), (interface,)), self.now))
        self.perform(node, node.core.on_transport(self.now))
        core = node.core
        self.at(
            self.now + self.chance.uniform(0.0, 0.3),
            lambda: (
                self.perform(node, core.on_brain_message(self.desired(node), self.now))
                if node.core is core
                else None
            ),
        )

    def desired(self, node: Node, revision: int = 1) -> DesiredState:
        """Return what the brain of a node wants."""
        members = tuple(Member(n.name, n.address) for n in self.nodes if n is not node)
        return DesiredState(revision, members, self.services)

    def crash(self, node: Node) -> None:
        """Kill a node without a word."""
        node.core = None
        self.seen.add("crash")

    def leave(self, node: Node) -> None:
        """Stop a node as planned."""
        if node.core is not None:
            node.is_leaving = True
            self.seen.add("leave")
            self.perform(node, node.core.on_stop(self.now))

    def partition(self, groups: Iterable[int]) -> None:
        """Put each node into a group; datagrams reach the own group only."""
        self.group_of = {node.name: group for node, group in zip(self.nodes, groups, strict=True)}

    def stall(self, node: Node, seconds: float) -> None:
        """Let a node do nothing for a while."""
        node.stalled_until = self.now + seconds
        self.seen.add("stall")

    # --- the world ---------------------------------------------------------------------------

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call something later."""
        heapq.heappush(self._events, (when, next(self._order), call))

    def run(self, seconds: float, *, check: Callable[[], None] | None = None) -> None:
        """Let the world go on."""
        ends_at = self.now + seconds
        while self._events and self._events[0][0] <= ends_at:
            when, _, call = heapq.heappop(self._events)
            self.now = max(self.now, when)
            call()
            if check is not None:
                check()
        self.now = ends_at

    def perform(self, node: Node, effects: list[CoreEffect]) -> None:
        """Carry out the effects of a node and set its timer."""
        core = node.core
        if core is None:
            return
        core.validate()
        for effect in effects:
            match effect:
                case SendDatagram():
                    self._send(node, effect)
                case SendFrame() if effect.frame[12:14] == arp.ETHERTYPE:
                    packet = arp.decode(effect.frame)
                    self.claims[packet.sender_ip.hex()] = node.name
                case Finish():
                    assert not node.owned
                    node.core = None
        deadline = core.next_deadline()
        if node.core is core and deadline is not None and deadline != node.timer_at:
            node.timer_at = deadline
            lateness = self.chance.uniform(0.0, 0.15) if node.is_slow else 0.0
            self.at(deadline + lateness, lambda: self._fire(node, core, deadline))

    def _fire(self, node: Node, core: AnnouncerCore, deadline: float) -> None:
        if node.core is not core or node.timer_at != deadline:
            return
        if self.now < node.stalled_until:
            self.at(node.stalled_until, lambda: self._fire(node, core, deadline))
            return
        node.timer_at = None
        self.perform(node, core.on_deadline(self.now))

    def _send(self, sender: Node, datagram: SendDatagram) -> None:
        receiver = self.by_address[datagram.address]
        if self.group_of[sender.name] != self.group_of[receiver.name]:
            self.seen.add("partition")
            return
        if self.chance.random() < self.loss:
            self.seen.add("loss")
            return
        copies = 1
        if self.chance.random() < self.duplication:
            copies = 2
            self.seen.add("duplicate")
        for _ in range(copies):
            delay = self.chance.uniform(0.0001, self.delay_s)
            if delay > 0.05:
                self.seen.add("delay")
            self.at(self.now + delay, lambda: self._deliver(sender, receiver, datagram))

    def _deliver(self, sender: Node, receiver: Node, datagram: SendDatagram) -> None:
        if self.now < receiver.stalled_until:
            self.at(receiver.stalled_until, lambda: self._deliver(sender, receiver, datagram))
            return
        if receiver.core is not None:
            effects = receiver.core.on_datagram(sender.address, 7946, datagram.payload, self.now)
            self.perform(receiver, effects)

    def renew(self) -> None:
        """Let all brains say that they live."""
        for node in self.nodes:
            if node.core is not None:
                self.perform(node, node.core.on_brain_message(Renewal(1), self.now))

    # --- what should be true -----------------------------------------------------------------

    def owners(self, service: Layer2Service) -> list[str]:
        """Return the nodes that announce a service."""
        return [node.name for node in self.nodes if service.service in node.owned]

    def expected(self, service: Layer2Service, group: int) -> list[str]:
        """Return who should own a service within a group: its best node that runs."""
        running = {
            node.name
            for node in self.nodes
            if node.core is not None and not node.is_leaving and self.group_of[node.name] == group
        }
        return [name for name in service.ranking if name in running][:1]

    def assert_converged(self) -> None:
        """Assert one right owner per service and group, and that the LAN heard it last."""
        groups = sorted(set(self.group_of.values()))
        for service in self.services:
            expected = {name for group in groups for name in self.expected(service, group)}
            assert set(self.owners(service)) == expected, (self.now, service.service)
