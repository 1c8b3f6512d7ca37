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


CASES: dict[str, tuple[tuple[Any, ...], dict[str, Any], str, str | None]] = {
    "ClusterIP type, no status": (SINGLES, {"type": "ClusterIP"}, "", None),
    "LB, clusterIP v4": (SINGLES, {}, "1.2.3.0", "IPAllocated"),
    "loadBalancerIP 1.2.3.1": (SINGLES, {"loadBalancerIP": "1.2.3.1"}, "1.2.3.1", "IPAllocated"),
    "annotation 1.2.3.1": (SINGLES, asks("1.2.3.1"), "1.2.3.1", "IPAllocated"),
    "both set": (SINGLES, {"loadBalancerIP": "1.2.3.1", **asks("1.2.3.1")}, "", WARN),
    "loadBalancerIP not an IP": (SINGLES, {"loadBalancerIP": "please give"}, "", WARN),
    "annotation not an IP": (SINGLES, asks("please give"), "", WARN),
    "annotation 1.2.3.1,1.2.3.2": (SINGLES, asks("1.2.3.1,1.2.3.2"), "", WARN),
    "annotation 1.2.3.1 + pool2": (
        SINGLES,
        {"annotations": {IPS: "1.2.3.1", POOL: "pool2"}},
        "",
        WARN,
    ),
    "requests 1.2.3.4, has 1.2.3.1": (SINGLES, {"has": "1.2.3.1", **asks("1.2.3.4")}, "", WARN),
    "pool1 annotation": (SINGLES, {"annotations": {POOL: "pool1"}}, "1.2.3.0", "IPAllocated"),
    "pool2 annotation while holding 1.2.3.0": (
        SINGLES,
        {"has": "1.2.3.0", "annotations": {POOL: "pool2"}},
        "3.4.5.6",
        "IPAllocated",
    ),
    "unknown pool": (SINGLES, {"annotations": {POOL: "does-not-exist"}}, "", WARN),
    "status 2.3.4.5": (SINGLES, {"has": "2.3.4.5"}, "1.2.3.0", "ClearAssignment"),
    "status hostname + 10.10.10.10": (
        SINGLES,
        {"has": "foo.bar 10.10.10.10"},
        "1.2.3.0",
        "ClearAssignment",
    ),
    "status 1.2.3.1 is kept": (SINGLES, {"has": "1.2.3.1"}, "1.2.3.1", None),
    "NodePort with status 1.2.3.0": (SINGLES, {"type": "NodePort", "has": "1.2.3.0"}, "", None),
    "LB, no clusterIP": (SINGLES, {"cluster": ""}, "", None),
    "request v4 for v6 service": (SINGLES, {"cluster": V6, **asks("1.2.3.1")}, "", WARN),
    "request v6 for v4 service": (SINGLES, asks("1000::"), "", WARN),
    "status v6 of a v4 service": (SINGLES, {"has": "1000::"}, "1.2.3.0", "IPAllocated"),
    "status v4 of a v6 service": (
        SINGLES,
        {"cluster": V6, "has": "1.2.3.0"},
        "1000::",
        "IPAllocated",
    ),
    "status dual of a v4 service": ((POOL5,), {"has": "1.2.3.0 1000::"}, "1.2.3.0", "IPAllocated"),
    "dual clusterIPs, Require": (
        (POOL5,),
        {"cluster": DUAL, **REQUIRE},
        "1.2.3.0 1000::",
        "IPAllocated",
    ),
    "dual clusterIPs, Prefer": (
        (POOL5,),
        {"cluster": DUAL, **PREFER},
        "1.2.3.0 1000::",
        "IPAllocated",
    ),
    "Prefer, single clusterIP, namespace with v4 pools": (
        PINNED,
        {"namespace": "test-ns1", **PREFER},
        "7.8.9.0",
        "IPAllocated",
    ),
    "Prefer, dual, pool1 annotation": (
        SINGLES,
        {"cluster": DUAL, "annotations": {POOL: "pool1"}, **PREFER},
        "1.2.3.0",
        "IPAllocated",
    ),
    "Prefer, v6 clusterIP, pool3": (
        SINGLES,
        {"cluster": V6, "annotations": {POOL: "pool3"}, **PREFER},
        "1000::",
        "IPAllocated",
    ),
    "Prefer, single v4 clusterIP, dual pool5": ((POOL5,), PREFER, "1.2.3.0", "IPAllocated"),
    "Require, one clusterIP": ((POOL5,), REQUIRE, "", "not enough clusterips"),
    "dual clusterIPs, one requested IP": (
        (POOL5,),
        {"cluster": DUAL, **REQUIRE, **asks("1.2.3.0")},
        "",
        WARN,
    ),
    "Prefer, dual clusterIPs, one requested IP": (
        (POOL5,),
        {"cluster": DUAL, **PREFER, **asks("1.2.3.0")},
        "",
        WARN,
    ),
    "Require, annotation 1.2.3.0,1000::": (
        (POOL5,),
        {"cluster": DUAL, **REQUIRE, **asks("1.2.3.0,1000::")},
        "1.2.3.0 1000::",
        "IPAllocated",
    ),
    "requested order is kept": (
        (POOL5,),
        {"cluster": DUAL, **REQUIRE, **asks(" 1000:: , 1.2.3.0 ")},
        "1000:: 1.2.3.0",
        "IPAllocated",
    ),
    "the order at hand is kept": (
        (POOL5,),
        {"cluster": DUAL, "has": "1.2.3.0 1000::", **REQUIRE, **asks("1000::,1.2.3.0")},
        "1.2.3.0 1000::",
        None,
    ),
    "Require, clusterIPs v6 first, status hostname + 1000::": (
        (POOL5,),
        {"cluster": V6_FIRST, "has": "foo.bar 1000::", **REQUIRE},
        "1.2.3.0 1000::",
        "IPAllocated",
    ),
    "annotation with two families, single clusterIP": ((POOL5,), asks("1.2.3.0,1000::"), "", WARN),
    "ns test-ns1": (PINNED, {"namespace": "test-ns1"}, "7.8.9.0", "IPAllocated"),
    "ns test-ns2": (PINNED, {"namespace": "test-ns2"}, "16.17.18.0", "IPAllocated"),
    "label team=metallb": (PINNED, {"labels": TEAM}, "19.20.21.0", "IPAllocated"),
    "test-ns1 + label": (
        PINNED,
        {"namespace": "test-ns1", "labels": TEAM},
        "25.26.27.0",
        "IPAllocated",
    ),
    "status with three IPs": (
        SINGLES,
        {"has": "1.2.3.0 1.2.3.1 1000::"},
        "1.2.3.0",
        "nolbIPsIPFamily",
    ),
    "status with an invalid IP": (SINGLES, {"has": "1.2.3.999"}, "1.2.3.0", "nolbIPsIPFamily"),
    "clusterIP None": (SINGLES, {"cluster": "None"}, "", WARN),
    "Prefer, dual, has v4 of a dual pool": (
        (POOL5,),
        {"cluster": DUAL, "has": "1.2.3.1", **PREFER},
        "1.2.3.1 1000::",
        "IPAllocated",
    ),
    "Prefer, dual, has v4 of a v4 pool": (
        SINGLES,
        {"cluster": DUAL, "has": "1.2.3.1", **PREFER},
        "1.2.3.1",
        "AdditionalAssignFailed",
    ),
    "deprecated annotation": (
        SINGLES,
        {"annotations": {"metallb.universe.tf/loadBalancerIPs": "1.2.3.1"}},
        "1.2.3.1",
        "IPAllocated",
    ),
    "an empty current annotation hides it": (
        SINGLES,
        {"annotations": {"metallb.universe.tf/loadBalancerIPs": "1.2.3.1", IPS: ""}},
        "1.2.3.0",
        "IPAllocated",
    ),
}


@pytest.mark.parametrize(("pools", "written", "expected", "event"), CASES.values(), ids=CASES)
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


def test_the_patch_carries_status_and_annotations() -> None:
    """One merge patch sets the entries in order, the pool, and removes the deprecated twin."""
    had = service(annotations={OLD_FROM: "old", "keep": "me"})
    patch = diff(plan_service(had, book=book_of(POOL1)))
    assert patch is not None
    assert (patch.namespace, patch.name) == ("default", "web")
    assert msgspec.json.decode(patch.body) == {
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


def test_an_invalid_wish_does_not_take_the_address_away() -> None:
    """A service with an address keeps it while its wish, or its family, is unreadable."""
    book = book_of(POOL1)
    had = service(has="1.2.3.1", annotations={FROM: "pool1"})
    plan_service(had, book=book)
    wishes = service(has="1.2.3.1", annotations={FROM: "pool1", IPS: "nonsense"})
    decision = plan_service(wishes, book=book)
    assert (decision.outcome, decision.addresses, decision.patch) == (
        Outcome.HELD,
        ("1.2.3.1",),
        None,
    )
    assert reasons(decision) == ["LoadBalancerFailed"]
    headless = service(has="1.2.3.1", annotations={FROM: "pool1"}, cluster="None")
    decision = plan_service(headless, book=book)
    assert (decision.outcome, decision.addresses, decision.patch) == (
        Outcome.HELD,
        ("1.2.3.1",),
        None,
    )
    assert reasons(decision) == ["noclusterIPsIPFamily"]
    unadopted = plan_service(headless, book=book_of(POOL1))
    assert (unadopted.addresses, unadopted.patch) == (("1.2.3.1",), None)


def test_deprecated_annotations_are_told_when_something_is_written() -> None:
    """Each deprecated key gives a warning, but only with a change of the service."""
    keys = {"metallb.universe.tf/b": "1", "metallb.universe.tf/a": "2"}
    book = book_of(POOL1)
    decision = plan_service(service(annotations=keys), book=book)
    assert reasons(decision) == ["IPAllocated", "deprecatedAnnotation", "deprecatedAnnotation"]
    assert decision.events[1].message == "Service uses deprecated annotation metallb.universe.tf/a"
    settled = apply(service(annotations=keys), decision.patch)
    assert plan_service(settled, book=book).events == ()


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


def test_plain_first_allocations_disturb_nobody() -> None:
    """A first allocation frees nothing, with a sharing key or without, so nobody is looked at."""
    book = book_of(POOL1)
    shared = service(
        "a", annotations={SHARE: "k"}, externalTrafficPolicy="Local", selector={"a": "b"}
    )
    assert not any(each.reprocess_all for each in plan_all([shared, service("b")], book=book))


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


def test_restart_adopts_before_it_gives_away() -> None:
    """Statuses come first, the more addresses the sooner; then age, then name, decide."""
    book = book_of(pool("one", "1.0.0.0/31"))
    new = service("a-new", created="2020-01-01T00:00:00Z")
    young = service("b", has="1.0.0.0", created="2026-02-01T00:00:00Z")
    old = service("c", has="1.0.0.0", created="2026-01-01T00:00:00Z")
    decisions = {each.service: each.addresses for each in plan_all([new, young, old], book=book)}
    assert decisions == {"default/c": ("1.0.0.0",), "default/b": ("1.0.0.1",), "default/a-new": ()}


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
        (None, "", True),
        ("x", "", False),
        ("y", "", False),
        (None, "x", False),
        ("x", "x", True),
        ("y", "x", False),
    ],
)
def test_load_balancer_class(service_class: str | None, flag: str, *, expected: bool) -> None:
    """A service is ours if its class is our flag (spec: controller §5)."""
    assert is_ours(service(loadBalancerClass=service_class), flag) is expected


def test_a_service_that_lost_its_class_is_still_cleaned_up() -> None:
    """What is no load balancer any more is ours if we hold something for it or marked it."""
    former = service(type="ClusterIP")
    assert is_ours(former, "")
    assert not is_ours(former, "x")
    assert is_ours(former, "x", is_held=True)
    assert is_ours(service(type="ClusterIP", annotations={FROM: "p"}), "x")
