"""Compiling takes any objects and gives a sound configuration or problems, never an exception."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.api.community import Community
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.l2_advertisement import L2Advertisement
from mercurylb.api.namespace import Namespace
from mercurylb.api.node import Node
from mercurylb.config.compilation import Resources, compile_config

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = st.one_of(st.sampled_from(["a", "b", "", "team", "x y", "pool-a"]), st.text(max_size=6))
ADDRESSES = st.one_of(
    st.text(alphabet="0123456789.:/- af", max_size=20),
    st.builds("10.0.{}.0/{}".format, st.integers(0, 3), st.integers(22, 33)),
    st.builds("2001:db8::{:x}-2001:db8::{:x}".format, st.integers(0, 99), st.integers(0, 99)),
)


def many(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Make lists of something, or null."""
    return st.none() | st.lists(strategy, max_size=3)


LABELS = st.none() | st.dictionaries(WORDS, WORDS, max_size=2)
EXPRESSIONS = st.fixed_dictionaries(
    {
        "key": WORDS,
        "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "", "Is"]),
        "values": many(WORDS),
    }
)
SELECTORS = many(
    st.fixed_dictionaries({"matchLabels": LABELS, "matchExpressions": many(EXPRESSIONS)})
)
METADATA = st.fixed_dictionaries({"name": WORDS, "namespace": st.just("metallb"), "labels": LABELS})


def objects(kind: type[Any], spec: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Make objects of a kind; the spec may be missing."""
    raw = st.fixed_dictionaries({"metadata": METADATA, "spec": st.none() | spec})
    convert: Callable[[Any], Any] = lambda value: msgspec.convert(value, kind)  # noqa: E731 (a closure to map)
    return raw.map(convert)


POOLS = objects(
    IPAddressPool,
    st.fixed_dictionaries(
        {
            "addresses": many(ADDRESSES),
            "autoAssign": st.none() | st.booleans(),
            "avoidBuggyIPs": st.none() | st.booleans(),
            "serviceAllocation": st.none()
            | st.fixed_dictionaries(
                {
                    "priority": st.none() | st.integers(),
                    "namespaces": many(WORDS),
                    "namespaceSelectors": SELECTORS,
                    "serviceSelectors": SELECTORS,
                }
            ),
        }
    ),
)
ADVERTISEMENTS = objects(
    L2Advertisement,
    st.fixed_dictionaries(
        {
            "ipAddressPools": many(WORDS),
            "ipAddressPoolSelectors": SELECTORS,
            "nodeSelectors": SELECTORS,
            "serviceSelectors": SELECTORS,
            "interfaces": many(WORDS),
            "preferredNodeSelectors": many(
                st.fixed_dictionaries(
                    {"weight": st.integers(), "preference": st.none() | st.just({})}
                )
            ),
        }
    ),
)
COMMUNITIES = objects(
    Community,
    st.fixed_dictionaries(
        {
            "communities": many(
                st.fixed_dictionaries(
                    {"name": WORDS, "value": WORDS | st.sampled_from(["1:2", "large:1:2:3"])}
                )
            )
        }
    ),
)
RESOURCES = st.builds(
    Resources,
    pools=st.lists(POOLS, max_size=4).map(tuple),
    l2_advertisements=st.lists(ADVERTISEMENTS, max_size=3).map(tuple),
    communities=st.lists(COMMUNITIES, max_size=2).map(tuple),
    namespaces=st.lists(objects(Namespace, st.none()), max_size=3).map(tuple),
    nodes=st.lists(objects(Node, st.none()), max_size=3).map(tuple),
    backend=st.sampled_from(["native", "frr", ""]),
)


@given(resources=RESOURCES)
def test_any_objects_compile_or_are_refused_with_reasons(resources: Resources) -> None:
    """There is a configuration or a problem, never both; what is accepted has no overlap."""
    config, problems = compile_config(resources)
    assert (config is None) is bool(problems)
    for problem in problems:
        assert problem.object
        assert problem.message
    if config is not None:
        blocks = [prefix for pool in config.pools for prefix in pool.prefixes]
        assert not any(one.overlaps(other) for one, other in combinations(blocks, 2))
        assert all(pool.prefixes for pool in config.pools)


@given(resources=RESOURCES, seed=st.randoms(use_true_random=False))
def test_the_order_of_objects_does_not_matter(resources: Resources, seed: Any) -> None:
    """Shuffled objects give the same configuration, or are refused as well."""

    def shuffled(items: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(seed.sample(items, len(items)))

    again = msgspec.structs.replace(
        resources,
        pools=shuffled(resources.pools),
        namespaces=shuffled(resources.namespaces),
        nodes=shuffled(resources.nodes),
        l2_advertisements=shuffled(resources.l2_advertisements),
        communities=shuffled(resources.communities),
    )
    config, problems = compile_config(resources)
    config_again, problems_again = compile_config(again)
    names = [item.metadata.name for item in (*resources.pools, *resources.l2_advertisements)]
    if len(set(names)) == len(names):
        assert config_again == config
    assert bool(problems_again) == bool(problems)
