"""The allocation book beside a small model that is easy to trust.

The model is a list of who holds what; it has no indexes, cursors or heaps. It checks the rules of
sharing anew for every address of every pool, and says which address is the lowest that fits.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mercurylb.allocator.book import Book
from mercurylb.allocator.choice import allocate_automatically
from mercurylb.allocator.claim import Allocation, Claim, ServiceFamily, Stacking
from mercurylb.allocator.usage import FamilyUsage
from mercurylb.values.address import IPV4, Address
from mercurylb.values.prefix import Prefix, is_buggy
from tests.unit.plan.cluster import config_of, pool

if TYPE_CHECKING:
    from mercurylb.config.model import Pool

POOL_SETS = [
    config_of(*pools).pools
    for pools in (
        (pool("a", "10.0.0.0/30", "1::/127"),),
        (pool("a", "10.0.0.0/30", "1::/127", serviceAllocation={"namespaces": ["x"]}),),
        (pool("a", "10.0.0.0/30", "1::/127", autoAssign=False), pool("b", "1::2/127")),
        (pool("a", "10.0.0.2/31", "10.0.0.0/32"), pool("b", "1::/126", avoidBuggyIPs=True)),
        (pool("c", "10.0.0.0-10.0.0.2", "1::/127", avoidBuggyIPs=True), pool("d", "10.0.0.3/32")),
        (
            pool("a", "10.0.0.0/31", serviceAllocation={"namespaces": ["x"]}),
            pool("b", "10.0.0.2/31"),
        ),
        (),
    )
]
SERVICES = st.sampled_from([f"{space}/{name}" for space in "xy" for name in "abc"])
FAMILIES = st.sampled_from(list(ServiceFamily))
PORTS = st.frozensets(st.tuples(st.sampled_from(["TCP", "UDP"]), st.integers(1, 2)), max_size=2)
KEYS = st.tuples(st.sampled_from(["", "k", "l"]), st.sampled_from(["", "back"]))
ADDRESSES = st.lists(
    st.one_of(
        st.builds(Address, st.just(4), st.integers(0x0A000000, 0x0A000004)),
        st.builds(Address, st.just(6), st.integers(1 << 112, (1 << 112) + 3)),
    ),
    max_size=3,
)


def claim_of(
    service: str, family: ServiceFamily, ports: Any, share_key: Any, stacking: Any
) -> Claim:
    """Make a claim whose namespace is the one in its key."""
    return Claim(
        service=service,
        namespace=service.split("/", 1)[0],
        family=family,
        ports=ports,
        share_key=share_key,
        stacking=stacking,
    )


CLAIMS = st.builds(claim_of, SERVICES, FAMILIES, PORTS, KEYS, st.sampled_from(list(Stacking)))


class Model:
    """Who holds what, as a dictionary, and the rules, as loops."""

    def __init__(self) -> None:
        self.pools: tuple[Pool, ...] = ()
        self.holdings: dict[str, Allocation] = {}

    def pool_of(self, addresses: tuple[Address, ...]) -> Pool | None:
        """Give the pool that may give out all the addresses."""
        for each in self.pools:
            if addresses and all(each.contains(address) for address in addresses):
                return each
        return None

    def fits(self, claim: Claim, address: Address) -> bool:
        """Tell whether a service may be on an address beside those who are there."""
        for service, held in self.holdings.items():
            if service == claim.service or address not in held.addresses:
                continue
            if (
                not claim.share_key[0]
                or held.share_key != claim.share_key
                or held.ports & claim.ports
            ):
                return False
        return True

    def accepts(self, claim: Claim, addresses: tuple[Address, ...]) -> bool:
        """Tell whether the gate lets a service have these addresses."""
        found = self.pool_of(addresses)
        return (
            found is not None
            and found.admits(claim.namespace, dict(claim.labels))
            and len({address.family for address in addresses}) == len(addresses)
            and all(self.fits(claim, address) for address in addresses)
        )

    def lowest(self, claim: Claim, family: int, each: Pool) -> Address | None:
        """Give the first address of a pool that fits, by trying all."""
        for prefix in each.prefixes:
            for number in range(prefix.first, prefix.last + 1):
                address = Address(prefix.family, number)
                avoided = each.avoid_buggy_ips and is_buggy(prefix.family, number)
                if prefix.family == family and not avoided and self.fits(claim, address):
                    return address
        return None


class BookBesideModel(RuleBasedStateMachine):
    """Every step is done to both; they must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.model = Model()

    @rule(pools=st.sampled_from(POOL_SETS))
    def set_pools(self, pools: tuple[Pool, ...]) -> None:
        """Replace the pools."""
        lost = self.book.set_pools(pools)
        self.model.pools = pools
        survivors = {}
        for service, held in self.model.holdings.items():
            found = self.model.pool_of(held.addresses)
            if found is not None:
                survivors[service] = msgspec.structs.replace(held, pool=found.name)
        assert set(lost) == self.model.holdings.keys() - survivors.keys()
        self.model.holdings = survivors

    @rule(claim=CLAIMS, addresses=ADDRESSES)
    def assign(self, claim: Claim, addresses: list[Address]) -> None:
        """Ask for particular addresses."""
        expected = self.model.accepts(claim, tuple(addresses))
        result = self.book.assign(claim, addresses)
        assert isinstance(result, Allocation) is expected
        if isinstance(result, Allocation):
            self.model.holdings[claim.service] = result

    @rule(claim=CLAIMS)
    def allocate(self, claim: Claim) -> None:
        """Ask for any address; single-family results must be the lowest that fits."""
        self.release(claim.service)
        result, verdicts = allocate_automatically(self.book, claim)
        candidates = {
            each.name: [self.model.lowest(claim, family, each) for family in claim.family.families]
            for each in self.model.pools
            if each.auto_assign and each.admits(claim.namespace, {})
        }
        if isinstance(result, Allocation):
            assert verdicts[0].pool == result.pool
            assert self.model.accepts(claim, result.addresses)
            assert list(result.addresses) == [each for each in candidates[result.pool] if each]
            self.model.holdings[claim.service] = result
            return
        assert {verdict.pool for verdict in verdicts} == {each.name for each in self.model.pools}
        for found in candidates.values():
            possible = all(found) if claim.stacking is Stacking.REQUIRE_DUAL else any(found)
            impossible = claim.family is ServiceFamily.DUAL and claim.stacking is Stacking.SINGLE
            assert impossible or not possible

    @rule(service=SERVICES)
    def release(self, service: str) -> None:
        """Take everything away."""
        assert self.book.release(service) == self.model.holdings.pop(service, None)

    @rule()
    def restart(self) -> None:
        """Adopt everything in a new book, in any fixed order, and nothing moves."""
        book = Book()
        book.set_pools(self.model.pools)
        for service in sorted(self.model.holdings):
            held = self.model.holdings[service]
            claim = claim_of(
                service, ServiceFamily.DUAL, held.ports, held.share_key, Stacking.SINGLE
            )
            result = book.assign(claim, held.addresses)
            # Guests of a pool that was pinned elsewhere stay only until they are looked at.
            admitted = self.model.accepts(claim, held.addresses)
            assert (result == held) is admitted
        book.validate()

    @invariant()
    def agrees(self) -> None:
        """Both hold the same, and the book's own indexes are sound."""
        assert dict(self.book.holdings()) == self.model.holdings
        self.book.validate()


BookBesideModel.TestCase.settings = settings(stateful_step_count=40)
test_book_agrees_with_the_model = BookBesideModel.TestCase


@given(st.lists(CLAIMS, max_size=12))
@pytest.mark.rule("allocator-8.4.open")
def test_equal_claims_in_equal_order_give_equal_books(claims: list[Claim]) -> None:
    """Nothing but the inputs decides: no hash order, no chance."""
    books = [Book(), Book()]
    for book in books:
        book.set_pools(POOL_SETS[1])
        for claim in claims:
            allocate_automatically(book, claim)
    assert dict(books[0].holdings()) == dict(books[1].holdings())


PREFIXES = ((0, Prefix(IPV4, 4, 31)), (2, Prefix(IPV4, 0, 32)))
"""Three addresses, the second block lower than the first; index 1 is of the other family."""

SETS = [frozenset(chosen) for count in (1, 2) for chosen in combinations(range(3), count)]
GROUP_KEYS = [("k", ""), ("k", "b")]
PLACES = [
    (order, number) for order, prefix in PREFIXES for number in range(prefix.first, prefix.last + 1)
]


def first_by_trying(
    held: dict[str, tuple[int, Any, Any]], key: tuple[str, str], ports: frozenset[Any]
) -> int | None:
    """Give the first address that a newcomer may have, by looking at all."""
    for _, number in PLACES:
        there = [(theirs, taken) for place, taken, theirs in held.values() if place == number]
        if all(key[0] and theirs == key and not taken & ports for theirs, taken in there):
            return number
    return None


@pytest.mark.rule("allocator-6.sharing", "allocator-6.order", "allocator-6.reuse")
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from("abcdef"),
            st.sampled_from(PLACES),
            st.sampled_from(SETS),
            st.sampled_from(GROUP_KEYS),
        ),
        max_size=60,
    ),
    asks_always=st.booleans(),
)
@settings(max_examples=100)
def test_what_is_found_is_what_a_walk_would_find(
    steps: list[tuple[str, tuple[int, int], Any, Any]], *, asks_always: bool
) -> None:
    """Whatever came and went, and however often was asked, the lowest that fits is found."""
    usage = FamilyUsage(IPV4, PREFIXES, avoid_buggy=False)
    held: dict[str, tuple[int, Any, Any]] = {}
    orders = {number: order for order, number in PLACES}
    for index, (service, (order, number), numbers, key) in enumerate(steps):
        ports = frozenset(("TCP", each) for each in numbers)
        if service in held:
            place, taken, _ = held.pop(service)
            usage.remove(orders[place], place, service, taken)
        elif all(
            key[0] and theirs == key and not taken & ports
            for place, taken, theirs in held.values()
            if place == number
        ):
            held[service] = (number, ports, key)
            usage.add(order, number, service, ports, key)
        if asks_always or index == len(steps) - 1:
            for share_key in GROUP_KEYS:
                for wanted in SETS:
                    asked = frozenset(("TCP", each) for each in wanted)
                    found = usage.find(share_key=share_key, ports=asked)
                    expected = first_by_trying(held, share_key, asked)
                    assert (found and found.number) == expected, (share_key, asked)
