"""L2Advertisements: which nodes and interfaces announce which pools, for which services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.api.l2_advertisement import L2AdvertisementSpec
from mercurylb.config.model import L2Advertisement
from mercurylb.config.problem import Report
from mercurylb.config.scope import Scope, compile_scope
from mercurylb.config.selection import compile_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mercurylb.api.l2_advertisement import L2Advertisement as L2AdvertisementObject
    from mercurylb.config.pool import CompiledPool
    from mercurylb.config.problem import Problem
    from mercurylb.config.scope import NodeIndex


def compile_l2_advertisements(
    objects: Iterable[L2AdvertisementObject],
    *,
    pools: Sequence[CompiledPool],
    nodes: NodeIndex,
    problems: list[Problem],
) -> dict[str, tuple[L2Advertisement, ...]]:
    """Give the advertisements of each pool, in the given order, without those that add nothing.

    Advertisements that say the same differ at most in their name, unless they have preferences,
    whose weights add up.
    """
    attached: dict[str, list[L2Advertisement]] = {pool.pool.name: [] for pool in pools}
    present: set[tuple[object, ...]] = set()
    for item in objects:
        report = Report(f"L2Advertisement {item.metadata.key}", problems)
        advertisement, scope = _compile(item, nodes=nodes, report=report)
        for pool in pools:
            if not scope.selects(pool.object):
                continue
            same = (
                pool.pool.name,
                advertisement.nodes,
                advertisement.interfaces,
                advertisement.service_selectors,
            )
            if not advertisement.preferences:
                if same in present:
                    continue
                present.add(same)
            attached[pool.pool.name].append(advertisement)
    return {name: tuple(advertisements) for name, advertisements in attached.items()}


def _compile(
    item: L2AdvertisementObject, *, nodes: NodeIndex, report: Report
) -> tuple[L2Advertisement, Scope]:
    spec = item.spec or L2AdvertisementSpec()
    name = item.metadata.name
    scope = compile_scope(spec, name=name, nodes=nodes, report=report)
    advertisement = L2Advertisement(
        name=name,
        nodes=scope.nodes,
        interfaces=tuple(sorted(set(spec.interfaces))) if spec.interfaces else None,
        service_selectors=scope.service_selectors,
        preferences=_preferences(spec, name=name, nodes=nodes, scope=scope, report=report),
    )
    return advertisement, scope


def _preferences(
    spec: L2AdvertisementSpec, *, name: str, nodes: NodeIndex, scope: Scope, report: Report
) -> tuple[tuple[str, int], ...]:
    scores: dict[str, int] = {}
    for index, term in enumerate(spec.preferred_node_selectors or ()):
        selector = compile_one(
            term.preference,
            field=f"spec.preferredNodeSelectors[{index}].preference",
            wrong=f"failed to parse preferred node selectors for {name}",
            report=report,
        )
        if selector is not None:
            for node in nodes.matching((selector,)) & scope.nodes:
                scores[node] = scores.get(node, 0) + term.weight
    return tuple(sorted((node, score) for node, score in scores.items() if score > 0))
