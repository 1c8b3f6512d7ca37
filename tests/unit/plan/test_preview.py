"""What another configuration would do, told before it is in force."""

from __future__ import annotations

from typing import Any

from mercurylb.plan.condition import ConditionReason
from mercurylb.plan.preview import ChangeKind, Preview, plan_changes
from tests.unit.plan.cluster import config_of, pool, service

DUAL = {"cluster": "10.0.0.1 fd00::1", "ipFamilyPolicy": "PreferDualStack"}
OLD = [pool("a", "1.0.0.0/30"), pool("b", "2.0.0.0/31", autoAssign=False)]


def preview(services: list[Any], old: list[Any] | None, new: list[Any], **more: Any) -> Preview:
    """Compare two lists of pools."""
    before = None if old is None else config_of(*old).pools
    return plan_changes(services, before=before, after=config_of(*new).pools, **more)


def kinds(found: Preview) -> dict[str, ChangeKind]:
    """Give what becomes of each service, by name."""
    return {change.service.partition("/")[2]: change.kind for change in found.services}


def test_the_same_pools_change_nothing() -> None:
    """Who has an address keeps it, who would get one gets it under both."""
    services = [service("has", has="1.0.0.2"), service("new"), service("x", type="ClusterIP")]
    found = preview(services, OLD, OLD)
    assert set(kinds(found).values()) == {ChangeKind.UNCHANGED}
    assert found.changed == ()
    assert [change.addresses_after for change in found.services] == [
        ("1.0.0.2",),
        ("1.0.0.0",),
        (),
    ]


def test_each_kind_of_change_is_told_apart() -> None:
    """Moved, lost, assigned, extended and renamed are different things to an operator."""
    wants_b = {"annotations": {"metallb.io/address-pool": "b"}}
    services = [
        service("moved", has="1.0.0.0"),
        service("lost", has="2.0.0.0", **wants_b),
        service("assigned", annotations={"metallb.io/address-pool": "c"}),
        service("extended", has="3.0.0.0", **DUAL),
        service("both", has="4.0.0.0 4::", **DUAL),
        service("renamed", has="5.0.0.0"),
        service("still", annotations={"metallb.io/loadBalancerIPs": "9.9.9.9"}),
    ]
    old = [
        *OLD,
        pool("d", "3.0.0.0/31"),
        pool("e", "4.0.0.0/31", "4::/127"),
        pool("f", "5.0.0.0/32"),
    ]
    new = [
        pool("c", "6.0.0.0/30"),
        pool("d", "3.0.0.0/31", "3::/127"),
        pool("e", "4.0.0.0/31"),
        pool("g", "5.0.0.0/32"),
    ]
    found = preview(services, old, new)
    assert kinds(found) == {
        "moved": ChangeKind.MOVED,
        "lost": ChangeKind.LOST,
        "assigned": ChangeKind.ASSIGNED,
        "extended": ChangeKind.EXTENDED,
        "both": ChangeKind.MOVED,
        "renamed": ChangeKind.POOL_RENAMED,
        "still": ChangeKind.STILL_PENDING,
    }
    changes = {change.service.partition("/")[2]: change for change in found.services}
    assert (changes["moved"].addresses_before, changes["moved"].pool_after) == (("1.0.0.0",), "c")
    assert "1.0.0.0 is in no pool" in changes["moved"].reason
    assert changes["lost"].condition_reason is ConditionReason.POOL_UNKNOWN
    assert changes["lost"].reason.startswith('unknown pool "b": there are')
    assert changes["still"].reason.endswith("9.9.9.9 is in no pool")
    assert changes["extended"].addresses_after == ("3.0.0.0", "3::1")
    assert changes["both"].addresses_after == ("3.0.0.1", "3::")
    assert len(found.changed) == 6


def test_a_family_that_goes_leaves_the_other_address() -> None:
    """Where no pool has both families any more the service may keep the one that is left."""
    found = preview(
        [service("web", has="1.0.0.0 1::", **DUAL)],
        [pool("a", "1.0.0.0/31", "1::/127")],
        [pool("a", "1.0.0.0/31")],
    )
    assert kinds(found) == {"web": ChangeKind.REDUCED}


def test_who_waits_gets_what_comes_free() -> None:
    """A service that has to leave a pool makes room for one that waits for it."""
    services = [
        service("guest", has="1.0.0.0"),
        service("waits", namespace="x", annotations={"metallb.io/loadBalancerIPs": "1.0.0.0"}),
    ]
    old = [pool("a", "1.0.0.0/32")]
    new = [pool("a", "1.0.0.0/32", serviceAllocation={"namespaces": ["x"]})]
    assert kinds(preview(services, old, new)) == {
        "guest": ChangeKind.LOST,
        "waits": ChangeKind.ASSIGNED,
    }


def test_pools_are_counted_before_and_after() -> None:
    """A pool that comes or goes has no counters on the other side."""
    found = preview([service("web", has="1.0.0.0")], OLD[:1], [pool("z", "1.0.0.0/31")])
    shown = [
        (
            change.pool,
            change.before and change.before.ipv4_in_use,
            change.after and change.after.ipv4,
        )
        for change in found.pools
    ]
    assert shown == [("a", 1, None), ("z", None, 2)]


def test_without_a_configuration_of_today_the_statuses_count() -> None:
    """Who has an address in its status is compared by that."""
    services = [service("kept", has="1.0.0.1"), service("moved", has="7.7.7.7"), service("new")]
    assert kinds(preview(services, None, OLD)) == {
        "kept": ChangeKind.UNCHANGED,
        "moved": ChangeKind.MOVED,
        "new": ChangeKind.ASSIGNED,
    }


def test_services_of_another_class_are_left_out() -> None:
    """What is not ours does not appear."""
    services = [service("web"), service("theirs", loadBalancerClass="x")]
    assert kinds(preview(services, OLD, OLD)) == {"web": ChangeKind.UNCHANGED}
    assert kinds(preview(services, OLD, OLD, lb_class="x")) == {"theirs": ChangeKind.UNCHANGED}


def test_who_comes_early_in_the_order_is_asked_again() -> None:
    """A service looked at before its address came free gets it all the same."""
    require = {**DUAL, "ipFamilyPolicy": "RequireDualStack"}
    services = [
        service("guest", has="1.0.0.0"),
        service("early", namespace="x", has="2.0.0.0 2::", **require),
    ]
    old = [pool("a", "1.0.0.0/32", "1::/128"), pool("b", "2.0.0.0/32", "2::/128")]
    new = [pool("a", "1.0.0.0/32", "1::/128", serviceAllocation={"namespaces": ["x"]})]
    found = preview(services, old, new)
    assert kinds(found) == {"guest": ChangeKind.LOST, "early": ChangeKind.MOVED}


def test_before_is_what_the_pools_of_today_give_not_what_a_stale_status_says() -> None:
    """A status that today's pools do not allow is no claim to an address of tomorrow's."""
    found = preview(
        [service("web", has="7.0.0.1")], [pool("a", "1.0.0.0/32")], [pool("b", "7.0.0.0/31")]
    )
    (change,) = found.services
    assert (change.addresses_before, change.addresses_after) == (("1.0.0.0",), ("7.0.0.0",))
