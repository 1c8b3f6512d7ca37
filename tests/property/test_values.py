"""Parsers of text take anything and give a value or our own error."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.config.community import parse_community
from mercurylb.errors import ParseError
from mercurylb.values.address import IPV4, IPV6, Address, parse_address
from mercurylb.values.duration import format_duration, parse_duration
from mercurylb.values.prefix import cover, parse_addresses, parse_prefix

if TYPE_CHECKING:
    from collections.abc import Callable

ALMOST = st.text(alphabet="0123456789abcdefF:./- large%smhun\u0664", max_size=50)

addresses = st.one_of(
    st.builds(Address, st.just(IPV4), st.integers(0, (1 << 32) - 1)),
    st.builds(
        Address, st.just(IPV6), st.integers(0, (1 << 128) - 1).filter(lambda n: n >> 32 != 0xFFFF)
    ),
)


@pytest.mark.parametrize(
    "parse",
    [parse_address, parse_prefix, parse_addresses, parse_duration, parse_community],
)
@given(text=st.one_of(st.text(), ALMOST))
def test_garbage_raises_our_error_only(parse: Callable[[str], object], text: str) -> None:
    """No text makes a parser raise anything but ParseError."""
    with suppress(ParseError):
        parse(text)


@given(text=st.one_of(st.text(max_size=20), ALMOST, st.ip_addresses().map(str)))
def test_agrees_with_the_standard_library(text: str) -> None:
    """What the standard library reads, zones aside, is read as the same; nothing else is."""
    try:
        theirs = ipaddress.ip_address(text)
    except ValueError:
        theirs = None
    if isinstance(theirs, ipaddress.IPv6Address) and theirs.ipv4_mapped:
        theirs = theirs.ipv4_mapped
    if theirs is None or "%" in text:
        with pytest.raises(ParseError):
            parse_address(text)
    else:
        ours = parse_address(text)
        assert (ours.family, ours.number, str(ours)) == (theirs.version, int(theirs), str(theirs))


@given(address=addresses)
def test_address_text_round_trips(address: Address) -> None:
    """Text that was written reads back as the same address."""
    assert parse_address(str(address)) == address


@given(st.integers(0, 1 << 12), st.integers(0, 1 << 12))
def test_cover_is_exact_and_minimal(first: int, last: int) -> None:
    """The prefixes hold each number once, ascending, and no two neighbours could be one."""
    prefixes = cover(IPV4, first, last)
    numbers = [number for prefix in prefixes for number in range(prefix.first, prefix.last + 1)]
    assert numbers == list(range(first, last + 1))
    theirs = (
        list(
            ipaddress.summarize_address_range(
                ipaddress.IPv4Address(first), ipaddress.IPv4Address(last)
            )
        )
        if first <= last
        else []
    )
    assert [str(prefix) for prefix in prefixes] == [str(network) for network in theirs]


@given(addresses, st.integers(0, 128))
def test_prefix_text_round_trips(address: Address, length: int) -> None:
    """A prefix masks the host bits, contains the address, and its text reads back."""
    if address.family == IPV4:
        length %= 33
    prefix = parse_prefix(f"{address}/{length}")
    assert prefix.contains(address)
    assert parse_prefix(str(prefix)) == prefix
    assert prefix.first % prefix.size == 0


@given(st.integers(-(1 << 62), 1 << 62))
def test_duration_round_trips(nanoseconds: int) -> None:
    """A duration that was written reads back exactly."""
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds
