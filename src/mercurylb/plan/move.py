"""In which order nodes are best moved from another load balancer to ours.

While a node's speaker is replaced, the next of each ranking stands in for it. One of ours leaves
the traffic with the node, whose kernel carries on; one of another make calls it to itself, and the
connections that are being opened in that moment break. So whoever stands in should be moved first.
On the way back the order is the opposite one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class MoveOrder(msgspec.Struct, frozen=True):
    """The order, and what it cannot spare."""

    nodes: tuple[str, ...]
    exposed: tuple[str, ...]
    """Services for which one of the others stands in all the same, sorted."""


def plan_order(rankings: Mapping[str, Sequence[str]], nodes: Iterable[str]) -> MoveOrder:
    """Order nodes; `rankings` has the candidates of each service, the present owner first.

    The next one is always the node that exposes the fewest services, by name among equals.
    """
    left = sorted(set(nodes))
    order: list[str] = []
    exposed: set[str] = set()
    while left:
        costs = {node: _exposed(rankings, node, left) for node in left}
        best = min(left, key=lambda node: (len(costs[node]), node))
        order.append(best)
        exposed |= costs[best]
        left.remove(best)
    return MoveOrder(tuple(order), tuple(sorted(exposed)))


def _exposed(
    rankings: Mapping[str, Sequence[str]], node: str, unmoved: Sequence[str]
) -> frozenset[str]:
    """Give the services of a node for which one that is not moved yet would stand in."""
    return frozenset(
        service
        for service, ranking in rankings.items()
        if tuple(ranking[:1]) == (node,) and len(ranking) > 1 and ranking[1] in unmoved
    )
