"""L2Advertisements (spec: config §7, layer2 §1)."""

from __future__ import annotations

from typing import Any

import pytest

from mercurylb.config.compilation import Resources, compile_config
from mercurylb.config.model import L2Advertisement
from tests.unit.plan.cluster import advertisement, config_of, node, on, pool

NODES = (node("n1", zone="a"), node("n2", zone="b"))
BOTH = frozenset({"n1", "n2"})
ZONE_A = {"matchLabels": {"zone": "a"}}


def attached(*written: Any) -> dict[str, tuple[L2Advertisement, ...]]:
    """Compile advertisements over two pools; give those of each pool."""
    config = config_of(
        pool("p1", "10.0.0.0/24", labels={"tier": "x"}),
        pool("p2", "10.0.1.0/24"),
        advertisements=written,
        nodes=NODES,
    )
    return {each.name: each.l2_advertisements for each in config.pools}


@pytest.mark.parametrize(
    ("spec", "pools"),
    [
        ({}, ["p1", "p2"]),
        ({"ipAddressPools": ["p2"]}, ["p2"]),
        ({"ipAddressPools": ["missing"]}, []),
        ({"ipAddressPoolSelectors": [{"matchLabels": {"tier": "x"}}]}, ["p1"]),
        ({"ipAddressPoolSelectors": [{"matchLabels": {"tier": "y"}}]}, []),
        ({"ipAddressPoolSelectors": [{}]}, ["p1", "p2"]),
        (
            {"ipAddressPools": ["p2"], "ipAddressPoolSelectors": [{"matchLabels": {"tier": "x"}}]},
            ["p1", "p2"],
        ),
        ({"ipAddressPools": None, "ipAddressPoolSelectors": None}, ["p1", "p2"]),
    ],
)
def test_pool_selection(spec: dict[str, Any], pools: list[str]) -> None:
    """Names and selectors are joined; neither of them means all; missing names are ignored."""
    found = attached(advertisement("ad", **spec))
    assert [name for name, advertisements in found.items() if advertisements] == pools


def test_without_a_spec_everything_is_announced() -> None:
    """An advertisement of nothing but a name is for all pools, nodes, interfaces and services."""
    assert attached(advertisement("ad"))["p1"] == (L2Advertisement("ad", BOTH, None),)


def test_node_sets_and_interfaces() -> None:
    """Node selectors are ORed; interfaces are a set."""
    written = advertisement("ad", nodeSelectors=on("n2", "n9"), interfaces=["eth1", "eth0", "eth1"])
    assert attached(written)["p1"] == (L2Advertisement("ad", frozenset({"n2"}), ("eth0", "eth1")),)


@pytest.mark.parametrize(
    ("terms", "nodes", "expected"),
    [
        ([{"weight": 7, "preference": ZONE_A}], None, (("n1", 7),)),
        ([{"weight": 7, "preference": ZONE_A}], on("n2"), ()),
        (
            [{"weight": 7, "preference": ZONE_A}, {"weight": 5, "preference": {}}],
            None,
            (("n1", 12), ("n2", 5)),
        ),
        ([{"weight": 7, "preference": {"matchLabels": {"zone": "c"}}}], None, ()),
    ],
    ids=["term matches", "disjoint from nodeSelectors", "two terms sum", "no match"],
)
def test_preferences(terms: Any, nodes: Any, expected: tuple[tuple[str, int], ...]) -> None:
    """Weights of matching terms are summed for eligible nodes; who has none is absent."""
    (found,) = attached(advertisement("ad", preferredNodeSelectors=terms, nodeSelectors=nodes))[
        "p1"
    ]
    assert found.preferences == expected


def test_equal_advertisements_collapse_and_preferring_ones_stack() -> None:
    """What makes no difference is left out; preferences always count."""
    assert len(attached(advertisement("a"), advertisement("b"))["p1"]) == 1
    assert len(attached(advertisement("a"), advertisement("b", interfaces=["eth0"]))["p1"]) == 2
    prefer = [{"weight": 1, "preference": {}}]
    written = [advertisement(name, preferredNodeSelectors=prefer) for name in "ab"]
    assert len(attached(*written, advertisement("c"))["p1"]) == 3


def test_one_object_attaches_once() -> None:
    """A pool selected by name and by label has the advertisement once, preferences or not."""
    written = advertisement(
        "ad",
        ipAddressPools=["p1"],
        ipAddressPoolSelectors=[{"matchLabels": {"tier": "x"}}],
        preferredNodeSelectors=[{"weight": 1, "preference": {}}],
    )
    assert len(attached(written)["p1"]) == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"ipAddressPools": ["p", "p"]},
            'spec.ipAddressPools[1]: duplicate definition of ipAddressPools "p"',
        ),
        (
            {"ipAddressPoolSelectors": [ZONE_A, ZONE_A]},
            "spec.ipAddressPoolSelectors[1]: duplicate definition of ipAddressPoolSelectors",
        ),
        (
            {"nodeSelectors": [ZONE_A, ZONE_A]},
            'spec.nodeSelectors[1]: duplicate definition of nodeSelectors "zone=a"',
        ),
        (
            {"serviceSelectors": [{}, {}]},
            'spec.serviceSelectors[1]: duplicate definition of serviceSelectors ""',
        ),
        (
            {"nodeSelectors": [{"matchLabels": {"a": "x y"}}]},
            'spec.nodeSelectors[0]: failed to parse node selector for ad: label "a": invalid label',
        ),
        (
            {"serviceSelectors": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]},
            "spec.serviceSelectors[0]: failed to parse service selector for ad",
        ),
        (
            {"preferredNodeSelectors": [{"weight": 1, "preference": {"matchLabels": {"": "x"}}}]},
            "spec.preferredNodeSelectors[0].preference: failed to parse preferred node",
        ),
    ],
)
def test_refuses(spec: dict[str, Any], message: str) -> None:
    """Repetitions and invalid selectors are told with their field."""
    config, problems = compile_config(Resources(l2_advertisements=(advertisement("ad", **spec),)))
    assert config is None
    assert str(problems[0]).startswith(f"L2Advertisement metallb/ad: {message}")
