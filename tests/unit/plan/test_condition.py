"""The condition on a service: one sentence why it waits, written once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mercurylb.api.service import Service, ServiceCondition
from mercurylb.plan.condition import ALLOCATED_TYPE, ConditionReason
from mercurylb.plan.service import is_ours, plan_all, plan_deleted, plan_service
from tests.unit.plan.cluster import apply, book_of, config_of, pool, service

IPS = "metallb.io/loadBalancerIPs"
POOL = "metallb.io/address-pool"
SHARE = "metallb.io/allow-shared-ip"
FROM = "metallb.io/ip-allocated-from-pool"
ONE = pool("one", "1.0.0.0/32")
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"
DUAL = "10.0.0.1 fd00::1"
THEIRS = {
    "type": "example.com/Checked",
    "status": "True",
    "reason": "Fine",
    "message": "",
    "lastTransitionTime": "2020-01-01T00:00:00Z",
    "observedGeneration": 3,
}


def ours(of: Service) -> ServiceCondition | None:
    """Give our condition."""
    return next((each for each in of.conditions if each.type == ALLOCATED_TYPE), None)


def with_conditions(of: Service, *conditions: dict[str, Any], generation: int = 0) -> Service:
    """Give a service with other conditions."""
    raw = msgspec.to_builtins(of)
    raw.setdefault("status", {})["conditions"] = list(conditions)
    raw["metadata"]["generation"] = generation
    return msgspec.convert(raw, Service)


@pytest.mark.parametrize(
    ("written", "reason", "sentence"),
    [
        ({"cluster": ""}, "ClusterIPMissing", "the service has no cluster IP yet"),
        (
            {"ipFamilyPolicy": "RequireDualStack"},
            "NotEnoughClusterIPs",
            "Service requires dual stack but not enough clusterips [10.0.0.1]",
        ),
        ({"cluster": "None"}, "ClusterIPsInvalid", "IPFamilyForAddresses: Invalid address"),
        ({"annotations": {IPS: "x"}}, "RequestInvalid", f'invalid {IPS}: "x"'),
        ({"annotations": {IPS: "1::"}}, "FamilyMismatch", "does not match the ipFamily"),
        ({"annotations": {IPS: "9.9.9.9"}}, "RequestedAddressNotInPool", "9.9.9.9 is in no pool"),
        ({"annotations": {IPS: "3.0.0.0"}}, "RequestedAddressNotInPool", "pool three avoids those"),
        ({"annotations": {IPS: "1.0.0.0"}}, "RequestedAddressInUse", "in use by default/holder"),
        ({"annotations": {POOL: "two"}}, "RequestedPoolUnknown", 'unknown pool "two": there'),
        (
            {"annotations": {POOL: "one", IPS: "3.0.0.1"}},
            "RequestedPoolMismatch",
            "not compatible with requested address pool one",
        ),
        ({"annotations": {IPS: "4.0.0.0"}}, "PoolNotCompatible", 'not include namespace "default"'),
        ({"annotations": {POOL: "one"}}, "PoolExhausted", "all 1 IPv4 addresses are in use"),
        ({}, "PoolExhausted", "no available IPs: pool one: all 1 IPv4 addresses are in use; pool"),
        ({"cluster": "fd00::1"}, "FamilyMissing", "it has no IPv6 addresses"),
        ({"cluster": DUAL}, "PolicyNotDualStack", "needs ipFamilyPolicy PreferDualStack or"),
    ],
)
@pytest.mark.rule("controller-6.4.condition")
def test_a_waiting_service_says_why(written: dict[str, Any], reason: str, sentence: str) -> None:
    """Each cause has its word and its sentence, without the names of a full pool's holders."""
    book = book_of(
        ONE,
        pool("three", "3.0.0.0/31", avoidBuggyIPs=True, autoAssign=False),
        pool("four", "4.0.0.0/32", serviceAllocation={"namespaces": ["x"]}),
    )
    plan_service(service("holder", has="1.0.0.0"), book=book)
    waiting = service("web", **written)
    decision = plan_service(waiting, book=book, now=EARLY)
    condition = ours(apply(waiting, decision.patch))
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", reason)
    assert sentence in condition.message
    assert "(1.0.0.0 by" not in condition.message
    assert decision.condition_reason == reason
    assert decision.condition_message == condition.message


def test_without_pools_and_without_a_matching_one() -> None:
    """No pool at all and none for this service are two reasons."""
    assert plan_service(service(), book=book_of()).condition_reason == "ConfigurationMissing"
    manual = book_of(pool("one", "1.0.0.0/32", autoAssign=False))
    assert plan_service(service(), book=manual).condition_reason == "NoPoolMatches"


@pytest.mark.rule("controller-6.4.condition")
def test_it_turns_true_in_the_write_that_brings_the_address() -> None:
    """Status, entry and annotation change at once; the time is that of the transition."""
    book = book_of(ONE)
    first, web = service("first"), service("web")
    plan_service(first, book=book, now=EARLY)
    web = apply(web, plan_service(web, book=book, now=EARLY).patch)
    waiting = ours(web)
    assert waiting is not None
    assert (waiting.status, waiting.last_transition_time) == ("False", EARLY)
    plan_deleted("default/first", book=book)
    decision = plan_service(web, book=book, now=LATE)
    assert decision.patch is not None
    body = msgspec.json.decode(decision.patch.body)
    assert body["metadata"]["annotations"] == {FROM: "one"}
    assert body["status"] == {
        "loadBalancer": {"ingress": [{"ip": "1.0.0.0"}]},
        "conditions": [
            {
                "type": ALLOCATED_TYPE,
                "status": "True",
                "reason": "Allocated",
                "message": "1.0.0.0 from pool one",
                "lastTransitionTime": LATE,
            }
        ],
    }
    assert decision.condition_reason is ConditionReason.ALLOCATED


def test_another_reason_is_no_transition() -> None:
    """While the status stays False the time stays, whatever the reason."""
    web = service()
    web = apply(web, plan_service(web, book=book_of(), now=EARLY).patch)
    again = plan_service(web, book=book_of(pool("p", "1.0.0.0/31", autoAssign=False)), now=LATE)
    condition = ours(apply(web, again.patch))
    assert condition is not None
    assert (condition.reason, condition.last_transition_time) == ("NoPoolMatches", EARLY)


@pytest.mark.rule("controller-6.4.condition")
def test_an_unchanged_waiting_service_is_not_written() -> None:
    """Neither time nor who holds a full pool makes a write."""
    book = book_of(pool("two", "1.0.0.0/31"))
    plan_all([service("a"), service("b")], book=book)
    web = service("web")
    web = apply(web, plan_service(web, book=book, now=EARLY).patch)
    assert plan_service(web, book=book, now=LATE).patch is None
    plan_deleted("default/a", book=book)
    plan_service(service("c"), book=book)
    assert plan_service(web, book=book, now=LATE).patch is None


def test_who_has_its_address_already_gets_no_condition() -> None:
    """Adopting a service writes nothing, and so does keeping one."""
    had = service(has="1.0.0.0", annotations={FROM: "one"})
    book = book_of(ONE)
    assert plan_service(had, book=book, now=EARLY).patch is None
    assert plan_service(had, book=book, now=LATE).patch is None


def test_what_was_invalid_and_is_mended_turns_true() -> None:
    """A held service is False with what it keeps, and True again without any other change."""
    book = book_of(ONE)
    had = service(has="1.0.0.0", annotations={FROM: "one"})
    plan_service(had, book=book)
    wrong = service(has="1.0.0.0", annotations={FROM: "one", IPS: "x"})
    wrong = apply(wrong, plan_service(wrong, book=book, now=EARLY).patch)
    condition = ours(wrong)
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "RequestInvalid")
    assert condition.message.endswith("until that is corrected it keeps 1.0.0.0")
    mended = with_conditions(had, *msgspec.to_builtins(wrong.conditions))
    mended = apply(mended, plan_service(mended, book=book, now=LATE).patch)
    condition = ours(mended)
    assert condition is not None
    assert (condition.status, condition.last_transition_time) == ("True", LATE)
    assert plan_service(mended, book=book, now=LATE).patch is None


def test_it_goes_with_the_type() -> None:
    """A service that is no load balancer any more loses it in the write that clears it."""
    book = book_of(ONE)
    web = apply(service(), plan_service(service(), book=book).patch)
    raw = msgspec.to_builtins(web)
    raw["spec"]["type"] = "NodePort"
    former = msgspec.convert(raw, Service)
    cleared = apply(former, plan_service(former, book=book).patch)
    assert (cleared.conditions, cleared.ingress) == ((), ())
    waiting = apply(service(), plan_service(service(), book=book_of()).patch)
    raw = msgspec.to_builtins(waiting)
    raw["spec"]["type"] = "ClusterIP"
    waited = msgspec.convert(raw, Service)
    assert is_ours(waited, "some-class")
    patch = plan_service(waited, book=book).patch
    assert patch is not None
    assert msgspec.json.decode(patch.body)["status"] == {"conditions": None}


def test_conditions_of_others_are_written_back() -> None:
    """A merge patch replaces the list, so it carries what others wrote, in place and untouched."""
    web = with_conditions(service(), THEIRS, generation=5)
    decision = plan_service(web, book=book_of(), now=EARLY)
    assert decision.patch is not None
    conditions = msgspec.json.decode(decision.patch.body)["status"]["conditions"]
    assert conditions[0] == THEIRS
    assert conditions[1]["observedGeneration"] == 5
    web = apply(web, decision.patch)
    assert plan_service(web, book=book_of(), now=LATE).patch is None
    raw = msgspec.to_builtins(web)
    raw["spec"]["type"] = "ClusterIP"
    former = msgspec.convert(raw, Service)
    left = apply(former, plan_service(former, book=book_of()).patch)
    assert msgspec.to_builtins(left.conditions) == (THEIRS,)


def test_the_sentence_is_bounded() -> None:
    """However long a wish is, or however many pools there are."""
    long = service(annotations={IPS: ",".join(["x" * 200] * 50)})
    many = book_of(*(pool(f"{'p' * 200}{i}", f"1.0.0.{i}/32", autoAssign=False) for i in range(40)))
    for decision in (plan_service(long, book=many), plan_service(service(), book=many)):
        assert 0 < len(decision.condition_message) <= 1024
        assert len(decision.pending_reason) <= 1024


def test_sharing_conflicts_are_explained() -> None:
    """Which half of the keys differs is told."""
    causes = {
        "they do not share": ({}, {SHARE: "k"}),
        'is "k", not "l"': ({SHARE: "k"}, {SHARE: "l"}),
        "this service does not": ({SHARE: "k"}, {}),
        "neither shares": ({}, {}),
        "port TCP/80 is already in use": ({SHARE: "k"}, {SHARE: "k"}),
    }
    for cause, (theirs, mine) in causes.items():
        book = book_of(ONE)
        plan_service(service("holder", annotations=theirs), book=book)
        decision = plan_service(service("web", annotations={IPS: "1.0.0.0", **mine}), book=book)
        assert decision.condition_reason is ConditionReason.ADDRESS_IN_USE
        assert cause in decision.condition_message
    book = book_of(ONE)
    local = {"externalTrafficPolicy": "Local", "selector": {"app": "x"}}
    plan_service(service("holder", annotations={SHARE: "k"}, **local), book=book)
    asking = service("web", annotations={IPS: "1.0.0.0", SHARE: "k"}, ports="TCP/81")
    decision = plan_service(asking, book=book)
    assert 'they have Local with "app=x", this service Cluster' in decision.condition_message


def test_a_pool_change_flips_it_both_ways() -> None:
    """What loses its address turns False in the clearing write, and True when there is room."""
    book = book_of(ONE)
    web = apply(service(), plan_service(service(), book=book, now=EARLY).patch)
    book.set_pools(config_of(pool("other", "2.0.0.0/32", autoAssign=False)).pools)
    web = apply(web, plan_service(web, book=book, now=LATE).patch)
    condition = ours(web)
    assert condition is not None
    assert (web.ingress, condition.status, condition.last_transition_time) == ((), "False", LATE)


def test_a_true_condition_is_not_written_for_its_words() -> None:
    """Whatever sentence an earlier version left, it stays until something else is written."""
    theirs = {**THEIRS, "type": ALLOCATED_TYPE, "message": "as it was told once"}
    had = with_conditions(service(has="1.0.0.0", annotations={FROM: "one"}), theirs)
    book = book_of(ONE)
    assert plan_service(had, book=book, now=LATE).patch is None
    book.set_pools(config_of(pool("two", "1.0.0.0/32")).pools)
    condition = ours(apply(had, plan_service(had, book=book, now=LATE).patch))
    assert condition is not None
    assert (condition.message, condition.last_transition_time) == (
        "1.0.0.0 from pool two",
        theirs["lastTransitionTime"],
    )
