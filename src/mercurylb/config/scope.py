"""What both kinds of advertisements choose: pools, nodes and services (spec: config §7.1, §7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from mercurylb.config.selection import check_distinct, compile_selectors
from mercurylb.values.selector import Selector, matches_any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.api.ip_address_pool import IPAddressPool
    from mercurylb.api.meta import LabelSelector
    from mercurylb.api.node import Node
    from mercurylb.config.problem import Report


class Choosing(Protocol):
    """The fields that the specs of both kinds have."""

    @property
    def ip_address_pools(self) -> Sequence[str] | None:
        """Names of pools."""

    @property
    def ip_address_pool_selectors(self) -> Sequence[LabelSelector] | None:
        """Labels of pools."""

    @property
    def node_selectors(self) -> Sequence[LabelSelector] | None:
        """Labels of nodes."""

    @property
    def service_selectors(self) -> Sequence[LabelSelector] | None:
        """Labels of services."""


class NodeIndex:
    """Finds the names of the nodes that selectors match, once for equal selectors."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.all = frozenset(node.metadata.name for node in nodes)
        self._found: dict[tuple[Selector, ...], frozenset[str]] = {}

    def matching(self, selectors: tuple[Selector, ...]) -> frozenset[str]:
        """Give the names of the nodes that any of the selectors matches."""
        found = self._found.get(selectors)
        if found is None:
            found = frozenset(
                node.metadata.name
                for node in self.nodes
                if matches_any(selectors, node.metadata.labels or {})
            )
            self._found[selectors] = found
        return found


class Scope(msgspec.Struct, frozen=True):
    """The pools, nodes and services that an advertisement is for."""

    pool_names: frozenset[str]
    pool_selectors: tuple[Selector, ...]
    has_every_pool: bool
    nodes: frozenset[str]
    """Empty if a selector of nodes cannot be understood."""
    service_selectors: tuple[Selector, ...]
    """Sorted by text."""

    def selects(self, pool: IPAddressPool) -> bool:
        """Tell whether a pool is one of them."""
        return (
            self.has_every_pool
            or pool.metadata.name in self.pool_names
            or matches_any(self.pool_selectors, pool.metadata.labels or {})
        )


def compile_scope(spec: Choosing, *, name: str, nodes: NodeIndex, report: Report) -> Scope:
    """Compile and check the four lists."""
    names = check_distinct(
        spec.ip_address_pools, field="spec.ipAddressPools", what="ipAddressPools", report=report
    )
    pool_selectors = compile_selectors(
        spec.ip_address_pool_selectors,
        field="spec.ipAddressPoolSelectors",
        wrong=f"failed to parse ip address pool selector for {name}",
        report=report,
    )
    node_selectors = compile_selectors(
        spec.node_selectors,
        field="spec.nodeSelectors",
        wrong=f"failed to parse node selector for {name}",
        report=report,
    )
    service_selectors = compile_selectors(
        spec.service_selectors,
        field="spec.serviceSelectors",
        wrong=f"failed to parse service selector for {name}",
        report=report,
    )
    return Scope(
        pool_names=frozenset(names),
        pool_selectors=pool_selectors,
        has_every_pool=not spec.ip_address_pools and not spec.ip_address_pool_selectors,
        nodes=nodes.matching(node_selectors) if spec.node_selectors else nodes.all,
        service_selectors=tuple(sorted(service_selectors, key=str)),
    )
