"""Which addresses a service gets: the case table (spec: controller §6.4 to §6.6)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mercurylb.allocator.book import Book
from mercurylb.allocator.verdict import PoolReason
from mercurylb.api.service import Service
from mercurylb.plan.decision import Outcome, ServiceDecision, diff
from mercurylb.plan.service import is_ours, plan_all, plan_deleted, plan_service
from tests.unit.plan.cluster import TEAM, apply, book_of, config_of, namespace, pool, service

IPS = "metallb.io/loadBalancerIPs"
POOL = "metallb.io/address-pool"
SHARE = "metallb.io/allow-shared-ip"
FROM = "metallb.io/ip-allocated-from-pool"
OLD_FROM = "metallb.universe.tf/ip-allocated-from-pool"

V4, V6, DUAL, V6_FIRST = "10.0.0.1", "fd00::1", "10.0.0.1 fd00::1", "fd00::1 10.0.0.1"
PREFER, REQUIRE = {"ipFamilyPolicy": "PreferDualStack"}, {"ipFamilyPolicy": "RequireDualStack"}
LABEL = [{"matchLabels": TEAM}]

POOL1 = pool("pool1", "1.2.3.0/31")
POOL2 = pool("pool2", "3.4.5.6/32", autoAssign=False)
POOL3 = pool("pool3", "1000::/127")
POOL4 = pool("pool4", "2000::1/128", autoAssign=False)
POOL5 = pool("pool5", "1.2.3.0/31", "1000::/127")
POOL6 = pool("pool6", "7.8.9.0/31", serviceAllocation={"namespaces": ["test-ns1"], "priority": 10})
POOL7 = pool("pool7", "9.8.9.0/31", serviceAllocation={"namespaces": ["test-ns1"], "priority": 11})
POOL8 = pool("pool8", "19.20.21.0/31", serviceAllocation={"serviceSelectors": LABEL, "priority": 8})
POOL9 = pool("pool9", "16.17.18.0/31", serviceAllocation={"namespaces": ["test-ns2"]})
POOL10 = pool(
    "pool10", "21.22.23.0/31", serviceAllocation={"serviceSelectors": LABEL, "priority": 9}
)
BOTH = {"namespaces": ["test-ns1"], "serviceSelectors": LABEL}
POOL11 = pool("pool11", "23.24.25.0/31", serviceAllocation={**BOTH, "priority": 8})
POOL12 = pool("pool12", "25.26.27.0/31", serviceAllocation={**BOTH, "priority": 5})
SINGLES = (POOL1, POOL2, POOL3, POOL4)
PINNED = (*SINGLES, POOL6, POOL7, POOL8, POOL9, POOL10, POOL11, POOL12)

WARN = "AllocationFailed"
FAILED = 'Failed to allocate IP for "default/web": '


def reasons(decision: ServiceDecision) -> list[str]:
    """Give the reasons of the events."""
    return [event.reason for event in decision.events]


def asks(text: str) -> dict[str, Any]:
    """Make the annotation that asks for addresses."""
    return {"annotations": {IPS: text}}


CASES = [
    pytest.param(
        SINGLES,
        {"type": "ClusterIP"},
        "",
        None,
        id="ClusterIP type, no status",
        marks=pytest.mark.rule("controller-6.6.row1"),
    ),
    pytest.param(
        SINGLES,
        {},
        "1.2.3.0",
        "IPAllocated",
        id="LB, clusterIP v4",
        marks=pytest.mark.rule("controller-6.6.row2", "controller-6.4.9"),
    ),
    pytest.param(
        SINGLES,
        {"loadBalancerIP": "1.2.3.1"},
        "1.2.3.1",
        "IPAllocated",
        id="loadBalancerIP 1.2.3.1",
        marks=pytest.mark.rule("controller-6.6.row3", "allocator-14.field"),
    ),
    pytest.param(
        SINGLES,
        asks("1.2.3.1"),
        "1.2.3.1",
        "IPAllocated",
        id="annotation 1.2.3.1",
        marks=pytest.mark.rule("controller-6.6.row3"),
    ),
    pytest.param(
        SINGLES,
        {"loadBalancerIP": "1.2.3.1", **asks("1.2.3.1")},
        "",
        WARN,
        id="both set",
        marks=pytest.mark.rule("controller-6.6.row4", "allocator-14.both"),
    ),
    pytest.param(
        SINGLES,
        {"loadBalancerIP": "please give"},
        "",
        WARN,
        id="loadBalancerIP not an IP",
        marks=pytest.mark.rule("controller-6.6.row5", "allocator-14.field"),
    ),
    pytest.param(
        SINGLES,
        asks("please give"),
        "",
        WARN,
        id="annotation not an IP",
        marks=pytest.mark.rule("controller-6.6.row5", "allocator-14.invalid"),
    ),
    pytest.param(
        SINGLES,
        asks("1.2.3.1,1.2.3.2"),
        "",
        WARN,
        id="annotation 1.2.3.1,1.2.3.2",
        marks=pytest.mark.rule("controller-6.6.row6", "allocator-14.families"),
    ),
    pytest.param(
        SINGLES,
        {"annotations": {IPS: "1.2.3.1", POOL: "pool2"}},
        "",
        WARN,
        id="annotation 1.2.3.1 + pool2",
        marks=pytest.mark.rule("controller-6.6.row7", "allocator-14.pool"),
    ),
    pytest.param(
        SINGLES,
        {"has": "1.2.3.1", **asks("1.2.3.4")},
        "",
        WARN,
        id="requests 1.2.3.4, has 1.2.3.1",
        marks=pytest.mark.rule("controller-6.6.row8", "controller-6.4.7d"),
    ),
    pytest.param(
        SINGLES,
        {"annotations": {POOL: "pool1"}},
        "1.2.3.0",
        "IPAllocated",
        id="pool1 annotation",
        marks=pytest.mark.rule("controller-6.6.row9"),
    ),
    pytest.param(
        SINGLES,
        {"has": "1.2.3.0", "annotations": {POOL: "pool2"}},
        "3.4.5.6",
        "IPAllocated",
        id="pool2 annotation while holding 1.2.3.0",
        marks=pytest.mark.rule("controller-6.6.row10", "controller-6.4.7b"),
    ),
    pytest.param(
        SINGLES,
        {"annotations": {POOL: "does-not-exist"}},
        "",
        WARN,
        id="unknown pool",
        marks=pytest.mark.rule("controller-6.6.row11", "allocator-8.2.2"),
    ),
    pytest.param(
        SINGLES,
        {"has": "2.3.4.5"},
        "1.2.3.0",
        "ClearAssignment",
        id="status 2.3.4.5",
        marks=pytest.mark.rule("controller-6.6.row12", "controller-6.4.7a"),
    ),
    pytest.param(
        SINGLES,
        {"has": "foo.bar 10.10.10.10"},
        "1.2.3.0",
        "ClearAssignment",
        id="status hostname + 10.10.10.10",
        marks=pytest.mark.rule("controller-6.6.row13", "controller-6.4.4"),
    ),
    pytest.param(SINGLES, {"has": "1.2.3.1"}, "1.2.3.1", None, id="status 1.2.3.1 is kept"),
    pytest.param(
        SINGLES,
        {"type": "NodePort", "has": "1.2.3.0"},
        "",
        None,
        id="NodePort with status 1.2.3.0",
        marks=pytest.mark.rule("controller-6.6.row14", "controller-6.4.1"),
    ),
    pytest.param(
        SINGLES,
        {"cluster": ""},
        "",
        None,
        id="LB, no clusterIP",
        marks=pytest.mark.rule("controller-6.6.row15", "controller-6.4.3"),
    ),
    pytest.param(
        SINGLES,
        {"cluster": V6, **asks("1.2.3.1")},
        "",
        WARN,
        id="request v4 for v6 service",
        marks=pytest.mark.rule("controller-6.6.row16", "allocator-14.family"),
    ),
    pytest.param(
        SINGLES,
        asks("1000::"),
        "",
        WARN,
        id="request v6 for v4 service",
        marks=pytest.mark.rule("controller-6.6.row16"),
    ),
    pytest.param(
        SINGLES,
        {"has": "1000::"},
        "1.2.3.0",
        "IPAllocated",
        id="status v6 of a v4 service",
        marks=pytest.mark.rule("controller-6.6.row17", "controller-6.4.6-mismatch"),
    ),
    pytest.param(
        SINGLES,
        {"cluster": V6, "has": "1.2.3.0"},
        "1000::",
        "IPAllocated",
        id="status v4 of a v6 service",
        marks=pytest.mark.rule("controller-6.6.row17"),
    ),
    pytest.param(
        (POOL5,),
        {"has": "1.2.3.0 1000::"},
        "1.2.3.0",
        "IPAllocated",
        id="status dual of a v4 service",
    ),
    pytest.param(
        (POOL5,),
        {"cluster": DUAL, **REQUIRE},
        "1.2.3.0 1000::",
        "IPAllocated",
        id="dual clusterIPs, Require",
        marks=pytest.mark.rule("controller-6.6.row18"),
    ),
    pytest.param(
        (POOL5,),
        {"cluster": DUAL, **PREFER},
        "1.2.3.0 1000::",
        "IPAllocated",
        id="dual clusterIPs, Prefer",
        marks=pytest.mark.rule("controller-6.6.row18"),
    ),
    pytest.param(
        PINNED,
        {"namespace": "test-ns1", **PREFER},
        "7.8.9.0",
        "IPAllocated",
        id="Prefer, single clusterIP, namespace with v4 pools",
        marks=pytest.mark.rule("controller-6.6.row19"),
    ),
    pytest.param(
        SINGLES,
        {"cluster": DUAL, "annotations": {POOL: "pool1"}, **PREFER},
        "1.2.3.0",
        "IPAllocated",
        id="Prefer, dual, pool1 annotation",
        marks=pytest.mark.rule("controller-6.6.row20"),
    ),
    pytest.param(
        SINGLES,
        {"cluster": V6, "annotations": {POOL: "pool3"}, **PREFER},
        "1000::",
        "IPAllocated",
        id="Prefer, v6 clusterIP, pool3",
        marks=pytest.mark.rule("controller-6.6.row21"),
    ),
    pytest.param(
        (POOL5,),
        PREFER,
        "1.2.3.0",
        "IPAllocated",
        id="Prefer, single v4 clusterIP, dual pool5",
        marks=pytest.mark.rule("controller-6.6.row22", "allocator-8.6.cluster-family"),
    ),
    pytest.param(
        (POOL5,),
        REQUIRE,
        "",
        "not enough clusterips",
        id="Require, one clusterIP",
        marks=pytest.mark.rule("controller-6.6.row23", "controller-6.4.5"),
    ),
    pytest.param(
        (POOL5,),
        {"cluster": DUAL, **REQUIRE, **asks("1.2.3.0")},
        "",
        WARN,
        id="dual clusterIPs, one requested IP",
        marks=pytest.mark.rule("controller-6.6.row24"),
    ),
    pytest.param(
        (POOL5,),
        {"cluster": DUAL, **PREFER, **asks("1.2.3.0")},
        "",
        WARN,
        id="Prefer, dual clusterIPs, one requested IP",
        marks=pytest.mark.rule("controller-6.6.row24", "allocator-14.family"),
    ),
    pytest.param(
        (POOL5,),
        {"cluster": DUAL, **REQUIRE, **asks("1.2.3.0,1000::")},
        "1.2.3.0 1000::",
        "IPAllocated",
        id="Require, annotation 1.2.3.0,1000::",
        marks=pytest.mark.rule("controller-6.6.row25"),
    ),
    pytest.param(
        (POOL5,),
        {"cluster": DUAL, **REQUIRE, **asks(" 1000:: , 1.2.3.0 ")},
        "1000:: 1.2.3.0",
        "IPAllocated",
        id="requested order is kept",
        marks=pytest.mark.rule("controller-6.4.7d-order", "allocator-14.split"),
    ),
    pytest.param(
        (POOL5,),
        {"cluster": DUAL, "has": "1.2.3.0 1000::", **REQUIRE, **asks("1000::,1.2.3.0")},
        "1.2.3.0 1000::",
        None,
        id="the order at hand is kept",
        marks=pytest.mark.rule("controller-6.4.7d-order"),
    ),
    pytest.param(
        (POOL5,),
        {"cluster": V6_FIRST, "has": "foo.bar 1000::", **REQUIRE},
        "1.2.3.0 1000::",
        "IPAllocated",
        id="Require, clusterIPs v6 first, status hostname + 1000::",
        marks=pytest.mark.rule("controller-6.6.row26", "allocator-7.row3"),
    ),
    pytest.param(
        (POOL5,),
        asks("1.2.3.0,1000::"),
        "",
        WARN,
        id="annotation with two families, single clusterIP",
        marks=pytest.mark.rule("controller-6.6.row27"),
    ),
    pytest.param(
        PINNED,
        {"namespace": "test-ns1"},
        "7.8.9.0",
        "IPAllocated",
        id="ns test-ns1",
        marks=pytest.mark.rule("controller-6.6.row28"),
    ),
    pytest.param(
        PINNED,
        {"namespace": "test-ns2"},
        "16.17.18.0",
        "IPAllocated",
        id="ns test-ns2",
        marks=pytest.mark.rule("controller-6.6.row28"),
    ),
    pytest.param(
        PINNED,
        {"labels": TEAM},
        "19.20.21.0",
        "IPAllocated",
        id="label team=metallb",
        marks=pytest.mark.rule("controller-6.6.row29"),
    ),
    pytest.param(
        PINNED,
        {"namespace": "test-ns1", "labels": TEAM},
        "25.26.27.0",
        "IPAllocated",
        id="test-ns1 + label",
        marks=pytest.mark.rule("controller-6.6.row30"),
    ),
    pytest.param(
        SINGLES,
        {"has": "1.2.3.0 1.2.3.1 1000::"},
        "1.2.3.0",
        "nolbIPsIPFamily",
        id="status with three IPs",
        marks=pytest.mark.rule("controller-6.6.row31", "controller-6.4.6-lb-family"),
    ),
    pytest.param(
        SINGLES, {"has": "1.2.3.999"}, "1.2.3.0", "nolbIPsIPFamily", id="status with an invalid IP"
    ),
    pytest.param(
        SINGLES,
        {"cluster": "None"},
        "",
        WARN,
        id="clusterIP None",
        marks=pytest.mark.rule("controller-6.6.row32"),
    ),
    pytest.param(
        (POOL5,),
        {"cluster": DUAL, "has": "1.2.3.1", **PREFER},
        "1.2.3.1 1000::",
        "IPAllocated",
        id="Prefer, dual, has v4 of a dual pool",
        marks=pytest.mark.rule("controller-6.4.8", "allocator-8.6.add", "allocator-8.6.order"),
    ),
    pytest.param(
        SINGLES,
        {"cluster": DUAL, "has": "1.2.3.1", **PREFER},
        "1.2.3.1",
        "AdditionalAssignFailed",
        id="Prefer, dual, has v4 of a v4 pool",
        marks=pytest.mark.rule("controller-6.4.8", "allocator-8.6.failure", "allocator-8.6.stay"),
    ),
    pytest.param(
        SINGLES,
        {"annotations": {"metallb.universe.tf/loadBalancerIPs": "1.2.3.1"}},
        "1.2.3.1",
        "IPAllocated",
        id="deprecated annotation",
    ),
    pytest.param(
        SINGLES,
        {"annotations": {"metallb.universe.tf/loadBalancerIPs": "1.2.3.1", IPS: ""}},
        "1.2.3.0",
        "IPAllocated",
        id="an empty current annotation hides it",
    ),
]


@pytest.mark.parametrize(("pools", "written", "expected", "event"), CASES)
def test_case(
    pools: tuple[Any, ...], written: dict[str, Any], expected: str, event: str | None
) -> None:
    """Each row of the table ends with these addresses and this first event, and then stays so."""
    book = book_of(*pools)
    written_service = service(**written)
    decision = plan_service(written_service, book=book)
    book.validate()
    assert " ".join(decision.addresses) == expected
    assert (reasons(decision) or [None])[0] == event
    assert bool(decision.pool) is bool(expected)
    settled = apply(written_service, decision.patch)
    again = plan_service(settled, book=book)
    assert (again.addresses, again.patch) == (decision.addresses, None)
    restarted = plan_service(settled, book=book_of(*pools))
    assert (restarted.addresses, restarted.patch) == (decision.addresses, None)


@pytest.mark.rule(
    "controller-6.4.2",
    "controller-6.6.all-removed",
    "controller-6.3.not-loaded",
    "allocator-9.e2e-all",
)
def test_nothing_is_touched_before_the_first_pools() -> None:
    """Without any configuration a service keeps its status; with an empty one it loses it."""
    book = Book()
    had = service(has="1.2.3.0")
    decision = plan_service(had, book=book)
    assert (decision.outcome, decision.patch) == (Outcome.NOT_LOADED, None)
    book.set_pools(())
    decision = plan_service(had, book=book)
    assert (decision.outcome, decision.addresses, decision.events) == (Outcome.PENDING, (), ())
    assert (decision.reprocess_all, decision.pending_reason) == (
        False,
        "no IPAddressPool is configured",
    )
    assert apply(had, decision.patch).ingress == ()


@pytest.mark.rule("controller-6.4.11", "controller-6.3.one-write")
@pytest.mark.rule("api-9.allocated-from-pool", "api-9.service-written")
def test_the_patch_carries_status_and_annotations() -> None:
    """One merge patch sets the entries in order, the pool, and removes the deprecated twin."""
    had = service(annotations={OLD_FROM: "old", "keep": "me"})
    patch = diff(plan_service(had, book=book_of(POOL1)))
    assert patch is not None
    assert (patch.namespace, patch.name) == ("default", "web")
    body = msgspec.json.decode(patch.body)
    assert body["status"].pop("conditions")
    assert body == {
        "metadata": {"resourceVersion": "7", "annotations": {FROM: "pool1", OLD_FROM: None}},
        "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.0"}]}},
    }
    cleared = diff(
        plan_service(
            service(has="1.2.3.0", annotations={FROM: "pool1"}, type="NodePort"),
            book=book_of(POOL1),
        )
    )
    assert cleared is not None
    assert msgspec.json.decode(cleared.body) == {
        "metadata": {"resourceVersion": "7", "annotations": {FROM: None}},
        "status": {"loadBalancer": {"ingress": None}},
    }


@pytest.mark.rule("controller-6.3.ipmode", "controller-6.3.unchanged")
def test_only_a_difference_is_written() -> None:
    """ipMode: VIP is ours; a host name, another mode or another spelling is corrected."""
    book = book_of(POOL3)
    right = service(cluster=V6, has="1000::", annotations={FROM: "pool3"})
    assert plan_service(right, book=book).patch is None
    for entry in (
        {"ip": "1000::", "ipMode": "Proxy"},
        {"ip": "1000::", "hostname": "x"},
        {"ip": "1000:0::0"},
    ):
        raw = msgspec.to_builtins(right)
        raw["status"]["loadBalancer"]["ingress"] = [entry]
        patch = plan_service(msgspec.convert(raw, Service), book=book).patch
        assert patch is not None
        assert b"annotations" not in patch.body
    only_annotation = plan_service(service(cluster=V6, has="1000::"), book=book).patch
    assert only_annotation is not None
    assert b"status" not in only_annotation.body


@pytest.mark.parametrize(
    ("pools", "others", "written", "message"),
    [
        (
            (pool("main-pool", "192.168.111.11-192.168.111.11"),),
            [service("ingress-nginx-controller", namespace="ingress-nginx")],
            {},
            (
                FAILED + "no available IPs: pool main-pool: all 1 IPv4 "
                "addresses are in use (192.168.111.11 by ingress-nginx/ingress-nginx-controller)"
            ),
        ),
        (
            (POOL1,),
            [service("other")],
            {**asks("1.2.3.0")},
            (
                FAILED + 'can\'t change sharing key for "default/web", '
                "address also in use by default/other: neither shares addresses"
                " (no annotation metallb.io/allow-shared-ip)"
            ),
        ),
        (
            (POOL1,),
            [],
            asks("1.2.3.7"),
            (FAILED + '["1.2.3.7"] is not allowed in config: 1.2.3.7 is in no pool'),
        ),
        (
            (POOL1,),
            [],
            asks("x, 1.2.3.0"),
            (FAILED + 'invalid metallb.io/loadBalancerIPs: "x, 1.2.3.0"'),
        ),
        (
            (POOL1,),
            [],
            {"loadBalancerIP": "x"},
            FAILED + 'invalid spec.loadBalancerIP "x"',
        ),
        (
            (POOL1,),
            [],
            {"loadBalancerIP": "1.2.3.1", **asks("1.2.3.1")},
            (
                FAILED + "service can not have both "
                "metallb.io/loadBalancerIPs and svc.Spec.LoadBalancerIP"
            ),
        ),
        (
            (POOL1,),
            [],
            asks("1.2.3.0,1.2.3.1"),
            (FAILED + 'IPFamilyForAddresses: same address family ["1.2.3.0" "1.2.3.1"]'),
        ),
        (
            (POOL1,),
            [],
            asks("1.2.3.0,1000::,1.2.3.1"),
            (FAILED + 'IPFamilyForAddresses: invalid ips length 3 ["1.2.3.0" "1000::" "1.2.3.1"]'),
        ),
        (
            (POOL1,),
            [],
            asks("1000::"),
            (
                FAILED + 'requested loadBalancer IP(s) ["1000::"] does '
                "not match the ipFamily of the service"
            ),
        ),
        (
            (POOL1, POOL2),
            [],
            {"annotations": {IPS: "1.2.3.1", POOL: "pool2"}},
            (
                FAILED + 'requested loadBalancer IP(s) ["1.2.3.1"] is '
                "not compatible with requested address pool pool2"
            ),
        ),
        (
            (POOL1,),
            [],
            {"annotations": {POOL: "nope"}},
            FAILED + 'unknown pool "nope": there is pool1 only',
        ),
        (
            (POOL3,),
            [],
            {"annotations": {POOL: "pool3"}},
            (FAILED + "no available IPs in pool pool3: it has no IPv4 addresses"),
        ),
        (
            (POOL1,),
            [],
            {"cluster": DUAL, "annotations": {POOL: "pool1"}, **REQUIRE},
            (FAILED + "no available IPs in pool pool1 for dual IPFamily: it has no IPv6 addresses"),
        ),
        (
            (POOL1,),
            [],
            REQUIRE,
            "Service requires dual stack but not enough clusterips [10.0.0.1]",
        ),
        (
            (POOL1,),
            [],
            {"has": "2.3.4.5"},
            (
                'current IP for "default/web" not allowed by config, will attempt for new '
                'IP assignment: ["2.3.4.5"] is not allowed in config: 2.3.4.5 is in no pool'
            ),
        ),
        (
            (POOL1,),
            [],
            {"has": "1.2.3.0 1.2.3.1"},
            (
                'Failed to retrieve LBIPs IPFamily for ["1.2.3.0" "1.2.3.1"]: '
                'IPFamilyForAddresses: same address family ["1.2.3.0" "1.2.3.1"]'
            ),
        ),
        (
            (POOL1,),
            [],
            {"has": "1.2.3.0", "cluster": "None"},
            (
                'Failed to retrieve ClusterIPs IPFamily for ["None"] None: IPFamilyForAddresses: '
                'Invalid address ["None"]'
            ),
        ),
        (
            (POOL1,),
            [],
            {"has": "1.2.3.0", **asks("x")},
            'invalid requested loadbalancer IPs: invalid metallb.io/loadBalancerIPs: "x"',
        ),
        (
            (POOL1,),
            [],
            {"has": "1.2.3.1", "cluster": DUAL, **PREFER},
            (
                "cannot assign additional IP in PreferDualStack: no available IPs in pool pool1 "
                "for ipv6 IPFamily: it has no IPv6 addresses"
            ),
        ),
        ((POOL1,), [], {}, 'Assigned IP ["1.2.3.0"]'),
        (
            (POOL5,),
            [],
            {"has": "1000::", "cluster": DUAL, **PREFER},
            'Assigned additional IP "1.2.3.0"',
        ),
    ],
)
@pytest.mark.rule(
    "controller-6.5.allocated",
    "controller-6.5.additional",
    "controller-6.5.clear",
    "controller-6.5.additional-failed",
    "controller-6.5.failed",
    "controller-6.5.request",
    "controller-6.5.lb-family",
    "controller-6.5.cluster-family",
    "controller-6.5.dual",
    "allocator-7.nil",
    "allocator-7.text",
    "allocator-8.3.4-reasons",
    "allocator-8.6.failure",
    "allocator-14.count",
    "allocator-14.invalid",
)
def test_messages(pools: Any, others: list[Service], written: dict[str, Any], message: str) -> None:
    """The first event tells the original's sentence and the true cause."""
    book = book_of(*pools)
    plan_all(others, book=book)
    decision = plan_service(service(**written), book=book)
    assert decision.events[0].message == message


def test_a_pending_service_knows_why_per_pool() -> None:
    """Without an address there is a verdict on every pool and one sentence for people."""
    book = book_of(POOL1, POOL2, POOL9)
    plan_all([service("a"), service("b")], book=book)
    decision = plan_service(service(), book=book)
    assert decision.outcome is Outcome.PENDING
    assert not decision.converged
    assert [(verdict.pool, verdict.reason) for verdict in decision.verdicts] == [
        ("pool1", PoolReason.EXHAUSTED),
        ("pool2", PoolReason.NOT_AUTO_ASSIGNED),
        ("pool9", PoolReason.NAMESPACE_NOT_ADMITTED),
    ]
    assert decision.pending_reason in decision.events[0].message
    asked = plan_service(service(annotations={IPS: "1.2.3.1"}), book=book)
    assert [(verdict.pool, verdict.reason) for verdict in asked.verdicts] == [
        ("pool1", PoolReason.ADDRESS_IN_USE),
        ("pool2", PoolReason.NOT_REQUESTED),
        ("pool9", PoolReason.NOT_REQUESTED),
    ]


def test_explain_has_a_verdict_on_every_pool() -> None:
    """Also of a service that keeps its address it can be asked why not another pool."""
    book = book_of(POOL1, POOL2)
    decision = plan_service(service(has="1.2.3.1"), book=book, explain=True)
    assert [(verdict.pool, verdict.chosen) for verdict in decision.verdicts] == [
        ("pool1", True),
        ("pool2", False),
    ]


def test_messages_fit_an_event() -> None:
    """However long a wish is, the event stays within what the API takes."""
    decision = plan_service(service(annotations={IPS: "x" * 200_000}), book=book_of(POOL1))
    assert len(decision.events[0].message) <= 1024
    assert len(decision.pending_reason) <= 1024


@pytest.mark.rule("controller-6.4.7c", "controller-6.4.6-cluster-family")
def test_an_invalid_wish_does_not_take_the_address_away() -> None:
    """A service with an address keeps it while its wish, or its family, is unreadable."""
    book = book_of(POOL1)
    had = service(has="1.2.3.1", annotations={FROM: "pool1"})
    plan_service(had, book=book)
    wishes = service(has="1.2.3.1", annotations={FROM: "pool1", IPS: "nonsense"})
    decision = plan_service(wishes, book=book)
    assert (decision.outcome, decision.addresses) == (Outcome.HELD, ("1.2.3.1",))
    assert apply(wishes, decision.patch).ingress[0].ip == "1.2.3.1"
    assert reasons(decision) == ["LoadBalancerFailed"]
    headless = service(has="1.2.3.1", annotations={FROM: "pool1"}, cluster="None")
    decision = plan_service(headless, book=book)
    assert (decision.outcome, decision.addresses) == (Outcome.HELD, ("1.2.3.1",))
    assert reasons(decision) == ["noclusterIPsIPFamily"]
    for other in (book, book_of(POOL1)):
        decision = plan_service(headless, book=other)
        assert decision.addresses == ("1.2.3.1",)
        assert decision.patch is not None
        written = msgspec.json.decode(decision.patch.body)
        assert (list(written["metadata"]), list(written["status"])) == (
            ["resourceVersion"],
            ["conditions"],
        )


def test_an_invalid_wish_is_told_before_another_address_is_sought() -> None:
    """A wish that cannot be read keeps a service that lost its address from getting another."""
    written = service(has="9.9.9.9", annotations={IPS: "nonsense"})
    decision = plan_service(written, book=book_of(POOL1))
    assert (decision.outcome, decision.addresses) == (Outcome.PENDING, ())
    assert reasons(decision) == ["ClearAssignment", "LoadBalancerFailed"]


def test_both_families_are_told_when_neither_makes_sense() -> None:
    """Unreadable addresses and unreadable cluster IPs are two events, and nothing is cleared."""
    written = service(has="1.2.3.0 1.2.3.1", cluster="None")
    decision = plan_service(written, book=book_of(POOL1))
    assert reasons(decision) == ["nolbIPsIPFamily", "noclusterIPsIPFamily"]
    assert decision.addresses == ("1.2.3.0", "1.2.3.1")


@pytest.mark.rule("controller-6.5.deprecated", "controller-6.3.deprecated")
@pytest.mark.rule("api-9.deprecated-event")
def test_deprecated_annotations_are_told_when_something_is_written() -> None:
    """Each deprecated key gives a warning, but only with a change of the service."""
    keys = {"metallb.universe.tf/b": "1", "metallb.universe.tf/a": "2"}
    book = book_of(POOL1)
    decision = plan_service(service(annotations=keys), book=book)
    assert reasons(decision) == ["IPAllocated", "deprecatedAnnotation", "deprecatedAnnotation"]
    assert decision.events[1].message == "Service uses deprecated annotation metallb.universe.tf/a"
    settled = apply(service(annotations=keys), decision.patch)
    assert plan_service(settled, book=book).events == ()
    waiting = plan_service(service("waits", annotations={**keys, IPS: "x"}), book=book)
    assert reasons(waiting) == ["AllocationFailed"]


def test_a_late_status_changes_nothing() -> None:
    """What the book gave stands while the service still reads as it was before the write."""
    book = book_of(POOL1)
    first = plan_service(service(), book=book)
    again = plan_service(service(), book=book)
    assert (again.addresses, again.outcome, again.patch) == (
        first.addresses,
        Outcome.KEPT,
        first.patch,
    )
    moved = service(annotations={IPS: "1.2.3.1"})
    assert plan_service(moved, book=book).addresses == ("1.2.3.1",)
    stale = service(has="1.2.3.0", annotations={IPS: "1.2.3.1"})
    assert plan_service(stale, book=book).addresses == ("1.2.3.1",)


@pytest.mark.rule(
    "allocator-13.row1", "allocator-13.deleted", "allocator-13.lost", "controller-6.6.one-address"
)
def test_waiting_services_get_what_others_give_up() -> None:
    """Deletion, a change of type or of the wish asks for another look at all services."""
    book = book_of(pool("one", "1.0.0.0/32"))
    first, second = service("first"), service("second")
    assert [each.outcome for each in plan_all([first, second], book=book)] == [
        Outcome.ASSIGNED,
        Outcome.PENDING,
    ]
    assert plan_deleted("default/nobody", book=book) is False
    assert plan_deleted("default/first", book=book) is True
    assert plan_service(second, book=book).addresses == ("1.0.0.0",)
    gone = plan_service(service("second", type="ClusterIP"), book=book)
    assert (gone.outcome, gone.reprocess_all) == (Outcome.NOT_WANTED, True)
    assert plan_service(first, book=book).addresses == ("1.0.0.0",)


def sharing(name: str, *, local: bool, app: str, ports: str, **more: Any) -> Service:
    """Make a service that shares 1.0.0.0."""
    policy = {"externalTrafficPolicy": "Local" if local else "Cluster", "selector": {"app": app}}
    return service(name, annotations={SHARE: "k", IPS: "1.0.0.0"}, ports=ports, **policy, **more)


@pytest.mark.rule(
    "allocator-13.row2",
    "allocator-13.row3",
    "allocator-13.row4",
    "allocator-13.key",
    "allocator-5.cluster-cluster",
    "allocator-5.local-local",
)
def test_sharing_follows_traffic_policy_and_selector() -> None:
    """Cluster shares with Cluster; Local only with an identical selector (spec: allocator §13)."""
    book = book_of(pool("one", "1.0.0.0/32"))

    def give(*services: Service) -> tuple[list[int], bool]:
        decisions = [plan_service(each, book=book) for each in services]
        book.validate()
        return [len(each.addresses) for each in decisions], any(
            each.reprocess_all for each in decisions
        )

    a = sharing("a", local=False, app="x", ports="TCP/80")
    b = sharing("b", local=False, app="y", ports="TCP/81")
    assert give(a, b) == ([1, 1], False)
    b_local = sharing("b", local=True, app="y", ports="TCP/81")
    assert give(b_local, a) == ([0, 1], True)
    a_local = sharing("a", local=True, app="y", ports="TCP/80")
    assert give(a_local) == ([1], True)
    assert give(b_local, a_local) == ([1, 1], False)
    assert give(sharing("a", local=True, app="z", ports="TCP/80"), b_local) == ([0, 1], True)
    assert give(sharing("b", local=True, app="z", ports="TCP/81")) == ([1], True)
    assert give(sharing("a", local=True, app="z", ports="TCP/80")) == ([1], False)


def test_a_port_given_up_on_a_shared_address_is_offered() -> None:
    """Dropping a port lets a service that waits for it in."""
    book = book_of(pool("one", "1.0.0.0/32"))
    plan_service(sharing("a", local=False, app="x", ports="TCP/80 TCP/443"), book=book)
    waiting = sharing("b", local=False, app="x", ports="TCP/443")
    assert plan_service(waiting, book=book).outcome is Outcome.PENDING
    fewer = plan_service(sharing("a", local=False, app="x", ports="TCP/80"), book=book)
    assert (fewer.outcome, fewer.reprocess_all) == (Outcome.KEPT, True)
    assert plan_service(waiting, book=book).addresses == ("1.0.0.0",)


@pytest.mark.rule("allocator-13.first")
def test_plain_first_allocations_disturb_nobody() -> None:
    """A first allocation frees nothing, with a sharing key or without, so nobody is looked at."""
    book = book_of(POOL1)
    shared = service(
        "a", annotations={SHARE: "k"}, externalTrafficPolicy="Local", selector={"a": "b"}
    )
    assert not any(each.reprocess_all for each in plan_all([shared, service("b")], book=book))


@pytest.mark.rule(
    "allocator-9.adding",
    "allocator-9.e2e-moved",
    "allocator-9.reprocessed",
    "allocator-9.pinning",
    "allocator-9.e2e-all",
    "controller-6.6.second-pool",
)
def test_pool_changes_end_to_end() -> None:
    """Addresses follow the pools as the original's end-to-end cases say (spec: allocator §9)."""
    book = book_of(POOL1)
    web = apply(service(), plan_service(service(), book=book).patch)

    def reload(*pools: Any, written: Service) -> ServiceDecision:
        book.set_pools(config_of(*pools).pools)
        book.validate()
        return plan_service(written, book=book)

    second = pool("second", "5.0.0.0/31")
    assert reload(POOL1, second, written=web).addresses == ("1.2.3.0",)
    moved = reload(second, written=web)
    assert (moved.addresses, reasons(moved)) == (("5.0.0.0",), ["ClearAssignment", "IPAllocated"])
    assert reload(written=apply(web, moved.patch)).addresses == ()
    pinned = pool("second", "5.0.0.0/31", serviceAllocation={"namespaces": ["x"]})
    book = book_of(second)
    web = apply(service(), plan_service(service(), book=book).patch)
    assert reload(pinned, POOL1, written=web).addresses == ("1.2.3.0",)


@pytest.mark.rule(
    "allocator-9.e2e-prefer-gains", "allocator-9.e2e-prefer-loses", "allocator-9.e2e-single"
)
def test_dual_stack_pool_changes() -> None:
    """A family that appears is added, one that goes takes the service to another pool if any."""
    prefer = service(cluster=DUAL, **PREFER)
    book = book_of(POOL1)
    had = apply(prefer, plan_service(prefer, book=book).patch)
    book.set_pools(config_of(pool("pool1", "1.2.3.0/31", "1000::/127")).pools)
    grown = plan_service(had, book=book)
    assert grown.addresses == ("1.2.3.0", "1000::")
    book.set_pools(config_of(POOL1).pools)
    assert plan_service(apply(had, grown.patch), book=book).addresses == ("1.2.3.0",)
    other = pool("other", "6.0.0.0/31", "6::/127")
    book = book_of(other, POOL1)
    assert plan_service(apply(had, grown.patch), book=book).addresses == ("6.0.0.0", "6::")
    book = book_of(POOL1)
    plan_service(had, book=book)
    book.set_pools(config_of(POOL1, other).pools)
    assert plan_service(had, book=book).addresses == ("1.2.3.0",)


@pytest.mark.rule("allocator-12.order", "allocator-12.tie", "allocator-13.order")
def test_restart_adopts_before_it_gives_away() -> None:
    """Statuses come first, the more addresses the sooner; then age, then name, decide."""
    book = book_of(pool("one", "1.0.0.0/31"))
    new = service("a-new", created="2020-01-01T00:00:00Z")
    young = service("b", has="1.0.0.0", created="2026-02-01T00:00:00Z")
    old = service("c", has="1.0.0.0", created="2026-01-01T00:00:00Z")
    decisions = {each.service: each.addresses for each in plan_all([new, young, old], book=book)}
    assert decisions == {"default/c": ("1.0.0.0",), "default/b": ("1.0.0.1",), "default/a-new": ()}


@pytest.mark.rule("api-2.namespaces", "api-10.namespace-labels")
def test_namespace_selectors_pin_by_labels() -> None:
    """A pool pinned by namespace labels serves exactly those namespaces."""
    written = pool(
        "p", "1.0.0.0/31", serviceAllocation={"namespaceSelectors": [{"matchLabels": TEAM}]}
    )
    book = book_of(written, namespaces=(namespace("in", **TEAM), namespace("out")))
    assert plan_service(service(namespace="in"), book=book).addresses == ("1.0.0.0",)
    assert plan_service(service(namespace="out"), book=book).addresses == ()


@pytest.mark.parametrize(
    ("service_class", "flag", "expected"),
    [
        pytest.param(None, "", True, marks=pytest.mark.rule("controller-5.flag-none-class-none")),
        pytest.param("x", "", False, marks=pytest.mark.rule("controller-5.flag-none-class-x")),
        pytest.param("y", "", False, marks=pytest.mark.rule("controller-5.flag-none-class-y")),
        pytest.param(None, "x", False, marks=pytest.mark.rule("controller-5.flag-x-class-none")),
        pytest.param("x", "x", True, marks=pytest.mark.rule("controller-5.flag-x-class-x")),
        pytest.param("y", "x", False, marks=pytest.mark.rule("controller-5.flag-x-class-y")),
    ],
)
def test_load_balancer_class(service_class: str | None, flag: str, *, expected: bool) -> None:
    """A service is ours if its class is our flag (spec: controller §5)."""
    assert is_ours(service(loadBalancerClass=service_class), flag) is expected


@pytest.mark.rule("controller-5.lost-class")
def test_a_service_that_lost_its_class_is_still_cleaned_up() -> None:
    """What is no load balancer any more is ours if we hold something for it or marked it."""
    former = service(type="ClusterIP")
    assert is_ours(former, "")
    assert not is_ours(former, "x")
    assert is_ours(former, "x", is_held=True)
    assert is_ours(service(type="ClusterIP", annotations={FROM: "p"}), "x")


@pytest.mark.rule("controller-6.4.6-no-addresses")
def test_without_addresses_what_is_stale_goes() -> None:
    """An annotation that names a pool while there is no address is removed."""
    written = service(annotations={FROM: "gone", OLD_FROM: "gone", IPS: "x"})
    decision = plan_service(written, book=book_of(POOL1))
    assert decision.outcome is Outcome.PENDING
    assert apply(written, decision.patch).metadata.annotations == {IPS: "x"}


@pytest.mark.rule("allocator-8.2.1", "allocator-8.3.1")
def test_who_has_an_address_keeps_it_whatever_comes_first_now() -> None:
    """Asking for the pool it is from, or for nothing, is no reason to move."""
    book = book_of(POOL1, pool("a-better-one", "9.0.0.0/31", serviceAllocation={"priority": 1}))
    for wish in ({}, {POOL: "pool1"}):
        decision = plan_service(service(has="1.2.3.1", annotations=wish), book=book)
        assert (decision.outcome, decision.addresses) == (Outcome.KEPT, ("1.2.3.1",))


@pytest.mark.rule("allocator-9.e2e-require-loses")
def test_a_dual_stack_service_takes_both_addresses_elsewhere() -> None:
    """RequireDualStack loses both when its pool loses a family; another dual pool has both."""
    require = service(cluster=DUAL, **REQUIRE)
    book = book_of(POOL5)
    had = apply(require, plan_service(require, book=book).patch)
    book.set_pools(config_of(pool("pool5", "1.2.3.0/31")).pools)
    lost = plan_service(had, book=book)
    assert (lost.addresses, lost.outcome) == ((), Outcome.PENDING)
    book.set_pools(
        config_of(pool("pool5", "1.2.3.0/31"), pool("six", "6.0.0.0/31", "6::/127")).pools
    )
    assert plan_service(had, book=book).addresses == ("6.0.0.0", "6::")


@pytest.mark.rule("allocator-12.gate")
@pytest.mark.parametrize(
    ("written", "expected", "first_event"),
    [
        ({"has": "9.9.9.9"}, "1.2.3.1", "ClearAssignment"),
        ({"has": "7.8.9.0"}, "1.2.3.1", "ClearAssignment"),
        ({"has": "1000::"}, "1.2.3.1", "IPAllocated"),
        ({"has": "1.2.3.0"}, "1.2.3.1", "ClearAssignment"),
        ({"has": "1.2.3.1"}, "1.2.3.1", None),
    ],
    ids=["no pool", "wrong pinning", "changed family", "conflict", "right"],
)
def test_adoption_passes_the_gate(
    written: dict[str, Any], expected: str, first_event: str | None
) -> None:
    """What a status says counts after a start if the rules allow it, else it is replaced."""
    book = book_of(*PINNED)
    older = service("older", has="1.2.3.0", created="2020-01-01T00:00:00Z")
    decisions = plan_all([service(**written), older], book=book)
    found = next(each for each in decisions if each.service == "default/web")
    assert " ".join(found.addresses) == expected
    assert (reasons(found) or [None])[0] == first_event


@pytest.mark.rule("allocator-1.allocation-key", "allocator-13.key")
def test_a_changed_key_has_others_looked_at() -> None:
    """Another sharing key, or another backend, is something given up; the same is nothing."""
    book = book_of(POOL1)
    local = {"externalTrafficPolicy": "Local", "selector": {"app": "x"}}
    for keys, spec, gave_up in (
        ({SHARE: "k"}, {}, False),
        ({SHARE: "k"}, {}, False),
        ({SHARE: "l"}, {}, True),
        ({SHARE: "l"}, local, True),
    ):
        decision = plan_service(service(annotations=keys, **spec), book=book)
        assert (decision.addresses, decision.reprocess_all) == (("1.2.3.0",), gave_up)


@pytest.mark.rule("controller-5.no-flag")
def test_without_the_flag_a_foreign_status_is_ours_to_correct() -> None:
    """A class-less load balancer is ours whoever wrote its status."""
    written = service(has="some.host")
    assert is_ours(written, "")
    cleared = plan_service(written, book=book_of())
    assert apply(written, cleared.patch).ingress == ()
