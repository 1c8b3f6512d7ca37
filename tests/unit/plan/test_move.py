"""The order in which nodes are moved spares those for whom somebody else would stand in."""

from __future__ import annotations

import pytest

from mercurylb.plan.move import plan_order

NODES = ("n1", "n2", "n3")


@pytest.mark.parametrize(
    ("rankings", "order", "exposed"),
    [
        pytest.param({}, NODES, (), id="nothing is announced"),
        pytest.param({"s": ("n1", "n3", "n2")}, ("n2", "n3", "n1"), (), id="the deputy goes first"),
        pytest.param(
            {"a": ("n1", "n2"), "b": ("n2", "n3"), "c": ("n2", "n3")},
            ("n3", "n2", "n1"),
            (),
            id="a chain is followed from its end",
        ),
        pytest.param(
            {"a": ("n1", "n2"), "b": ("n2", "n1"), "c": ("n2", "n1")},
            ("n3", "n1", "n2"),
            ("a",),
            id="a ring is cut where it costs least",
        ),
        pytest.param({"s": ("n1",)}, NODES, (), id="nobody can stand in"),
    ],
)
def test_the_order(
    rankings: dict[str, tuple[str, ...]], order: tuple[str, ...], exposed: tuple[str, ...]
) -> None:
    """Who stands in for a node is moved before it where that is possible; the rest is named."""
    found = plan_order(rankings, NODES)
    assert (found.nodes, found.exposed) == (order, exposed)
