"""SWIM and the fast detector of one node, kept in agreement.

What SWIM says about our own announcers is told to the detector; what the detector finds is done in
SWIM, so that members who know nothing of the detector act on it too. Refutation is SWIM's: whoever
is accused, by whichever of the two, raises its incarnation and tells everybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.census import OURS, Census
from mercurylb.membership.fast.effect import (
    Accused,
    Answer,
    FastEffect,
    Found,
    Greet,
    HearsUs,
    Proven,
    Reached,
    Stalled,
    Stranger,
)
from mercurylb.membership.member import (
    Exchange,
    MemberHearsUs,
    MembershipEffect,
    ProbeKernel,
    SendDatagram,
)
from mercurylb.membership.swim.effect import SwimChanged, SwimDown, SwimEffect, SwimLeft, SwimUp
from mercurylb.membership.swim.message import Dead, encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.membership.fast.detector import FastDetector
    from mercurylb.membership.swim.effect import SwimMember
    from mercurylb.membership.swim.machine import Swim
    from mercurylb.membership.swim.packet import PacketCodec

FOREIGN_ECHO_S = 0.5
"""After this long a speaker of MetalLB that came up is taken to have acted on our being alive."""
STRANGER_S = 0.5
STRANGERS_MAX = 256
JOINS_MAX = 8
"""Connections that are opened at once to join."""
FIRST_JOINS = 4
"""The same at the start, when everybody else is told by a datagram."""

PairEffect = MembershipEffect | Proven | Stalled


class Pair:
    """Both machines of a node that has joined."""

    def __init__(
        self,
        codec: PacketCodec,
        *,
        port: int,
        swim: Swim,
        detector: FastDetector,
        census: Census,
    ) -> None:
        self.swim = swim
        self.detector = detector
        self.census = census
        self.is_stale = True
        """Who counts as alive may have changed."""
        self.is_leaving = False
        self.has_left = False
        """SWIM has told everybody that we leave."""
        self.echo_at: dict[str, float] = {}
        self._node = census.node
        self._codec = codec
        self._port = port
        self._met_at: dict[str, float] = {}

    # --- what both do ------------------------------------------------------------------------

    def start(self, addresses: Iterable[str], now: float) -> list[PairEffect]:
        """Be alive, and tell that to some addresses."""
        effects = self.take_swim(self.swim.start(now), now)
        effects += self.take_fast(self.detector.on_joined(self.swim.incarnation, now), now)
        return effects + self.greet(addresses, now)

    def greet(self, addresses: Iterable[str], now: float) -> list[PairEffect]:
        """Send what we say about ourselves to some addresses, whoever is there."""
        targets = [(address, self._port) for address in addresses]
        return self.take_swim(self.swim.greet(targets, now), now)

    def leave(self, now: float) -> list[PairEffect]:
        """Tell everybody that we go."""
        self.is_leaving = True
        effects = self.take_swim(self.swim.on_leave(now), now)
        return effects + self.take_fast(self.detector.on_leave(now), now)

    def change_note(self, note: bytes, now: float) -> list[PairEffect]:
        """Tell everybody something else about ourselves."""
        said = self.swim.on_meta(OURS + note, now)
        self.detector.on_incarnation(self.swim.incarnation)
        return self.take_swim(said, now)

    def join(self, addresses: Iterable[str], now: float) -> list[PairEffect]:
        """Exchange everything with up to `JOINS_MAX` addresses."""
        targets = [(address, self._port) for address in addresses][:JOINS_MAX]
        return self.take_swim(self.swim.on_join(targets, now), now) if targets else []

    def live_addresses(self) -> list[str]:
        """Return where the other live members are."""
        return [
            member.address
            for member in self.swim.members().values()
            if member.name != self._node and self.census.is_alive(member)
        ]

    def missing(self, addresses: Iterable[str]) -> list[str]:
        """Return the addresses that no live member has."""
        present = set(self.live_addresses())
        return [address for address in dict.fromkeys(addresses) if address not in present]

    def sweep(self, listed: Iterable[str], now: float) -> None:
        """Forget whom SWIM has forgotten, and nobody lists either."""
        members = self.swim.members()
        self.census.sweep(members)
        known = {*members, *listed}
        for contact in self.detector.contacts():
            if contact.node not in known:
                self.detector.on_forgotten(contact.node, now)

    def foreign(self) -> list[SwimMember]:
        """Return the live members that are not ours."""
        return [
            member
            for member in self.swim.members().values()
            if not member.meta.startswith(OURS) and self.census.is_alive(member)
        ]

    def is_known_to_all(self) -> bool:
        """Return whether all who can tell us have acted on our leaving."""
        return self.detector.is_left and (self.has_left or not self.foreign())

    def validate(self) -> None:
        """Assert the invariants."""
        self.swim.validate()
        self.detector.validate()
        for member in self.swim.members().values():
            contact = self.detector.contact(member.name)
            if contact is not None and member.meta.startswith(OURS):
                assert contact.status is self.census.status(member), member.name
                assert contact.incarnation == member.incarnation, member.name

    # --- from one to the other ---------------------------------------------------------------

    def take_swim(self, effects: Iterable[SwimEffect], now: float) -> list[PairEffect]:
        """Draw the consequences of what SWIM says."""
        taken: list[PairEffect] = []
        for effect in effects:
            match effect:
                case SendDatagram() | Exchange():
                    taken.append(effect)
                case SwimUp(node=node):
                    self.census.on_up(node)
                    taken += self._look_at(node, now, has_come=True)
                case SwimChanged(node=node):
                    taken += self._look_at(node, now)
                case SwimDown(node=node, is_leave=is_leave):
                    self.census.on_down(node, is_leave=is_leave)
                    taken += self._look_at(node, now)
                case SwimLeft():
                    self.has_left = True
        if self.swim.incarnation != self.detector.incarnation:  # It has refuted something.
            taken += self.take_fast(self.detector.on_joined(self.swim.incarnation, now), now)
        return taken

    def _look_at(self, node: str, now: float, *, has_come: bool = False) -> list[PairEffect]:
        """Tell the detector what is known about a node."""
        member = self.swim.members().get(node)
        if member is None or node == self._node:
            return []
        self.is_stale = True
        effects: list[PairEffect] = list(self.census.take_note(member))
        if not member.meta.startswith(OURS):
            self.detector.on_forgotten(node, now)
            if has_come:
                self.echo_at[node] = now + FOREIGN_ECHO_S
            return effects
        said = self.detector.on_contact(
            node,
            member.address,
            member.port,
            incarnation=member.incarnation,
            status=self.census.status(member),
            now=now,
        )
        return effects + self.take_fast(said, now)

    def take_fast(self, effects: Iterable[FastEffect], now: float) -> list[PairEffect]:
        """Draw the consequences of what the detector says, in its order."""
        taken: list[PairEffect] = []
        for effect in effects:
            match effect:
                case SendDatagram() | ProbeKernel() | Proven() | Stalled():
                    taken.append(effect)
                case Answer(node=node, address=address):
                    taken.append(self.detector.answer(node, address))
                case HearsUs(node=node):
                    taken.append(MemberHearsUs(node))
                case _:
                    taken += self._act(effect, now)
        return taken

    def _act(
        self, effect: Found | Accused | Greet | Reached | Stranger, now: float
    ) -> list[PairEffect]:
        """Do in SWIM what the detector says."""
        match effect:
            case Found():
                return self._condemn(effect, now)
            case Accused(incarnation=incarnation):
                said = [] if self.is_leaving else self.swim.on_accused(incarnation, now)
                return self.take_swim(said, now)
            case Greet(node=node):
                return self._greet(node, now)
            case Reached(node=node):
                return self._reach(node, now)
            case Stranger(address=address):
                return self._welcome(address, now)

    def _condemn(self, found: Found, now: float) -> list[PairEffect]:
        member = self.swim.members().get(found.node)
        if member is None or not self.census.condemn(member, found.incarnation, found.reason):
            return []
        effects = self._look_at(found.node, now)
        if not found.is_told:
            effects += self._tell_foreign(Dead(found.incarnation, found.node, self._node))
        said = self.swim.on_dead(
            found.node, found.incarnation, now, is_leave=found.is_leave, is_told=True
        )
        return effects + self.take_swim(said, now)

    def _tell_foreign(self, dead: Dead) -> list[PairEffect]:
        """Tell those at once whom the detector does not tell."""
        payload = self._codec.encode([encode(dead)])
        return [SendDatagram(member.address, payload, member.port) for member in self.foreign()]

    def _greet(self, node: str, now: float) -> list[PairEffect]:
        contact = self.detector.contact(node)
        if contact is None:
            return []
        return self.take_swim(self.swim.greet([(contact.address, contact.port)], now), now)

    def _reach(self, node: str, now: float) -> list[PairEffect]:
        contact = self.detector.contact(node)
        return [] if contact is None else self.join([contact.address], now)

    def _welcome(self, address: str, now: float) -> list[PairEffect]:
        """Tell one of ours that knows us and that we do not know who we are.

        What it answers tells who it is. If it is a stranger still after a while, join it.
        """
        met_at = self._met_at.get(address)
        if met_at is not None and now < met_at + STRANGER_S:
            return []
        if len(self._met_at) >= STRANGERS_MAX:
            self._met_at.clear()
        self._met_at[address] = now
        effects = self.greet([address], now)
        return effects + self.join([address], now) if met_at is not None else effects
