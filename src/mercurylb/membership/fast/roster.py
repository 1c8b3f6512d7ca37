"""Whom the detector knows, whom it watches, and at whose door it knocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.fast.codec import Status
from mercurylb.membership.fast.contact import Contact
from mercurylb.membership.fast.ring import Rings

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTACTS_MAX = 1024
KNOCKS_MAX = 8
"""Dead nodes that one node goes on beating to."""


class Roster:
    """The other announcers, dead or alive; the live ones and we stand on the rings."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._contacts: dict[str, Contact] = {}
        self._by_address: dict[str, str] = {}
        self._dead: dict[str, Contact] = {}
        self._rings = Rings((node,))
        self.sequence_base = 0
        """No datagram to anybody forgotten, or to a stranger, had a greater sequence."""
        self.watched: list[Contact] = []
        self.knocked: list[Contact] = []

    def __iter__(self) -> Iterator[Contact]:
        return iter(self._contacts.values())

    def __len__(self) -> int:
        return len(self._contacts)

    def get(self, node: str) -> Contact | None:
        """Return a node by its name."""
        return self._contacts.get(node)

    def at(self, address: str) -> Contact | None:
        """Return the node that has an address."""
        return self._contacts.get(self._by_address.get(address, ""))

    def alive(self) -> list[str]:
        """Return the names of the live ones."""
        return [contact.node for contact in self if contact.status is Status.ALIVE]

    def observers(self, node: str) -> tuple[str, ...]:
        """Return who else watches a node."""
        return tuple(name for name in self._rings.neighbours(node) if name != self._node)

    def meet(self, node: str, address: str, port: int, now: float) -> Contact | None:
        """Return the record of a node, new or with its new address; None if there are too many."""
        contact = self._contacts.get(node)
        if contact is None:
            if len(self._contacts) >= CONTACTS_MAX:
                return None
            contact = Contact(node, address, port, sequence=self.sequence_base, now=now)
            self._contacts[node] = contact
        if contact.address != address:
            self._by_address.pop(contact.address, None)
        contact.address, contact.port = address, port
        self._by_address[address] = node
        return contact

    def forget(self, node: str, now: float) -> None:
        """Drop a node."""
        contact = self._contacts.pop(node, None)
        if contact is not None:
            self.sequence_base = max(self.sequence_base, contact.sequence)
            self._by_address.pop(contact.address, None)
            self._rings.remove(node)
            self._dead.pop(node, None)
            self.look_round(now)

    def place(self, contact: Contact, now: float) -> None:
        """Put a node onto the rings, or take it off, as its status says."""
        if contact.status is Status.ALIVE:
            self._rings.add(contact.node)
        else:
            self._rings.remove(contact.node)
        if contact.status is Status.DEAD:
            self._dead[contact.node] = contact
        else:
            self._dead.pop(contact.node, None)
        self.look_round(now)

    def look_round(self, now: float) -> None:
        """Find out anew whom to watch and at whose door to knock."""
        for contact in self.watched:
            contact.is_watched = False
        before = self.watched
        self.watched = [self._contacts[name] for name in self.observers(self._node)]
        for contact in self.watched:
            contact.is_watched = True
            if contact not in before:
                contact.sign_at = max(contact.sign_at, now)
        self.knocked = [
            contact
            for contact in self._dead.values()
            if not contact.is_refused and self._node in self._rings.neighbours(contact.node)
        ][:KNOCKS_MAX]

    def validate(self) -> None:
        """Assert the invariants."""
        assert self._node not in self._contacts
        for node, contact in self._contacts.items():
            assert contact.node == node
            assert (node in self._rings) == (contact.status is Status.ALIVE), node
            assert contact.is_watched == (contact in self.watched), node
            assert not contact.is_watched or contact.status is Status.ALIVE
            assert (node in self._dead) == (contact.status is Status.DEAD), node
        assert len(self.knocked) <= KNOCKS_MAX
