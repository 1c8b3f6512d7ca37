"""A cluster in virtual time, driven by one seed: nodes, network, and who should own what."""

from __future__ import annotations

import functools
import ipaddress
import random
from typing import TYPE_CHECKING

from mercurylb.layer2 import arp
from mercurylb.plan.desired import DesiredState, Layer2Service, Member, Renewal
from tests.sim.world.clock import Clock, Timeline
from tests.sim.world.ledger import Ledger
from tests.sim.world.makers import make_announcer, make_gossiper
from tests.sim.world.network import Network
from tests.sim.world.node import Node, claimed_ip
from tests.sim.world.process import Identity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.announcer.core import Tell
    from tests.sim.world.process import Process
    from tests.sim.world.shape import Shape

SECRET = b"between us"
LEASE_S = 15.0
RENEWAL_S = 4.0
CALENDAR_S = 1_700_000_000
STORY_MAX = 4000


class Cluster:
    """All nodes and what is between them; faults are methods, in terms of nodes."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.chance = random.Random(shape.seed)
        self.timeline = Timeline(100.0)
        self.network = Network(self.chance)
        self.story: list[tuple[float, str]] = []
        self.seen = self.network.seen
        self.nodes = [
            Node(self, number, self._clock(), is_go=number > shape.nodes - shape.gossipers)
            for number in range(1, shape.nodes + 1)
        ]
        self.by_address = {node.address: node for node in self.nodes}
        self.by_name = {node.name: node for node in self.nodes}
        self.services = {
            service.service: service
            for service in (self._service(n) for n in range(shape.services))
        }
        self.ledger = Ledger(self.services, lambda name: self.by_name[name].is_heard)
        self.heard_last: dict[tuple[str, bytes], str] = {}
        """What a client beside each node believes: address to who announced it last."""
        self.revision = 1
        self.unlisted: set[str] = set()
        self.validate_every = 8 if shape.nodes < 12 else 64
        """Invariants are looked at after each change of members or answers, and so many steps."""

    @property
    def now(self) -> float:
        """Return the world's time."""
        return self.timeline.now

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.timeline.run(seconds)

    # --- making ------------------------------------------------------------------------------

    def _clock(self) -> Clock:
        spread = self.shape.clock_spread
        return Clock(
            self.timeline,
            rate=1.0 + self.chance.uniform(-spread, spread),
            offset=self.chance.uniform(0.0, 1e5),
        )

    def _service(self, index: int) -> Layer2Service:
        addresses = [str(ipaddress.ip_address("192.0.2.1") + index)]
        if index == 0:
            addresses.append("2001:db8::1")
        return Layer2Service(f"default/s{index + 1}", tuple(addresses), self._ranking(), None)

    def _ranking(self) -> tuple[str, ...]:
        names = [node.name for node in self.nodes]
        self.chance.shuffle(names)
        return tuple(names)

    # --- processes and brains ----------------------------------------------------------------

    def start(self, node: Node) -> None:
        """Start the process of a node that has none; its brain follows a little later."""
        if node.process is not None or not node.is_up:
            return
        clock_s = CALENDAR_S + int(self.now) + self.chance.choice((0, 0, 0, -300))
        identity = Identity(node.name, node.address, node.mac, clock_s, SECRET)
        chance = random.Random(self.chance.random())
        now = node.clock.now()
        if node.is_go:
            process: Process = make_gossiper(identity, chance, self.shape)
        else:
            process = make_announcer(identity, chance, self.shape, lease_s=LEASE_S, now=now)
        self.log(f"{node.name} starts")
        node.begin(process)
        self.unlisted.discard(node.name)
        self.start_brain(node, self.chance.uniform(0.0, 0.3))

    def start_all(self) -> None:
        """Start every node within half a second."""
        for node in self.nodes:
            self.timeline.after(self.chance.uniform(0.0, 0.5), functools.partial(self.start, node))

    def start_brain(self, node: Node, after_s: float) -> None:
        """Have a brain that tells what it wants after a while and then renews it."""
        node.has_brain = True
        process = node.process

        def speak() -> None:
            if node.process is process and node.has_brain:
                self._desire(node)
                self.timeline.after(RENEWAL_S, renew)

        def renew() -> None:
            if node.process is not process or not node.has_brain:
                return
            message = Renewal(node.brain_revision)
            node.give(lambda p: p.on_brain_message(message, node.clock.now()))
            self.timeline.after(RENEWAL_S, renew)

        self.timeline.after(after_s, speak)

    def _desire(self, node: Node) -> None:
        node.brain_revision = self.revision
        members = tuple(
            Member(other.name, other.address)
            for other in self.nodes
            if other is not node and other.name not in self.unlisted
        )
        message = DesiredState(self.revision, members, tuple(self.services.values()))
        node.give(lambda process: process.on_brain_message(message, node.clock.now()))

    def decide_anew(self) -> None:
        """Let every brain tell the present decision, each in its own time."""
        self.revision += 1

        def tell(node: Node) -> None:
            if node.process is not None and node.has_brain:
                self._desire(node)

        for node in self.nodes:
            self.timeline.after(self.chance.uniform(0.0, 0.1), functools.partial(tell, node))

    def rank_anew(self, service: str) -> None:
        """Change the ranking of a service."""
        known = self.services[service]
        self.services[service] = Layer2Service(service, known.addresses, self._ranking(), None)
        self.decide_anew()

    def finished(self, node: Node) -> None:
        """Let a process that has left exit."""
        self.log(f"{node.name} has left")
        node.end()

    # --- what happens on the wire ------------------------------------------------------------

    def broadcast(self, sender: Node, frame: bytes) -> None:
        """Bring a gratuitous frame to the LAN's clients and to the nodes that listen for it."""
        if not sender.has_carrier or sender.name in self.network.isolated:
            return
        address, groups = claimed_ip(frame), self.network.group_of
        for node in self.nodes:
            if groups.get(node.name, 0) == groups.get(sender.name, 0):
                self.heard_last[node.name, address] = sender.name
            if node is not sender and node.process is not None:
                for flight_s in self.network.flights(sender.name, node.name):
                    self.timeline.after(flight_s, functools.partial(node.hears, frame))

    def note_answers(self, node: Node, answered: frozenset[str]) -> None:
        """Keep the ledger."""
        self.ledger.note(node.name, answered, self.now)

    def network_changed(self) -> None:
        """Keep the ledger after a change of who is heard."""
        self.ledger.network_changed(self.now)

    # --- what should be true -----------------------------------------------------------------

    def expected(self, service: Layer2Service) -> dict[int, str]:
        """Return who should own a service on each side: its best node that is able."""
        owners: dict[int, str] = {}
        for name in service.ranking:
            node = self.by_name[name]
            group = self.network.group_of.get(name, 0)
            if node.is_able and name not in self.network.isolated:
                owners.setdefault(group, name)
        return owners

    def disagreements(self) -> list[str]:
        """Return, in words, every service that has other owners than it should."""
        found = []
        for service in self.services.values():
            expected = sorted(self.expected(service).values())
            owners = [
                name
                for name in self.ledger.owners(service.service)
                if name not in self.network.isolated
            ]
            if owners != expected:
                found.append(f"{service.service} {service.ranking}: {owners}, not {expected}")
            elif (asked := self.ask(service)) != owners:
                found.append(f"{service.service}: {asked} answer ARP, {owners} own")
        return found

    def ask(self, service: Layer2Service) -> list[str]:
        """Ask the LAN for a service's IPv4 address and return who answers."""
        question = _question(service.addresses[0])
        return sorted(
            node.name
            for node in self.nodes
            if node.process is not None
            and not node.is_paused
            and node.name not in self.network.isolated
            and node.process.is_answering(question)
        )

    # --- the story ---------------------------------------------------------------------------

    def log(self, text: str) -> None:
        """Keep what happened, for the story of a failure."""
        if len(self.story) < STORY_MAX:
            self.story.append((self.now, text))

    def tell(self, node: Node, told: Tell) -> None:
        """Keep what a node says."""
        if told.event == "membership.down":
            self.seen[f"found {told.fields['reason']}"] += 1
        if told.event == "layer2.conflict" and told.level != "info":
            raise AssertionError(f"{node.name} takes a member for a stranger: {told.fields}")
        fields = " ".join(str(value) for value in told.fields.values())
        self.log(f"{node.name}: {told.event} {fields}")


def _question(address: str) -> bytes:
    asker = bytes((2, 0xFF, 0, 0, 0, 1))
    return arp.encode(
        arp.ArpPacket(
            destination=arp.BROADCAST,
            source=asker,
            operation=arp.REQUEST,
            sender_mac=asker,
            sender_ip=bytes((192, 0, 2, 254)),
            target_mac=bytes(6),
            target_ip=ipaddress.ip_address(address).packed,
        )
    )


def longest(measured: Iterable[float]) -> float:
    """Return the longest of some times, 0 of none."""
    return max(measured, default=0.0)
