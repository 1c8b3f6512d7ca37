"""Everything announced from here, interface by interface: targets, groups and kernel filters.

What is registered decides which addresses there are, and each address and interface together decide
whether it is answered there. Kernel state follows by effects: groups are joined and left at once,
filters are collected and come with `filters`, one per interface that changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.layer2 import ndp
from mercurylb.layer2.address import Address, AddressBook
from mercurylb.layer2.effect import CloseInterface, Layer2Effect, OpenInterface
from mercurylb.layer2.port import Port

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.layer2.interface import Interface
    from mercurylb.layer2.ownership import OwnedAddresses, RankedService

Registered = tuple["RankedService", "OwnedAddresses"]


class AnnouncementTable:
    """Which addresses are announced on which interfaces, for which services."""

    def __init__(self) -> None:
        self.book = AddressBook()
        self.ports: dict[int, Port] = {}
        self.registered: dict[str, Registered] = {}
        """By the service's name: as it was wanted, and what of it is announced."""
        self._groups: dict[bytes, set[str]] = {}
        self._stale: set[int] = set()

    # --- services ----------------------------------------------------------------------------

    def register(self, service: RankedService, carried: OwnedAddresses) -> list[Layer2Effect]:
        """Announce a service, in place of what it announced before."""
        name = service.service
        wanted = [text for text in carried.addresses if text not in carried.skipped]
        effects: list[Layer2Effect] = []
        if name in self.registered:
            before = self.registered[name][1].addresses
            effects += self._release(name, [text for text in before if text not in wanted])
        self.registered[name] = service, carried
        interfaces = None if service.interfaces is None else frozenset(service.interfaces)
        for text in wanted:
            is_new = self.book.get(text) is None
            address = self.book.want(text, name, interfaces)
            self._place(address)
            if is_new:
                effects += self._join(address)
        return effects

    def withdraw(self, name: str) -> list[Layer2Effect]:
        """Announce a service no more."""
        _, carried = self.registered.pop(name)
        return self._release(name, carried.addresses)

    def services_of(self, address: Address) -> list[RankedService]:
        """Return the services that an address is announced for."""
        return [self.registered[name][0] for name in address.services]

    def _release(self, name: str, texts: Iterable[str]) -> list[Layer2Effect]:
        """Take one service off some addresses; the last one takes an address along."""
        effects: list[Layer2Effect] = []
        for text in texts:
            address = self.book.release(text, name)
            if address is not None:
                self._place(address)
                if not address.services:
                    effects += self._leave(address)
        return effects

    def _place(self, address: Address) -> None:
        """Enter an address where it is allowed, and remove it everywhere else."""
        for index, port in self.ports.items():
            if port.place(address):
                self._stale.add(index)

    def _join(self, address: Address) -> list[Layer2Effect]:
        if address.is_ipv4:
            return []
        group = ndp.solicited_node_group(address.packed)
        self._groups.setdefault(group, set()).add(address.text)
        return [effect for port in self.ports.values() for effect in port.join(group)]

    def _leave(self, address: Address) -> list[Layer2Effect]:
        if address.is_ipv4:
            return []
        group = ndp.solicited_node_group(address.packed)
        self._groups[group].discard(address.text)
        if self._groups[group]:
            return []
        del self._groups[group]
        return [effect for port in self.ports.values() for effect in port.leave(group)]

    # --- interfaces --------------------------------------------------------------------------

    def close(self, index: int) -> list[Layer2Effect]:
        """Forget an interface, and with it its groups and filter."""
        del self.ports[index]
        return [CloseInterface(index)]

    def take(self, interface: Interface) -> tuple[Port, list[Layer2Effect]]:
        """Open, open again, or change an interface, and make its targets and groups."""
        effects: list[Layer2Effect] = []
        port = self.ports.get(interface.index)
        if port is None or _needs_sockets(port.interface, interface):
            if port is not None:
                effects.append(CloseInterface(interface.index))
            port = self.ports[interface.index] = Port(interface)
            effects.append(OpenInterface(interface))
        port.interface = interface
        port.fill(self.book.all())
        self._stale.add(interface.index)
        effects += [effect for group in self._groups for effect in port.join(group)]
        return port, effects

    def filters(self, *, has_claims: bool, is_all: bool = False) -> list[Layer2Effect]:
        """Return the filters of the interfaces whose targets changed, or of all."""
        stale, self._stale = sorted(self.ports if is_all else self._stale), set()
        return [
            self.ports[index].filter(has_claims=has_claims)
            for index in stale
            if index in self.ports
        ]

    # --- frames ------------------------------------------------------------------------------

    def round(self, address: Address, index: int | None = None) -> list[Layer2Effect]:
        """Return the gratuitous frames of an address, on each interface that carries it, or one."""
        if index is not None:
            port = self.ports.get(index)
            return [] if port is None else [*port.round(address)]
        return [effect for port in self.ports.values() for effect in port.round(address)]

    def validate(self) -> None:
        """Assert that addresses, targets and groups follow from what is registered."""
        expected: dict[str, set[str]] = {}
        for name, (_, carried) in self.registered.items():
            for text in carried.addresses:
                if text not in carried.skipped:
                    expected.setdefault(text, set()).add(name)
        self.book.validate(expected)
        addresses = self.book.all()
        groups = {ndp.solicited_node_group(a.packed) for a in addresses if not a.is_ipv4}
        assert groups == set(self._groups)
        for port in self.ports.values():
            port.validate(addresses, groups)


def _needs_sockets(before: Interface, after: Interface) -> bool:
    """Whether an interface must be opened again: other protocols, or another name."""
    if before.name != after.name:
        return True
    return before.has_arp != after.has_arp or (before.link_local is None) != (
        after.link_local is None
    )
