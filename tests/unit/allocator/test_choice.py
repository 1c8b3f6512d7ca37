"""Choosing addresses: order, families, priorities, sharing (spec: allocator §6 to §8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mercurylb.allocator.choice import (
    add_missing_family,
    allocate_automatically,
    allocate_from,
    explain_pools,
)
from mercurylb.allocator.claim import Allocation, Claim, Refusal, ServiceFamily, Stacking
from mercurylb.allocator.verdict import PoolReason
from mercurylb.values.address import IPV4, IPV6, Family, parse_address
from tests.unit.plan.cluster import book_of, pool

if TYPE_CHECKING:
    from mercurylb.allocator.book import Book

V4, V6, DUAL = ServiceFamily.IPV4, ServiceFamily.IPV6, ServiceFamily.DUAL
AB = [{"matchLabels": {"a": "b"}}]
PREFER, REQUIRE = Stacking.PREFER_DUAL, Stacking.REQUIRE_DUAL


def claim(name: str = "s", family: ServiceFamily = V4, **more: Any) -> Claim:
    """Make a claim of namespace default."""
    return Claim(service=name, namespace=more.pop("namespace", "default"), family=family, **more)


def shared(name: str, port: int, key: str = "k") -> Claim:
    """Make a claim that shares."""
    return claim(name, ports=frozenset({("TCP", port)}), share_key=(key, ""))


def got(result: Allocation | Refusal) -> str:
    """Give the addresses separated by spaces, or the message."""
    if isinstance(result, Refusal):
        return result.message
    return " ".join(map(str, result.addresses))


def automatic(book: Book, who: Claim) -> str:
    """Allocate automatically."""
    return got(allocate_automatically(book, who)[0])


@pytest.mark.rule("allocator-6.order", "allocator-6.reuse")
def test_gives_the_lowest_of_the_first_block_first() -> None:
    """Blocks go in written order, addresses ascending, and what comes back is next again."""
    book = book_of(pool("p", "10.0.0.4/31", "10.0.0.0/31"))
    assert [automatic(book, claim(f"s{i}")) for i in range(4)] == [
        "10.0.0.4",
        "10.0.0.5",
        "10.0.0.0",
        "10.0.0.1",
    ]
    for service in ("s1", "s2", "s0"):
        book.release(service)
    assert [automatic(book, claim(f"t{i}")) for i in range(3)] == [
        "10.0.0.4",
        "10.0.0.5",
        "10.0.0.0",
    ]
    book.validate()


@pytest.mark.rule("allocator-6.buggy")
@pytest.mark.rule("api-2.avoid-buggy")
def test_skips_what_was_taken_by_request_and_what_is_buggy() -> None:
    """Addresses in use above the cursor and addresses to avoid are passed over."""
    book = book_of(pool("p", "10.0.0.254-10.0.1.3", avoidBuggyIPs=True))
    book.assign(claim("x"), [parse_address("10.0.1.1")])
    assert [automatic(book, claim(f"s{i}")) for i in range(3)] == [
        "10.0.0.254",
        "10.0.1.2",
        "10.0.1.3",
    ]
    book.release("x")
    assert automatic(book, claim("y")) == "10.0.1.1"
    plain = book_of(pool("p", "10.0.0.0/31"))
    assert automatic(plain, claim()) == "10.0.0.0"


@pytest.mark.rule("allocator-6.sharing")
def test_sharing_takes_the_lowest_that_fits() -> None:
    """With a sharing key the lowest compatible address is taken, in use or not."""
    book = book_of(pool("p", "10.0.0.0/28"))
    assert automatic(book, shared("a", 80)) == "10.0.0.0"
    assert automatic(book, claim("alone")) == "10.0.0.1"
    assert automatic(book, shared("b", 81)) == "10.0.0.0"
    assert automatic(book, shared("c", 80)) == "10.0.0.2"
    assert automatic(book, shared("d", 80, key="other")) == "10.0.0.3"
    assert automatic(book, shared("e", 82, key="other")) == "10.0.0.3"
    book.release("alone")
    assert automatic(book, shared("f", 80)) == "10.0.0.1"
    book.release("a")
    assert automatic(book, shared("g", 80)) == "10.0.0.0"
    assert automatic(book, shared("h", 80)) == "10.0.0.4"
    book.validate()


def test_sharing_notices_a_lower_address_that_joins() -> None:
    """What was found full stays passed over, but an address that begins to share is looked at."""
    book = book_of(pool("p", "10.0.0.0/28"))
    assert automatic(book, claim("alone")) == "10.0.0.0"
    assert automatic(book, shared("a", 80)) == "10.0.0.1"
    assert automatic(book, shared("b", 81)) == "10.0.0.1"
    assert automatic(book, shared("c", 81)) == "10.0.0.2"
    book.release("alone")
    assert automatic(book, shared("d", 80)) == "10.0.0.0"
    assert automatic(book, shared("e", 81)) == "10.0.0.0"


@pytest.mark.parametrize(
    ("family", "stacking", "dual_pool", "v4_pool", "v6_pool"),
    [
        (V4, Stacking.SINGLE, "1.0.0.0", "1.0.0.0", None),
        (V4, PREFER, "1.0.0.0", "1.0.0.0", None),
        (V6, Stacking.SINGLE, "1::", None, "1::"),
        (DUAL, REQUIRE, "1.0.0.0 1::", None, None),
        (DUAL, PREFER, "1.0.0.0 1::", "1.0.0.0", "1::"),
        (DUAL, Stacking.SINGLE, None, None, None),
    ],
)
@pytest.mark.rule(
    "allocator-7.row1",
    "allocator-7.row2",
    "allocator-7.row3",
    "allocator-7.row4",
    "allocator-7.row5",
    "allocator-6.none",
    "allocator-6.per-family",
)
def test_families(
    family: ServiceFamily,
    stacking: Stacking,
    dual_pool: str | None,
    v4_pool: str | None,
    v6_pool: str | None,
) -> None:
    """Each family and policy gets what allocator §7 says, by name and automatically."""
    pools = {"dual": ("1.0.0.0/31", "1::/127"), "v4": ("1.0.0.0/31",), "v6": ("1::/127",)}
    for (name, blocks), expected in zip(pools.items(), (dual_pool, v4_pool, v6_pool), strict=True):
        who = claim("s", family, stacking=stacking)
        by_name = got(allocate_from(book_of(pool(name, *blocks)), who, name))
        by_itself = automatic(book_of(pool(name, *blocks)), who)
        if expected is None:
            assert by_name.startswith(f"no available IPs in pool {name}")
            assert by_itself.startswith("no available IPs: ")
        else:
            assert (by_name, by_itself) == (expected, expected)


@pytest.mark.parametrize(("primary", "expected"), [(IPV4, "2.0.0.0"), (IPV6, "1::")])
@pytest.mark.rule("allocator-8.5.prefer", "allocator-8.5.primary")
def test_primary_family_decides_between_single_family_pools(primary: Family, expected: str) -> None:
    """Where no pool has both families the service's first family is preferred."""
    book = book_of(pool("a", "1::/127"), pool("b", "2.0.0.0/31"))
    assert automatic(book, claim("s", DUAL, stacking=PREFER, primary=primary)) == expected


@pytest.mark.rule("allocator-8.5.effect-a", "allocator-8.5.effect-b", "allocator-8.5.both")
def test_a_later_dual_pool_beats_earlier_single_ones_in_its_group_only() -> None:
    """Both families beat priority inside a group; a pinned single pool beats an open dual one."""
    open_dual = pool("z", "3.0.0.0/31", "3::/127")
    first = pool("a", "1.0.0.0/31", serviceAllocation={"priority": 1})
    later = pool("b", "2.0.0.0/31", "2::/127", serviceAllocation={"priority": 2})
    who = claim("s", DUAL, stacking=PREFER)
    assert automatic(book_of(first, later, open_dual), who) == "2.0.0.0 2::"
    assert automatic(book_of(first, open_dual), who) == "1.0.0.0"


@pytest.mark.rule(
    "allocator-8.4.order",
    "allocator-8.4.ties",
    "allocator-8.4.negative",
    "allocator-8.3.priority-only",
    "allocator-8.3.2",
)
@pytest.mark.rule("api-2.priority")
def test_priorities() -> None:
    """Positive priorities ascend, unset and negative come last, ties go by name."""
    ranks = {"e": 0, "d": 3, "c": 3, "b": -1, "a": None, "f": 1}
    written = [
        pool(name, f"10.0.{index}.0/32", serviceAllocation={"priority": rank})
        for index, (name, rank) in enumerate(ranks.items())
    ]
    book = book_of(*written, pool("open", "11.0.0.0/32"))
    chosen = [allocate_automatically(book, claim(f"s{i}"))[0] for i in range(7)]
    pools = [each.pool for each in chosen if isinstance(each, Allocation)]
    assert pools == ["f", "c", "d", "a", "b", "e", "open"]


@pytest.mark.rule(
    "allocator-8.3.4",
    "allocator-8.3.4-reasons",
    "allocator-8.3.pinned",
    "allocator-8.2.2",
    "allocator-8.2.3",
    "allocator-4.oddity",
)
@pytest.mark.rule("api-2.auto-assign")
def test_pools_not_for_automatic_use() -> None:
    """Neither autoAssign: false, nor pinned elsewhere, nor pinned to nobody is chosen unasked."""
    book = book_of(
        pool("manual", "1.0.0.0/31", autoAssign=False),
        pool("elsewhere", "2.0.0.0/31", serviceAllocation={"namespaces": ["x"]}),
        pool(
            "labels",
            "4.0.0.0/31",
            serviceAllocation={"serviceSelectors": [{"matchLabels": {"a": "b"}}]},
        ),
        pool(
            "nobody",
            "3.0.0.0/31",
            serviceAllocation={"namespaceSelectors": [{"matchLabels": {"a": "b"}}]},
        ),
        pool("v6", "1::/127"),
        pool("full", "5.0.0.0/32"),
    )
    book.assign(claim("holder"), [parse_address("5.0.0.0")])
    result, verdicts = allocate_automatically(book, claim())
    assert isinstance(result, Refusal)
    assert {verdict.pool: verdict.reason for verdict in verdicts} == {
        "manual": PoolReason.NOT_AUTO_ASSIGNED,
        "elsewhere": PoolReason.NAMESPACE_NOT_ADMITTED,
        "labels": PoolReason.LABELS_NOT_ADMITTED,
        "nobody": PoolReason.PINNED_TO_NOBODY,
        "v6": PoolReason.FAMILY_MISSING,
        "full": PoolReason.EXHAUSTED,
    }
    assert result.message == (
        "no available IPs: pool full: all 1 IPv4 addresses are in use (5.0.0.0 by holder); "
        "pool v6: it has no IPv4 addresses; "
        "pool labels: the service's labels match none of its serviceSelectors; "
        'pool elsewhere: its serviceAllocation does not include namespace "default"; '
        "pool nobody: its serviceAllocation selects no namespace; "
        "pool manual: autoAssign is false and it was not asked for"
    )
    assert result.lasting == result.message.replace(" (5.0.0.0 by holder)", "")
    assert got(allocate_from(book, claim(), "manual")) == "1.0.0.0"
    book.release("s")
    assert got(allocate_from(book, claim(), "nobody")) == "3.0.0.0"
    assert "pool elsewhere not compatible" in got(allocate_from(book, claim(), "elsewhere"))
    assert got(allocate_from(book, claim(), "zzz")) == (
        'unknown pool "zzz": there are elsewhere, full, labels, manual, nobody and 1 more'
    )


def test_verdicts_of_a_success() -> None:
    """The pool chosen is named; asked for, every pool has its reason."""
    book = book_of(pool("a", "1::/127"), pool("b", "1.0.0.0/31"), pool("c", "2.0.0.0/31"))
    result, verdicts = allocate_automatically(book, claim())
    assert [(verdict.pool, verdict.reason, verdict.chosen) for verdict in verdicts] == [
        ("b", PoolReason.CHOSEN, True),
    ]
    assert isinstance(result, Allocation)
    explained = {verdict.pool: verdict.reason for verdict in explain_pools(book, claim(), result)}
    assert explained == {
        "a": PoolReason.FAMILY_MISSING,
        "b": PoolReason.KEPT,
        "c": PoolReason.NOT_FIRST,
    }


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (("1.0.0.0/31",), "all 2 IPv4 addresses are in use (1.0.0.0 by h0, 1.0.0.1 by h1)"),
        (("1::/127",), "it has no IPv4 addresses"),
        (
            ("1.0.0.0/30",),
            "all 4 IPv4 addresses are in use (1.0.0.0 by h0, 1.0.0.1 by h1, 1.0.0.2 by h2, 1 more)",
        ),
    ],
)
def test_lack_is_described(blocks: tuple[str, ...], message: str) -> None:
    """A full pool says how many addresses it has and who holds the lowest of them."""
    book = book_of(pool("p", *blocks))
    for index in range(4):
        allocate_automatically(book, claim(f"h{index}"))
    assert automatic(book, claim()) == f"no available IPs: pool p: {message}"


def test_lack_is_described_anew() -> None:
    """The description names who holds the addresses now."""
    book = book_of(pool("p", "1.0.0.0/32"))
    for holder in ("one", "two"):
        automatic(book, claim(holder))
        assert f"1.0.0.0 by {holder})" in automatic(book, claim())
        book.release(holder)


def test_lack_by_avoidance_is_described() -> None:
    """A pool of nothing but addresses to avoid says so."""
    book = book_of(pool("p", "1.0.0.0/32", avoidBuggyIPs=True))
    assert "no IPv4 address that does not end in .0 or .255" in automatic(book, claim())


@pytest.mark.rule("allocator-8.6.add", "allocator-8.6.order", "allocator-8.6.stay")
def test_missing_family_is_added_from_the_same_pool() -> None:
    """The address at hand stays first, and a pool without the other family refuses."""
    book = book_of(
        pool("p", "1.0.0.0/31", "1::/127"), pool("q", "2.0.0.0/31"), pool("r", "3::/127")
    )
    who = claim("s", DUAL, stacking=PREFER)
    book.assign(who, [parse_address("1::1")])
    assert got(add_missing_family(book, who)) == "1::1 1.0.0.0"
    book.assign(who, [parse_address("2.0.0.1")])
    assert got(add_missing_family(book, who)) == (
        "no available IPs in pool q for ipv6 IPFamily: it has no IPv6 addresses"
    )
    assert got(book.assign(who, [parse_address("2.0.0.1")])) == "2.0.0.1"


def test_equal_histories_give_equal_books() -> None:
    """Nothing but the inputs and their order decides."""
    books = [book_of(pool("b", "1.0.0.0/29"), pool("a", "2.0.0.0/30")) for _ in range(2)]
    results = [
        [automatic(book, claim(f"s{i % 9}", namespace=str(i))) for i in range(13)] for book in books
    ]
    assert results[0] == results[1]


def test_a_huge_pool_is_searched_without_walking_it() -> None:
    """Thousands of addresses of a /8 and a /64 are given out one by one, each found at once.

    A search from the first address on would take hundreds of millions of steps here.
    """
    book = book_of(pool("p", "10.0.0.0/8", "2001:db8::/64"))
    count = 20_000
    for index in range(count):
        automatic(book, claim(f"s{index}", DUAL, stacking=REQUIRE))
    held = book.holding(f"s{count - 1}")
    assert held is not None
    assert [str(address) for address in held.addresses] == ["10.0.78.31", "2001:db8::4e1f"]
    for index in range(0, count, 2):
        book.release(f"s{index}")
    for index in range(count // 2):
        automatic(book, shared(f"t{index}", 80))
    held = book.holding(f"t{count // 2 - 1}")
    assert held is not None
    assert str(held.addresses[0]) == "10.0.78.30"


@pytest.mark.rule("allocator-8.5.single", "allocator-8.5.skip", "allocator-8.3.3")
def test_the_first_pool_with_the_family_is_taken() -> None:
    """Pools without it, or without anything free, are skipped."""
    book = book_of(
        pool("a", "1::/127"), pool("b", "1.0.0.0/32"), pool("c", "2.0.0.0/31"), pool("d", "3::/127")
    )
    assert automatic(book, claim("first")) == "1.0.0.0"
    assert automatic(book, claim("second")) == "2.0.0.0"
    assert automatic(book, claim("six", V6)) == "1::"
    require = claim("dual", DUAL, stacking=REQUIRE)
    assert automatic(book, require).startswith("no available IPs: ")


@pytest.mark.rule("allocator-8.5.effect-c", "allocator-8.5.both")
def test_an_exhausted_family_makes_a_dual_pool_a_single_one() -> None:
    """A later pool with both is better than an earlier one that has only one left."""
    first, second = pool("a", "1.0.0.0/32", "1::/127"), pool("b", "2.0.0.0/31", "2::/127")
    prefer = claim("s", DUAL, stacking=PREFER)
    book = book_of(first, second)
    automatic(book, claim("holder"))
    assert automatic(book, prefer) == "2.0.0.0 2::"
    alone = book_of(first)
    automatic(alone, claim("holder"))
    assert automatic(alone, prefer) == "1::"


@pytest.mark.rule("allocator-8.4.open")
def test_ordinary_pools_go_by_name() -> None:
    """However they are given, the same pool is chosen."""
    pools = [pool(name, f"{index}.0.0.0/32") for index, name in enumerate("cabd", 1)]
    for order in (pools, pools[::-1]):
        book = book_of(*order)
        assert [automatic(book, claim(f"s{i}")) for i in range(4)] == [
            "2.0.0.0",
            "3.0.0.0",
            "1.0.0.0",
            "4.0.0.0",
        ]


@pytest.mark.rule("allocator-7.text", "allocator-6.none")
@pytest.mark.parametrize(
    ("who", "blocks", "message"),
    [
        (
            claim("s", DUAL, stacking=REQUIRE),
            ["1.0.0.0/31"],
            "no available IPs in pool p for dual IPFamily: it has no IPv6 addresses",
        ),
        (
            claim("s", DUAL),
            ["1.0.0.0/31", "1::/127"],
            (
                "no available IPs in pool p for dual IPFamily: a dual-stack service needs"
                " ipFamilyPolicy PreferDualStack or RequireDualStack"
            ),
        ),
        (claim("s"), ["1::/127"], "no available IPs in pool p: it has no IPv4 addresses"),
        (
            shared("s", 80),
            ["9.0.0.0/32"],
            (
                "no available IPs in pool p: all 1 IPv4 addresses are in use, none of them with the"
                " sharing key of the service (9.0.0.0 by holder)"
            ),
        ),
        (
            shared("s", 80, key="held"),
            ["9.0.0.0/32"],
            (
                "no available IPs in pool p: all 1 IPv4 addresses are in use, and its ports are"
                " taken on those that it might share (9.0.0.0 by holder)"
            ),
        ),
    ],
)
def test_a_named_pool_says_what_it_lacks(who: Claim, blocks: list[str], message: str) -> None:
    """The words of the original, then the cause."""
    book = book_of(pool("p", *blocks))
    if blocks == ["9.0.0.0/32"]:
        book.assign(shared("holder", 80, key="held"), [parse_address("9.0.0.0")])
    assert got(allocate_from(book, who, "p")) == message


def test_near_names_are_offered() -> None:
    """Of many pools the likest come first."""
    book = book_of(*(pool(f"pool-{name}", f"1.0.{i}.0/32") for i, name in enumerate("abcdefg")))
    assert got(allocate_from(book, claim(), "Pool_g")).startswith(
        'unknown pool "Pool_g": there are pool-'
    )
    assert got(allocate_from(book_of(), claim(), "x")) == 'unknown pool "x": there are none'


def test_many_pools_are_summed_up() -> None:
    """Those that were nearest to helping are named, the others counted."""
    pools = [pool(f"a{i}", f"1.0.{i}.0/32", autoAssign=False) for i in range(9)]
    book = book_of(*pools, pool("z", "2.0.0.0/32"))
    automatic(book, claim("holder"))
    message = automatic(book, claim())
    assert message.startswith("no available IPs: pool z: all 1 IPv4 addresses are in use (2.0.0.0")
    assert message.endswith("; and 4 more pools")


def test_what_was_refused_is_asked_anew_when_something_changes() -> None:
    """A refusal is remembered for services alike, and only as long as it is true."""
    book = book_of(pool("p", "1.0.0.0/32"))
    automatic(book, claim("a"))
    first = allocate_automatically(book, claim("b"))
    assert allocate_automatically(book, claim("c")) is first
    book.release("a")
    assert automatic(book, claim("b")) == "1.0.0.0"


def test_an_address_that_went_to_other_sharers_is_not_offered() -> None:
    """What came free for a port, and was taken under another key since, is passed over."""
    book = book_of(pool("p", "1.0.0.0-1.0.0.2"))

    def take(name: str, port: int, key: str, text: str) -> None:
        assert isinstance(book.assign(shared(name, port, key), [parse_address(text)]), Allocation)

    take("a", 80, "k", "1.0.0.0")
    take("b", 81, "k", "1.0.0.1")
    take("c", 80, "k", "1.0.0.2")
    assert automatic(book, shared("d", 80)) == "1.0.0.1"
    book.release("d")
    book.release("a")
    take("e", 81, "other", "1.0.0.0")
    assert automatic(book, shared("d", 80)) == "1.0.0.1"


def test_a_refusal_is_remembered_for_services_alike_only() -> None:
    """Another namespace, other labels or another family are asked anew."""
    book = book_of(
        pool("a", "1.0.0.0/31", serviceAllocation={"namespaces": ["x"]}),
        pool("b", "2.0.0.0/31", serviceAllocation={"serviceSelectors": AB}),
        pool("c", "3::/127"),
    )
    assert automatic(book, claim("one")).startswith("no available IPs: ")
    assert automatic(book, claim("two", namespace="x")) == "1.0.0.0"
    assert automatic(book, claim("three")).startswith("no available IPs: ")
    assert automatic(book, claim("four", labels={"a": "b"})) == "2.0.0.0"
    assert automatic(book, claim("five")).startswith("no available IPs: ")
    assert automatic(book, claim("six", V6)) == "3::"


def test_what_can_never_be_is_the_whole_reason() -> None:
    """A family that a pool does not have is named alone, be the other full or not."""
    book = book_of(pool("p", "1.0.0.0/32"))
    who = claim("s", DUAL, stacking=REQUIRE)
    for _ in range(2):
        assert got(allocate_from(book, who, "p")).endswith(": it has no IPv6 addresses")
        automatic(book, claim("holder"))
