"""Plans take any service the API can deliver, settle at once, and survive restarts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.allocator.book import Book
from mercurylb.api.annotation import DEPRECATED
from mercurylb.api.service import Service
from mercurylb.plan.decision import Outcome, StatusPatch
from mercurylb.plan.layer2 import plan_layer2
from mercurylb.plan.service import plan_all, plan_service
from tests.unit.plan.cluster import advertisement, apply, config_of, endpoints, node, pool

CONFIG = config_of(
    pool("a", "10.0.0.0/30", "1::/127"),
    pool("b", "10.0.1.0/31", avoidBuggyIPs=True),
    pool("c", "2::/127", serviceAllocation={"namespaces": ["x"], "priority": 1}),
    pool("d", "10.0.2.0/31", autoAssign=False),
    advertisements=(advertisement("ad"),),
    nodes=(node("n1"), node("n2")),
)

IP_TEXTS = st.one_of(
    st.sampled_from(
        ["10.0.0.0", "10.0.0.1", "10.0.1.1", "10.0.2.0", "1::", "1::1", "2::", "9.9.9.9"]
    ),
    st.sampled_from(["", "None", "x", "10.0.0.00", "1:0::0"]),
    st.text(max_size=5),
)


def many(strategy: st.SearchStrategy[Any], most: int = 2) -> st.SearchStrategy[Any]:
    """Make lists of something, or null."""
    return st.none() | st.lists(strategy, max_size=most)


ANNOTATIONS = st.none() | st.dictionaries(
    st.sampled_from([*DEPRECATED, *DEPRECATED.values(), "other"]),
    st.one_of(IP_TEXTS, st.sampled_from(["a", "b", "c", "k", "10.0.0.1,1::", " 1:: , 10.0.0.2"])),
    max_size=3,
)
CLUSTER = st.one_of(
    st.sampled_from([["10.9.0.1"], ["fd00::1"], ["10.9.0.1", "fd00::1"], ["fd00::1", "10.9.0.1"]]),
    many(IP_TEXTS, 3),
)
SPECS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["LoadBalancer"] * 6 + ["ClusterIP", ""]),
        "clusterIP": IP_TEXTS,
        "clusterIPs": CLUSTER,
        "ipFamilies": many(st.sampled_from(["IPv4", "IPv6", ""])),
        "ipFamilyPolicy": st.sampled_from(
            [None, "SingleStack", "PreferDualStack", "RequireDualStack", "x"]
        ),
        "loadBalancerIP": st.sampled_from([""] * 5 + ["10.0.0.2", "x"]),
        "externalTrafficPolicy": st.sampled_from(["", "Local", "Cluster"]),
        "ports": many(
            st.fixed_dictionaries(
                {"port": st.integers(1, 2), "protocol": st.sampled_from(["TCP", "UDP"])}
            )
        ),
        "selector": st.none() | st.just({"a": "b"}),
    }
)
INGRESS = many(
    st.fixed_dictionaries(
        {}, optional={"ip": IP_TEXTS, "hostname": st.just("h"), "ipMode": st.just("VIP")}
    ),
    3,
)


def to_service(name: str, space: str, annotations: Any, spec: Any, ingress: Any) -> Service:
    """Make a service of parts."""
    return msgspec.convert(
        {
            "metadata": {"name": name, "namespace": space, "annotations": annotations},
            "spec": spec,
            "status": {"loadBalancer": {"ingress": ingress}},
        },
        Service,
    )


def services(name: st.SearchStrategy[str]) -> st.SearchStrategy[Service]:
    """Make services with names."""
    return st.builds(to_service, name, st.sampled_from(["x", "y"]), ANNOTATIONS, SPECS, INGRESS)


CLUSTERS = st.lists(
    services(st.sampled_from("abcdef")), max_size=6, unique_by=lambda each: each.metadata.key
)


UNSAID = (Outcome.NOT_WANTED, Outcome.NOT_LOADED)


def writes_only_what_is_ours(patch: StatusPatch | None) -> None:
    """Check that a patch touches addresses, conditions and the pool's name only."""
    if patch is None:
        return
    body = msgspec.json.decode(patch.body)
    assert set(body) <= {"metadata", "status"}
    assert set(body["metadata"]) <= {"resourceVersion", "annotations"}
    assert all("ip-allocated-from-pool" in key for key in body["metadata"].get("annotations", ()))
    assert set(body.get("status", ())) <= {"loadBalancer", "conditions"}


def new_book() -> Book:
    """Make an empty book with the pools."""
    book = Book()
    book.set_pools(CONFIG.pools)
    return book


@given(written=CLUSTERS)
@pytest.mark.rule("controller-6.4.untouched", "controller-6.4.10", "allocator-12.e2e")
def test_services_settle_and_restart_unmoved(written: list[Service]) -> None:
    """No service crashes a plan; once settled nothing is written, and a restart moves nobody."""
    book = new_book()
    current = {each.metadata.key: each for each in written}
    for _ in range(4):
        decisions = plan_all(current.values(), book=book)
        book.validate()
        for decision in decisions:
            writes_only_what_is_ours(decision.patch)
            assert decision.addresses or decision.pending_reason or decision.outcome in UNSAID
            current[decision.service] = apply(current[decision.service], decision.patch)
    decisions = plan_all(current.values(), book=book)
    assert not any(decision.patch or decision.reprocess_all for decision in decisions)
    restarted = plan_all(current.values(), book=new_book())
    before = {each.service: (each.addresses, each.pool) for each in decisions if each.addresses}
    after = {each.service: (each.addresses, each.pool) for each in restarted}
    assert {key: after[key] for key in before} == before


@given(first=services(st.just("a")), second=services(st.just("a")), other=services(st.just("b")))
def test_a_late_status_does_not_move_a_service(
    first: Service, second: Service, other: Service
) -> None:
    """Planning again what was planned, from the same stale object, gives the same addresses."""
    book = new_book()
    for each in (first, other, second):
        plan_service(each, book=book)
        book.validate()
    again = plan_service(second, book=book)
    once_more = plan_service(second, book=book)
    assert once_more.addresses == again.addresses


@given(
    written=services(st.just("a")),
    states=st.lists(
        st.tuples(
            st.sampled_from(["n1", "n2", "n3"]),
            st.fixed_dictionaries(
                {"ready": st.none() | st.booleans(), "serving": st.none() | st.booleans()}
            ),
        ),
        max_size=3,
    ),
    speakers=st.frozensets(st.sampled_from(["n1", "n2", "n3"])),
)
def test_every_node_sees_the_same_ranking(
    written: Service, states: Any, speakers: frozenset[str]
) -> None:
    """All nodes that may announce agree on the order; each node has exactly one verdict."""
    decisions = [
        plan_layer2(
            written,
            config=CONFIG,
            nodes={"n1": node("n1"), "n2": node("n2")},
            endpoint_slices=endpoints(*states),
            speakers=speakers,
            node=me,
        )
        for me in ("n1", "n2", "n3")
    ]
    assert len({decision.ranking for decision in decisions}) == 1
    assert len({decision.verdicts for decision in decisions}) == 1
    for me, decision in zip(("n1", "n2", "n3"), decisions, strict=True):
        assert (me in decision.ranking) is (decision.reason is None)
        assert set(decision.ranking) <= speakers
        names = [verdict.node for verdict in decision.verdicts]
        assert len(names) == len(set(names))
