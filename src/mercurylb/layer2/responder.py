"""The machine that decides what this node answers for, and answers.

Facts: the services somebody wants announced, the nodes that are alive and what they are unable for,
the interfaces, the MAC addresses of members, the frames that come in. Each thing that follows from
them has a part of its own, and this machine keeps the parts in step:

* `ownership`: whose a service is;
* `table`: what is announced on which interface, with its groups and kernel filters;
* `burst`: when gratuitous rounds are sent; none of an address that was left with a node whose
  speaker is away for a moment only, until that is over;
* `answer`: what a received frame gets, and with `conflict` who else claims an address.

The invariant that `validate` states: owners, addresses, tables and groups are functions of the
facts, never of the path by which the facts came.

What it does not do: it opens nothing, knows neither Kubernetes nor how liveness is found out, and
never gives an address up because of a frame.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from mercurylb.layer2 import arp
from mercurylb.layer2.address import FrameCounts
from mercurylb.layer2.answer import Answerer
from mercurylb.layer2.burst import BurstSchedule
from mercurylb.layer2.drop import Drop
from mercurylb.layer2.effect import Layer2Effect, SendFrame
from mercurylb.layer2.ownership import OwnedAddresses, Ownership, RankedService
from mercurylb.layer2.table import AnnouncementTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from mercurylb.layer2.ability import Unable
    from mercurylb.layer2.conflict import Conflict
    from mercurylb.layer2.interface import Interface, NodeInterfaces
    from mercurylb.layer2.port import Port

__all__ = ["FrameCounts", "OwnedAddresses", "RankedService", "Responder"]

STORY_MAX = 64
MACS_MAX = 32
"""MAC addresses told to other members: their notes are bounded."""

_NOBODY: Mapping[str, Unable] = {}


class Responder:
    """Answer for the addresses of the services this node owns."""

    def __init__(self, node: str, *, periodic_interval_s: float = 0.0, now: float = 0.0) -> None:
        self._ownership = Ownership(node)
        self._table = AnnouncementTable()
        self._bursts = BurstSchedule(periodic_interval_s, now)
        self._answerer = Answerer(self._table, self._ownership)
        self._names: tuple[str, ...] = ()
        self._owned: tuple[OwnedAddresses, ...] = ()
        self._left: AbstractSet[str] = frozenset()
        self._left_with: dict[str, str] = {}
        """Addresses that are answered for and not announced, and the node that carries them."""
        self.answer_arp = self._answerer.answer_arp
        """The hot path, without a step between: see `Answerer`."""
        self.answer_ndp = self._answerer.answer_ndp
        self.drops = self._answerer.drops
        self.story: collections.deque[tuple[float, str]] = collections.deque(maxlen=STORY_MAX)

    # --- what it knows -----------------------------------------------------------------------

    @property
    def owned(self) -> tuple[OwnedAddresses, ...]:
        """Return the services announced from here, by name; the same object until it changes."""
        return self._owned

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the distinct addresses announced from here, sorted."""
        return self._table.book.texts()

    @property
    def interface_names(self) -> tuple[str, ...]:
        """Return the names of the node's interfaces that are not excluded."""
        return self._names

    @property
    def macs(self) -> tuple[bytes, ...]:
        """Return the MAC addresses that announcements leave with, sorted, at most `MACS_MAX`."""
        ports = self._table.ports.values()
        return tuple(sorted({port.interface.mac for port in ports})[:MACS_MAX])

    @property
    def unable(self) -> Unable:
        """Return the services that this node cannot carry, for the other nodes to know."""
        return self._ownership.unable

    @property
    def left_with(self) -> frozenset[str]:
        """Return the nodes with which addresses were left that are answered for here."""
        return frozenset(self._left_with.values())

    def counts(self) -> tuple[FrameCounts, ...]:
        """Return the counters of every address announced so far, sorted by address."""
        return self._table.book.counts()

    def conflicts(self, now: float) -> tuple[Conflict, ...]:
        """Return who claimed our addresses in the last hours, the latest claim first; bounded."""
        return self._answerer.watch.conflicts(now)

    # --- facts -------------------------------------------------------------------------------

    def on_desired(self, services: Sequence[RankedService], now: float) -> list[Layer2Effect]:
        """Take over the whole list of services, which replaces the one before."""
        self._ownership.on_desired(services)
        self._table.book.prepare(text for service in services for text in service.addresses)
        self._note(now, f"desired: {len(services)} services")
        return self._settle(now)

    def on_live(
        self,
        nodes: AbstractSet[str] | None,
        now: float,
        *,
        unable: Mapping[str, Unable] = _NOBODY,
        left: AbstractSet[str] = frozenset(),
    ) -> list[Layer2Effect]:
        """Take over which nodes are alive, None for all, and what each says it cannot carry.

        Nodes in `left` are not, but carry on: what was theirs is answered for and not announced.
        """
        self._ownership.on_live(nodes, unable)
        self._left = left
        self._note(now, "live: all" if nodes is None else f"live: {' '.join(sorted(nodes))}")
        effects = self._settle(now)
        for text in [text for text, node in self._left_with.items() if node not in left]:
            del self._left_with[text]
            self._note(now, f"{text} is announced after all")
            self._bursts.announce(text, now)
        return effects + self._rounds(now)

    def on_interfaces(self, found: NodeInterfaces, now: float) -> list[Layer2Effect]:
        """Take over the node's interfaces; those that are new, changed or back are told about."""
        self._names = found.names
        self._answerer.own_macs = found.macs | {interface.mac for interface in found.interfaces}
        self._ownership.on_interfaces(found, now)
        effects: list[Layer2Effect] = []
        present = {interface.index for interface in found.interfaces}
        for index in [index for index in self._table.ports if index not in present]:
            self._note(now, f"interface {self._table.ports[index].interface.name} closed")
            effects += self._table.close(index)
        news: list[Port] = []
        for interface in found.interfaces:
            known = self._table.ports.get(interface.index)
            before = None if known is None else known.interface
            if before == interface:
                continue
            port, changed = self._table.take(interface)
            effects += changed
            self._note(now, f"interface {interface.name} {'changed' if before else 'opened'}")
            if before is None or _is_news(before, interface):
                news.append(port)
        effects += self._settle(now)
        for port in news:
            for address in self._table.book.all():
                if port.carries(address):
                    self._bursts.announce(address.text, now, port.index)
        return effects + self._rounds(now)

    def on_member_macs(
        self, macs: Mapping[bytes, str], now: float, *, has_unknown_members: bool = False
    ) -> list[Layer2Effect]:
        """Take over which member has which MAC address, and whether some do not tell theirs."""
        self._answerer.watch.on_members(macs, has_unknown=has_unknown_members)
        self._note(now, f"{len(macs)} MAC addresses of members")
        return []

    def on_frame(self, interface: int, frame: bytes, now: float) -> list[Layer2Effect]:
        """Answer one received frame of either protocol, and look at what it claims."""
        answer = self.answer_arp if frame[12:14] == arp.ETHERTYPE else self.answer_ndp
        reply = answer(interface, frame)
        if reply is Drop.CLAIM:
            return self.on_claim(interface, frame, now)
        return [] if isinstance(reply, Drop) else [SendFrame(interface, reply)]

    def on_claim(self, interface: int, frame: bytes, now: float) -> list[Layer2Effect]:
        """Look at a frame for which `answer_arp` or `answer_ndp` said `Drop.CLAIM`."""
        return self._answerer.on_claim(interface, frame, now)

    def refresh(self, now: float) -> list[Layer2Effect]:
        """Begin a burst of every announced address at once: somebody else may have answered."""
        for address in self._table.book.all():
            self._bursts.announce(address.text, now)
        self._note(now, "all addresses refreshed")
        return self._rounds(now)

    def next_deadline(self) -> float | None:
        """Return when the next gratuitous round or change of mind is due."""
        parts = (self._bursts, self._ownership, self._answerer.watch)
        deadlines = [at for part in parts if (at := part.next_deadline()) is not None]
        return min(deadlines, default=None)

    def on_deadline(self, now: float) -> list[Layer2Effect]:
        """Do what is due: gratuitous rounds, services this node is able for again."""
        effects: list[Layer2Effect] = []
        able_at = self._ownership.next_deadline()
        if able_at is not None and now >= able_at:
            self._ownership.on_deadline(now)
            effects += self._settle(now)
        if self._answerer.watch.on_deadline(now):
            effects += self._table.filters(has_claims=True, is_all=True)
        return effects + self._rounds(now)

    # --- from facts to answers ---------------------------------------------------------------

    def _settle(self, now: float) -> list[Layer2Effect]:
        """Bring everything that follows from the facts up to date.

        Kernel state comes before the frames that invite requests, and withdrawals come first.
        """
        effects: list[Layer2Effect] = []
        triggered: dict[str, None] = {}
        registered, owned = self._table.registered, self._ownership.owned()
        for name in [name for name in registered if name not in owned]:
            effects += self._table.withdraw(name)
            self._note(now, f"withdraw {name}")
        for name, (service, carried) in owned.items():
            if registered.get(name) != (service, carried):
                if name not in registered:
                    self._note(now, f"announce {name}")
                effects += self._table.register(service, carried)
                texts = [text for text in carried.addresses if text not in carried.skipped]
                triggered |= dict.fromkeys(texts)
                self._leave(texts, self._ownership.left_with(service, self._left))
        effects += self._table.filters(has_claims=not self._answerer.watch.is_deaf)
        self._bursts.keep(self._table.book)
        self._left_with = {a: n for a, n in self._left_with.items() if a in self._table.book}
        self._answerer.left = self._left_with
        for text in triggered:
            self._bursts.trigger(text, now)
        self._remember_owned()
        return effects + self._rounds(now)

    def _leave(self, addresses: Sequence[str], node: str | None) -> None:
        """Leave addresses with a node, or with nobody."""
        for text in addresses:
            if node is None:
                self._left_with.pop(text, None)
            else:
                self._left_with[text] = node

    def _remember_owned(self) -> None:
        registered = self._table.registered
        owned = tuple(registered[name][1] for name in sorted(registered))
        if owned != self._owned:
            self._owned = owned

    def _rounds(self, now: float) -> list[Layer2Effect]:
        """Return the gratuitous frames that are due, as many as one go may have."""
        effects: list[Layer2Effect] = []
        for text, index in self._bursts.due(self._table.book, now):
            address = self._table.book.get(text)
            if address is not None and text not in self._left_with:
                effects += self._table.round(address, index)
        return effects

    def _note(self, now: float, what: str) -> None:
        self.story.append((now, what))

    def validate(self) -> None:
        """Assert that owners, tables, counts and groups are exactly what the facts demand."""
        owned = self._ownership.owned()
        assert self._table.registered == owned
        assert self._owned == tuple(owned[name][1] for name in sorted(owned))
        assert all(text in self._table.book for text in self._left_with)
        assert self.left_with <= self._left
        self._table.validate()
        self._answerer.watch.validate()


def _is_news(before: Interface, after: Interface) -> bool:
    """Whether the neighbours on a link must be told again who we are."""
    has_carrier_again = after.is_running and not before.is_running
    is_moved = before.mac != after.mac or before.notices != after.notices
    return has_carrier_again or is_moved or before.link_local != after.link_local
