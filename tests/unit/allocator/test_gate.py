"""The gate that every allocation passes (spec: allocator §3, §4, §5, §11)."""

from __future__ import annotations

from typing import Any

import pytest

from mercurylb.allocator.claim import Allocation, Claim, Refusal, RefusalReason, ServiceFamily
from mercurylb.values.address import parse_address
from tests.unit.plan.cluster import book_of, pool

SHARING = RefusalReason.SHARING_CONFLICT
PORT = RefusalReason.PORT_CONFLICT
INCOMPATIBLE = RefusalReason.POOL_INCOMPATIBLE
NO_POOL = RefusalReason.NOT_IN_POOL
AVOIDED = RefusalReason.ADDRESS_AVOIDED
TEAM = {"team": "metallb"}

POOLS = (
    pool("test", "1.2.3.4/31", "1000::4/127"),
    pool("test2", "1.2.4.0/24", avoidBuggyIPs=True),
    pool("test3", "10.20.0.0/28", serviceAllocation={"namespaces": ["test-ns1"]}),
    pool(
        "test4",
        "30.0.0.0/28",
        serviceAllocation={"serviceSelectors": [{"matchLabels": {"team": "metallb"}}]},
    ),
    pool(
        "test5",
        "40.0.0.0/28",
        serviceAllocation={
            "namespaces": ["test-ns1"],
            "serviceSelectors": [{"matchLabels": {"team": "metallb"}}],
        },
    ),
    pool(
        "test6",
        "50.0.0.0/28",
        autoAssign=False,
        serviceAllocation={"namespaceSelectors": [{"matchLabels": {"x": "y"}}]},
    ),
)


def claim(name: str, ports: str = "", key: str = "", backend: str = "", **more: Any) -> Claim:
    """Make a claim; `ports` as TCP/80, separated by spaces."""
    pairs = (port.split("/") for port in ports.split())
    return Claim(
        service=name,
        namespace=more.pop("namespace", "default"),
        family=ServiceFamily.IPV4,
        ports=frozenset((protocol, int(number)) for protocol, number in pairs),
        share_key=(key, backend),
        **more,
    )


def addresses(text: str) -> list[Any]:
    """Read addresses separated by spaces."""
    return [parse_address(each) for each in text.split()]


@pytest.mark.rule(
    "allocator-5.row1",
    "allocator-5.row2",
    "allocator-5.row3",
    "allocator-5.row4",
    "allocator-5.row5",
    "allocator-5.row6",
    "allocator-5.row7",
    "allocator-5.row8",
    "allocator-5.row9",
    "allocator-5.row10",
    "allocator-5.row11",
    "allocator-5.row12",
    "allocator-5.row13",
    "allocator-5.row14",
    "allocator-5.row15",
    "allocator-3.no-change",
    "allocator-3.1-two-pools",
    "allocator-3.2-auto-assign",
    "allocator-3.3",
    "allocator-3.4",
    "allocator-4.oddity",
    "allocator-4.namespaces",
    "allocator-4.selectors",
    "allocator-4.and",
    "allocator-5.fresh",
    "allocator-5.keys",
    "allocator-5.sole",
    "allocator-5.protocol",
)
def test_the_sequence_of_one_allocator() -> None:
    """Each step of the original's table, in its order, on one book (spec: allocator §5)."""
    book = book_of(*POOLS)
    steps: list[tuple[str, Claim, str, RefusalReason | None]] = [
        ("s1 takes 1.2.3.4", claim("s1"), "1.2.3.4", None),
        ("again", claim("s1"), "1.2.3.4", None),
        ("s2 asks for it, no keys", claim("s2"), "1.2.3.4", SHARING),
        ("s3 asks for .0 to be avoided", claim("s3"), "1.2.4.0", AVOIDED),
        ("s3 asks for .255", claim("s3"), "1.2.4.255", AVOIDED),
        ("s3 asks for .254", claim("s3"), "1.2.4.254", None),
        ("s4 shares X", claim("s4", "TCP/80", "sharing", "b"), "1.2.3.5", None),
        ("s4 alone changes key", claim("s4", "TCP/80", "share", "b"), "1.2.3.5", None),
        ("s3, same port", claim("s3", "TCP/80", "share", "b"), "1.2.3.5", PORT),
        ("s3, other key", claim("s3", "TCP/443", "o", "b"), "1.2.3.5", SHARING),
        ("s3, other backend", claim("s3", "TCP/443", "share", "c"), "1.2.3.5", SHARING),
        ("s3, other port", claim("s3", "TCP/443", "share", "b"), "1.2.3.5", None),
        ("s3 changes ports", claim("s3", "UDP/53", "share", "b"), "1.2.3.5", None),
        ("s3 changes key", claim("s3", "UDP/53", "o", "b"), "1.2.3.5", SHARING),
        ("s3 changes backend", claim("s3", "UDP/53", "share", "c"), "1.2.3.5", SHARING),
        ("same number, other protocol", claim("s5", "UDP/80", "share", "b"), "1.2.3.5", None),
        ("s1 dual", claim("s1"), "1.2.3.4 1000::4", None),
        ("s1 dual of two pools", claim("s1"), "1.2.4.5 1000::4", RefusalReason.POOLS_DIFFER),
        ("two of a family", claim("s1"), "1.2.3.4 1.2.3.5", RefusalReason.SAME_FAMILY),
        ("three", claim("s1"), "1.2.3.4 1000::4 1000::5", RefusalReason.TOO_MANY),
        ("none", claim("s1"), "", NO_POOL),
        ("namespace ok", claim("s6", namespace="test-ns1"), "10.20.0.1", None),
        ("namespace wrong", claim("s7"), "10.20.0.2", INCOMPATIBLE),
        ("label ok", claim("s7", labels=TEAM), "30.0.0.1", None),
        ("label wrong", claim("s8", labels={"team": "x"}), "30.0.0.2", INCOMPATIBLE),
        ("both ok", claim("s9", namespace="test-ns1", labels=TEAM), "40.0.0.1", None),
        ("label of both wrong", claim("s10", namespace="test-ns1"), "40.0.0.2", INCOMPATIBLE),
        ("namespace of both wrong", claim("s10", labels=TEAM), "40.0.0.2", INCOMPATIBLE),
        ("pinned to nobody, by request", claim("s11"), "50.0.0.1", None),
    ]
    for what, who, text, expected in steps:
        before = dict(book.holdings())
        result = book.assign(who, addresses(text))
        book.validate()
        if expected is None:
            assert isinstance(result, Allocation), (what, result)
            assert book.holding(who.service) == result, what
            assert list(result.addresses) == addresses(text), what
        else:
            assert isinstance(result, Refusal), what
            assert (what, result.reason) == (what, expected)
            assert dict(book.holdings()) == before, what


@pytest.mark.parametrize(
    ("who", "asks", "message"),
    [
        (claim("s2"), "9.9.9.9", '["9.9.9.9"] is not allowed in config: 9.9.9.9 is in no pool'),
        (
            claim("s2"),
            "1.2.4.0",
            (
                '["1.2.4.0"] is not allowed in config: 1.2.4.0 ends in .0 or .255 and pool test2'
                " avoids those"
            ),
        ),
        (
            claim("s2"),
            "1.2.4.5 1000::4",
            (
                '["1.2.4.5" "1000::4"] is not allowed in config: pool test2 does not have 1000::4,'
                " that is in pool test"
            ),
        ),
        (
            claim("s2"),
            "10.20.0.1",
            (
                "pool test3 not compatible for ip assignment: its serviceAllocation does not"
                ' include namespace "default"'
            ),
        ),
        (
            claim("s2"),
            "30.0.0.1",
            (
                "pool test4 not compatible for ip assignment: the service's labels match none of"
                " its serviceSelectors"
            ),
        ),
        (claim("s2"), "1.2.3.4 1.2.3.5", '"1.2.3.4" "1.2.3.5" has the same family'),
        (
            claim("s2"),
            "1.2.3.4 1.2.3.5 1000::4",
            'more than two addresses ["1.2.3.4" "1.2.3.5" "1000::4"]',
        ),
        (
            claim("s2"),
            "1.2.3.4",
            (
                'can\'t change sharing key for "s2", address also in use by s1: they share it by'
                ' metallb.io/allow-shared-ip "k", this service does not'
            ),
        ),
        (
            claim("s2", "UDP/9 TCP/80", "k"),
            "1.2.3.4",
            'port TCP/80 is already in use on "1.2.3.4" by s1',
        ),
    ],
)
@pytest.mark.rule(
    "allocator-3.1",
    "allocator-3.1-buggy",
    "allocator-3.1-two-pools",
    "allocator-3.2",
    "allocator-3.3",
    "allocator-3.4",
    "allocator-5.others",
    "allocator-5.ports",
)
def test_refusals_say_why(who: Claim, asks: str, message: str) -> None:
    """Every refusal has the original's words and the true cause behind them."""
    book = book_of(*POOLS)
    book.assign(claim("s1", "TCP/80", "k"), addresses("1.2.3.4"))
    result = book.assign(who, addresses(asks))
    assert isinstance(result, Refusal)
    assert result.message == message


@pytest.mark.rule("allocator-11.release", "allocator-11.twice")
def test_release_frees_and_may_be_repeated() -> None:
    """The last to leave frees the address; leaving twice is harmless."""
    book = book_of(*POOLS)
    shared = addresses("1.2.3.4")
    book.assign(claim("s1", "TCP/80", "k"), shared)
    book.assign(claim("s2", "TCP/81", "k"), shared)
    assert book.holders(shared[0]) == ("s1", "s2")
    book.release("s1")
    assert isinstance(book.assign(claim("s3"), shared), Refusal)
    assert isinstance(book.assign(claim("s3", "TCP/80", "k"), shared), Allocation)
    book.release("s2")
    assert book.release("s3") == Allocation(
        "test", tuple(shared), frozenset({("TCP", 80)}), ("k", "")
    )
    assert book.release("s3") is None
    assert isinstance(book.assign(claim("s4"), shared), Allocation)
    book.validate()


@pytest.mark.rule("allocator-11.portless", "allocator-5.portless")
def test_services_without_ports_keep_their_key() -> None:
    """The key of an address is forgotten when the last holder leaves, with ports or without."""
    book = book_of(*POOLS)
    shared = addresses("1.2.3.4")
    book.assign(claim("s1", key="k"), shared)
    book.assign(claim("s2", key="k"), shared)
    book.release("s1")
    assert isinstance(book.assign(claim("s3"), shared), Refusal)
    book.release("s2")
    assert isinstance(book.assign(claim("s3"), shared), Allocation)


@pytest.mark.rule("allocator-3.6")
def test_a_move_gives_the_old_address_up() -> None:
    """A service that is assigned something else frees what it had."""
    book = book_of(*POOLS)
    book.assign(claim("s1"), addresses("1.2.3.4"))
    book.assign(claim("s1"), addresses("1.2.3.5"))
    assert book.holders(parse_address("1.2.3.4")) == ()
    book.validate()


@pytest.mark.parametrize(
    ("first", "second", "shares"),
    [
        pytest.param(
            claim("a/s", "TCP/80", "k", namespace="a"),
            claim("b/s", "TCP/81", "k", namespace="b"),
            True,
            marks=pytest.mark.rule("allocator-1.comparison", "allocator-5.cluster-cluster"),
        ),
        pytest.param(
            claim("a", "TCP/80", "k"),
            claim("b", "TCP/81", "K"),
            False,
            marks=pytest.mark.rule("allocator-1.comparison"),
        ),
        pytest.param(
            claim("a", "TCP/80", "k", "app=x"),
            claim("b", "TCP/81", "k", "app=x"),
            True,
            marks=pytest.mark.rule("allocator-5.local-local"),
        ),
        pytest.param(
            claim("a", "TCP/80", "k", "app=x"),
            claim("b", "TCP/81", "k", "app=y"),
            False,
            marks=pytest.mark.rule("allocator-5.local-local"),
        ),
        pytest.param(
            claim("a", "TCP/80", "k"),
            claim("b", "TCP/81", "k", "app=x"),
            False,
            marks=pytest.mark.rule("allocator-5.cluster-local"),
        ),
        pytest.param(
            claim("a", "TCP/80", "k"),
            claim("b", "TCP/80", "k"),
            False,
            marks=pytest.mark.rule("allocator-5.overlap"),
        ),
        pytest.param(
            claim("a", "TCP/80", "k"),
            claim("b", "UDP/80", "k"),
            True,
            marks=pytest.mark.rule("allocator-5.protocol"),
        ),
        pytest.param(claim("a"), claim("b"), False, marks=pytest.mark.rule("allocator-5.portless")),
        pytest.param(
            claim("a", key="k"),
            claim("b", key="k"),
            True,
            marks=pytest.mark.rule("allocator-5.portless"),
        ),
    ],
)
def test_who_shares_with_whom(first: Claim, second: Claim, *, shares: bool) -> None:
    """Equal keys and no port in common; nothing else matters."""
    for one, other in ((first, second), (second, first)):
        book = book_of(*POOLS)
        book.assign(one, addresses("1.2.3.4"))
        result = book.assign(other, addresses("1.2.3.4"))
        assert isinstance(result, Allocation) is shares
        book.validate()


@pytest.mark.rule("allocator-3.5", "allocator-3.no-change")
def test_every_address_has_to_be_free() -> None:
    """One of two addresses in use refuses both, and changes nothing."""
    book = book_of(*POOLS)
    book.assign(claim("s1"), addresses("1000::4"))
    held = book.assign(claim("s2"), addresses("1.2.3.4"))
    result = book.assign(claim("s2"), addresses("1.2.3.5 1000::4"))
    assert isinstance(result, Refusal)
    assert book.holding("s2") == held
    assert book.holders(parse_address("1.2.3.5")) == ()


@pytest.mark.rule("allocator-4.absent", "allocator-8.1")
def test_a_pool_without_allocation_is_for_everybody() -> None:
    """Any namespace, any labels, and named addresses even without autoAssign."""
    book = book_of(pool("p", "1.0.0.0/30", autoAssign=False))
    for index, (space, labels) in enumerate([("a", {}), ("b", TEAM)]):
        who = claim(f"s{index}", namespace=space, labels=labels)
        assert isinstance(book.assign(who, addresses(f"1.0.0.{index}")), Allocation)


@pytest.mark.rule("allocator-11.inconsistent")
def test_a_port_of_somebody_else_is_noticed() -> None:
    """If what a service holds and what an address says differ, that is a bug, and it is loud."""
    book = book_of(*POOLS)
    book.assign(claim("s1", "TCP/80", "k"), addresses("1.2.3.4"))
    use = book.usages["test"].families[4].uses[addresses("1.2.3.4")[0].number]
    use.ports[("TCP", 80)] = "somebody"
    with pytest.raises(AssertionError):
        book.validate()


def test_many_ports_in_use_are_summed_up() -> None:
    """The first is named with its holder, then a few more."""
    book = book_of(*POOLS)
    ports = " ".join(f"TCP/{number}" for number in range(1, 7))
    book.assign(claim("s1", ports, "k"), addresses("1.2.3.4"))
    result = book.assign(claim("s2", ports, "k"), addresses("1.2.3.4"))
    assert isinstance(result, Refusal)
    assert result.message == (
        'port TCP/1 is already in use on "1.2.3.4" by s1, and so are TCP/2, TCP/3, TCP/4 and 2 more'
    )
    result = book.assign(claim("s2", "TCP/1 TCP/2", "k"), addresses("1.2.3.4"))
    assert isinstance(result, Refusal)
    assert result.message.endswith("by s1, and so is TCP/2")
