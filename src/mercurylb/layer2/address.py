"""The addresses announced from here, and which services want each of them (spec: layer2 §9).

Two services that share an address are one answer, which stays until the last of them goes. Frames
are counted per address from the first announcement on, also across withdrawals, because counters
of metrics never go back.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IPV4_SIZE = 4


class FrameCounts(msgspec.Struct, frozen=True):
    """Frames per address since the machine was made."""

    address: str
    requests_received: int
    responses_sent: int
    gratuitous_sent: int


class Counter:
    """The frames of one address."""

    __slots__ = ("answers", "gratuitous")

    def __init__(self) -> None:
        self.answers = 0
        """Requests, each of which is answered at once."""
        self.gratuitous = 0


class Address:
    """An announced address and the services that want it."""

    __slots__ = ("counter", "packed", "services", "text")

    def __init__(self, text: str, packed: bytes, counter: Counter) -> None:
        self.text = text
        self.packed = packed
        self.counter = counter
        self.services: dict[str, frozenset[str] | None] = {}
        """Where each service allows it; None is everywhere."""

    @property
    def is_ipv4(self) -> bool:
        """Return whether it is spoken for by ARP, rather than by NDP."""
        return len(self.packed) == IPV4_SIZE

    def is_on(self, interface: str) -> bool:
        """Return whether any of its services allows an interface."""
        return any(names is None or interface in names for names in self.services.values())


class AddressBook:
    """All announced addresses."""

    def __init__(self) -> None:
        self._addresses: dict[str, Address] = {}
        self._by_packed: dict[bytes, Address] = {}
        self._counters: dict[str, Counter] = {}
        self._parsed: dict[str, bytes] = {}

    def __contains__(self, text: object) -> bool:
        """Return whether an address is announced."""
        return text in self._addresses

    def __iter__(self) -> Iterator[str]:
        """Return the addresses in the order of their first announcement."""
        return iter(self._addresses)

    def texts(self) -> tuple[str, ...]:
        """Return the addresses, sorted."""
        return tuple(sorted(self._addresses))

    def all(self) -> list[Address]:
        """Return the addresses in the order of their first announcement."""
        return list(self._addresses.values())

    def get(self, text: str) -> Address | None:
        """Return an address by its text."""
        return self._addresses.get(text)

    def find(self, packed: bytes) -> Address | None:
        """Return an address by its bytes."""
        return self._by_packed.get(packed)

    def counts(self) -> tuple[FrameCounts, ...]:
        """Return the counters of every address announced so far, sorted by address."""
        return tuple(
            FrameCounts(text, counter.answers, counter.answers, counter.gratuitous)
            for text, counter in sorted(self._counters.items())
        )

    def prepare(self, texts: Iterable[str]) -> None:
        """Parse addresses that may be announced soon, because then there is no time to lose."""
        parsed = self._parsed
        self._parsed = {
            text: parsed[text] if text in parsed else ipaddress.ip_address(text).packed
            for text in texts
        }

    def want(self, text: str, service: str, interfaces: frozenset[str] | None) -> Address:
        """Let a service announce a prepared address on some interfaces, and on no others."""
        address = self._addresses.get(text)
        if address is None:
            packed = self._parsed[text]
            counter = self._counters.setdefault(text, Counter())
            address = self._addresses[text] = self._by_packed[packed] = Address(
                text, packed, counter
            )
        address.services[service] = interfaces
        return address

    def release(self, text: str, service: str) -> Address | None:
        """Take a service off an address, if it is on it; the last one takes the address along."""
        address = self._addresses.get(text)
        if address is None or service not in address.services:
            return None
        del address.services[service]
        if not address.services:
            del self._addresses[text]
            del self._by_packed[address.packed]
        return address

    def validate(self, expected: dict[str, set[str]]) -> None:
        """Assert that each address is wanted by exactly these services."""
        assert {text: set(a.services) for text, a in self._addresses.items()} == expected
        assert {a.packed: a for a in self._addresses.values()} == self._by_packed
