"""The machine that decides what this node answers for, and answers.

Facts: the services somebody wants announced, the nodes that are alive and what they are unable for,
the interfaces, the MAC addresses of members, the frames that come in. What follows from them has a
part of its own each, and this machine keeps them in step:

* `ownership`: whose a service is;
* `address`: the announced addresses with the services that want them;
* `port`: per interface the answer tables, and the joined groups;
* `burst`: when gratuitous rounds are sent;
* `conflict`: who else claims an address.

The invariant that `validate` states: owners, addresses, tables and groups are functions of the
facts, never of the path by which the facts came.

The hot path is `answer_arp`: the kernel filter has dropped what is not asked of us, one dictionary
lookup finds the template, one concatenation makes the reply. It takes no time of day, so what needs
one, a claim or a probe for a duplicate address, is handed back as `Drop.CLAIM` and belongs into
`on_claim`.

What it does not do: it opens nothing, knows neither Kubernetes nor how liveness is found out, and
never gives an address up because of a frame.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from mercurylb.errors import WireError
from mercurylb.layer2 import arp, ndp
from mercurylb.layer2.address import Address, AddressBook, FrameCounts
from mercurylb.layer2.burst import BurstSchedule
from mercurylb.layer2.conflict import Claim, Claimant, Conflict, ConflictWatch
from mercurylb.layer2.drop import Drop
from mercurylb.layer2.effect import CloseInterface, ConflictFound, OpenInterface, SendFrame
from mercurylb.layer2.ownership import OwnedAddresses, Ownership, RankedService
from mercurylb.layer2.port import Port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from mercurylb.layer2.ability import Unable
    from mercurylb.layer2.effect import Layer2Effect
    from mercurylb.layer2.interface import Interface, NodeInterfaces

__all__ = ["FrameCounts", "OwnedAddresses", "RankedService", "Responder"]

STORY_MAX = 64
MACS_MAX = 32
"""MAC addresses told to other members: their notes are bounded."""

_NOBODY: Mapping[str, Unable] = {}


class Responder:
    """Answer for the addresses of the services this node owns."""

    def __init__(self, node: str, *, periodic_interval_s: float = 0.0, now: float = 0.0) -> None:
        self._ownership = Ownership(node)
        self._book = AddressBook()
        self._ports: dict[int, Port] = {}
        self._bursts = BurstSchedule(periodic_interval_s, now)
        self._conflicts = ConflictWatch()
        self._names: tuple[str, ...] = ()
        self._own_macs: frozenset[bytes] = frozenset()
        self._registered: dict[str, tuple[RankedService, OwnedAddresses]] = {}
        self._owned: tuple[OwnedAddresses, ...] = ()
        self._groups: dict[bytes, set[str]] = {}
        self._stale_filters: set[int] = set()
        self.drops: collections.Counter[Drop] = collections.Counter()
        self.story: collections.deque[tuple[float, str]] = collections.deque(maxlen=STORY_MAX)

    # --- what it knows -----------------------------------------------------------------------

    @property
    def owned(self) -> tuple[OwnedAddresses, ...]:
        """Return the services announced from here, by name; the same object until it changes."""
        return self._owned

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the distinct addresses announced from here, sorted."""
        return self._book.texts()

    @property
    def interface_names(self) -> tuple[str, ...]:
        """Return the names of the node's interfaces that are not excluded."""
        return self._names

    @property
    def macs(self) -> tuple[bytes, ...]:
        """Return the MAC addresses that announcements leave with, sorted, at most `MACS_MAX`."""
        return tuple(sorted({port.interface.mac for port in self._ports.values()})[:MACS_MAX])

    @property
    def unable(self) -> Unable:
        """Return the services that this node cannot carry, for the other nodes to know."""
        return self._ownership.unable

    def counts(self) -> tuple[FrameCounts, ...]:
        """Return the counters of every address announced so far, sorted by address."""
        return self._book.counts()

    def conflicts(self, now: float) -> tuple[Conflict, ...]:
        """Return who claimed our addresses in the last hours, the latest claim first; bounded."""
        return self._conflicts.conflicts(now)

    # --- facts -------------------------------------------------------------------------------

    def on_desired(self, services: Sequence[RankedService], now: float) -> list[Layer2Effect]:
        """Take over the whole list of services, which replaces the one before."""
        self._ownership.on_desired(services)
        self._note(now, f"desired: {len(services)} services")
        return self._settle(now)

    def on_live(
        self,
        nodes: AbstractSet[str] | None,
        now: float,
        *,
        unable: Mapping[str, Unable] = _NOBODY,
    ) -> list[Layer2Effect]:
        """Take over which nodes are alive, None for all, and what each says it cannot carry."""
        self._ownership.on_live(nodes, unable)
        self._note(now, "live: all" if nodes is None else f"live: {' '.join(sorted(nodes))}")
        return self._settle(now)

    def on_interfaces(self, found: NodeInterfaces, now: float) -> list[Layer2Effect]:
        """Take over the node's interfaces; those that are new, changed or back are told about."""
        effects: list[Layer2Effect] = []
        self._names = found.names
        self._own_macs = found.macs | {interface.mac for interface in found.interfaces}
        self._ownership.on_interfaces(found, now)
        present = {interface.index for interface in found.interfaces}
        for index in [index for index in self._ports if index not in present]:
            effects.append(CloseInterface(index))
            self._note(now, f"interface {self._ports.pop(index).interface.name} closed")
        refreshed: list[Port] = []
        for interface in found.interfaces:
            before = self._ports.get(interface.index)
            if before is not None and before.interface == interface:
                continue
            is_news = before is None or _is_news(before.interface, interface)
            port, opened = self._take_interface(before, interface, now)
            effects += opened
            if is_news:
                refreshed.append(port)
        effects += self._settle(now)
        for port in refreshed:
            effects += self._tell(port, now)
        return effects

    def on_member_macs(
        self, macs: Mapping[bytes, str], now: float, *, has_unknown_members: bool = False
    ) -> list[Layer2Effect]:
        """Take over which member has which MAC address, and whether some do not tell theirs."""
        self._conflicts.on_members(macs, has_unknown=has_unknown_members)
        self._note(now, f"{len(macs)} MAC addresses of members")
        return []

    def on_frame(self, interface: int, frame: bytes, now: float) -> list[Layer2Effect]:
        """Answer one received frame of either protocol."""
        answer = self.answer_arp if frame[12:14] == arp.ETHERTYPE else self.answer_ndp
        reply = answer(interface, frame)
        if reply is Drop.CLAIM:
            return self.on_claim(interface, frame, now)
        return [] if isinstance(reply, Drop) else [SendFrame(interface, reply)]

    def on_claim(self, interface: int, frame: bytes, now: float) -> list[Layer2Effect]:
        """Look at a frame for which the hot path said `Drop.CLAIM`, and answer it if it asks."""
        port = self._ports.get(interface)
        if port is None:
            return []
        is_arp = frame[12:14] == arp.ETHERTYPE
        effects: list[Layer2Effect] = []
        if is_arp and arp.check_request(frame, port.interface.mac) is None:
            effects += _sent(interface, self._reply_arp(port, frame))
        if self._conflicts.is_deaf:
            return effects
        if not self._conflicts.admit(now):
            self._note(now, "too many claims")
            self._stale_filters.update(self._ports)
            return effects + self._filters()
        return effects + (self._claim_arp if is_arp else self._claim_ndp)(port, frame, now)

    def refresh(self, now: float) -> list[Layer2Effect]:
        """Send a round of every announced address at once: somebody else may have answered."""
        effects: list[Layer2Effect] = []
        for address in self._book.all():
            self._bursts.trigger(address.text, now)
            effects += self._round(address)
        self._note(now, "all addresses refreshed")
        return effects

    def next_deadline(self) -> float | None:
        """Return when the next gratuitous round or change of mind is due."""
        parts = (self._bursts, self._ownership, self._conflicts)
        deadlines = [at for part in parts if (at := part.next_deadline()) is not None]
        return min(deadlines, default=None)

    def on_deadline(self, now: float) -> list[Layer2Effect]:
        """Do what is due: gratuitous rounds, services this node is able for again."""
        effects: list[Layer2Effect] = []
        able_at = self._ownership.next_deadline()
        if able_at is not None and now >= able_at:
            self._ownership.on_deadline(now)
            effects += self._settle(now)
        if self._conflicts.on_deadline(now):
            self._stale_filters.update(self._ports)
            effects += self._filters()
        for text in self._bursts.due(self._book.texts(), now):
            address = self._book.get(text)
            if address is not None:
                effects += self._round(address)
        return effects

    # --- the hot path ------------------------------------------------------------------------

    def answer_arp(self, interface: int, frame: bytes) -> bytes | Drop:
        """Return the reply to a frame of ethertype 0806, or why there is none."""
        port = self._ports.get(interface)
        if port is None:
            return self._drop(Drop.NOT_MATCHING_INTERFACE)
        drop = arp.check_request(frame, port.interface.mac)
        if drop is not Drop.MALFORMED and frame[28:32] in port.arp:
            claim = self._is_claim(frame[22:28])
            if claim is not None:
                return self._drop(claim)
        if drop is not None:
            return self._drop(drop)
        return self._reply_arp(port, frame)

    def answer_ndp(self, interface: int, frame: bytes) -> bytes | Drop:
        """Return the reply to a frame of ethertype 86dd, or why there is none."""
        port = self._ports.get(interface)
        link_local = None if port is None else port.interface.link_local
        if port is None or link_local is None:
            return self._drop(Drop.NOT_MATCHING_INTERFACE)
        asked = ndp.check_solicitation(frame, link_local)
        if isinstance(asked, Drop):
            return self._unanswered(port, frame, asked)
        if asked.source in port.ndp:
            claim = self._is_claim(asked.source_mac)
            if claim is not None:
                return self._drop(claim)
        return self._reply_ndp(port, asked)

    def _reply_arp(self, port: Port, frame: bytes) -> bytes | Drop:
        answer = port.arp.get(frame[38:42])
        if answer is None:
            return self._drop(self._why_not(frame[38:42]))
        template, counter = answer
        counter.requests += 1
        counter.responses += 1
        return arp.reply(frame, template)

    def _reply_ndp(self, port: Port, asked: ndp.Solicitation) -> bytes | Drop:
        counter = port.ndp.get(asked.target)
        link_local = port.interface.link_local
        if counter is None or link_local is None:
            return self._drop(self._why_not(asked.target))
        counter.requests += 1
        counter.responses += 1
        return ndp.reply(asked, mac=port.interface.mac, link_local=link_local)

    def _unanswered(self, port: Port, frame: bytes, drop: Drop) -> Drop:
        """Count a frame that is no request; probes and advertisements of ours want a look."""
        self.drops[drop] += 1
        is_probe = drop is Drop.NO_SOURCE_LL and frame[22:38] == ndp.UNSPECIFIED
        is_advertisement = drop is Drop.MESSAGE_TYPE and frame[54] == ndp.ADVERTISEMENT
        if not (is_probe or is_advertisement) or frame[62:78] not in port.ndp:
            return drop
        claim = self._is_claim(frame[6:12])
        return drop if claim is None else claim

    def _is_claim(self, mac: bytes) -> Drop | None:
        """Say what a frame that speaks for an announced address is; None when not to look at it."""
        if mac in self._own_macs:
            return Drop.OWN_MESSAGE
        if self._conflicts.is_deaf:
            self.drops[Drop.CLAIM_FLOOD] += 1
            return None
        return Drop.CLAIM

    def _drop(self, reason: Drop) -> Drop:
        self.drops[reason] += 1
        return reason

    def _why_not(self, packed: bytes) -> Drop:
        is_elsewhere = self._book.find(packed) is not None
        return Drop.NOT_MATCHING_INTERFACE if is_elsewhere else Drop.ANNOUNCE_IP

    # --- claims ------------------------------------------------------------------------------

    def _claim_arp(self, port: Port, frame: bytes, now: float) -> list[Layer2Effect]:
        packet = arp.decode(frame)
        return self._judge(port, packet.sender_ip, packet.sender_mac, now)

    def _claim_ndp(self, port: Port, frame: bytes, now: float) -> list[Layer2Effect]:
        """Judge an advertisement, answer a probe for a duplicate address, or do both for a source.

        Probes are answered to all nodes, as RFC 4861 §7.2.4 wants it; they claim nothing.
        """
        link_local = port.interface.link_local
        if link_local is None:
            return []
        asked = ndp.check_solicitation(frame, link_local)
        if isinstance(asked, ndp.Solicitation):
            effects = _sent(port.interface.index, self._reply_ndp(port, asked))
            mac = asked.source_link_layer or asked.source_mac
            return effects + self._judge(port, asked.source, mac, now)
        if asked is Drop.NO_SOURCE_LL:
            address = self._book.find(frame[62:78])
            return [] if address is None else [*port.round(address)]
        try:
            heard = ndp.decode_advertisement(frame)
        except WireError:
            self.drops[Drop.MALFORMED] += 1
            return []
        return self._judge(port, heard.target, heard.target_link_layer or heard.source_mac, now)

    def _judge(self, port: Port, packed: bytes, mac: bytes, now: float) -> list[Layer2Effect]:
        address = self._book.find(packed)
        if address is None or not port.carries(address) or mac in self._own_macs:
            return []
        claim = Claim(port.interface.name, address.text, mac)
        verdict = self._conflicts.judge(claim, now, yields=self._yields(address, mac))
        effects: list[Layer2Effect] = []
        if verdict.is_defended:
            is_member = verdict.claimant is Claimant.MEMBER
            effects += port.round(address) if is_member else port.defence(address)
        if verdict.told is not None:
            is_stranger = verdict.claimant is Claimant.STRANGER
            effects.append(ConflictFound(verdict.told, is_stranger=is_stranger))
            self._note(now, f"{address.text} claimed by {verdict.told.mac}")
        return effects

    def _yields(self, address: Address, mac: bytes) -> bool:
        """Return whether a member stands before this node for everything that wants an address."""
        node = self._conflicts.member_of(mac)
        services = [self._registered[name][0] for name in address.services]
        return bool(node) and not any(self._ownership.precedes(s, node) for s in services)

    # --- from facts to answers ---------------------------------------------------------------

    def _settle(self, now: float) -> list[Layer2Effect]:
        """Bring everything that follows from the facts up to date.

        Kernel state comes before the frames that invite requests, and withdrawals come first.
        """
        effects: list[Layer2Effect] = []
        triggered: dict[str, None] = {}
        owned = self._ownership.owned()
        for name in [name for name in self._registered if name not in owned]:
            effects += self._release(name, self._registered[name][1].addresses)
            del self._registered[name]
            self._note(now, f"withdraw {name}")
        for name, (service, carried) in owned.items():
            if self._registered.get(name) != (service, carried):
                effects += self._register(service, carried, now)
                triggered |= dict.fromkeys(a for a in carried.addresses if a not in carried.skipped)
        effects += self._filters()
        for text in triggered:
            address = self._book.get(text)
            if self._bursts.trigger(text, now) and address is not None:
                effects += self._round(address)
        self._remember_owned()
        return effects

    def _remember_owned(self) -> None:
        owned = tuple(self._registered[name][1] for name in sorted(self._registered))
        if owned != self._owned:
            self._owned = owned

    def _register(
        self, service: RankedService, carried: OwnedAddresses, now: float
    ) -> list[Layer2Effect]:
        name = service.service
        effects: list[Layer2Effect] = []
        before = self._registered.get(name)
        if before is None:
            self._note(now, f"announce {name}")
        else:
            wanted = [text for text in carried.addresses if text not in carried.skipped]
            effects += self._release(name, [a for a in before[1].addresses if a not in wanted])
        self._registered[name] = service, carried
        interfaces = None if service.interfaces is None else frozenset(service.interfaces)
        for text in carried.addresses:
            if text not in carried.skipped:
                is_new = self._book.get(text) is None
                address = self._book.want(text, name, interfaces)
                self._place(address)
                if is_new:
                    effects += self._join(address)
        return effects

    def _release(self, name: str, texts: Sequence[str]) -> list[Layer2Effect]:
        """Take one service off some addresses; the last one takes an address along."""
        effects: list[Layer2Effect] = []
        for text in texts:
            address = self._book.release(text, name)
            if address is None:
                continue
            self._place(address)
            if not address.services:
                self._bursts.forget(text)
                effects += self._leave(address)
        return effects

    def _place(self, address: Address) -> None:
        """Enter an address into the answer tables of the interfaces that carry it, and no others."""
        for index, port in self._ports.items():
            if port.place(address):
                self._stale_filters.add(index)

    def _join(self, address: Address) -> list[Layer2Effect]:
        if address.is_ipv4:
            return []
        group = ndp.solicited_node_group(address.packed)
        self._groups.setdefault(group, set()).add(address.text)
        return [effect for port in self._ports.values() for effect in port.join(group)]

    def _leave(self, address: Address) -> list[Layer2Effect]:
        if address.is_ipv4:
            return []
        group = ndp.solicited_node_group(address.packed)
        self._groups[group].discard(address.text)
        if self._groups[group]:
            return []
        del self._groups[group]
        return [effect for port in self._ports.values() for effect in port.leave(group)]

    def _take_interface(
        self, port: Port | None, interface: Interface, now: float
    ) -> tuple[Port, list[Layer2Effect]]:
        """Open, open again, or change an interface, and make its tables and groups."""
        effects: list[Layer2Effect] = []
        if port is None or _needs_sockets(port.interface, interface):
            if port is not None:
                effects.append(CloseInterface(interface.index))
            port = self._ports[interface.index] = Port(interface)
            effects.append(OpenInterface(interface))
            self._note(now, f"interface {interface.name} opened")
        port.interface = interface
        port.fill(self._book.all())
        self._stale_filters.add(interface.index)
        effects += [effect for group in self._groups for effect in port.join(group)]
        return port, effects

    def _filters(self) -> list[Layer2Effect]:
        stale, self._stale_filters = sorted(self._stale_filters), set()
        has_claims = not self._conflicts.is_deaf
        return [
            self._ports[index].filter(has_claims=has_claims)
            for index in stale
            if index in self._ports
        ]

    def _round(self, address: Address) -> list[Layer2Effect]:
        """Return the gratuitous frames of an address, on each interface that carries it."""
        return [effect for port in self._ports.values() for effect in port.round(address)]

    def _tell(self, port: Port, now: float) -> list[Layer2Effect]:
        """Announce every address on one interface whose neighbours cannot know us yet."""
        effects: list[Layer2Effect] = []
        for address in self._book.all():
            if port.carries(address):
                self._bursts.trigger(address.text, now)
                effects += port.round(address)
        return effects

    def _note(self, now: float, what: str) -> None:
        self.story.append((now, what))

    # --- invariants --------------------------------------------------------------------------

    def validate(self) -> None:
        """Assert that tables, counts and groups are exactly what the facts demand."""
        owned = self._ownership.owned()
        assert self._registered == owned
        assert self._owned == tuple(owned[name][1] for name in sorted(owned))
        expected: dict[str, set[str]] = {}
        for name, (_, carried) in owned.items():
            for text in carried.addresses:
                if text not in carried.skipped:
                    expected.setdefault(text, set()).add(name)
        self._book.validate(expected)
        addresses = self._book.all()
        groups = {ndp.solicited_node_group(a.packed) for a in addresses if not a.is_ipv4}
        assert groups == set(self._groups)
        for port in self._ports.values():
            port.validate(addresses, groups)
        self._conflicts.validate()


def _sent(interface: int, reply: bytes | Drop) -> list[Layer2Effect]:
    return [] if isinstance(reply, Drop) else [SendFrame(interface, reply)]


def _is_news(before: Interface, after: Interface) -> bool:
    """Whether the neighbours on a link must be told again who we are."""
    has_carrier_again = after.is_running and not before.is_running
    is_moved = before.mac != after.mac or before.notices != after.notices
    return has_carrier_again or is_moved or before.link_local != after.link_local


def _needs_sockets(before: Interface, after: Interface) -> bool:
    """Whether an interface must be opened again: other protocols, or another name."""
    if before.name != after.name:
        return True
    return before.has_arp != after.has_arp or (before.link_local is None) != (
        after.link_local is None
    )
