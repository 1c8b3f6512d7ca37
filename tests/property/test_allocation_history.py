"""A cluster's whole history: services, edits, pools and restarts, beside rules that are only loops.

The machine does what a controller does (plan what changed, write, look at those that wait when
something came free), with objects as the API server would keep them. After each step everything is
checked from the objects alone: nobody is on an address without the right to be, nobody waits who
could be served, a restart moves nobody, and the order of objects decides nothing.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mercurylb.allocator.book import Book
from mercurylb.allocator.claim import ServiceFamily, Stacking
from mercurylb.plan.claim import (
    read_claim,
    read_family,
    read_ingress,
    read_requested,
    read_requested_pool,
)
from mercurylb.plan.service import plan_all, plan_deleted, still_waits
from mercurylb.values.address import IPV4, IPV6, Address, parse_address
from mercurylb.values.prefix import is_buggy
from tests.unit.plan.cluster import TEAM, apply, config_of, pool, service

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.allocator.claim import Claim
    from mercurylb.api.service import Service
    from mercurylb.config.model import Pool

IPS = "metallb.io/loadBalancerIPs"
POOL = "metallb.io/address-pool"
SHARE = "metallb.io/allow-shared-ip"
FROM = "metallb.io/ip-allocated-from-pool"

PIN_X = {"namespaces": ["x"], "priority": 2}
PIN_TEAM = {"serviceSelectors": [{"matchLabels": TEAM}], "priority": 1}
VOID = {"namespaceSelectors": [{"matchLabels": {"no": "where"}}]}
BLOCKS = {
    "a": st.sampled_from([("10.0.0.0/31",), ("10.0.0.0/30",), ("10.0.0.0/31", "a::/127")]),
    "b": st.sampled_from([("b::/127",), ("10.0.1.254-10.0.2.1", "b::/128"), ("10.0.1.254/32",)]),
    "c": st.sampled_from([("10.0.3.0/31",), ("10.0.3.0/32", "c::/128")]),
}
EDITS = st.fixed_dictionaries(
    {},
    optional={
        "autoAssign": st.booleans(),
        "avoidBuggyIPs": st.booleans(),
        "serviceAllocation": st.sampled_from([PIN_X, PIN_TEAM, {"priority": 3}, VOID]),
    },
)


def pool_sets() -> st.SearchStrategy[tuple[Pool, ...]]:
    """Make valid sets of pools over the same few addresses, under changing names."""
    return st.builds(
        lambda written, prefix: (
            config_of(
                *(
                    pool(f"{prefix}{name}", *blocks, **edit)
                    for name, (blocks, edit) in written.items()
                )
            ).pools
        ),
        st.fixed_dictionaries(
            {}, optional={name: st.tuples(blocks, EDITS) for name, blocks in BLOCKS.items()}
        ),
        st.sampled_from(["", "", "", "new-"]),
    )


CLUSTER_IPS = st.sampled_from(["10.9.0.1", "fd00::1", "10.9.0.1 fd00::1", "fd00::1 10.9.0.1"])
WISHES = st.fixed_dictionaries(
    {},
    optional={
        IPS: st.sampled_from(["10.0.0.0", "10.0.0.1", "10.0.1.255", "a::", "10.0.0.1,a::", "x"]),
        POOL: st.sampled_from(["a", "b", "new-a", "nowhere"]),
        SHARE: st.sampled_from(["k", "k", "k", "l"]),
    },
)
PORTS = st.sampled_from(["TCP/80", "TCP/81", "TCP/80 TCP/81", ""])
PARTS = st.fixed_dictionaries(
    {
        "cluster": CLUSTER_IPS,
        "annotations": st.just({}) | st.just({SHARE: "k"}) | WISHES,
        "labels": st.sampled_from([{}, TEAM]),
        "ports": PORTS,
        "ipFamilyPolicy": st.sampled_from([None, "PreferDualStack", "RequireDualStack"]),
        "externalTrafficPolicy": st.sampled_from(["Cluster", "Cluster", "Local"]),
        "selector": st.sampled_from([{"app": "one"}, {"app": "two"}]),
        "type": st.sampled_from(["LoadBalancer"] * 7 + ["ClusterIP"]),
    }
)
KEYS = st.sampled_from([f"{space}/{name}" for space in "xy" for name in "abc"])


class Cluster:
    """Objects, a book, and the loop of a controller."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.pools: tuple[Pool, ...] = ()
        self.book = Book()
        self.waiting: set[str] = set()
        self.births = 0

    def edit(self, key: str, parts: dict[str, Any]) -> None:
        """Create a service or change all of its spec; the status stays."""
        space, _, name = key.partition("/")
        before = self.services.get(key)
        self.births += before is None
        created = (
            before.metadata.creation_timestamp if before else f"2026-01-01T00:{self.births:02}:00Z"
        )
        parts = dict(parts)
        if before is not None and FROM in (before.metadata.annotations or {}):
            marks = before.metadata.annotations or {}
            parts["annotations"] = {**parts["annotations"], FROM: marks[FROM]}
        after = service(name, namespace=space, created=created or "", **parts)
        self.services[key] = msgspec.structs.replace(
            after, status=before.status if before else None
        )
        self.settle([key])

    def settle(self, dirty: Iterable[str], *, was_freed: bool = False) -> None:
        """Decide until nothing is left to decide."""
        keys = set(dirty) | (self.waiting if was_freed else set())
        for _ in range(20):
            if not keys:
                return
            freed = False
            decisions = plan_all([self.services[key] for key in sorted(keys)], book=self.book)
            for decision in decisions:
                key = decision.service
                self.services[key] = apply(self.services[key], decision.patch)
                self.waiting.discard(key)
                if still_waits(self.services[key], decision):
                    self.waiting.add(key)
                freed |= decision.reprocess_all
            keys = set(self.waiting) if freed else set()
        pytest.fail("the cluster does not settle")

    def claims(self) -> dict[str, tuple[Claim, tuple[Address, ...]]]:
        """Give the claim and the addresses of everybody whose status shows any."""
        found = {}
        for key, each in self.services.items():
            addresses = tuple(parse_address(text) for text in read_ingress(each))
            if addresses:
                found[key] = (claim_of(each), addresses)
        return found

    def pool_of(self, address: Address) -> Pool | None:
        """Give the pool that may give out an address."""
        return next((each for each in self.pools if each.contains(address)), None)

    def is_free(self, claim: Claim, address: Address) -> bool:
        """Tell whether a service may be on an address beside those whose status shows it."""
        return all(
            share(claim, other)
            for key, (other, addresses) in self.claims().items()
            if key != claim.service and address in addresses
        )

    def free(self, claim: Claim, each: Pool) -> set[int]:
        """Give the families of which a pool has an address for a service, by trying all."""
        return {
            prefix.family
            for prefix in each.prefixes
            for number in range(prefix.first, prefix.last + 1)
            if not (each.avoid_buggy_ips and is_buggy(prefix.family, number))
            if self.is_free(claim, Address(prefix.family, number))
        }


def claim_of(each: Service) -> Claim:
    """Give the claim of a service whose cluster IPs are valid."""
    return read_claim(each, read_family(each.wish.cluster_ips or ()))


def share(one: Claim, other: Claim) -> bool:
    """Tell whether two services may be on one address."""
    return (
        bool(one.share_key[0]) and one.share_key == other.share_key and not one.ports & other.ports
    )


def could_have(cluster: Cluster, each: Service) -> bool:
    """Tell whether a service without addresses could be given what it asks for."""
    claim, wanted = claim_of(each), read_requested(each)
    name = read_requested_pool(each)
    if not isinstance(wanted, tuple):
        return False
    if claim.stacking is Stacking.REQUIRE_DUAL and claim.family is not ServiceFamily.DUAL:
        return False
    allowed = [one for one in cluster.pools if one.admits(claim.namespace, claim.labels)]
    if wanted:
        pools = {cluster.pool_of(address) for address in wanted}
        family = read_family([str(address) for address in wanted])
        return (
            len(pools) == 1
            and all(one in allowed and name in ("", one.name) for one in pools if one)
            and None not in pools
            and family is claim.family
            and all(cluster.is_free(claim, address) for address in wanted)
        )
    if name:
        candidates = [one for one in allowed if one.name == name]
    else:
        candidates = [
            one
            for one in allowed
            if one.auto_assign and not (one.pinning is not None and one.pinning.is_void)
        ]
    return any(suffices(claim, cluster.free(claim, one)) for one in candidates)


def suffices(claim: Claim, families: set[int]) -> bool:
    """Tell whether addresses of these families are what a service takes."""
    if claim.family is not ServiceFamily.DUAL:
        return set(claim.family.families) <= families
    if claim.stacking is Stacking.REQUIRE_DUAL:
        return families == {IPV4, IPV6}
    return claim.stacking is Stacking.PREFER_DUAL and bool(families)


class History(RuleBasedStateMachine):
    """Random things happen; after each, everything still holds."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster()

    @initialize(pools=pool_sets(), services=st.dictionaries(KEYS, PARTS, min_size=2))
    def begin(self, pools: tuple[Pool, ...], services: dict[str, dict[str, Any]]) -> None:
        """Start with some pools and services."""
        self.set_pools(pools)
        for key, parts in services.items():
            self.cluster.edit(key, parts)

    @rule(key=KEYS, parts=PARTS)
    def edit(self, key: str, parts: dict[str, Any]) -> None:
        """Create or change a service."""
        self.cluster.edit(key, parts)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        """Delete a service."""
        if self.cluster.services.pop(key, None) is not None:
            self.cluster.waiting.discard(key)
            freed = plan_deleted(key, book=self.cluster.book)
            self.cluster.settle([], was_freed=freed)

    @rule(pools=pool_sets())
    def set_pools(self, pools: tuple[Pool, ...]) -> None:
        """Replace the pools, with everything in use."""
        self.cluster.pools = pools
        self.cluster.book.set_pools(pools)
        self.cluster.settle(self.cluster.services)

    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        """Forget everything, read the objects in any order: nobody moves, nothing is written."""
        cluster = self.cluster
        ordered = data.draw(st.permutations(sorted(cluster.services)))
        before = {key: read_ingress(each) for key, each in cluster.services.items()}
        cluster.book = Book()
        cluster.book.set_pools(cluster.pools)
        decisions = plan_all([cluster.services[key] for key in ordered], book=cluster.book)
        assert {each.service: each.addresses for each in decisions} == before
        assert not any(each.patch for each in decisions)

    @invariant()
    def nobody_is_where_it_may_not_be(self) -> None:
        """Every address shown is in a pool for the service, and shared by right only."""
        claims = self.cluster.claims()
        for key, (claim, addresses) in claims.items():
            pools = [self.cluster.pool_of(address) for address in addresses]
            assert pools[0] is not None, key
            assert all(each is pools[0] for each in pools), key
            assert pools[0].admits(claim.namespace, claim.labels), key
            marks = self.cluster.services[key].metadata.annotations or {}
            assert marks[FROM] == pools[0].name
            assert len({address.family for address in addresses}) == len(addresses) <= 2
        for (one, mine), (other, theirs) in combinations(claims.values(), 2):
            assert share(one, other) or not set(mine) & set(theirs), (one.service, other.service)

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        """Who has nothing could not be given anything, and its condition says that it waits."""
        for key, each in self.cluster.services.items():
            if each.wish.type != "LoadBalancer":
                assert not each.conditions
                assert not each.ingress
            elif not each.ingress:
                assert not could_have(self.cluster, each), key
                assert [condition.status for condition in each.conditions] == ["False"]
                assert each.conditions[0].message

    @invariant()
    def the_book_is_sound(self) -> None:
        """Book and objects agree, and nothing is left to write."""
        self.cluster.book.validate()
        held = {
            key: tuple(map(str, allocation.addresses))
            for key, allocation in self.cluster.book.holdings().items()
        }
        assert held == {
            key: read_ingress(each) for key, each in self.cluster.services.items() if each.ingress
        }
        for decision in plan_all(self.cluster.services.values(), book=self.cluster.book):
            assert not decision.reprocess_all
            if decision.patch is not None:  # Another pool is full by now: a truer sentence.
                assert not decision.converged
                assert set(msgspec.json.decode(decision.patch.body)["status"]) == {"conditions"}
                written = apply(self.cluster.services[decision.service], decision.patch)
                self.cluster.services[decision.service] = written
        decisions = plan_all(self.cluster.services.values(), book=self.cluster.book)
        assert not any(each.patch or each.reprocess_all for each in decisions)


TestHistory = History.TestCase
TestHistory.settings = settings(stateful_step_count=12, max_examples=60)
TestHistory.pytestmark = [
    pytest.mark.rule(
        "allocator-2.state",
        "allocator-8.5.effect-d",
        "allocator-12.e2e",
        "allocator-12.gate",
        "allocator-13.deleted",
        "allocator-13.lost",
        "controller-6.3.unchanged",
        "controller-6.4.10",
    )
]


@given(
    pools=pool_sets(),
    services=st.dictionaries(KEYS, PARTS, min_size=2),
    statuses=st.lists(
        st.sampled_from([(), ("10.0.0.0",), ("10.0.0.1", "a::"), ("b::",), ("9.9.9.9",)]),
        min_size=6,
        max_size=6,
    ),
    data=st.data(),
)
@pytest.mark.rule("allocator-12.tie", "allocator-12.order", "allocator-12.displaced")
def test_the_order_of_objects_decides_nothing(
    pools: tuple[Pool, ...],
    services: dict[str, dict[str, Any]],
    statuses: list[tuple[str, ...]],
    data: st.DataObject,
) -> None:
    """Any start state, conflicting statuses included, gives the same decisions in any order."""
    objects = []
    for index, (key, parts) in enumerate(sorted(services.items())):
        space, _, name = key.partition("/")
        has = " ".join(statuses[index])
        objects.append(service(name, namespace=space, has=has, **parts))
    outcomes = []
    for order in (objects, data.draw(st.permutations(objects))):
        book = Book()
        book.set_pools(pools)
        outcomes.append(plan_all(order, book=book))
        book.validate()
    assert outcomes[0] == outcomes[1]
