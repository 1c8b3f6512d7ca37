"""Prefixes between text and NLRI."""

from __future__ import annotations

import pytest

from mercurylb.bgp import prefix
from mercurylb.bgp.family import IPV4, IPV6, Family, family_of
from mercurylb.errors import LocalProtocolError


@pytest.mark.rule("bgp-native-2.4.nlri")
@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("0.0.0.0/0", "00"),
        ("128.0.0.0/1", "0180"),
        ("10.0.0.0/8", "080a"),
        ("10.128.0.0/9", "090a80"),
        ("192.0.2.0/24", "18c00002"),
        ("192.0.2.128/25", "19c0000280"),
        ("192.0.2.1/32", "20c0000201"),
        ("::/0", "00"),
        ("2001:db8::/32", "2020010db8"),
        ("2001:db8:0:1::/64", "4020010db800000001"),
        ("::1/128", "8000000000000000000000000000000001"),
        ("2001:db8:1:2:3:4:5:6/128", "8020010db8000100020003000400050006"),
        ("fe80::/10", "0afe80"),
    ],
)
def test_a_prefix_is_its_length_and_the_octets_that_hold_it(text: str, octets: str) -> None:
    """There and back."""
    encoded = prefix.encode(text)
    assert encoded.hex() == octets
    assert prefix.decode(encoded, family_of(text)) == text
    assert prefix.encode_all((text,), family_of(text)) == encoded


def test_many_prefixes_stand_one_after_the_other() -> None:
    """Also where their lengths differ, in any place."""
    hosts = ("10.0.0.1/32", "10.0.0.2/32", "10.0.0.255/32")
    mixed = ("10.0.0.1/32", "10.1.0.0/24", "10.0.0.2/32", "0.0.0.0/0")
    for prefixes in (hosts, mixed, mixed[::-1], (*hosts, "10.0.0.0/31")):
        assert prefix.encode_all(prefixes, IPV4) == b"".join(map(prefix.encode, prefixes))
    assert prefix.encode_all(("::1/128", "::/0"), IPV6) == prefix.encode("::1/128") + b"\0"
    assert prefix.encode_all((), IPV4) == b""


def test_lengths_that_look_like_addresses_do_not_mislead() -> None:
    """Octets beside each other never make up for each other."""
    odd = ("10.0.0.32/8", "10.0.0.32/24")
    assert prefix.encode_all(odd, IPV4) == bytes.fromhex("080a180a0000")


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0.1", "10.0.0/24", "10.0.0.256/32", "10.0.0.1/33", "10.0.0.0.1/32", "a.b.c.d/8"],
)
def test_what_is_no_ipv4_prefix_is_our_own_mistake(text: str) -> None:
    """The plan never says such a thing."""
    with pytest.raises(LocalProtocolError):
        prefix.encode(text)
    with pytest.raises(LocalProtocolError):
        prefix.encode_all(("10.0.0.1/32", text), IPV4)


@pytest.mark.parametrize("text", ["::/129", "::/-1", "::/x", "1:2:3/64", "12345::/64", "g::/64"])
def test_what_is_no_ipv6_prefix_is_our_own_mistake(text: str) -> None:
    """The plan never says such a thing."""
    with pytest.raises(LocalProtocolError):
        prefix.encode(text)


def test_bits_beyond_the_length_are_ignored() -> None:
    """RFC 4271 section 4.3: their value is irrelevant."""
    assert prefix.decode(b"\x09\x0a\xff", IPV4) == "10.128.0.0/9"


def test_nlri_is_taken_apart() -> None:
    """Entry by entry."""
    texts = ["10.0.0.0/8", "0.0.0.0/0", "192.0.2.1/32"]
    entries = prefix.split(b"".join(map(prefix.encode, texts)))
    assert [prefix.decode(entry, IPV4) for entry in entries] == texts


def test_addresses_are_octets() -> None:
    """A zone has no octets."""
    assert prefix.encode_address("192.0.2.1") == b"\xc0\x00\x02\x01"
    assert prefix.encode_address("fe80::1%eth0") == b"\xfe\x80" + bytes(13) + b"\x01"
    assert prefix.decode_address(prefix.encode_address("2001:db8::1")) == "2001:db8::1"


def test_families_have_names() -> None:
    """Unknown ones have their numbers."""
    assert [family.label for family in (IPV4, IPV6, Family(25, 70))] == ["ipv4", "ipv6", "25/70"]
