"""Prefixes and ranges (spec: config §3)."""

from __future__ import annotations

import pytest

from mercurylb.errors import ParseError
from mercurylb.values.address import IPV4, IPV6, parse_address
from mercurylb.values.prefix import Prefix, cover, is_buggy, parse_addresses, parse_prefix
from mercurylb.values.prefix_index import PrefixIndex


@pytest.mark.parametrize(
    ("text", "prefixes"),
    [
        ("10.0.0.0/24", "10.0.0.0/24"),
        ("2001:db8::/64", "2001:db8::/64"),
        ("1.2.3.4/32", "1.2.3.4/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("1.2.3.4/24", "1.2.3.0/24"),
        ("::ffff:1.2.3.0/120", "1.2.3.0/24"),
        ("::ffff:1.2.3.4/90", "::ffc0:0:0/90"),
        ("1.2.3.0-1.2.3.5", "1.2.3.0/30 1.2.3.4/31"),
        ("1.2.3.0 - 1.2.3.5", "1.2.3.0/30 1.2.3.4/31"),
        ("1.2.3.4-1.2.3.4", "1.2.3.4/32"),
        (
            "2001:db8::1-2001:db8::6",
            "2001:db8::1/128 2001:db8::2/127 2001:db8::4/127 2001:db8::6/128",
        ),
        (
            "40.0.0.150-40.0.0.200",
            "40.0.0.150/31 40.0.0.152/29 40.0.0.160/27 40.0.0.192/29 40.0.0.200/32",
        ),
        ("::ffff:1.2.3.1-1.2.3.4", "1.2.3.1/32 1.2.3.2/31 1.2.3.4/32"),
        ("0.0.0.0-255.255.255.255", "0.0.0.0/0"),
        ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0"),
    ],
)
def test_accepts(text: str, prefixes: str) -> None:
    """Each accepted form gives exactly these prefixes, in this order."""
    assert " ".join(map(str, parse_addresses(text))) == prefixes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.2.3.4", 'invalid CIDR "1.2.3.4"'),
        (" 1.2.3.0/24", 'invalid CIDR " 1.2.3.0/24"'),
        ("1.2.3.0/24 ", 'invalid CIDR "1.2.3.0/24 "'),
        ("010.0.0.0/8", 'invalid CIDR "010.0.0.0/8"'),
        ("100.200.300.400/24", 'invalid CIDR "100.200.300.400/24"'),
        ("1.2.3.0/33", 'invalid CIDR "1.2.3.0/33"'),
        ("::/129", 'invalid CIDR "::/129"'),
        ("1.2.3.0/024", 'invalid CIDR "1.2.3.0/024"'),
        ("1.2.3.0/+2", 'invalid CIDR "1.2.3.0/+2"'),
        ("1.2.3.0/", 'invalid CIDR "1.2.3.0/"'),
        ("fe80::1%eth0/64", 'invalid CIDR "fe80::1%eth0/64"'),
        ("", 'invalid CIDR ""'),
        (
            "1.2.3.0/24-1.2.3.5",
            'invalid IP range "1.2.3.0/24-1.2.3.5": invalid start IP "1.2.3.0/24"',
        ),
        ("-", 'invalid IP range "-": invalid start IP ""'),
        ("-1.2.3.4", 'invalid IP range "-1.2.3.4": invalid start IP ""'),
        ("1.2.3.4-", 'invalid IP range "1.2.3.4-": invalid end IP ""'),
        (
            "1.2.3.1-1.2.3.2-1.2.3.3",
            'invalid IP range "1.2.3.1-1.2.3.2-1.2.3.3": invalid end IP "1.2.3.2-1.2.3.3"',
        ),
        ("::-0.0.0.0", 'invalid IP range "::-0.0.0.0": start and end IPs must be the same family'),
        (
            "1.2.3.10-1.2.3.1",
            (
                'invalid IP range "1.2.3.10-1.2.3.1": start IP "1.2.3.10" is after the end IP'
                ' "1.2.3.1"'
            ),
        ),
    ],
)
def test_refuses(text: str, message: str) -> None:
    """Each refused form names what is wrong with it."""
    with pytest.raises(ParseError) as caught:
        parse_addresses(text)
    assert str(caught.value) == message


def test_covers_the_widest_range_with_few_prefixes() -> None:
    """Even the worst range needs at most two prefixes per bit."""
    assert len(cover(IPV6, 1, (1 << 128) - 2)) == 254
    assert cover(IPV4, 5, 4) == []


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("10.0.0.0/24", "10.0.0.0/24", True),
        ("10.0.0.0/24", "10.0.0.128/25", True),
        ("10.0.0.0/25", "10.0.0.128/25", False),
        ("0.0.0.0/0", "::/0", False),
        ("::/0", "2001:db8::/128", True),
    ],
)
def test_overlap_is_sharing_an_address(first: str, second: str, *, expected: bool) -> None:
    """Equal and contained prefixes overlap, neighbours and other families do not."""
    one, other = parse_prefix(first), parse_prefix(second)
    assert one.overlaps(other) is expected
    assert other.overlaps(one) is expected


def test_contains_its_ends_only() -> None:
    """The first and the last address are inside, their neighbours are not."""
    prefix = parse_prefix("10.0.0.64/26")
    expected = {"10.0.0.63": False, "10.0.0.64": True, "10.0.0.127": True, "10.0.0.128": False}
    found = {text: prefix.contains(parse_address(text)) for text in (*expected, "::a00:40")}
    assert found == {**expected, "::a00:40": False}


def test_buggy_addresses_are_ipv4_only() -> None:
    """Only an IPv4 address ending in .0 or .255 is one that old equipment refuses."""
    assert [number for number in range(600) if is_buggy(IPV4, number)] == [0, 255, 256, 511, 512]
    assert not is_buggy(IPV6, 0)


def test_index_finds_owners() -> None:
    """An address finds the prefix around it, never a neighbour's or the other family's."""
    index = PrefixIndex(
        [
            (parse_prefix("10.0.0.0/24"), "a"),
            (parse_prefix("10.0.2.0/24"), "b"),
            (parse_prefix("2001:db8::/64"), "a"),
        ]
    )
    texts = [
        "10.0.0.0",
        "10.0.0.255",
        "10.0.1.0",
        "10.0.2.7",
        "2001:db8::1",
        "2001:db9::",
        "9.9.9.9",
    ]
    assert [index.find(parse_address(text)) for text in texts] == [
        "a",
        "a",
        None,
        "b",
        "a",
        None,
        None,
    ]
    assert index.find_common(map(parse_address, ["10.0.0.1", "2001:db8::1"])) == "a"
    assert index.find_common(map(parse_address, ["10.0.0.1", "10.0.2.1"])) is None
    assert index.find_common([]) is None
    assert PrefixIndex[str]([]).find(parse_address("::")) is None
    assert Prefix(IPV4, 0, 0).size == 1 << 32
