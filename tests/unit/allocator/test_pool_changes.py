"""New sets of pools, and counters (spec: allocator §9, §10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mercurylb.allocator.capacity import COUNTER_MAX
from mercurylb.allocator.claim import Claim, ServiceFamily
from mercurylb.values.address import parse_address
from tests.unit.plan.cluster import book_of, config_of, pool

if TYPE_CHECKING:
    from mercurylb.allocator.book import Book


def claim(name: str, **more: Any) -> Claim:
    """Make a claim."""
    return Claim(service=name, namespace="default", family=ServiceFamily.IPV4, **more)


def held() -> Book:
    """Make the book of the original's table: s1 has 1.2.3.0, s2 has 1000::."""
    book = book_of(pool("test", "1.2.3.0/30", "1000::/126"))
    book.assign(claim("s1"), [parse_address("1.2.3.0")])
    book.assign(claim("s2"), [parse_address("1000::")])
    return book


RELOADS = [
    pytest.param(
        [pool("test", "1.2.3.0/30", "1000::/126")],
        "test",
        "test",
        id="same",
        marks=pytest.mark.rule("allocator-9.row1", "allocator-9.kept"),
    ),
    pytest.param(
        [pool("test", "1.2.3.0/24", "1000::/120")],
        "test",
        "test",
        id="expanded",
        marks=pytest.mark.rule("allocator-9.row1"),
    ),
    pytest.param(
        [pool("test", "1.2.3.2/31", "1000::/126")],
        None,
        "test",
        id="v4 shrunk",
        marks=pytest.mark.rule("allocator-9.row2", "allocator-9.dropped"),
    ),
    pytest.param(
        [pool("test", "1.2.3.0/30", "1000::2/127")],
        "test",
        None,
        id="v6 shrunk",
        marks=pytest.mark.rule("allocator-9.row3"),
    ),
    pytest.param(
        [pool("test2", "1.2.3.0/30", "1000::/126")],
        "test2",
        "test2",
        id="renamed",
        marks=pytest.mark.rule("allocator-9.row4", "allocator-9.moved"),
    ),
    pytest.param(
        [pool("test", "1.2.3.0/31", "1000::2/127"), pool("test2", "1.2.3.2/31", "1000::/127")],
        "test",
        "test2",
        id="split",
        marks=pytest.mark.rule("allocator-9.row5"),
    ),
    pytest.param(
        [pool("test2", "1.2.3.0/30", "1000::/126", avoidBuggyIPs=True)],
        None,
        "test2",
        id="avoidBuggyIPs",
        marks=pytest.mark.rule("allocator-9.row6"),
    ),
    pytest.param(
        [pool("test", "1.2.3.0/30", "1000::/126", serviceAllocation={"namespaces": ["x"]})],
        "test",
        "test",
        id="pinned elsewhere",
        marks=pytest.mark.rule("allocator-9.kept"),
    ),
    pytest.param(
        [pool("test", "1.2.3.0/30", "1000::/126", autoAssign=False)],
        "test",
        "test",
        id="autoAssign off",
        marks=pytest.mark.rule("allocator-9.auto-assign"),
    ),
    pytest.param([], None, None, id="all gone", marks=pytest.mark.rule("allocator-9.dropped")),
]


@pytest.mark.parametrize(("pools", "first", "second"), RELOADS)
def test_reload(pools: list[Any], first: str | None, second: str | None) -> None:
    """A holding follows its addresses to whichever pool has them, and is dropped if none does."""
    book = held()
    lost = book.set_pools(config_of(*pools).pools)
    book.validate()
    holdings = [book.holding(name) for name in ("s1", "s2")]
    assert [each and each.pool for each in holdings] == [first, second]
    assert lost == tuple(
        name for name, each in zip(("s1", "s2"), holdings, strict=True) if each is None
    )


@pytest.mark.rule("allocator-9.kept")
def test_freed_addresses_are_given_out_after_a_reload() -> None:
    """What was held before a reload is in use after it, and only that."""
    book = held()
    book.set_pools(config_of(pool("test", "1.2.3.0/31", "1000::/127")).pools)
    assert str(book.usages["test"].find(4, share_key=("", ""), ports=frozenset())) == "1.2.3.1"
    book.release("s1")
    assert str(book.usages["test"].find(4, share_key=("", ""), ports=frozenset())) == "1.2.3.0"


@pytest.mark.parametrize(
    ("addresses", "avoid", "expected"),
    [
        pytest.param(
            ["1.2.3.0/24"],
            False,
            (256, 256, 0),
            marks=pytest.mark.rule("allocator-10.row1", "allocator-10.size"),
        ),
        pytest.param(
            ["1.2.3.0/24", "2.3.4.128/25"],
            False,
            (384, 384, 0),
            marks=pytest.mark.rule("allocator-10.row2"),
        ),
        pytest.param(
            ["1.2.3.0/24", "2.3.4.128/25"],
            True,
            (381, 381, 0),
            marks=pytest.mark.rule(
                "allocator-10.row3", "allocator-10.buggy-wide", "allocator-10.buggy-narrow"
            ),
        ),
        pytest.param(
            ["1.2.3.0/24", "2.3.4.128/25", "1000::/64"],
            True,
            (COUNTER_MAX, 381, COUNTER_MAX),
            marks=pytest.mark.rule("allocator-10.row4", "allocator-10.saturation"),
        ),
        pytest.param(
            ["1.2.3.0/31", "1000::/127"],
            True,
            (3, 1, 2),
            marks=pytest.mark.rule("allocator-10.row5"),
        ),
        pytest.param(
            ["1000::/64", "1.2.3.0/24"],
            False,
            (COUNTER_MAX, 256, COUNTER_MAX),
            marks=pytest.mark.rule("allocator-10.row6"),
        ),
        pytest.param(
            [f"100{i}::/67" for i in range(4)],
            False,
            (COUNTER_MAX, 0, COUNTER_MAX),
            marks=pytest.mark.rule("allocator-10.row7"),
        ),
        (["1.2.0.0/16"], True, (65024, 65024, 0)),
        pytest.param(
            ["1.2.3.0/32", "1.2.3.255/32"],
            True,
            (0, 0, 0),
            marks=pytest.mark.rule("allocator-10.buggy-narrow"),
        ),
        (["1000::/67"], False, (1 << 61, 0, 1 << 61)),
        pytest.param(
            ["0.0.0.0/0", "1000::/66"],
            False,
            (COUNTER_MAX, 1 << 32, COUNTER_MAX),
            marks=pytest.mark.rule("allocator-10.saturation", "allocator-10.size"),
        ),
    ],
)
@pytest.mark.rule("api-2.status-huge")
def test_capacity(addresses: list[str], expected: tuple[int, int, int], *, avoid: bool) -> None:
    """Capacities are those of the original; a /32 to be avoided counts none, not minus one."""
    (counters,) = book_of(pool("p", *addresses, avoidBuggyIPs=avoid)).counters()
    assert (counters.total, counters.ipv4, counters.ipv6) == expected


@pytest.mark.rule("allocator-10.assigned", "allocator-10.available")
def test_in_use_counts_addresses_not_services() -> None:
    """Three services on one address are one address in use, until the last leaves."""
    book = book_of(pool("p", "1.0.0.0/30", "1::/126"))
    address = [parse_address("1.0.0.1")]
    for index in range(3):
        book.assign(
            claim(f"s{index}", ports=frozenset({("TCP", index)}), share_key=("k", "")), address
        )
    book.assign(claim("six"), [parse_address("1::2")])
    (counters,) = book.counters()
    assert (counters.ipv4_in_use, counters.ipv6_in_use, counters.in_use) == (1, 1, 2)
    assert (counters.ipv4_available, counters.ipv6_available) == (3, 3)
    for index in range(2):
        book.release(f"s{index}")
    assert book.counters()[0].ipv4_in_use == 1
    book.release("s2")
    assert book.counters()[0].ipv4_in_use == 0


@pytest.mark.rule(
    "allocator-10.notify",
    "allocator-9.counters",
    "allocator-9.removed",
    "allocator-3.6",
    "allocator-3.idempotent",
)
def test_changed_pools_are_told_once() -> None:
    """Assignments, releases and reloads name the pools concerned, removed ones included."""
    book = held()
    assert book.take_changed_pools() == {"test"}
    assert book.take_changed_pools() == frozenset()
    book.assign(claim("s1"), [parse_address("1.2.3.0")])
    assert book.take_changed_pools() == frozenset()
    book.release("s1")
    assert book.take_changed_pools() == {"test"}
    book.set_pools(config_of(pool("new", "1.2.3.0/30")).pools)
    assert book.take_changed_pools() == {"test", "new"}


@pytest.mark.rule("allocator-9.priority", "allocator-9.adding", "allocator-8.3.1")
def test_better_pools_move_nobody() -> None:
    """Neither a priority nor a new pool changes what is held."""
    book = held()
    book.set_pools(
        config_of(
            pool("test", "1.2.3.0/30", "1000::/126", serviceAllocation={"priority": 9}),
            pool("better", "9.0.0.0/30", serviceAllocation={"priority": 1}),
        ).pools
    )
    assert [book.holding(name) for name in ("s1", "s2")] == [
        held().holding(n) for n in ("s1", "s2")
    ]


@pytest.mark.parametrize(
    "edit",
    [
        {"autoAssign": False},
        {"serviceAllocation": {"namespaces": ["default"], "priority": 4}},
        {"avoidBuggyIPs": True},
    ],
    ids=str,
)
def test_an_edited_pool_forgets_nothing(edit: dict[str, Any]) -> None:
    """What is in use, free, counted and chosen after an edit is as in a book made from nothing."""
    before = pool("p", "1.0.0.0-1.0.0.6")
    after = pool("p", "1.0.0.0-1.0.0.6", **edit)
    book = book_of(before)
    share = {"ports": frozenset({("TCP", 1)}), "share_key": ("k", "")}
    book.assign(claim("s1"), [parse_address("1.0.0.1")])
    book.assign(claim("s2", **share), [parse_address("1.0.0.3")])
    book.release("s1")
    book.set_pools(config_of(after).pools)
    book.validate()
    fresh = book_of(after)
    fresh.assign(claim("s2", **share), [parse_address("1.0.0.3")])
    assert book.counters() == fresh.counters()
    assert [usage.pool for usage in book.pinned_usages] == [
        usage.pool for usage in fresh.pinned_usages
    ]
    for key, ports in (("k", {("TCP", 2)}), ("", set())):
        found = [
            each.usages["p"].find(4, share_key=(key, ""), ports=frozenset(ports))
            for each in (book, fresh)
        ]
        assert found[0] == found[1]
