"""BGPAdvertisements: aggregation, attributes and references (spec: config §5.3, §7)."""

from __future__ import annotations

from typing import Any

import pytest

from mercurylb.config.model import BGPAdvertisement
from tests.unit.config.objects import (
    bgp,
    community,
    config_of,
    problems_of,
    selector,
    told,
)
from tests.unit.plan.cluster import node, on, pool

N1, N2 = node("n1"), node("n2")
BOTH = frozenset({"n1", "n2"})
FOUR = pool("p", "10.0.0.0/24")
SIX = pool("p", "2001:db8::/64")
DUAL = pool("p", "10.0.0.0/24", "2001:db8::/64")
TWO = [selector(a="b"), selector(a="b")]
BAD = [selector(a="x y")]


def attached(*objects: Any) -> dict[str, tuple[BGPAdvertisement, ...]]:
    """Give the advertisements of each pool."""
    return {each.name: each.bgp_advertisements for each in config_of(*objects).pools}


@pytest.mark.rule("config-7.1", "config-7.2", "config-7.4.fields")
@pytest.mark.rule("api-4.node-selectors", "api-4.peers")
def test_an_advertisement_is_taken_over_as_written() -> None:
    """Every field reaches the pool; absent ones have the originals' defaults."""
    written = bgp(
        aggregationLength=26,
        aggregationLengthV6=70,
        localPref=150,
        asPathPrepend=2,
        communities=["1:2", "alias", "0:1", "large:1:2:3"],
        peers=["b", "a"],
        nodeSelectors=on("n2"),
    )
    (found,) = attached(DUAL, written, community(alias="65535:65281"), N1, N2)["p"]
    assert [str(each) for each in found.communities] == ["0:1", "1:2:3", "1:2", "65535:65281"]
    assert (found.aggregation_length, found.aggregation_length_v6) == (26, 70)
    assert (found.local_pref, found.as_path_prepend) == (150, 2)
    assert (found.peers, found.nodes) == (("b", "a"), frozenset({"n2"}))
    assert attached(DUAL, bgp("plain"), N1, N2)["p"] == (BGPAdvertisement("plain", nodes=BOTH),)


@pytest.mark.rule("config-7.1")
@pytest.mark.parametrize(
    ("spec", "pools"),
    [
        ({}, ["p1", "p2"]),
        ({"ipAddressPools": ["p2", "missing"]}, ["p2"]),
        ({"ipAddressPoolSelectors": [selector(tier="x")]}, ["p1"]),
        ({"ipAddressPoolSelectors": [selector(tier="y")]}, []),
        ({"ipAddressPools": ["p2"], "ipAddressPoolSelectors": [selector(tier="x")]}, ["p1", "p2"]),
    ],
)
@pytest.mark.rule("api-4.pools", "api-2.labels")
def test_pool_selection(spec: dict[str, Any], pools: list[str]) -> None:
    """Names and labels are joined; neither of them means all; missing names are ignored."""
    both = pool("p1", "10.0.0.0/24", labels={"tier": "x"}), pool("p2", "10.0.1.0/24")
    found = attached(*both, bgp(**spec))
    assert [name for name, advertisements in found.items() if advertisements] == pools


@pytest.mark.rule("config-7.4.8")
def test_an_advertisement_is_attached_once() -> None:
    """By name and by label at once makes no second route."""
    labelled = pool("p", "10.0.0.0/24", labels={"tier": "x"})
    twice = bgp(ipAddressPools=["p"], ipAddressPoolSelectors=[selector(tier="x")])
    assert len(attached(labelled, twice)["p"]) == 1


@pytest.mark.rule("config-7.4.1")
def test_the_same_object_twice() -> None:
    """Equal in everything, which the API does not let happen."""
    same = bgp("a")
    (problem,) = told(same, bgp("b"), same)
    assert problem == (
        "BGPAdvertisement/a metadata.name: duplicate definition of bgpadvertisements."
        " advertisement 1 and 2 are equal"
    )


DUPLICATES = [
    pytest.param(
        {"ipAddressPools": ["x", "x"]},
        'spec.ipAddressPools[1]: duplicate definition of ipAddressPools "x"',
        marks=pytest.mark.rule("config-4.strings", "config-7.4.2"),
    ),
    pytest.param(
        {"communities": ["1:2", "1:2"]},
        'spec.communities[1]: duplicate definition of community "1:2"',
        marks=pytest.mark.rule("config-4.strings", "config-5.3.1", "config-7.4.2"),
    ),
    pytest.param(
        {"peers": ["x", "x"]},
        'spec.peers[1]: duplicate definition of peers "x"',
        marks=pytest.mark.rule("config-4.strings", "config-7.4.2"),
    ),
    pytest.param(
        {"ipAddressPoolSelectors": TWO},
        'spec.ipAddressPoolSelectors[1]: duplicate definition of ipAddressPoolSelectors "a=b"',
        marks=pytest.mark.rule("config-4.selectors", "config-7.4.2"),
    ),
    pytest.param(
        {"nodeSelectors": TWO},
        'spec.nodeSelectors[1]: duplicate definition of nodeSelectors "a=b"',
        marks=pytest.mark.rule("config-4.selectors", "config-7.4.2"),
    ),
    pytest.param(
        {"serviceSelectors": TWO},
        'spec.serviceSelectors[1]: duplicate definition of serviceSelectors "a=b"',
        marks=pytest.mark.rule("config-4.selectors", "config-7.4.2"),
    ),
    pytest.param(
        {"nodeSelectors": BAD},
        'spec.nodeSelectors[0]: failed to parse node selector for ad: label "a": invalid label'
        " value \"x y\": must be empty or at most 63 alphanumeric characters, '-', '_' or '.',"
        " starting and ending with an alphanumeric character",
        marks=pytest.mark.rule("config-4.conversion", "config-7.4.5"),
    ),
]


@pytest.mark.parametrize(("spec", "message"), DUPLICATES)
@pytest.mark.rule("api-4.duplicates")
def test_lists_hold_each_thing_once(spec: dict[str, Any], message: str) -> None:
    """Repetitions and invalid selectors are told with their field."""
    assert told(bgp(**spec)) == [f"BGPAdvertisement/ad {message}"]


@pytest.mark.rule("config-4.values", "config-4.order")
def test_the_order_of_values_does_not_matter_and_that_of_expressions_does() -> None:
    """Equal but for the order of values is the same; another order of expressions is not."""

    def selecting(*expressions: tuple[str, list[str]]) -> dict[str, Any]:
        written = [{"key": key, "operator": "In", "values": vs} for key, vs in expressions]
        return {"matchExpressions": written}

    one = selecting(("a", ["x", "y"]), ("b", ["z"]))
    values, order = (
        selecting(("a", ["y", "x"]), ("b", ["z"])),
        selecting(("b", ["z"]), ("a", ["x", "y"])),
    )
    assert [each.code for each in problems_of(bgp(nodeSelectors=[one, values]))] == [
        "selector-duplicate"
    ]
    assert told(bgp(nodeSelectors=[one, order])) == []


AGGREGATION = [
    pytest.param(FOUR, {"aggregationLength": 26}, "", id="/24 by 26"),
    pytest.param(
        pool("p", "1.1.1.0/28"),
        {"aggregationLength": 26},
        "spec.aggregationLength: invalid aggregation length 26: prefix 28 in this pool is more"
        " specific than the aggregation length for addresses 1.1.1.0/28",
        id="/28 by 26",
    ),
    pytest.param(
        pool("p", "1.1.1.0/28", "10.0.0.0/24"),
        {"aggregationLength": 26},
        "spec.aggregationLength: invalid aggregation length 26: prefix 28 in this pool is more"
        " specific than the aggregation length for addresses 1.1.1.0/28",
        id="/28 and /24 by 26",
    ),
    pytest.param(pool("p", "10.0.0.1-10.0.0.10"), {"aggregationLength": 30}, "", id="range by 30"),
    pytest.param(
        pool("p", "10.0.0.1-10.0.0.10"),
        {"aggregationLength": 29},
        "spec.aggregationLength: invalid aggregation length 29: prefix 30 in this pool is more"
        " specific than the aggregation length for addresses 10.0.0.1-10.0.0.10",
        id="range by 29",
    ),
    pytest.param(
        pool("p", "10.0.0.1-10.0.0.10"),
        {"aggregationLength": 28},
        "spec.aggregationLength: invalid aggregation length 28: prefix 30 in this pool is more"
        " specific than the aggregation length for addresses 10.0.0.1-10.0.0.10",
        id="range by 28",
    ),
    pytest.param(FOUR, {"aggregationLength": 24, "aggregationLengthV6": 0}, "", id="no IPv6"),
    pytest.param(
        SIX,
        {"aggregationLengthV6": 63},
        "spec.aggregationLengthV6: invalid aggregation length 63: prefix 64 in this pool is more"
        " specific than the aggregation length for addresses 2001:db8::/64",
        id="IPv6 /64 by 63",
    ),
    pytest.param(
        FOUR,
        {"aggregationLength": -1},
        "spec.aggregationLength: invalid aggregation length -1: prefix 24 in this pool is more"
        " specific than the aggregation length for addresses 10.0.0.0/24",
        id="no lower bound but the pool's",
    ),
    pytest.param(SIX, {"aggregationLength": -1}, "", id="negative without addresses of the family"),
]


@pytest.mark.rule("config-7.4.6", "config-7.4.6.message", "config-7.4.cases")
@pytest.mark.parametrize(("written", "spec", "message"), AGGREGATION)
def test_aggregates_stay_inside_the_pool(written: Any, spec: dict[str, Any], message: str) -> None:
    """The largest block of each entry must hold the aggregate; the length told is the one meant."""
    expected = [f"BGPAdvertisement/ad {message}"] if message else []
    assert told(written, bgp(**spec)) == expected


@pytest.mark.rule("config-7.4.6")
def test_an_aggregation_problem_points_at_the_pool() -> None:
    """One problem per pool and family, with the entry and how many more there are."""
    many = pool("p", "10.0.0.0/24", "10.0.1.0/28", "10.0.2.0/29", "10.0.3.0/30")
    (problem,) = problems_of(many, bgp(aggregationLength=26))
    assert problem.hint == "IPAddressPool metallb/p: spec.addresses[1], and 2 more of its entries"


@pytest.mark.rule("config-7.4.4")
@pytest.mark.rule("api-4.aggregation")
def test_lengths_beyond_the_address() -> None:
    """More bits than an address has are refused, with or without pools."""
    assert told(bgp(aggregationLength=33, aggregationLengthV6=129)) == [
        "BGPAdvertisement/ad spec.aggregationLength: invalid aggregation length 33 for IPv4",
        "BGPAdvertisement/ad spec.aggregationLengthV6: invalid aggregation length 129 for IPv6",
    ]
    assert told(bgp(aggregationLength=-5)) == []


@pytest.mark.rule("config-7.4.3", "config-7.4.cases")
@pytest.mark.parametrize(
    ("lengths", "field"),
    [
        ({}, ""),
        ({"aggregationLength": 32, "aggregationLengthV6": 128}, ""),
        ({"aggregationLength": 24}, "aggregationLength"),
        ({"aggregationLengthV6": 64}, "aggregationLengthV6"),
    ],
)
@pytest.mark.rule("api-4.service-selectors")
def test_service_selectors_exclude_aggregation(lengths: dict[str, int], field: str) -> None:
    """Only the length of a single address goes with service selectors."""
    found = told(bgp(serviceSelectors=[selector(a="b")], **lengths))
    message = (
        f"BGPAdvertisement/ad spec.{field}: serviceSelectors and {field} are mutually exclusive,"
        " both cannot be set in ad"
    )
    assert found == ([message] if field else [])


REFERENCES = [
    pytest.param("1234", "invalid community format: 1234", True, id="1234"),
    pytest.param("flarb", "invalid community format: flarb", True, id="flarb"),
    pytest.param("99999999:1", 'invalid section "99999999" of community', False, id="99999999:1"),
    pytest.param("1:99999999", 'invalid section "99999999" of', False, id="1:99999999"),
    pytest.param("lar:1:2:3", "invalid marker for large community", False, id="lar:1:2:3"),
    pytest.param("1:2:3", "invalid community format: 1:2:3", True, id="1:2:3"),
]


@pytest.mark.rule("config-5.3.3", "config-5.3.cases", "config-10.transient")
@pytest.mark.parametrize(("text", "cause", "is_transient"), REFERENCES)
@pytest.mark.rule("api-4.communities")
def test_unknown_communities(text: str, cause: str, is_transient: bool) -> None:  # noqa: FBT001 (a column)
    """What has another form may be an alias yet to come; what has wrong content is wrong."""
    (problem,) = problems_of(bgp(communities=[text]))
    assert problem.message.startswith(f'invalid community "{text}" in BGP advertisement: ')
    assert cause in problem.message
    assert problem.is_transient is is_transient


@pytest.mark.rule("config-5.3.2")
@pytest.mark.rule("api-4.communities", "api-7.global")
def test_an_alias_may_look_like_a_value() -> None:
    """Aliases are looked up first."""
    (found,) = attached(
        FOUR, bgp(communities=["1:2", "9"]), community(**{"1:2": "7:8", "9": "7:9"})
    )["p"]
    assert [str(each) for each in found.communities] == ["7:8", "7:9"]


def conflicting(*, of: Any = FOUR, nodes: tuple[Any, ...] = (N1, N2), **other: Any) -> list[str]:
    """Compile an advertisement with localPref 100 and one with 200 that differs in more."""
    first = {"aggregationLength": 32, "localPref": 100, **other.pop("first", {})}
    objects = (of, bgp("a", **first), bgp("b", **{"localPref": 200, **other}), *nodes)
    return [problem.code for problem in problems_of(*objects)]


CLASH = ["local-pref-conflict"]
CONFLICTS = [
    pytest.param({}, CLASH, id="same peers and nodes"),
    pytest.param({"localPref": 100}, [], id="same localPref"),
    pytest.param({"aggregationLength": 26}, [], id="IPv4 pool, lengths 32 and 26"),
    pytest.param({"aggregationLengthV6": 100}, CLASH, id="IPv4 pool, IPv6 lengths differ"),
    pytest.param({"of": SIX, "aggregationLengthV6": 100}, [], id="IPv6 pool, lengths differ"),
    pytest.param({"of": SIX, "aggregationLength": 26}, CLASH, id="IPv6 pool, IPv4 lengths differ"),
    pytest.param({"of": DUAL, "aggregationLength": 26}, CLASH, id="dual, only IPv4 differs"),
    pytest.param({"of": DUAL, "aggregationLengthV6": 100}, CLASH, id="dual, only IPv6 differs"),
    pytest.param(
        {"of": DUAL, "aggregationLength": 26, "aggregationLengthV6": 100},
        [],
        id="dual, both differ",
    ),
    pytest.param(
        {"first": {"nodeSelectors": on("n1")}, "nodeSelectors": on("n2")}, [], id="disjoint nodes"
    ),
    pytest.param(
        {"first": {"nodeSelectors": on("n1")}, "nodeSelectors": on("n2", "n1")},
        CLASH,
        id="one common node",
    ),
    pytest.param({"first": {"peers": ["x"]}, "peers": ["y"]}, [], id="disjoint peers"),
    pytest.param({"first": {"peers": ["x"]}, "peers": ["y", "x"]}, CLASH, id="one common peer"),
    pytest.param({"first": {"peers": ["x"]}}, CLASH, id="one is for all peers"),
    pytest.param({"serviceSelectors": [selector(a="b")]}, [], id="service selectors"),
    pytest.param({"nodes": ()}, [], id="no nodes known"),
    pytest.param({"ipAddressPools": ["other"]}, [], id="no common pool"),
]


@pytest.mark.rule("config-7.4.7", "config-7.4.7.overlap", "config-7.4.cases")
@pytest.mark.parametrize(("other", "expected"), CONFLICTS)
def test_one_route_has_one_local_preference(other: dict[str, Any], expected: list[str]) -> None:
    """Two advertisements clash if they make the same route for the same peer on the same node."""
    assert conflicting(**other) == expected


@pytest.mark.rule("config-7.4.7")
def test_a_conflict_is_told_in_both_attributes() -> None:
    """The words are the original's; the hint names the other advertisement and the pool."""
    objects = FOUR, bgp("a", localPref=100), bgp("b", localPref=200, asPathPrepend=3), N1
    one, other = problems_of(*objects)
    assert one.object == "BGPAdvertisement metallb/b"
    assert one.message == (
        "invalid local preference 200: local preferernce 100 was already set for the same type of"
        " BGP update. Check existing BGP advertisements with common pools and aggregation lengths"
    )
    assert one.hint == "BGPAdvertisement metallb/a has 100 for pool p"
    assert other.message.startswith(
        "invalid as path prepend 3: as path prepend 0 was already set for the same type"
    )


def test_numbers_out_of_range() -> None:
    """What the schema does not let in is refused, not kept."""
    range_told = "must be in 0-4294967295 range"
    assert told(bgp(localPref=-1, asPathPrepend=1 << 40)) == [
        f"BGPAdvertisement/ad spec.localPref: invalid value -1, {range_told}",
        f"BGPAdvertisement/ad spec.asPathPrepend: invalid value 1099511627776, {range_told}",
    ]
