"""Pools: what a valid one becomes, and every way to write an invalid one (spec: config §3, §4)."""

from __future__ import annotations

from typing import Any

import pytest

from mercurylb.config.compilation import Resources, compile_config
from mercurylb.config.model import Config, Pinning
from mercurylb.values.address import parse_address
from mercurylb.values.selector import EVERYTHING
from tests.unit.plan.cluster import config_of, namespace, pool

TEAM = {"matchLabels": {"team": "a"}}


def problems_of(*pools: Any, **more: Any) -> list[str]:
    """Give the texts of the problems; an invalid configuration must not come with a value."""
    config, problems = compile_config(Resources(pools=pools, **more))
    assert (config is None) is bool(problems)
    return [str(problem) for problem in problems]


@pytest.mark.rule("config-3.order", "config-3.1.4", "config-3.1.5")
@pytest.mark.rule("api-2.addresses")
def test_defaults_and_order_of_addresses() -> None:
    """Addresses keep their written order; autoAssign is on, the rest is off."""
    (compiled,) = config_of(pool("a", "10.0.1.0/24", "2001:db8::/126", "10.0.0.5-10.0.0.6")).pools
    assert [str(prefix) for prefix in compiled.prefixes] == [
        "10.0.1.0/24",
        "2001:db8::/126",
        "10.0.0.5/32",
        "10.0.0.6/32",
    ]
    assert (compiled.auto_assign, compiled.avoid_buggy_ips, compiled.pinning) == (True, False, None)


@pytest.mark.rule("config-3.minimal")
def test_ranges_that_split_into_many_blocks_do_not_clash_with_each_other() -> None:
    """Blocks of several ranges and families of one pool are told apart."""
    many = pool(
        "a",
        "192.168.111.11-192.168.111.11",
        "192.168.111.20-192.168.111.29",
        "fd00:111::11-fd00:111::20",
    )
    assert problems_of(many) == []


def test_nulls_are_absences() -> None:
    """What is null counts as not written."""
    nulls = dict.fromkeys(["autoAssign", "avoidBuggyIPs", "serviceAllocation"])
    assert config_of(pool("a", "10.0.0.0/24", **nulls)) == config_of(pool("a", "10.0.0.0/24"))


@pytest.mark.rule("config-1.order")
def test_the_order_of_objects_does_not_matter() -> None:
    """Equal objects in any order give equal configurations and equal problems."""
    one, other = pool("a", "10.0.0.0/24"), pool("b", "10.0.1.0/24")
    assert config_of(one, other) == config_of(other, one)
    clash = pool("c", "10.0.0.7/32", "x")
    assert problems_of(one, clash) == problems_of(clash, one)


ACCEPTED = {
    "10.0.0.0/24": "10.0.0.0/24",
    "2001:db8::/64": "2001:db8::/64",
    "1.2.3.4/32": "1.2.3.4/32",
    "0.0.0.0/0": "0.0.0.0/0",
    "1.2.3.4/24": "1.2.3.0/24",
    "::ffff:1.2.3.0/120": "1.2.3.0/24",
    "1.2.3.0-1.2.3.5": "1.2.3.0/30 1.2.3.4/31",
    "1.2.3.0 - 1.2.3.5": "1.2.3.0/30 1.2.3.4/31",
    "1.2.3.4-1.2.3.4": "1.2.3.4/32",
    "2001:db8::1-2001:db8::6": "2001:db8::1/128 2001:db8::2/127 2001:db8::4/127 2001:db8::6/128",
    "40.0.0.150-40.0.0.200": (
        "40.0.0.150/31 40.0.0.152/29 40.0.0.160/27 40.0.0.192/29 40.0.0.200/32"
    ),
    "::ffff:1.2.3.1-1.2.3.4": "1.2.3.1/32 1.2.3.2/31 1.2.3.4/32",
}


@pytest.mark.rule("config-3.accepted", "config-3.minimal", "config-3.edges")
@pytest.mark.parametrize(("text", "blocks"), ACCEPTED.items(), ids=list(ACCEPTED))
def test_forms_of_addresses(text: str, blocks: str) -> None:
    """Prefixes are masked, ranges become the fewest blocks, first and last address included."""
    (compiled,) = config_of(pool("a", text)).pools
    assert " ".join(map(str, compiled.prefixes)) == blocks


REFUSED = {
    "1.2.3.4": 'invalid CIDR "1.2.3.4"',
    " 1.2.3.0/24": 'invalid CIDR " 1.2.3.0/24"',
    "1.2.3.0/24 ": 'invalid CIDR "1.2.3.0/24 "',
    "010.0.0.0/8": 'invalid CIDR "010.0.0.0/8"',
    "100.200.300.400/24": 'invalid CIDR "100.200.300.400/24"',
    "1.2.3.0/33": 'invalid CIDR "1.2.3.0/33"',
    "fe80::1%eth0/64": 'invalid CIDR "fe80::1%eth0/64"',
    "": 'invalid CIDR ""',
    "1.2.3.0/24-1.2.3.5": 'invalid IP range "1.2.3.0/24-1.2.3.5": invalid start IP "1.2.3.0/24"',
    "-": 'invalid IP range "-": invalid start IP ""',
    "-1.2.3.4": 'invalid IP range "-1.2.3.4": invalid start IP ""',
    "1.2.3.4-": 'invalid IP range "1.2.3.4-": invalid end IP ""',
    "1.2.3.1-1.2.3.2-1.2.3.3": (
        'invalid IP range "1.2.3.1-1.2.3.2-1.2.3.3": invalid end IP "1.2.3.2-1.2.3.3"'
    ),
    "::-0.0.0.0": 'invalid IP range "::-0.0.0.0": start and end IPs must be the same family',
    "1.2.3.10-1.2.3.1": (
        'invalid IP range "1.2.3.10-1.2.3.1": start IP "1.2.3.10" is after the end IP "1.2.3.1"'
    ),
}


@pytest.mark.rule("config-3.refused", "config-3.1.3")
@pytest.mark.parametrize(("text", "cause"), REFUSED.items(), ids=map(repr, REFUSED))
def test_what_is_no_address(text: str, cause: str) -> None:
    """The pool, the entry and the cause are told in MetalLB's words."""
    (problem,) = compile_config(Resources(pools=(pool("a", text),)))[1]
    assert problem.message == f'invalid CIDR "{text}" in pool "a": {cause}'
    assert (problem.field, problem.code) == ("spec.addresses[0]", "pool-address")
    assert problem.hint


@pytest.mark.rule("config-3.1.13")
def test_buggy_addresses_are_parsed_like_others() -> None:
    """The wish to avoid them is kept, and the blocks stay what they are."""
    (compiled,) = config_of(pool("a", "10.0.0.0/24", avoidBuggyIPs=True)).pools
    assert (compiled.avoid_buggy_ips, [str(each) for each in compiled.prefixes]) == (
        True,
        ["10.0.0.0/24"],
    )


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    """Make a selector of one expression."""
    return {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}


def pinned(**allocation: Any) -> Any:
    """Make a pool with a serviceAllocation."""
    return pool("a", "10.0.0.0/24", serviceAllocation=allocation)


MISTAKES = {
    "rules 1 and 2": (
        [pool("")],
        """
        : metadata.name: missing pool name
        : spec.addresses: pool has no prefixes defined
            (write address/length or first-last under spec.addresses)
        """,
    ),
    "rule 3, all of them": (
        [pool("a", "1.2.3.4", "10.0.0.0/24", "9.9.9.9-9.9.9.1")],
        """
        a: spec.addresses[0]: invalid CIDR "1.2.3.4" in pool "a": invalid CIDR "1.2.3.4"
            (for a single address write 1.2.3.4/32)
        a: spec.addresses[2]: invalid CIDR "9.9.9.9-9.9.9.1" in pool "a":
            invalid IP range "9.9.9.9-9.9.9.1": start IP "9.9.9.9" is after the end IP "9.9.9.1"
            (write address/length or first-last)
        """,
    ),
    "rule 3, white space": (
        [pool("a", " 10.0.0.0/24")],
        """
        a: spec.addresses[0]: invalid CIDR " 10.0.0.0/24" in pool "a": invalid CIDR " 10.0.0.0/24"
            (remove the white space around it)
        """,
    ),
    "rule 6": (
        [pinned(namespaces=["x", "y", "x"])],
        """
        a: spec.serviceAllocation.namespaces[2]: duplicate definition in namespaces field
            (remove the second one)
        """,
    ),
    "rule 8": (
        [
            pinned(
                namespaceSelectors=[TEAM, TEAM],
                serviceSelectors=[expression("a", "In", "x", "y"), expression("a", "In", "y", "x")],
            )
        ],
        """
        a: spec.serviceAllocation.namespaceSelectors[1]:
            duplicate definition of namespaceSelectors "team=a"
            (remove the second one)
        a: spec.serviceAllocation.serviceSelectors[1]:
            duplicate definition of serviceSelectors "a In (y,x)"
            (remove the second one)
        """,
    ),
    "repetitions inside a selector": (
        [
            pinned(
                serviceSelectors=[
                    expression("a", "In", "x", "x"),
                    {"matchExpressions": [{"key": "b", "operator": "Exists"}] * 2},
                ]
            )
        ],
        """
        a: spec.serviceAllocation.serviceSelectors[0].matchExpressions[0].values:
            duplicate definition of match expression value in label selector "x"
            (remove the second one)
        a: spec.serviceAllocation.serviceSelectors[1].matchExpressions[1]:
            duplicate definition of match expressions b Exists []
            (remove the second one)
        """,
    ),
    "rule 9": (
        [
            pinned(
                namespaceSelectors=[expression("a", "Is")], serviceSelectors=[expression("a", "In")]
            )
        ],
        """
        a: spec.serviceAllocation.namespaceSelectors[0]: invalid namespace label selector:
            "Is" is not a valid label selector operator
        a: spec.serviceAllocation.serviceSelectors[0]: invalid service label selector: label "a":
            for 'in', 'notin' operators, values set can't be empty
        """,
    ),
    "rule 12, between pools": (
        [pool("a", "10.0.0.0/24"), pool("b", "10.1.0.0/16", "10.0.0.128-10.0.0.129")],
        """
        b: spec.addresses[1]: CIDR "10.0.0.128/31" in pool "b" overlaps with already defined
            CIDR "10.0.0.0/24" (the other is in pool "a", spec.addresses[0])
        """,
    ),
    "rule 12, once for a range of many blocks": (
        [pool("a", "10.0.0.0/24"), pool("b", "10.0.0.1-10.0.0.9", "10.0.0.11-10.0.0.12")],
        """
        b: spec.addresses[0]: CIDR "10.0.0.1/32" in pool "b" overlaps with already defined
            CIDR "10.0.0.0/24" (the other is in pool "a", spec.addresses[0])
        b: spec.addresses[1]: CIDR "10.0.0.11/32" in pool "b" overlaps with already defined
            CIDR "10.0.0.0/24" (the other is in pool "a", spec.addresses[0])
        """,
    ),
    "rule 12, in one pool": (
        [pool("a", "10.0.0.128/25", "10.0.0.0/24", "10.0.0.0/24", "10.0.1.0/24")],
        """
        a: spec.addresses[1]: CIDR "10.0.0.0/24" in pool "a" overlaps with already defined
            CIDR "10.0.0.128/25" (the other is in pool "a", spec.addresses[0])
        a: spec.addresses[2]: CIDR "10.0.0.0/24" in pool "a" overlaps with already defined
            CIDR "10.0.0.128/25" (the other is in pool "a", spec.addresses[0])
        """,
    ),
}


@pytest.mark.rule(
    "config-3.1.1",
    "config-3.1.2",
    "config-3.1.3",
    "config-3.1.6",
    "config-3.1.8",
    "config-3.1.9",
    "config-3.1.12",
    "config-4.selectors",
    "config-4.expressions",
    "config-4.expression-values",
    "config-4.conversion",
    "config-4.values",
    "config-2.all",
)
@pytest.mark.parametrize(("objects", "expected"), MISTAKES.values(), ids=MISTAKES)
@pytest.mark.rule("api-2.duplicates")
def test_names_every_mistake(objects: list[Any], expected: str) -> None:
    """Each mistake is told with object, field and MetalLB's words; several are told together."""
    lines = expected.replace("\n            ", " ").strip().splitlines()
    assert problems_of(*objects) == [f"IPAddressPool metallb/{line.strip()}" for line in lines]


@pytest.mark.rule("config-3.1.11")
def test_two_pools_of_one_name() -> None:
    """Names are unique over namespaces too (rule 11)."""
    twin = pool("a", "10.0.1.0/24")
    assert problems_of(pool("a", "10.0.0.0/24"), twin) == [
        'IPAddressPool metallb/a: metadata.name: duplicate definition of pool "a"'
    ]


@pytest.mark.rule("config-3.1.12")
def test_families_never_overlap() -> None:
    """0.0.0.0/0 and ::/0 can stand in one pool."""
    config_of(pool("a", "0.0.0.0/0", "::/0"))


def test_a_pool_bound_protects_memory() -> None:
    """An object full of widest ranges is refused before it fills the memory."""
    wide = ["::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"] * 1000
    (problem,) = problems_of(pool("a", *wide))[:1]
    assert "pool has more than 100000 prefixes" in problem


@pytest.mark.rule("config-3.1.5", "config-3.1.7", "config-3.1.10")
@pytest.mark.parametrize(
    ("written", "pinning"),
    [
        ({}, Pinning(0, frozenset(), (EVERYTHING,))),
        ({"priority": 5}, Pinning(5, frozenset(), (EVERYTHING,))),
        ({"namespaces": ["x"]}, Pinning(0, frozenset({"x"}))),
        (
            {"namespaces": ["x"], "namespaceSelectors": [TEAM]},
            Pinning(0, frozenset({"x", "one", "two"})),
        ),
        ({"namespaceSelectors": [{"matchLabels": {"team": "zzz"}}]}, Pinning()),
    ],
)
@pytest.mark.rule("api-2.namespaces", "api-2.service-selectors")
def test_pinning(written: dict[str, Any], pinning: Pinning) -> None:
    """Without criteria a pool is for all; selectors are resolved to names and joined with them."""
    spaces = (namespace("one", team="a"), namespace("two", team="a"), namespace("three"))
    (compiled,) = config_of(
        pool("a", "10.0.0.0/24", serviceAllocation=written), namespaces=spaces
    ).pools
    assert compiled.pinning == pinning


@pytest.mark.rule("config-3.1.12")
def test_index_finds_the_pool_of_addresses() -> None:
    """The pool of a set of addresses is the one that has them all."""
    config = config_of(pool("a", "10.0.0.0/24", "2001:db8::/64"), pool("b", "10.0.1.0/24"))
    found = config.index.find_common(map(parse_address, ["10.0.0.9", "2001:db8::1"]))
    assert found is config.pools[0]
    assert Config().index.find(parse_address("10.0.0.9")) is None
