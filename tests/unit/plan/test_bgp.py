"""Which services a node announces by BGP, as which routes, and why not (spec: bgp §4, §5, §9)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mercurylb.config.model import Config
from mercurylb.config.resources import FRR_K8S
from mercurylb.plan.bgp import plan_bgp
from mercurylb.plan.bgp_decision import BgpDecision, BgpReason, PeerReason, PeerVerdict
from tests.unit.config.objects import bgp, config_of, peer
from tests.unit.plan.cluster import endpoints, node, on, pool, service

READY: dict[str, bool | None] = {"ready": True}
UNREADY: dict[str, bool | None] = {"ready": False}
SERVING: dict[str, bool | None] = {"ready": False, "serving": True}
LOCAL = {"externalTrafficPolicy": "Local"}
EXCLUDE = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
ALL = [bgp()]
ELSEWHERE = {"peerAddress": "10.2.2.3"}
PEERS = [peer("p1"), peer("p2", **ELSEWHERE)]
IP = "10.20.30.1"


def plan(  # noqa: PLR0913 (what a decision rests on)
    *,
    ads: Any = ALL,
    peers: Any = PEERS,
    states: Any = (("N", READY),),
    written: dict[str, Any] | None = None,
    labels: dict[str, str] | None = None,
    network: str | None = "False",
    ignore: bool = False,
    backend: str = FRR_K8S,
) -> BgpDecision:
    """Decide as node N of two nodes, N and M."""
    nodes = [node("N", network=network, **(labels or {})), node("M")]
    config = config_of(
        pool("p", "10.0.0.0/8", "2001:db8::/64"), *ads, *peers, *nodes, backend=backend
    )
    return plan_bgp(
        service(**{"has": IP, **(written or {})}),
        config=config,
        nodes={each.metadata.name: each for each in nodes},
        endpoint_slices=endpoints(*states),
        node="N",
        ignore_exclude_lb=ignore,
    )


def reason(**facts: Any) -> str:
    """Give the reason; empty if it is announced."""
    found = plan(**facts).reason
    return found.value if found else ""


def sent(decision: BgpDecision) -> list[tuple[str, tuple[str, ...]]]:
    """Give prefix and peers of each route."""
    return [(route.prefix, route.peers) for route in decision.routes]


def selecting(name: str, **spec: Any) -> Any:
    """Make an advertisement for services labelled app=web."""
    return bgp(name, serviceSelectors=[{"matchLabels": {"app": "web"}}], **spec)


WEB = {"labels": {"app": "web"}}
OTHER_NODE = bgp("there", nodeSelectors=on("M"))

REASONS = [
    pytest.param({}, "", id="announced"),
    pytest.param({"ads": []}, "notOwner", id="no advertisement", marks=pytest.mark.rule("bgp-4.1")),
    pytest.param(
        {"ads": [OTHER_NODE]}, "notOwner", id="other node", marks=pytest.mark.rule("bgp-4.1")
    ),
    pytest.param(
        {"ads": [OTHER_NODE, bgp("here", nodeSelectors=on("N"))]}, "", id="only the second is ours"
    ),
    pytest.param({"ads": [bgp(ipAddressPools=["other"])]}, "notOwner", id="other pool"),
    pytest.param(
        {"ads": [selecting("a")]},
        "noMatchingAdvertisement",
        id="other service",
        marks=pytest.mark.rule("bgp-4.2"),
    ),
    pytest.param({"ads": [selecting("a")], "written": WEB}, "", id="its service"),
    pytest.param(
        {"ads": [selecting("a", localPref=1), selecting("b", localPref=2)], "written": WEB},
        "conflictingAdvertisements",
        id="two preferences",
        marks=pytest.mark.rule("bgp-4.3"),
    ),
    pytest.param(
        {"ads": [selecting("a", asPathPrepend=1), bgp("b", asPathPrepend=2)], "written": WEB},
        "conflictingAdvertisements",
        id="two prependings",
        marks=pytest.mark.rule("bgp-4.3"),
    ),
    pytest.param(
        {
            "ads": [
                selecting("a", localPref=1, peers=["p1"]),
                selecting("b", localPref=2, peers=["p2"]),
            ],
            "written": WEB,
        },
        "",
        id="two preferences for two peers",
        marks=pytest.mark.rule("bgp-4.3", "bgp-9.end-to-end"),
    ),
    pytest.param(
        {
            "ads": [
                selecting("a", localPref=1),
                bgp("b", localPref=2, aggregationLength=24, aggregationLengthV6=64),
            ],
            "written": WEB,
        },
        "",
        id="two preferences for two routes",
        marks=pytest.mark.rule("bgp-4.3"),
    ),
    pytest.param(
        {"network": "True"},
        "nodeNetworkUnavailable",
        id="network",
        marks=pytest.mark.rule("bgp-4.4"),
    ),
    pytest.param({"network": None}, "", id="no condition", marks=pytest.mark.rule("bgp-4.4")),
    pytest.param(
        {"labels": EXCLUDE},
        "nodeLabeledExcludeBalancers",
        id="excluded",
        marks=pytest.mark.rule("bgp-4.5"),
    ),
    pytest.param(
        {"labels": EXCLUDE, "ignore": True},
        "",
        id="excluded, ignored",
        marks=pytest.mark.rule("bgp-4.5"),
    ),
    pytest.param(
        {"written": LOCAL, "states": [("M", READY)]},
        "noLocalEndpoints",
        id="endpoint elsewhere",
        marks=pytest.mark.rule("bgp-4.6"),
    ),
    pytest.param({"written": LOCAL}, "", id="endpoint here", marks=pytest.mark.rule("bgp-4.6")),
    pytest.param({"states": [("M", READY)]}, "", id="any endpoint"),
    pytest.param(
        {"states": []}, "noEndpoints", id="no endpoint", marks=pytest.mark.rule("bgp-4.7")
    ),
    pytest.param(
        {"states": [("N", UNREADY)]},
        "noEndpoints",
        id="unready",
        marks=pytest.mark.rule("bgp-4.7", "bgp-4.healthy"),
    ),
    pytest.param(
        {"states": [("N", SERVING)]},
        "",
        id="unready but serving",
        marks=pytest.mark.rule("bgp-4.healthy"),
    ),
    pytest.param(
        {"states": [("N", {"ready": True, "serving": False})]},
        "",
        id="ready but not serving",
        marks=pytest.mark.rule("bgp-4.healthy"),
    ),
    pytest.param(
        {"states": [("N", {})]}, "", id="not told", marks=pytest.mark.rule("bgp-4.healthy")
    ),
    pytest.param(
        {"states": [("N", UNREADY), ("N", READY)], "written": LOCAL},
        "",
        id="once ready, once not",
        marks=pytest.mark.rule("bgp-4.healthy"),
    ),
    pytest.param(
        {"states": [(None, READY)], "written": LOCAL},
        "noLocalEndpoints",
        id="nameless",
        marks=pytest.mark.rule("bgp-4.node-name"),
    ),
    pytest.param(
        {"written": {"type": "ClusterIP"}},
        "notLoadBalancer",
        id="type",
        marks=pytest.mark.rule("bgp-4.before"),
    ),
    pytest.param(
        {"written": {"has": ""}},
        "noIPAllocated",
        id="no address",
        marks=pytest.mark.rule("bgp-4.before"),
    ),
    pytest.param(
        {"written": {"has": "host.example"}},
        "invalidIP",
        id="hostname",
        marks=pytest.mark.rule("bgp-4.before"),
    ),
    pytest.param(
        {"written": {"has": f"{IP} 192.0.2.1"}},
        "ipNotAllowed",
        id="outside",
        marks=pytest.mark.rule("bgp-4.before"),
    ),
]


@pytest.mark.rule("bgp-9.table")
@pytest.mark.parametrize(("facts", "expected"), REASONS)
def test_the_reason(facts: dict[str, Any], expected: str) -> None:
    """Each obstacle is told by the original's word, and nothing is announced then."""
    decision = plan(**facts)
    assert (decision.reason.value if decision.reason else "") == expected
    assert bool(decision.routes) is (not expected or decision.is_leaving)
    assert bool(decision.detail) is (bool(expected) and expected not in AT_ONCE)
    assert decision.peers == (("p1", "p2") if not expected else ())


AT_ONCE = ("notLoadBalancer", "noIPAllocated")


@pytest.mark.rule("bgp-4.order")
def test_the_first_obstacle_is_the_reason() -> None:
    """Each obstacle hides the ones after it."""
    obstacles: list[tuple[dict[str, Any], str]] = [
        ({"ads": [OTHER_NODE]}, "notOwner"),
        (
            {"ads": [bgp(serviceSelectors=[{"matchLabels": {"app": "other"}}])]},
            "noMatchingAdvertisement",
        ),
        (
            {
                "ads": [selecting("a", localPref=1), selecting("b", localPref=2)],
                "written": {**LOCAL, **WEB},
            },
            "conflictingAdvertisements",
        ),
        ({"network": "True"}, "nodeNetworkUnavailable"),
        ({"labels": EXCLUDE}, "nodeLabeledExcludeBalancers"),
        ({"written": LOCAL, "states": []}, "noLocalEndpoints"),
        ({"states": []}, "noEndpoints"),
    ]
    facts: dict[str, Any] = {}
    for each, expected in reversed(obstacles):
        facts |= each
        assert reason(**facts) == expected


@pytest.mark.rule("bgp-4.healthy")
def test_an_endpoint_without_an_address_is_none() -> None:
    """Whatever it says of itself."""
    (made,) = endpoints(("N", READY))
    assert made.endpoints is not None
    bare = msgspec.structs.replace(made.endpoints[0], addresses=None)
    slices = [msgspec.structs.replace(made, endpoints=(bare,))]
    config = config_of(pool("p", "10.0.0.0/8"), bgp(), node("N"))
    found = plan_bgp(service(has=IP), config=config, nodes={}, endpoint_slices=slices, node="N")
    assert found.reason is BgpReason.NO_ENDPOINTS


def test_without_a_configuration_nothing_is_decided() -> None:
    """A speaker that has none yet does nothing."""
    found = plan_bgp(service(has=IP), config=None, nodes={}, endpoint_slices=(), node="N")
    assert found.reason is BgpReason.NO_CONFIG


@pytest.mark.rule("bgp-4.4", "bgp-6.selectors")
def test_a_node_that_is_not_known_is_fine() -> None:
    """It has no condition and no label, so only peers for every node are its own."""
    chosen = peer("p2", **ELSEWHERE, nodeSelectors=on("N"))
    config = config_of(pool("p", "10.0.0.0/8"), bgp(), peer("p1"), chosen, node("N"))
    slices = endpoints(("N", READY))
    found = plan_bgp(service(has=IP), config=config, nodes={}, endpoint_slices=slices, node="N")
    assert sent(found) == [(f"{IP}/32", ("p1",))]


@pytest.mark.rule("bgp-4.every-node")
def test_every_node_announces() -> None:
    """Two nodes decide alike; readiness and cordons are not asked for."""
    nodes = {name: node(name) for name in ("N", "M")}
    config = config_of(pool("p", "10.0.0.0/8"), bgp(), *PEERS, *nodes.values())
    for name in nodes:
        slices = endpoints(("M", READY))
        found = plan_bgp(
            service(has=IP), config=config, nodes=nodes, endpoint_slices=slices, node=name
        )
        assert found.reason is None


# --- routes --------------------------------------------------------------------------------------


def agg(v4: int, v6: int = 128) -> dict[str, int]:
    """Give the fields of aggregation lengths."""
    return {"aggregationLength": v4, "aggregationLengthV6": v6}


@pytest.mark.rule("bgp-5.prefix", "bgp-5.each", "bgp-9.table")
@pytest.mark.parametrize(
    ("spec", "has", "expected"),
    [
        ({}, IP, [f"{IP}/32"]),
        (agg(24), IP, ["10.20.30.0/24"]),
        (agg(26), "10.20.30.193", ["10.20.30.192/26"]),
        (agg(8), IP, ["10.0.0.0/8"]),
        ({}, "2001:db8::1", ["2001:db8::1/128"]),
        (agg(32, 64), "2001:db8::1", ["2001:db8::/64"]),
        (agg(24, 64), f"2001:db8::5 {IP}", ["2001:db8::/64", "10.20.30.0/24"]),
    ],
)
def test_prefixes(spec: dict[str, Any], has: str, expected: list[str]) -> None:
    """An address is cut to the aggregation length of its family, in the order of the status."""
    both = [peer("p", dualStackAddressFamily=True)]
    decision = plan(ads=[bgp(**spec)], written={"has": has}, peers=both)
    assert [route.prefix for route in decision.routes] == expected
    assert [route.address for route in decision.routes] == has.split()


@pytest.mark.rule("bgp-5.attributes", "bgp-9.table")
def test_two_advertisements_make_two_routes_with_their_own_attributes() -> None:
    """The example of the original's tests: a /32 with communities, and a /24 beside it."""
    decision = plan(
        ads=[
            bgp("a", localPref=100, communities=["0:2345", "0:1234"], asPathPrepend=3),
            bgp("b", localPref=1000, **agg(24, 64)),
        ]
    )
    first, second = decision.routes
    assert (first.prefix, first.local_pref, first.as_path_prepend) == (f"{IP}/32", 100, 3)
    assert [str(each) for each in first.communities] == ["0:1234", "0:2345"]
    assert (second.prefix, second.local_pref, second.as_path_prepend) == ("10.20.30.0/24", 1000, 0)
    assert second.communities == ()


REACH = [
    pytest.param(PEERS, {}, [("p1", "p2")], {}, id="all"),
    pytest.param(PEERS, {"peers": ["p1"]}, [("p1",)], {"p2": "notInAdvertisement"}, id="named"),
    pytest.param(
        PEERS,
        {"peers": ["p1", "gone"]},
        [("p1",)],
        {"gone": "noSuchPeer", "p2": "notInAdvertisement"},
        id="named, one unknown",
    ),
    pytest.param(
        [peer("p1"), peer("p2", **ELSEWHERE, nodeSelectors=on("M"))],
        {},
        [("p1",)],
        {"p2": "filteredByNodeSelector"},
        id="of another node",
    ),
    pytest.param(
        [peer("p1"), peer("p2", **ELSEWHERE, nodeSelectors=on("M", "N"))],
        {},
        [("p1", "p2")],
        {},
        id="or-ed",
    ),
    pytest.param(
        [peer("p1"), peer("six", peerAddress="2001:db8:1::1")],
        {},
        [("p1",)],
        {"six": "otherFamily"},
        id="IPv4 over IPv6",
        marks=pytest.mark.rule("bgp-5.family"),
    ),
    pytest.param(
        [
            peer("both", peerAddress="2001:db8:1::1", dualStackAddressFamily=True),
            peer("plain", peerAddress=None, interface="eth0"),
        ],
        {},
        [("both", "plain")],
        {},
        id="sessions of both families",
        marks=pytest.mark.rule("bgp-5.family"),
    ),
    pytest.param([], {}, [()], {}, id="nobody"),
]


@pytest.mark.rule("bgp-5.peers", "bgp-6.selectors", "bgp-9.table")
@pytest.mark.parametrize(("peers", "spec", "expected", "unsent"), REACH)
def test_who_gets_a_route(
    peers: list[Any], spec: dict[str, Any], expected: list[Any], unsent: dict[str, str]
) -> None:
    """Peers are found by name, and there is a reason for each that gets nothing."""
    decision = plan(ads=[bgp(**spec)], peers=peers)
    assert decision.reason is None
    assert [route.peers for route in decision.routes] == expected
    assert decision.routes[0].unsent == tuple(
        PeerVerdict(name, PeerReason(word)) for name, word in unsent.items()
    )


def test_there_is_a_verdict_on_every_advertisement() -> None:
    """Whoever asks why a route is missing finds each advertisement of the pool."""
    decision = plan(ads=[bgp("a"), OTHER_NODE, selecting("web")])
    assert [(each.advertisement, each.reason) for each in decision.verdicts] == [
        ("a", None),
        ("there", "otherNodes"),
        ("web", "otherServices"),
    ]


@pytest.mark.rule("bgp-5.communities-max")
def test_one_advertisement_with_too_many_communities_keeps_nobody_else_back() -> None:
    """63 are taken; with 64 its own routes are missing, and those of others are not."""
    many = [f"1:{number}" for number in range(64)]
    decision = plan(ads=[bgp("a", communities=many), bgp("b", **agg(24, 64))])
    assert [route.prefix for route in decision.routes] == ["10.20.30.0/24"]
    assert decision.verdicts[0].detail == "max supported communities is 63, got 64"
    alone = plan(ads=[bgp("a", communities=many)])
    assert (alone.reason, alone.routes) == (BgpReason.TOO_MANY_COMMUNITIES, ())
    assert alone.detail == "max supported communities is 63, got 64"
    assert plan(ads=[bgp("a", communities=many[:63])]).reason is None


# --- leaving -------------------------------------------------------------------------------------


@pytest.mark.rule("bgp-4.drain")
@pytest.mark.parametrize(
    ("facts", "is_leaving"),
    [
        ({"labels": EXCLUDE}, True),
        ({"labels": EXCLUDE, "states": []}, False),
        ({"labels": EXCLUDE, "written": LOCAL, "states": [("M", READY)]}, False),
        ({"labels": EXCLUDE, "network": "True"}, False),
        ({"labels": EXCLUDE, "ads": [OTHER_NODE]}, False),
        ({"network": "True"}, False),
        ({"states": []}, False),
        ({}, False),
    ],
)
def test_only_an_excluded_node_leaves_gently(facts: dict[str, Any], *, is_leaving: bool) -> None:
    """What could not take traffic anyway is gone at once."""
    decision = plan(**facts)
    assert decision.is_leaving is is_leaving
    if is_leaving:
        assert sent(decision) == [(f"{IP}/32", ("p1", "p2"))]
        assert decision.peers == ()


def test_conflicts_are_found_in_any_configuration() -> None:
    """A configuration that was compiled elsewhere may have what compiling here would refuse."""
    good = config_of(pool("p", "10.0.0.0/8"), bgp("a", localPref=1), *PEERS, node("N"))
    other = config_of(pool("p", "10.0.0.0/8"), bgp("b", localPref=2), *PEERS, node("N"))
    (first,), (second,) = good.pools[0].bgp_advertisements, other.pools[0].bgp_advertisements
    both = msgspec.structs.replace(good.pools[0], bgp_advertisements=(first, second))
    config = Config(pools=(both,), peers=good.peers)
    found = plan_bgp(
        service(has=IP),
        config=config,
        nodes={},
        endpoint_slices=endpoints(("N", READY)),
        node="N",
    )
    assert found.reason is BgpReason.CONFLICTING_ADVERTISEMENTS
    assert "a and b" in found.detail
