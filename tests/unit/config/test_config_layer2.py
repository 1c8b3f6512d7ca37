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


@pytest.mark.rule("config-7.1")
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
@pytest.mark.rule("api-2.labels", "api-5.pools")
@pytest.mark.rule("layer2-1.attached")
def test_pool_selection(spec: dict[str, Any], pools: list[str]) -> None:
    """Names and selectors are joined; neither of them means all; missing names are ignored."""
    found = attached(advertisement("ad", **spec))
    assert [name for name, advertisements in found.items() if advertisements] == pools


@pytest.mark.rule("config-7.3.interfaces", "config-7.1", "config-7.2")
@pytest.mark.rule("api-5.pools", "api-5.node-selectors", "api-5.interfaces")
@pytest.mark.rule("layer2-1.nodes", "layer2-1.interfaces", "layer2-1.services")
def test_without_a_spec_everything_is_announced() -> None:
    """An advertisement of nothing but a name is for all pools, nodes, interfaces and services."""
    assert attached(advertisement("ad"))["p1"] == (L2Advertisement("ad", BOTH, None),)


@pytest.mark.rule("config-7.2", "config-7.3.interfaces")
@pytest.mark.rule("api-5.node-selectors", "api-5.interfaces", "api-10.node-labels")
@pytest.mark.rule("layer2-1.nodes")
def test_node_sets_and_interfaces() -> None:
    """Node selectors are ORed; interfaces are a set."""
    written = advertisement("ad", nodeSelectors=on("n2", "n9"), interfaces=["eth1", "eth0", "eth1"])
    assert attached(written)["p1"] == (L2Advertisement("ad", frozenset({"n2"}), ("eth0", "eth1")),)


@pytest.mark.rule("config-7.3.preferences", "config-7.3.cases")
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
@pytest.mark.rule("api-5.preferences")
@pytest.mark.rule("layer2-1.preferred")
def test_preferences(terms: Any, nodes: Any, expected: tuple[tuple[str, int], ...]) -> None:
    """Weights of matching terms are summed for eligible nodes; who has none is absent."""
    (found,) = attached(advertisement("ad", preferredNodeSelectors=terms, nodeSelectors=nodes))[
        "p1"
    ]
    assert found.preferences == expected


@pytest.mark.rule("config-7.3.dedup", "config-7.3.cases")
@pytest.mark.rule("layer2-1.collapse")
def test_equal_advertisements_collapse_and_preferring_ones_stack() -> None:
    """What makes no difference is left out; preferences always count."""
    assert len(attached(advertisement("a"), advertisement("b"))["p1"]) == 1
    assert len(attached(advertisement("a"), advertisement("b", interfaces=["eth0"]))["p1"]) == 2
    prefer = [{"weight": 1, "preference": {}}]
    written = [advertisement(name, preferredNodeSelectors=prefer) for name in "ab"]
    assert len(attached(*written, advertisement("c"))["p1"]) == 3


@pytest.mark.rule("config-7.3.dedup", "config-7.3.cases")
@pytest.mark.rule("layer2-1.attached")
def test_one_object_attaches_once() -> None:
    """A pool selected by name and by label has the advertisement once, preferences or not."""
    written = advertisement(
        "ad",
        ipAddressPools=["p1"],
        ipAddressPoolSelectors=[{"matchLabels": {"tier": "x"}}],
        preferredNodeSelectors=[{"weight": 1, "preference": {}}],
    )
    assert len(attached(written)["p1"]) == 1


@pytest.mark.rule("config-7.3.checks", "config-4.selectors", "config-4.conversion")
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
@pytest.mark.rule("api-5.duplicates")
@pytest.mark.rule("layer2-1.duplicates", "layer2-1.invalid-selector")
def test_refuses(spec: dict[str, Any], message: str) -> None:
    """Repetitions and invalid selectors are told with their field."""
    config, problems = compile_config(Resources(l2_advertisements=(advertisement("ad", **spec),)))
    assert config is None
    assert str(problems[0]).startswith(f"L2Advertisement metallb/ad: {message}")


@pytest.mark.rule("config-7.3.sorted")
@pytest.mark.rule("layer2-1.services")
def test_service_selectors_are_sorted() -> None:
    """Another order of selectors is the same advertisement."""
    one = [{"matchLabels": {"b": "x"}}, {"matchLabels": {"a": "x"}}]
    written = [
        advertisement("a", serviceSelectors=one),
        advertisement("b", serviceSelectors=one[::-1]),
    ]
    (found,) = attached(*written)["p1"]
    assert [str(selector) for selector in found.service_selectors] == ["a=x", "b=x"]


@pytest.mark.rule("config-4.unchecked")
def test_preferences_and_interfaces_may_repeat() -> None:
    """Only their selectors must be valid."""
    prefer = [{"weight": 1, "preference": ZONE_A}] * 2
    (found,) = attached(
        advertisement("ad", preferredNodeSelectors=prefer, interfaces=["eth0", "eth0"])
    )["p1"]
    assert (found.preferences, found.interfaces) == ((("n1", 2),), ("eth0",))


@pytest.mark.rule("config-7.2")
def test_unfit_nodes_are_not_left_out_here() -> None:
    """Labels and conditions that keep a node from announcing are looked at when it is planned."""
    excluded = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
    config = config_of(
        pool("p1", "10.0.0.0/24"),
        advertisements=(advertisement("ad"),),
        nodes=(node("n1", network="True"), node("n2", **excluded)),
    )
    assert config.pools[0].l2_advertisements[0].nodes == BOTH
