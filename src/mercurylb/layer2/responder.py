"""The machine that decides what this node answers for, and answers.

Facts: the services somebody wants announced, each with a ranking of nodes; the nodes that are
alive; the interfaces. From these follow, whenever one of them changes:

* **ownership**: a service belongs to the first live node of its ranking, and to nobody before the
  first live nodes are known;
* **addresses**: the union over the owned services, counted, so that two services that share an
  address are one answer and the address stays when one of them goes. An address is answered on an
  interface if *any* of its services allows it;
* **answer tables**: per interface, target address → what the reply starts with;
* **groups**: every solicited-node group of an announced IPv6 address is joined on every interface
  with NDP, also on one that appears later, and left when its last address goes.

The invariant that `validate` states: all of these are functions of the facts, never of the path by
which the facts came.

The hot path is `answer_arp`: the kernel filter has dropped what is not asked of us, one dictionary
lookup finds the template, one concatenation makes the reply.

What it does not do: it opens nothing, knows neither Kubernetes nor how liveness is found out, and
does not defend addresses against foreign claims.
"""

from __future__ import annotations

import collections
import ipaddress
from typing import TYPE_CHECKING, Protocol

import msgspec

from mercurylb.layer2 import arp, ndp
from mercurylb.layer2.burst import BurstSchedule
from mercurylb.layer2.drop import Drop
from mercurylb.layer2.effect import (
    ChangeFilter,
    CloseInterface,
    JoinGroup,
    Layer2Effect,
    LeaveGroup,
    OpenInterface,
    SendFrame,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mercurylb.layer2.interface import Interface, NodeInterfaces

STORY_MAX = 64
_IPV4_SIZE = 4


class RankedService(Protocol):
    """A service to be announced by whichever candidate is the first alive."""

    @property
    def service(self) -> str:
        """`namespace/name`."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Load-balancer IPs in canonical text."""

    @property
    def ranking(self) -> tuple[str, ...]:
        """Candidate nodes, best first."""

    @property
    def interfaces(self) -> tuple[str, ...] | None:
        """Names of the interfaces to answer on; None means all."""


class OwnedAddresses(msgspec.Struct, frozen=True):
    """What this node announces for one service."""

    service: str
    addresses: tuple[str, ...]
    skipped: tuple[str, ...]
    """Those that none of the chosen interfaces of this node can carry."""


class FrameCounts(msgspec.Struct, frozen=True):
    """Frames per address since the machine was made."""

    address: str
    requests_received: int
    responses_sent: int
    gratuitous_sent: int


class _Counter:
    __slots__ = ("gratuitous", "requests", "responses")

    def __init__(self) -> None:
        self.requests = 0
        self.responses = 0
        self.gratuitous = 0


class _Address:
    """An announced address and the services that want it."""

    __slots__ = ("counter", "packed", "services", "text")

    def __init__(self, text: str, packed: bytes, counter: _Counter) -> None:
        self.text = text
        self.packed = packed
        self.counter = counter
        self.services: dict[str, frozenset[str] | None] = {}

    def is_on(self, interface: str) -> bool:
        return any(names is None or interface in names for names in self.services.values())


class _Port:
    """An open interface with its answer tables."""

    __slots__ = ("arp", "groups", "interface", "ndp")

    def __init__(self, interface: Interface) -> None:
        self.interface = interface
        self.arp: dict[bytes, tuple[bytes, _Counter]] = {}
        self.ndp: dict[bytes, _Counter] = {}
        self.groups: set[bytes] = set()


class Responder:
    """Answer for the addresses of the services this node owns."""

    def __init__(self, node: str, *, periodic_interval_s: float = 0.0, now: float = 0.0) -> None:
        self._node = node
        self._services: dict[str, RankedService] = {}
        self._live: frozenset[str] | None = frozenset()
        self._names: tuple[str, ...] = ()
        self._ports: dict[int, _Port] = {}
        self._owned: dict[str, OwnedAddresses] = {}
        self._announced_as: dict[str, RankedService] = {}
        self._addresses: dict[str, _Address] = {}
        self._by_packed: dict[bytes, _Address] = {}
        self._counters: dict[str, _Counter] = {}
        self._groups: dict[bytes, set[str]] = {}
        self._bursts = BurstSchedule(periodic_interval_s, now)
        self._stale_filters: set[int] = set()
        self.drops: collections.Counter[Drop] = collections.Counter()
        self.story: collections.deque[tuple[float, str]] = collections.deque(maxlen=STORY_MAX)

    # --- what it knows -----------------------------------------------------------------------

    @property
    def owned(self) -> tuple[OwnedAddresses, ...]:
        """Return the services announced from here, by name."""
        return tuple(self._owned[name] for name in sorted(self._owned))

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the distinct addresses announced from here, sorted."""
        return tuple(sorted(self._addresses))

    @property
    def interface_names(self) -> tuple[str, ...]:
        """Return the names of the node's interfaces that are not excluded."""
        return self._names

    def counts(self) -> tuple[FrameCounts, ...]:
        """Return the counters of every address announced so far, sorted by address."""
        return tuple(
            FrameCounts(text, counter.requests, counter.responses, counter.gratuitous)
            for text, counter in sorted(self._counters.items())
        )

    # --- facts -------------------------------------------------------------------------------

    def on_desired(self, services: Sequence[RankedService], now: float) -> list[Layer2Effect]:
        """Take over the whole list of services, which replaces the one before."""
        self._services = {service.service: service for service in services}
        self._note(now, f"desired: {len(self._services)} services")
        return self._settle(now)

    def on_live(self, nodes: Iterable[str] | None, now: float) -> list[Layer2Effect]:
        """Take over the set of nodes that are alive; None means that all are."""
        self._live = None if nodes is None else frozenset(nodes)
        shown = "all" if self._live is None else ",".join(sorted(self._live))
        self._note(now, f"live: {shown}")
        return self._settle(now)

    def on_interfaces(self, found: NodeInterfaces, now: float) -> list[Layer2Effect]:
        """Take over the node's interfaces.

        What appears, changes its addresses or gets its carrier back is announced on at once.
        """
        self._names = found.names
        wanted = {interface.index: interface for interface in found.interfaces}
        effects: list[Layer2Effect] = []
        for index in sorted(self._ports):
            before, after = self._ports[index].interface, wanted.get(index)
            if after is None or after.name != before.name:
                del self._ports[index]
                effects.append(CloseInterface(index))
                self._note(now, f"interface {before.name} closed")
        refreshed: list[_Port] = []
        for index, interface in wanted.items():
            port = self._ports.get(index)
            if port is not None and port.interface == interface:
                continue
            is_worth_telling = port is None or _is_news(port.interface, interface)
            if port is None or _needs_sockets(port.interface, interface):
                if port is not None:
                    effects.append(CloseInterface(index))
                port = self._ports[index] = _Port(interface)
                effects.append(OpenInterface(interface))
                self._note(now, f"interface {interface.name} opened")
            port.interface = interface
            effects += self._fill(port)
            if is_worth_telling:
                refreshed.append(port)
        effects += self._settle(now)
        for port in refreshed:
            effects += self._tell(port, now)
        return effects

    def on_frame(self, interface: int, frame: bytes, now: float) -> list[Layer2Effect]:
        """Answer one received frame of either protocol."""
        del now
        answer = self.answer_arp if frame[12:14] == arp.ETHERTYPE else self.answer_ndp
        reply = answer(interface, frame)
        return [] if isinstance(reply, Drop) else [SendFrame(interface, reply)]

    def refresh(self, now: float) -> list[Layer2Effect]:
        """Send a round of every announced address at once: somebody else may have answered."""
        effects: list[Layer2Effect] = []
        for address in list(self._addresses.values()):
            self._bursts.trigger(address.text, now)
            effects += self._round(address)
        self._note(now, "all addresses refreshed")
        return effects

    def next_deadline(self) -> float | None:
        """Return when the next gratuitous round is due."""
        return self._bursts.next_deadline()

    def on_deadline(self, now: float) -> list[Layer2Effect]:
        """Send the gratuitous rounds that are due."""
        effects: list[Layer2Effect] = []
        for text in self._bursts.due(self._addresses, now):
            if text in self._addresses:
                effects += self._round(self._addresses[text])
        return effects

    # --- the hot path ------------------------------------------------------------------------

    def answer_arp(self, interface: int, frame: bytes) -> bytes | Drop:
        """Return the reply to a frame of ethertype 0806, or why there is none."""
        port = self._ports.get(interface)
        if port is None:
            return self._drop(Drop.NOT_MATCHING_INTERFACE)
        drop = arp.check_request(frame, port.interface.mac)
        if drop is not None:
            return self._drop(drop)
        answer = port.arp.get(frame[38:42])
        if answer is None:
            return self._drop(self._why_not(frame[38:42]))
        template, counter = answer
        counter.requests += 1
        counter.responses += 1
        return arp.reply(frame, template)

    def answer_ndp(self, interface: int, frame: bytes) -> bytes | Drop:
        """Return the reply to a frame of ethertype 86dd, or why there is none."""
        port = self._ports.get(interface)
        link_local = None if port is None else port.interface.link_local
        if port is None or link_local is None:
            return self._drop(Drop.NOT_MATCHING_INTERFACE)
        solicitation = ndp.check_solicitation(frame, link_local)
        if isinstance(solicitation, Drop):
            return self._drop(solicitation)
        counter = port.ndp.get(solicitation.target)
        if counter is None:
            return self._drop(self._why_not(solicitation.target))
        counter.requests += 1
        counter.responses += 1
        return ndp.reply(solicitation, mac=port.interface.mac, link_local=link_local)

    def _drop(self, reason: Drop) -> Drop:
        self.drops[reason] += 1
        return reason

    def _why_not(self, packed: bytes) -> Drop:
        return Drop.NOT_MATCHING_INTERFACE if packed in self._by_packed else Drop.ANNOUNCE_IP

    # --- from facts to answers ---------------------------------------------------------------

    def _settle(self, now: float) -> list[Layer2Effect]:
        """Bring everything that follows from the facts up to date.

        Kernel state comes before the frames that invite requests, and withdrawals come first.
        """
        effects: list[Layer2Effect] = []
        triggered: dict[str, None] = {}
        wanted = {name: service for name, service in self._services.items() if self._owns(service)}
        for name in [name for name in self._owned if name not in wanted]:
            effects += self._withdraw(name, now)
        for name, service in wanted.items():
            carried = self._carried(service)
            known = self._owned.get(name)
            if known is not None and known.addresses == service.addresses:
                if self._announced_as[name] == service and known == carried:
                    continue
            elif known is not None:
                effects += self._withdraw(name, now)
            effects += self._register(service, carried, now)
            triggered |= dict.fromkeys(a for a in carried.addresses if a not in carried.skipped)
        effects += self._filters()
        for text in triggered:
            if self._bursts.trigger(text, now):
                effects += self._round(self._addresses[text])
        return effects

    def _owns(self, service: RankedService) -> bool:
        if self._live is None:
            return service.ranking[:1] == (self._node,)
        if self._node not in self._live:
            return False
        first = next((node for node in service.ranking if node in self._live), None)
        return first == self._node

    def _carried(self, service: RankedService) -> OwnedAddresses:
        chosen = service.interfaces
        is_carried = chosen is None or any(name in self._names for name in chosen)
        return OwnedAddresses(
            service.service, service.addresses, () if is_carried else service.addresses
        )

    def _register(
        self, service: RankedService, carried: OwnedAddresses, now: float
    ) -> list[Layer2Effect]:
        if service.service not in self._owned:
            self._note(now, f"announce {service.service}")
        self._owned[service.service] = carried
        self._announced_as[service.service] = service
        interfaces = None if service.interfaces is None else frozenset(service.interfaces)
        effects: list[Layer2Effect] = []
        for text in service.addresses:
            if text in carried.skipped:
                effects += self._release(service.service, text)
                continue
            address = self._addresses.get(text)
            if address is None:
                packed = ipaddress.ip_address(text).packed
                counter = self._counters.setdefault(text, _Counter())
                address = self._addresses[text] = _Address(text, packed, counter)
                self._by_packed[packed] = address
                effects += self._join(address)
            address.services[service.service] = interfaces
            self._place(address)
        return effects

    def _withdraw(self, name: str, now: float) -> list[Layer2Effect]:
        self._note(now, f"withdraw {name}")
        del self._announced_as[name]
        effects: list[Layer2Effect] = []
        for text in self._owned.pop(name).addresses:
            effects += self._release(name, text)
        return effects

    def _release(self, name: str, text: str) -> list[Layer2Effect]:
        """Take one service off an address; the last one takes the address along."""
        address = self._addresses.get(text)
        if address is None or address.services.pop(name, False) is False:
            return []
        if address.services:
            self._place(address)
            return []
        del self._addresses[text]
        del self._by_packed[address.packed]
        self._bursts.forget(text)
        for port in self._ports.values():
            if port.arp.pop(address.packed, None) or port.ndp.pop(address.packed, None):
                self._stale_filters.add(port.interface.index)
        return self._leave(address)

    def _place(self, address: _Address) -> None:
        """Enter an address into the answer tables of the interfaces that carry it."""
        for port in self._ports.values():
            if self._place_on(port, address):
                self._stale_filters.add(port.interface.index)

    def _place_on(self, port: _Port, address: _Address) -> bool:
        """Return whether the set of answered targets changed."""
        interface, packed = port.interface, address.packed
        is_ipv4 = len(packed) == _IPV4_SIZE
        can_carry = interface.has_arp if is_ipv4 else interface.link_local is not None
        if not can_carry or not address.is_on(interface.name):
            return (port.arp if is_ipv4 else port.ndp).pop(packed, None) is not None
        if is_ipv4:
            is_new = packed not in port.arp
            port.arp[packed] = arp.reply_template(interface.mac, packed), address.counter
        else:
            is_new = packed not in port.ndp
            port.ndp[packed] = address.counter
        return is_new

    def _fill(self, port: _Port) -> list[Layer2Effect]:
        """Make the tables and groups of a new or changed interface."""
        port.arp.clear()
        port.ndp.clear()
        for address in self._addresses.values():
            self._place_on(port, address)
        self._stale_filters.add(port.interface.index)
        effects: list[Layer2Effect] = []
        if port.interface.link_local is not None:
            for group in self._groups:
                effects += _join_on(port, group)
        return effects

    def _join(self, address: _Address) -> list[Layer2Effect]:
        if len(address.packed) == _IPV4_SIZE:
            return []
        group = ndp.solicited_node_group(address.packed)
        self._groups.setdefault(group, set()).add(address.text)
        effects: list[Layer2Effect] = []
        for port in self._ports.values():
            if port.interface.link_local is not None:
                effects += _join_on(port, group)
        return effects

    def _leave(self, address: _Address) -> list[Layer2Effect]:
        if len(address.packed) == _IPV4_SIZE:
            return []
        group = ndp.solicited_node_group(address.packed)
        self._groups[group].discard(address.text)
        if self._groups[group]:
            return []
        del self._groups[group]
        effects: list[Layer2Effect] = []
        for port in self._ports.values():
            if group in port.groups:
                port.groups.discard(group)
                effects.append(LeaveGroup(port.interface.index, group))
        return effects

    def _filters(self) -> list[Layer2Effect]:
        stale, self._stale_filters = sorted(self._stale_filters), set()
        return [
            ChangeFilter(index, tuple(sorted(port.arp)), tuple(sorted(port.ndp)))
            for index in stale
            if (port := self._ports.get(index)) is not None
        ]

    def _round(self, address: _Address) -> list[Layer2Effect]:
        """Return the gratuitous frames of an address, on each interface that carries it."""
        effects: list[Layer2Effect] = []
        for port in self._ports.values():
            effects += _gratuitous(port, address)
        return effects

    def _tell(self, port: _Port, now: float) -> list[Layer2Effect]:
        """Announce every address on one interface whose neighbours cannot know us yet."""
        effects: list[Layer2Effect] = []
        for address in self._addresses.values():
            if address.packed in port.arp or address.packed in port.ndp:
                self._bursts.trigger(address.text, now)
                effects += _gratuitous(port, address)
        return effects

    def _note(self, now: float, what: str) -> None:
        self.story.append((now, what))

    # --- invariants --------------------------------------------------------------------------

    def validate(self) -> None:
        """Assert that tables, counts and groups are exactly what the facts demand."""
        expected: dict[str, set[str]] = {}
        for name, service in self._services.items():
            assert (name in self._owned) == self._owns(service), name
            if name in self._owned:
                owned = self._owned[name]
                assert owned == self._carried(service), name
                for text in owned.addresses:
                    if text not in owned.skipped:
                        expected.setdefault(text, set()).add(name)
        assert set(self._owned) <= set(self._services)
        assert {text: set(a.services) for text, a in self._addresses.items()} == expected
        assert {a.packed for a in self._addresses.values()} == set(self._by_packed)
        groups = {
            ndp.solicited_node_group(a.packed)
            for a in self._addresses.values()
            if len(a.packed) != _IPV4_SIZE
        }
        assert groups == set(self._groups)
        for port in self._ports.values():
            self._validate_port(port, groups)

    def _validate_port(self, port: _Port, groups: set[bytes]) -> None:
        interface = port.interface
        on = {a.packed for a in self._addresses.values() if a.is_on(interface.name)}
        ipv4 = {packed for packed in on if len(packed) == _IPV4_SIZE}
        assert set(port.arp) == (ipv4 if interface.has_arp else set())
        assert set(port.ndp) == (on - ipv4 if interface.link_local is not None else set())
        assert port.groups == (groups if interface.link_local is not None else set())


def _gratuitous(port: _Port, address: _Address) -> list[Layer2Effect]:
    interface = port.interface
    frames: tuple[bytes, ...] = ()
    if address.packed in port.arp:
        frames = arp.gratuitous(interface.mac, address.packed)
    elif address.packed in port.ndp and interface.link_local is not None:
        frames = (
            ndp.unsolicited(
                mac=interface.mac, link_local=interface.link_local, target=address.packed
            ),
        )
    address.counter.gratuitous += len(frames)
    return [SendFrame(interface.index, frame) for frame in frames]


def _join_on(port: _Port, group: bytes) -> list[Layer2Effect]:
    if group in port.groups:
        return []
    port.groups.add(group)
    return [JoinGroup(port.interface.index, group)]


def _is_news(before: Interface, after: Interface) -> bool:
    """Whether the neighbours on a link must be told again who we are."""
    has_carrier_again = after.is_running and not before.is_running
    return has_carrier_again or before.mac != after.mac or before.link_local != after.link_local


def _needs_sockets(before: Interface, after: Interface) -> bool:
    """Whether the protocols spoken on an interface changed, so that it must be opened again."""
    return before.has_arp != after.has_arp or (before.link_local is None) != (
        after.link_local is None
    )
