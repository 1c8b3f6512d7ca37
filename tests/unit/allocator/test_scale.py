"""Nothing is searched by walking: the steps taken are counted, not timed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mercurylb.allocator.choice import allocate_automatically
from mercurylb.allocator.claim import Allocation, Claim, Refusal, ServiceFamily
from mercurylb.allocator.sharing import SharedGroup
from mercurylb.allocator.usage import FamilyUsage
from mercurylb.values.address import IPV4, IPV6, Address, Family
from tests.unit.plan.cluster import book_of, config_of, pool

if TYPE_CHECKING:
    from mercurylb.allocator.book import Book

COUNT = 2_000
WEB = frozenset({("TCP", 80)})


class CountingUses(dict[int, Any]):
    """The uses of a family that count how often they are asked about an address."""

    looks = 0

    def __contains__(self, key: object) -> bool:
        self.looks += 1
        return super().__contains__(key)

    def get(self, key: int, default: Any = None) -> Any:
        self.looks += 1
        return super().get(key, default)


def claim(index: int, family: ServiceFamily = ServiceFamily.IPV4, **more: Any) -> Claim:
    """Make a claim."""
    return Claim(service=f"s{index}", namespace="default", family=family, **more)


def counted(book: Book, name: str = "p", family: Family = IPV4) -> CountingUses:
    """Make a pool count."""
    usage = book.usages[name].families[family]
    usage.uses = CountingUses(usage.uses)
    return usage.uses


def give(book: Book, who: Claim) -> Address:
    """Allocate one address."""
    result, _ = allocate_automatically(book, who)
    assert isinstance(result, Allocation), result
    return result.addresses[0]


@pytest.mark.parametrize(
    ("block", "family", "avoid"),
    [
        ("10.0.0.0/8", ServiceFamily.IPV4, False),
        ("10.0.0.0/8", ServiceFamily.IPV4, True),
        ("2001:db8::/64", ServiceFamily.IPV6, False),
    ],
)
def test_a_huge_block_costs_what_is_used_of_it(
    block: str, family: ServiceFamily, *, avoid: bool
) -> None:
    """Filling, making holes and refilling take a few looks per address, however many are used."""
    book = book_of(pool("p", block, avoidBuggyIPs=avoid))
    (number,) = family.families
    uses = counted(book, family=number)
    for index in range(COUNT):
        give(book, claim(index, family))
    holes = sorted(range(0, COUNT, 3), key=lambda index: index * 7919 % COUNT)
    for index in holes:
        book.release(f"s{index}")
    for index in holes:
        give(book, claim(index, family))
    book.validate()
    assert uses.looks < 20 * COUNT


def test_a_taken_beginning_is_passed_once() -> None:
    """Addresses taken by request at the beginning are not walked again by each search."""
    book = book_of(pool("p", "10.0.0.0/8"))
    for index in range(COUNT):
        book.assign(claim(index), [Address(IPV4, (10 << 24) + index)])
    uses = counted(book)
    for index in range(COUNT, COUNT + 100):
        address = give(book, claim(index))
        book.release(f"s{index}")
        assert address.number == (10 << 24) + COUNT
    assert uses.looks < COUNT + 1_000


def test_ten_thousand_full_prefixes_are_passed_once() -> None:
    """A pool of single addresses is no slower than one block."""
    book = book_of(pool("p", *(f"10.{i // 250}.{i % 250}.7/32" for i in range(COUNT))))
    uses = counted(book)
    for index in range(COUNT):
        give(book, claim(index))
    for index in range(COUNT, 2 * COUNT):
        assert isinstance(allocate_automatically(book, claim(index))[0], Refusal)
    assert uses.looks < 20 * COUNT


def fits_counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count how often a shared address is looked at."""
    looks = [0]
    original = SharedGroup._fits

    def counting(self: SharedGroup, *arguments: Any) -> bool:
        looks[0] += 1
        return original(self, *arguments)

    monkeypatch.setattr(SharedGroup, "_fits", counting)
    return looks


def test_many_who_share_a_key_and_want_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """One key, one port, an address each: filling, and one leaving and one coming, look at few."""
    looks = fits_counted(monkeypatch)
    book = book_of(pool("p", "10.0.0.0/8"))
    for index in range(COUNT):
        give(book, claim(index, ports=WEB, share_key=("k", "")))
    for index in range(COUNT):
        book.release(f"s{index}")
        number = give(book, claim(index, ports=WEB, share_key=("k", ""))).number
        assert number == (10 << 24) + index
    book.validate()
    assert looks[0] < 10 * COUNT


def test_many_distinct_port_sets_with_one_port_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each service brings a port of its own and one that all want: no set is asked for twice."""
    looks = fits_counted(monkeypatch)
    book = book_of(pool("p", "10.0.0.0/8"))
    for index in range(COUNT):
        ports = WEB | {("TCP", 1000 + index)}
        give(book, claim(index, ports=ports, share_key=("k", "")))
    for index in range(0, COUNT, 2):
        book.release(f"s{index}")
    for index in range(COUNT, COUNT + COUNT // 2):
        ports = WEB | {("TCP", 1000 + index)}
        give(book, claim(index, ports=ports, share_key=("k", "")))
    book.validate()
    assert len(book.usages["p"].families[IPV4].uses) == COUNT
    assert looks[0] < 10 * COUNT


def test_a_port_that_comes_free_low_and_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst that can be done to a mark: the lowest address opens and closes again and again."""
    looks = fits_counted(monkeypatch)
    book = book_of(pool("p", f"10.0.0.0-10.0.{COUNT // 256}.{COUNT % 256 - 1}"))
    share: dict[str, Any] = {"share_key": ("k", "")}
    for index in range(COUNT):
        give(book, claim(index, ports=WEB, **share))
    give(book, claim(COUNT, ports=frozenset({("TCP", 81)}), **share))
    for _ in range(COUNT):
        book.release("s0")
        assert give(book, claim(0, ports=WEB, **share)).number == 10 << 24
        late = claim(COUNT + 1, ports=WEB, **share)
        assert isinstance(allocate_automatically(book, late)[0], Refusal)
    assert looks[0] < 10 * COUNT


def test_an_edited_pool_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred pools only the one whose addresses changed has its services moved."""
    moved: list[str] = []
    original = FamilyUsage.add

    def counting(self: FamilyUsage, order: int, number: int, service: str, *more: Any) -> None:
        moved.append(service)
        original(self, order, number, service, *more)

    pools = [pool(f"p{i:03d}", f"10.{i}.0.0/24") for i in range(100)]
    book = book_of(*pools)
    for index in range(COUNT):
        book.assign(claim(index), [Address(IPV4, (10 << 24) + (index % 100 << 16) + index // 100)])
    monkeypatch.setattr(FamilyUsage, "add", counting)
    pools[7] = pool("p007", "10.7.0.0/25", serviceAllocation={"priority": 3})
    pools[8] = pool("p008", "10.8.0.0/24", autoAssign=False)
    assert book.set_pools(config_of(*pools).pools) == ()
    book.validate()
    assert sorted(moved) == sorted(f"s{index}" for index in range(7, COUNT, 100))
    assert not book.usages["p008"].pool.auto_assign
    assert book.pinned_usages == (book.usages["p007"],)


def test_counters_do_not_count() -> None:
    """Counting a pool asks for sizes, not for addresses."""
    book = book_of(pool("p", "10.0.0.0/8", "1::/64"))
    uses = [counted(book), counted(book, family=IPV6)]
    for index in range(COUNT):
        book.assign(claim(index), [Address(IPV4, (10 << 24) + index)])
    before = [each.looks for each in uses]
    assert book.counters()[0].in_use == COUNT
    assert [each.looks for each in uses] == before


def test_a_full_pool_is_described_without_a_walk() -> None:
    """Naming the first holders of a full pool looks at the first addresses only."""
    book = book_of(pool("p", "10.0.0.0/21"))
    for index in range(2048):
        give(book, claim(index))
    uses = counted(book)
    result, _ = allocate_automatically(book, claim(9999))
    assert isinstance(result, Refusal)
    assert "10.0.0.0 by s0, 10.0.0.1 by s1, 10.0.0.2 by s2, 2045 more" in result.message
    assert uses.looks < 20
