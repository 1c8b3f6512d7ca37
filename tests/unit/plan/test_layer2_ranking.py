"""Who may announce by layer 2, in which order (spec: layer2 §2 to §4, §13)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mercurylb.api.node import Node
from mercurylb.plan.desired import Layer2Service
from mercurylb.plan.layer2 import (
    Layer2Decision,
    Layer2Reason,
    NodeReason,
    election_hash,
    plan_layer2,
)
from tests.unit.plan.cluster import advertisement, config_of, endpoints, node, on, pool, service

READY: dict[str, bool | None] = {"ready": True}
NOT_READY: dict[str, bool | None] = {"ready": False}
OWNER, NO_AD = "notOwner", "noMatchingAdvertisement"
SHARED = "sharedIPWithServiceSelector"
LOCAL = {"externalTrafficPolicy": "Local"}


def decide(  # noqa: PLR0913 (what a decision rests on)
    me: str,
    *,
    names: str = "iris1 iris2",
    ads: Any = None,
    states: Any = None,
    written: dict[str, Any] | None = None,
    labels: dict[str, dict[str, str]] | None = None,
    speakers: str | None = None,
    down: str = "",
    ignore: bool = False,
) -> Layer2Decision:
    """Decide from the view of one node of a small cluster."""
    nodes = [
        node(name, network="True" if name == down else "False", **(labels or {}).get(name, {}))
        for name in names.split()
    ]
    config = config_of(
        pool("p", "10.0.0.0/8", "2001:db8::/64"),
        advertisements=tuple([advertisement("ad")] if ads is None else ads),
        nodes=tuple(nodes),
    )
    return plan_layer2(
        service(**{"has": "10.20.30.1", **(written or {})}),
        config=config,
        nodes={each.metadata.name: each for each in nodes},
        endpoint_slices=endpoints(*([("iris1", READY)] if states is None else states)),
        speakers=frozenset((names if speakers is None else speakers).split()),
        node=me,
        ignore_exclude_lb=ignore,
    )


def verdict_of(decision: Layer2Decision, me: str) -> str:
    """Give what a node does when all are alive: announce, or the original's reason."""
    if decision.reason is not None:
        return decision.reason.value
    return "announce" if decision.ranking[0] == me else OWNER


def prefer(weights: dict[str, int]) -> dict[str, Any]:
    """Make preferences for nodes by name."""
    return {
        "preferredNodeSelectors": [
            {"weight": weight, "preference": on(name)[0]} for name, weight in weights.items()
        ]
    }


@pytest.mark.parametrize(
    ("names", "address", "scores", "order"),
    [
        ("node-a node-b node-c", "10.0.0.1", {}, "node-b node-a node-c"),
        ("node-a node-b node-c", "10.0.0.2", {}, "node-b node-c node-a"),
        ("node-a node-b", "10.20.30.1", {"node-a": 100, "node-b": 100}, "node-b node-a"),
        ("edge-a edge-b worker-a worker-b", "10.20.30.1", {}, "edge-b worker-a edge-a worker-b"),
        (
            "edge-a edge-b worker-a worker-b",
            "10.20.30.1",
            {"edge-a": 100},
            "edge-a edge-b worker-a worker-b",
        ),
        (
            "edge-a edge-b worker-a",
            "10.20.30.1",
            {"edge-a": 100, "edge-b": 100},
            "edge-b edge-a worker-a",
        ),
        ("iris1 iris2", "10.20.30.1", {}, "iris2 iris1"),
        ("iris1 iris2", "10.20.30.2", {}, "iris1 iris2"),
        ("iris1 iris2", "2001:db8::1", {}, "iris2 iris1"),
    ],
)
@pytest.mark.rule("layer2-3.order", "layer2-3.key")
def test_known_orders(names: str, address: str, scores: dict[str, int], order: str) -> None:
    """The ranking is the original's, node by node."""
    decision = decide(
        "edge-a",
        names=names,
        ads=[advertisement("ad", **prefer(scores))],
        written={"has": address},
    )
    assert " ".join(decision.ranking) == order
    assert [(each.node, each.rank, each.score) for each in decision.verdicts] == [
        (name, rank, scores.get(name, 0)) for rank, name in enumerate(order.split())
    ]


@pytest.mark.rule("layer2-3.digests")
def test_digests() -> None:
    """The hash is SHA-256 of node, number sign and canonical address."""
    prefixes = {
        ("iris1", "10.20.30.1"): "e42ad61a4159fa2d",
        ("iris2", "10.20.30.1"): "af6cb4e7605814d2",
        ("iris1", "2001:db8::1"): "621f4bb354868f03",
        ("iris2", "2001:db8::1"): "43441226a574795c",
    }
    for (name, address), prefix in prefixes.items():
        assert election_hash(name, address).hex().startswith(prefix)


@pytest.mark.rule("layer2-3.key")
def test_the_first_address_in_canonical_form_decides() -> None:
    """A dual-stack service is announced by one node, whichever way its addresses are spelled."""
    dual = decide("iris1", written={"has": "10.20.30.2 2001:db8::1", "cluster": "10.0.0.1 fd00::1"})
    assert dual.ranking == ("iris1", "iris2")
    assert decide("iris1", written={"has": "2001:DB8:0::1"}).addresses == ("2001:db8::1",)
    assert decide("iris1", written={"has": "2001:DB8:0::1"}).ranking == ("iris2", "iris1")


ENDPOINTS: dict[str, tuple[Any, str, str]] = {
    "2 endpoints ready on iris1": ([("iris1", READY), ("iris1", READY)], "announce", OWNER),
    "2 endpoints on iris1, none ready": (
        [("iris1", NOT_READY), ("iris1", NOT_READY)],
        OWNER,
        OWNER,
    ),
    "one ready on each": ([("iris1", READY), ("iris2", READY)], OWNER, "announce"),
    "one on each, none ready": ([("iris1", NOT_READY), ("iris2", NOT_READY)], OWNER, OWNER),
    "iris1 ready, iris2 not ready": ([("iris1", READY), ("iris2", NOT_READY)], "announce", OWNER),
    "2 ready on iris1 + 1 ready on iris2": (
        [("iris1", READY), ("iris1", READY), ("iris2", READY)],
        OWNER,
        "announce",
    ),
    "iris1 ready, two not-ready on iris2": (
        [("iris1", READY), ("iris2", NOT_READY), ("iris2", NOT_READY)],
        "announce",
        OWNER,
    ),
    "two services, ready on both": ([("iris1", READY), ("iris2", READY)], OWNER, "announce"),
    "only serving true": ([("iris1", {"ready": False, "serving": True})], "announce", OWNER),
    "ready true, serving false": (
        [("iris1", {"ready": True, "serving": False})],
        "announce",
        OWNER,
    ),
    "nothing told": ([("iris1", {})], "announce", OWNER),
    "no endpoints": ([], OWNER, OWNER),
}


@pytest.mark.parametrize(("states", "first", "second"), ENDPOINTS.values(), ids=ENDPOINTS)
@pytest.mark.rule("api-10.endpoint-slice")
@pytest.mark.rule("layer2-2.1", "layer2-2.6", "layer2-13.1")
def test_local_policy(states: Any, first: str, second: str) -> None:
    """With policy Local only nodes with an endpoint that takes traffic are candidates."""
    found = [verdict_of(decide(me, states=states, written=LOCAL), me) for me in ("iris1", "iris2")]
    assert found == [first, second]


EXCLUDED = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
AD1 = advertisement("ad1", nodeSelectors=on("iris1"), interfaces=["eth0"])
AD2 = advertisement("ad2", nodeSelectors=on("iris2"), interfaces=["eth1"])
BAR = [{"matchLabels": {"app": "bar"}}]
FOO = [{"matchLabels": {"app": "foo"}}]

SELECTION: dict[str, tuple[dict[str, Any], str, str]] = {
    "Cluster, ad only on iris1": ({"ads": [AD1]}, "announce", NO_AD),
    "Local, endpoint on iris1, two ads one per node": (
        {"ads": [AD1, AD2], "written": LOCAL},
        "announce",
        OWNER,
    ),
    "Cluster, endpoint on iris1, ad on both": ({}, OWNER, "announce"),
    "Local, endpoint on iris1, ad only on iris2": ({"ads": [AD2], "written": LOCAL}, NO_AD, OWNER),
    "Cluster, ad on both, iris2 excluded": ({"labels": {"iris2": EXCLUDED}}, "announce", OWNER),
    "Cluster, both excluded": ({"labels": {"iris1": EXCLUDED, "iris2": EXCLUDED}}, OWNER, OWNER),
    "Local, both excluded, ignore flag set": (
        {"labels": {"iris1": EXCLUDED, "iris2": EXCLUDED}, "ignore": True, "written": LOCAL},
        "announce",
        OWNER,
    ),
    "ad for another service + ad on a non-existent node": (
        {
            "ads": [
                advertisement("a", serviceSelectors=FOO),
                advertisement("b", nodeSelectors=on("iris9")),
            ]
        },
        NO_AD,
        NO_AD,
    ),
    "svc-foo matched only by iris1's ad": (
        {
            "ads": [
                advertisement("a", nodeSelectors=on("iris1"), serviceSelectors=FOO),
                advertisement("b", nodeSelectors=on("iris2"), serviceSelectors=BAR),
            ],
            "written": {"labels": {"app": "foo"}},
        },
        "announce",
        NO_AD,
    ),
    "two ads with an interface each": ({"ads": [AD1, AD2]}, OWNER, "announce"),
    "no ads": ({"ads": []}, NO_AD, NO_AD),
    "Cluster, no endpoint takes traffic": ({"states": [("iris1", NOT_READY)]}, OWNER, OWNER),
    "iris2 has no network": ({"down": "iris2"}, "announce", OWNER),
    "iris2 has no speaker": ({"speakers": "iris1"}, "announce", OWNER),
    "empty selectors": ({"ads": [advertisement("a", serviceSelectors=[])]}, OWNER, "announce"),
    "selector not matching": ({"ads": [advertisement("a", serviceSelectors=FOO)]}, NO_AD, NO_AD),
    "several selectors, one matches": (
        {
            "ads": [advertisement("a", serviceSelectors=[*FOO, {"matchLabels": {"x": "y"}}])],
            "written": {"labels": {"x": "y"}},
        },
        OWNER,
        "announce",
    ),
    "allow-shared-ip + selector ad": (
        {
            "ads": [advertisement("a", serviceSelectors=[{}])],
            "written": {"annotations": {"metallb.io/allow-shared-ip": ""}},
        },
        SHARED,
        SHARED,
    ),
    "deprecated allow-shared-ip + one ad with and one without selectors": (
        {
            "ads": [advertisement("a", serviceSelectors=[{}]), advertisement("b")],
            "written": {"annotations": {"metallb.universe.tf/allow-shared-ip": "k"}},
        },
        SHARED,
        SHARED,
    ),
    "allow-shared-ip without selector ads": (
        {"written": {"annotations": {"metallb.io/allow-shared-ip": "k"}}},
        OWNER,
        "announce",
    ),
    "allow-shared-ip + selector ad for others": (
        {
            "ads": [advertisement("a", serviceSelectors=FOO), advertisement("b")],
            "written": {"annotations": {"metallb.io/allow-shared-ip": "k"}},
        },
        OWNER,
        "announce",
    ),
    "preferred node without local endpoint, policy Local": (
        {"ads": [advertisement("a", **prefer({"iris2": 100}))], "written": LOCAL},
        "announce",
        OWNER,
    ),
}


@pytest.mark.parametrize(("cluster", "first", "second"), SELECTION.values(), ids=SELECTION)
@pytest.mark.rule(
    "api-5.service-selectors",
    "api-9.allow-shared-ip-l2",
    "api-10.node-excluded",
    "api-10.node-network",
)
@pytest.mark.rule(
    "layer2-1.services",
    "layer2-2.2",
    "layer2-2.3",
    "layer2-2.4",
    "layer2-2.5.unavailable",
    "layer2-2.5.excluded",
    "layer2-2.7",
    "layer2-2.8",
    "layer2-13.2",
    "layer2-13.3",
    "speaker-1.exclude-lb",
    "speaker-6.3.layer2",
)
def test_selection(cluster: dict[str, Any], first: str, second: str) -> None:
    """Advertisements, exclusion, service selectors and sharing decide as in the original."""
    found = [verdict_of(decide(me, **cluster), me) for me in ("iris1", "iris2")]
    assert found == [first, second]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ({"type": "ClusterIP"}, Layer2Reason.NOT_LOAD_BALANCER),
        ({"has": ""}, Layer2Reason.NO_IP_ALLOCATED),
        ({"has": "some.host"}, Layer2Reason.INVALID_IP),
        ({"has": "10.20.30.1 some.host"}, Layer2Reason.INVALID_IP),
        ({"has": "11.0.0.1"}, Layer2Reason.IP_NOT_ALLOWED),
        ({"has": "10.20.30.1 2001:db9::1"}, Layer2Reason.IP_NOT_ALLOWED),
    ],
)
@pytest.mark.rule("speaker-6.1.1", "speaker-6.1.3", "speaker-6.1.4", "speaker-6.1.5")
def test_services_without_a_usable_address(written: dict[str, Any], reason: Layer2Reason) -> None:
    """The steps before any election have their own reasons (spec: speaker §6.1)."""
    decision = decide("iris1", written=written)
    assert (decision.reason, decision.ranking, decision.desired()) == (reason, (), None)


@pytest.mark.rule("speaker-6.1.2")
def test_without_a_configuration_nothing_is_decided() -> None:
    """Before the first configuration there is no candidate."""
    decision = plan_layer2(
        service(has="10.20.30.1"),
        config=None,
        nodes={},
        endpoint_slices=(),
        speakers=set(),
        node="n",
    )
    assert decision.reason is Layer2Reason.NO_CONFIG


@pytest.mark.rule("api-5.preferences")
@pytest.mark.rule("layer2-1.preferred", "layer2-13.3")
def test_weights_add_up_over_terms_and_advertisements() -> None:
    """Preferences of all matching advertisements are summed; those for other services are not."""
    ads = [
        advertisement("a", **prefer({"iris1": 70})),
        advertisement("b", **prefer({"iris1": 30, "iris2": 50})),
        advertisement("c", serviceSelectors=FOO, **prefer({"iris2": 1000})),
    ]
    decision = decide("iris2", ads=ads)
    assert [(each.node, each.score) for each in decision.verdicts] == [
        ("iris1", 100),
        ("iris2", 50),
    ]


@pytest.mark.rule("layer2-1.preferred", "layer2-1.same-everywhere", "layer2-13.3")
def test_every_node_sees_the_preference_of_an_advertisement_for_another() -> None:
    """An advertisement for edge-a alone makes edge-a win in every node's view."""
    ads = [
        advertisement("a", nodeSelectors=on("edge-a"), **prefer({"edge-a": 100})),
        advertisement("b"),
        advertisement("c", serviceSelectors=FOO, **prefer({"worker-a": 1000})),
    ]
    for me in ("edge-a", "edge-b", "worker-a"):
        assert decide(me, names="edge-a edge-b worker-a", ads=ads).ranking[0] == "edge-a"


def test_every_node_has_a_verdict() -> None:
    """Who is no candidate is told why, nodes without speaker included."""
    decision = decide(
        "a",
        names="a b c d e",
        speakers="a b c d",
        ads=[advertisement("ad", nodeSelectors=on("a", "b", "c", "e"))],
        labels={"b": EXCLUDED},
        down="c",
    )
    assert {each.node: each.reason for each in decision.verdicts} == {
        "a": None,
        "b": NodeReason.EXCLUDED_BY_LABEL,
        "c": NodeReason.NETWORK_UNAVAILABLE,
        "d": NodeReason.NOT_ADVERTISED,
        "e": NodeReason.NO_SPEAKER,
    }
    local = decide("a", names="a b", states=[("b", READY)], written=LOCAL)
    assert local.verdicts[1].reason is NodeReason.NO_LOCAL_ENDPOINT
    assert (local.reason, local.detail) == (
        Layer2Reason.NOT_OWNER,
        "this node is no candidate: noLocalEndpoint",
    )


@pytest.mark.parametrize(
    ("ads", "expected"),
    [
        ([{}, {"interfaces": ["eth0", "eth1"]}], None),
        (
            [{"interfaces": ["eth0", "eth1"]}, {"interfaces": ["eth0", "eth2"]}],
            ("eth0", "eth1", "eth2"),
        ),
        ([{"interfaces": ["eth0"]}, {"nodeSelectors": on("iris2")}], ("eth0",)),
    ],
)
@pytest.mark.rule("api-5.interfaces")
@pytest.mark.rule("layer2-1.interfaces", "layer2-4.1")
@pytest.mark.rule("layer2-13.4.advertisements")
def test_interfaces(ads: list[dict[str, Any]], expected: tuple[str, ...] | None) -> None:
    """Interfaces of the advertisements for this node are joined; one without any means all."""
    written = [advertisement(f"ad{index}", **spec) for index, spec in enumerate(ads)]
    assert decide("iris1", ads=written).interfaces == expected


def test_what_the_announcer_is_told() -> None:
    """The announcer gets addresses, ranking and interfaces, candidate or not."""
    assert decide("iris1", ads=[AD1, AD2]).desired() == Layer2Service(
        service="default/web",
        addresses=("10.20.30.1",),
        ranking=("iris2", "iris1"),
        interfaces=("eth0",),
    )
    told = decide("iris1", ads=[AD2]).desired()
    assert told is not None
    assert (told.ranking, told.interfaces) == (("iris2",), ())


@pytest.mark.rule("layer2-2.5.unavailable", "layer2-2.5.excluded")
def test_a_node_that_is_not_known_counts_as_available() -> None:
    """A speaker on a node without a Node object can be a candidate where no label is asked for."""
    config = config_of(
        pool("p", "10.0.0.0/8"), advertisements=(advertisement("ad"),), nodes=(node("a"),)
    )
    decision = plan_layer2(
        service(has="10.20.30.1"),
        config=config,
        nodes={},
        endpoint_slices=endpoints(("a", READY)),
        speakers={"a"},
        node="a",
    )
    assert (decision.reason, decision.ranking) == (None, ("a",))


@pytest.mark.rule("layer2-13.1")
def test_two_services_may_have_two_owners() -> None:
    """Of two addresses each node wins one."""
    states = [("iris1", READY), ("iris2", READY)]
    written = {**LOCAL, "has": "10.20.30.2"}
    found = [
        verdict_of(decide(me, states=states, written=written), me) for me in ("iris1", "iris2")
    ]
    assert found == ["announce", OWNER]


@pytest.mark.rule("layer2-3.stateless")
def test_only_a_newcomer_that_sorts_first_changes_the_owner() -> None:
    """Losers come and go without any effect on the order of the others."""
    every = decide("a", names="a b c d e").ranking
    for gone in every:
        rest = " ".join(name for name in "abcde" if name != gone)
        assert decide("a", names=rest).ranking == tuple(name for name in every if name != gone)


@pytest.mark.rule("layer2-3.shared")
@pytest.mark.rule("layer2-9.same-node")
def test_services_that_share_an_address_have_one_order() -> None:
    """The order depends on the address and the advertisements only."""
    sharing = {"metallb.io/allow-shared-ip": "k"}
    first = decide("a", names="a b c", written={"name": "web", "annotations": sharing})
    second = decide("a", names="a b c", written={"name": "dns", "annotations": sharing})
    assert first.ranking == second.ranking


@pytest.mark.rule("layer2-13.3")
@pytest.mark.parametrize(
    ("speakers", "first"),
    [
        ("edge-a edge-b worker-a", "edge-b"),
        ("edge-a worker-a", "edge-a"),
        ("worker-a worker-b", "worker-a"),
    ],
)
def test_preferred_nodes_that_are_down_leave_it_to_the_next(speakers: str, first: str) -> None:
    """The other preferred node, and then the hash among the rest."""
    decision = decide(
        "worker-a",
        names="edge-a edge-b worker-a worker-b",
        speakers=speakers,
        ads=[advertisement("ad", **prefer({"edge-a": 100, "edge-b": 100}))],
    )
    assert decision.ranking[0] == first


@pytest.mark.rule("layer2-13.3", "layer2-1.node-change")
def test_a_preferred_label_that_is_removed_leaves_it_to_the_hash() -> None:
    """The score follows the labels of the node."""
    terms = [{"weight": 100, "preference": {"matchLabels": {"edge": "yes"}}}]
    ads = [advertisement("ad", preferredNodeSelectors=terms)]
    assert decide("iris1", ads=ads, labels={"iris1": {"edge": "yes"}}).ranking[0] == "iris1"
    assert decide("iris1", ads=ads).ranking[0] == "iris2"


@pytest.mark.rule("layer2-2.not-considered")
@pytest.mark.parametrize("ready", ["True", "False", "Unknown"])
def test_what_does_not_matter(ready: str) -> None:
    """Readiness of nodes, a cordon and the internal traffic policy change nothing."""
    before = decide("iris1")
    nodes = {
        name: msgspec.convert(
            {
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
                "spec": {"unschedulable": True},
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            },
            Node,
        )
        for name in ("iris1", "iris2")
    }
    decision = plan_layer2(
        service(has="10.20.30.1", internalTrafficPolicy="Local"),
        config=config_of(
            pool("p", "10.0.0.0/8"),
            advertisements=(advertisement("ad"),),
            nodes=tuple(nodes.values()),
        ),
        nodes=nodes,
        endpoint_slices=endpoints(("iris1", READY), ("iris1", READY)),
        speakers=nodes.keys(),
        node="iris1",
    )
    assert decision.ranking == before.ranking
