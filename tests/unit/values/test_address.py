"""IP addresses: what is read, what is refused, how they are written."""

from __future__ import annotations

import pytest

from mercurylb.errors import ParseError
from mercurylb.values.address import IPV4, IPV6, Address, format_address, parse_address, quoted


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0.0.0.0", "0.0.0.0"),
        ("255.255.255.255", "255.255.255.255"),
        ("192.168.111.11", "192.168.111.11"),
        ("::", "::"),
        ("::1", "::1"),
        ("1::", "1::"),
        ("2001:DB8::0001", "2001:db8::1"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
        ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("::ffff:102:304", "1.2.3.4"),
        ("::1.2.3.4", "::102:304"),
    ],
)
def test_is_written_canonically(text: str, canonical: str) -> None:
    """Every way to write an address gives the same text (RFC 5952); mapped ones are IPv4."""
    assert str(parse_address(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "1.2.3.04",
        "010.0.0.1",
        "1.2.3.-4",
        "1.2.3.+4",
        "1.2.3. 4",
        " 1.2.3.4",
        "1.2.3.4 ",
        "1.2.3.4:80",
        "1.2.3.\u0664",
        "1.2.3.1111",
        "1..2.3",
        "1.2.3.4/32",
        "None",
        ":",
        ":::",
        "::1::",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        "1::2:3:4:5:6:7:8",
        "12345::",
        "g::",
        "fe80::1%eth0",
        "[::1]",
        "::1.2.3",
        "::1.2.3.4.5",
        "::1.2.3.04",
        "1.2.3.4::",
        "::+1",
        "::0x1",
        "::1_0",
        "0" * 10_000,
    ],
)
def test_refuses_everything_else(text: str) -> None:
    """Leading zeros, zones, ports, white space and wrong counts are no addresses."""
    with pytest.raises(ParseError, match="invalid IP address"):
        parse_address(text)


def test_sorts_by_family_then_value() -> None:
    """IPv4 comes before IPv6, and 9 before 10."""
    texts = ["::", "10.0.0.10", "10.0.0.9", "2001:db8::a", "2001:db8::9"]
    assert [str(address) for address in sorted(map(parse_address, texts))] == [
        "10.0.0.9",
        "10.0.0.10",
        "::",
        "2001:db8::9",
        "2001:db8::a",
    ]


def test_families_with_equal_numbers_differ() -> None:
    """An address is its family and its number, so 0.0.0.1 is not ::1."""
    assert len({Address(IPV4, 1), Address(IPV6, 1), parse_address("::1")}) == 2
    assert format_address(IPV4, 1) == "0.0.0.1"


def test_quotes_what_would_break_a_line() -> None:
    """Text from objects cannot forge a second line, and not flood a message either."""
    assert quoted('a"b\\c\n\x00\u2028\U000e0001é') == '"a\\"b\\\\c\\x0a\\x00\\u2028\\U000e0001é"'
    assert len(quoted("x" * 100_000)) < 300
