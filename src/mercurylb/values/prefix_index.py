"""Finds which of many disjoint prefixes contains an address, in logarithmic time."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.values.address import Address
    from mercurylb.values.prefix import Prefix

Owner = TypeVar("Owner")


class PrefixIndex(Generic[Owner]):
    """Maps each of a set of prefixes, none of which may overlap, to whoever owns it."""

    def __init__(self, owned: Iterable[tuple[Prefix, Owner]]) -> None:
        entries = sorted(owned, key=lambda entry: entry[0])
        self._starts = [(prefix.family, prefix.first) for prefix, _ in entries]
        self._entries = entries

    def find(self, address: Address) -> Owner | None:
        """Give the owner of the prefix that contains the address."""
        index = bisect_right(self._starts, (address.family, address.number)) - 1
        if index < 0:
            return None
        prefix, owner = self._entries[index]
        return owner if prefix.contains(address) else None

    def find_common(self, addresses: Iterable[Address]) -> Owner | None:
        """Give the one owner of all the addresses; None if there is no address."""
        common: Owner | None = None
        for address in addresses:
            owner = self.find(address)
            if owner is None or (common is not None and owner is not common):
                return None
            common = owner
        return common
