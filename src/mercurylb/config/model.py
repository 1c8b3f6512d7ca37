"""The compiled configuration: checked, resolved, and comparable by value."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from mercurylb.values.prefix import Prefix, is_buggy
from mercurylb.values.prefix_index import PrefixIndex
from mercurylb.values.selector import Selector, matches_any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mercurylb.values.address import Address, Family


class Pinning(msgspec.Struct, frozen=True):
    """Whom a pool is pinned to; namespaces and selectors must both agree where both are given.

    Both empty means that the namespace selectors matched no namespace: such a pool is never chosen
    automatically, but whoever asks for it by name gets it, as in MetalLB 0.16.
    """

    priority: int = 0
    """Lower wins; 0 and below are "unset" and come after all positive ones."""
    namespaces: frozenset[str] = frozenset()
    service_selectors: tuple[Selector, ...] = ()

    @property
    def rank(self) -> tuple[bool, int]:
        """Give a sort key for the order of priority."""
        return (True, 0) if self.priority <= 0 else (False, self.priority)

    def admits(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Tell whether a service of that namespace with those labels may use the pool."""
        return self.admits_namespace(namespace) and self.admits_labels(labels)

    def admits_namespace(self, namespace: str) -> bool:
        """Tell whether the namespace alone is no obstacle."""
        return not self.namespaces or namespace in self.namespaces

    def admits_labels(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels alone are no obstacle."""
        return not self.service_selectors or matches_any(self.service_selectors, labels)

    @property
    def is_void(self) -> bool:
        """Tell whether it pins to nobody."""
        return not self.namespaces and not self.service_selectors


class L2Advertisement(msgspec.Struct, frozen=True):
    """An L2Advertisement as far as it concerns one pool."""

    name: str
    nodes: frozenset[str]
    interfaces: tuple[str, ...] | None
    """Sorted; None means all."""
    service_selectors: tuple[Selector, ...] = ()
    """Sorted by text; empty means every service."""
    preferences: tuple[tuple[str, int], ...] = ()
    """Nodes with the sum of their weights, sorted by name; nodes without any are absent."""

    def admits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether it is for services with those labels."""
        return not self.service_selectors or matches_any(self.service_selectors, labels)

    def announces_like(self, other: L2Advertisement) -> bool:
        """Tell whether having both makes no difference."""
        return (
            not self.preferences
            and not other.preferences
            and self.nodes == other.nodes
            and self.interfaces == other.interfaces
            and self.service_selectors == other.service_selectors
        )


class Pool(msgspec.Struct, frozen=True):
    """An IPAddressPool; no two of its prefixes, nor of any two pools, overlap."""

    name: str
    prefixes: tuple[Prefix, ...]
    """In the order in which addresses are given away."""
    auto_assign: bool = True
    avoid_buggy_ips: bool = False
    pinning: Pinning | None = None
    l2_advertisements: tuple[L2Advertisement, ...] = ()

    def contains(self, address: Address) -> bool:
        """Tell whether it may give out an address: it has it, and need not avoid it as buggy."""
        return any(prefix.contains(address) for prefix in self.prefixes) and not (
            self.avoid_buggy_ips and is_buggy(address.family, address.number)
        )

    def has_family(self, family: Family) -> bool:
        """Tell whether it has any addresses of that family."""
        return any(prefix.family == family for prefix in self.prefixes)

    def admits(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Tell whether its pinning lets a service have addresses from it."""
        return self.pinning is None or self.pinning.admits(namespace, labels)


class Config(msgspec.Struct, frozen=True, dict=True):
    """Everything that is configured; equal configurations need no work."""

    pools: tuple[Pool, ...] = ()
    """Sorted by name."""

    @cached_property
    def index(self) -> PrefixIndex[Pool]:
        """Give the index that finds the pool of an address."""
        return PrefixIndex((prefix, pool) for pool in self.pools for prefix in pool.prefixes)
