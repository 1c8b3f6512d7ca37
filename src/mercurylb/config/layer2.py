"""L2Advertisements: which nodes and interfaces announce which pools, for which services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.api.l2_advertisement import L2AdvertisementSpec
from mercurylb.config.model import L2Advertisement, Pool
from mercurylb.config.selection import Report, check_distinct, compile_one, compile_selectors
from mercurylb.values.selector import matches_any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mercurylb.api.ip_address_pool import IPAddressPool
    from mercurylb.api.l2_advertisement import L2Advertisement as L2AdvertisementObject
    from mercurylb.api.node import Node
    from mercurylb.config.problem import Problem
    from mercurylb.values.selector import Selector


def compile_l2_advertisements(
    objects: Iterable[L2AdvertisementObject],
    *,
    pools: Sequence[tuple[IPAddressPool, Pool]],
    nodes: Sequence[Node],
    problems: list[Problem],
) -> dict[str, tuple[L2Advertisement, ...]]:
    """Give the advertisements of each pool, in the given order, without those that add nothing."""
    attached: dict[str, list[L2Advertisement]] = {pool.name: [] for _, pool in pools}
    for item in objects:
        report = Report(f"L2Advertisement {item.metadata.key}", problems)
        advertisement, names, selectors = _compile(item, nodes=nodes, report=report)
        for pool_object, pool in pools:
            if not _selects(pool_object, names=names, selectors=selectors):
                continue
            present = attached[pool.name]
            if not any(advertisement.announces_like(other) for other in present):
                present.append(advertisement)
    return {name: tuple(advertisements) for name, advertisements in attached.items()}


def _selects(
    pool: IPAddressPool, *, names: tuple[str, ...], selectors: tuple[Selector, ...] | None
) -> bool:
    if not names and selectors is None:
        return True
    return pool.metadata.name in names or matches_any(selectors or (), pool.metadata.labels or {})


def _compile(
    item: L2AdvertisementObject, *, nodes: Sequence[Node], report: Report
) -> tuple[L2Advertisement, tuple[str, ...], tuple[Selector, ...] | None]:
    spec = item.spec or L2AdvertisementSpec()
    name = item.metadata.name
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
    eligible = [
        node
        for node in nodes
        if not spec.node_selectors or matches_any(node_selectors, node.metadata.labels or {})
    ]
    advertisement = L2Advertisement(
        name=name,
        nodes=frozenset(node.metadata.name for node in eligible),
        interfaces=tuple(sorted(set(spec.interfaces))) if spec.interfaces else None,
        service_selectors=tuple(sorted(service_selectors, key=str)),
        preferences=_preferences(spec, name=name, eligible=eligible, report=report),
    )
    return advertisement, names, pool_selectors if spec.ip_address_pool_selectors else None


def _preferences(
    spec: L2AdvertisementSpec, *, name: str, eligible: Sequence[Node], report: Report
) -> tuple[tuple[str, int], ...]:
    scores: dict[str, int] = {}
    for index, term in enumerate(spec.preferred_node_selectors or ()):
        selector = compile_one(
            term.preference,
            field=f"spec.preferredNodeSelectors[{index}].preference",
            wrong=f"failed to parse preferred node selectors for {name}",
            report=report,
        )
        for node in eligible:
            if selector is not None and selector.matches(node.metadata.labels or {}):
                scores[node.metadata.name] = scores.get(node.metadata.name, 0) + term.weight
    return tuple(sorted((node, score) for node, score in scores.items() if score))
