"""The attributes that are sent."""

from __future__ import annotations

import pytest

from mercurylb.bgp import attribute
from mercurylb.bgp.attribute import Encoding, RouteAttributes
from mercurylb.bgp.family import IPV4, IPV6

HOP = bytes((192, 0, 2, 1))
EXTERNAL = Encoding(65000, is_internal=False, next_hops=((IPV4, HOP),))
INTERNAL = Encoding(65000, is_internal=True, next_hops=((IPV4, HOP),))
NARROW = Encoding(65000, is_internal=False, next_hops=(), has_four_octet_asn=False)
LARGE = Encoding(4200000000, is_internal=False, next_hops=())
LARGE_NARROW = Encoding(4200000000, is_internal=False, next_hops=(), has_four_octet_asn=False)

ORIGIN = "40010100"
PATH = "4002060201" + "0000fde8"
NEXT_HOP = "400304c0000201"
SIXTY_FOUR = tuple(range(64))


@pytest.mark.rule("bgp-native-1.5.attributes", "bgp-native-2.4.values")
@pytest.mark.parametrize(
    ("attributes", "encoding", "octets"),
    [
        (RouteAttributes(), EXTERNAL, ORIGIN + PATH + NEXT_HOP),
        (RouteAttributes(), INTERNAL, ORIGIN + "400200" + NEXT_HOP + "40050400000000"),
        pytest.param(
            RouteAttributes(local_pref=150),
            INTERNAL,
            ORIGIN + "400200" + NEXT_HOP + "40050400000096",
            marks=pytest.mark.rule("bgp-native-1.5.local-pref"),
        ),
        pytest.param(
            RouteAttributes(local_pref=150),
            EXTERNAL,
            ORIGIN + PATH + NEXT_HOP,
            marks=pytest.mark.rule("bgp-native-1.5.local-pref"),
        ),
        pytest.param(
            RouteAttributes(as_path_prepend=2),
            EXTERNAL,
            ORIGIN + "40020e0203" + "0000fde8" * 3 + NEXT_HOP,
            marks=pytest.mark.rule("bgp-native-2.4.path"),
        ),
        pytest.param(
            RouteAttributes(as_path_prepend=2),
            INTERNAL,
            ORIGIN + "400200" + NEXT_HOP + "40050400000000",
            marks=pytest.mark.rule("bgp-native-2.4.path"),
        ),
        pytest.param(
            RouteAttributes(communities=(0x04D2, 0xFFFFFF02)),
            EXTERNAL,
            ORIGIN + PATH + NEXT_HOP + "c00808000004d2ffffff02",
            marks=pytest.mark.rule("bgp-native-2.4.communities"),
        ),
        pytest.param(
            RouteAttributes(communities=(1234, 2345)),
            NARROW,
            ORIGIN + "4002040201fde8" + NEXT_HOP + "c00808000004d200000929",
            marks=pytest.mark.rule("bgp-native-1.6.vectors"),
        ),
        (
            RouteAttributes(large_communities=((1, 2, 3), (4294967295, 0, 1))),
            EXTERNAL,
            ORIGIN + PATH + NEXT_HOP + "c02018000000010000000200000003ffffffff0000000000000001",
        ),
        (
            RouteAttributes(communities=SIXTY_FOUR),
            EXTERNAL,
            ORIGIN + PATH + NEXT_HOP + "d0080100" + "".join(f"{n:08x}" for n in SIXTY_FOUR),
        ),
        pytest.param(
            RouteAttributes(as_path_prepend=1, large_communities=((1, 2, 3),)),
            LARGE_NARROW,
            ORIGIN
            + "40020602025ba05ba0"
            + NEXT_HOP
            + "c0110a0202fa56ea00fa56ea00"
            + "c0200c000000010000000200000003",
            marks=pytest.mark.rule("bgp-native-2.8.narrow", "bgp-native-1.2.open-narrow"),
        ),
        pytest.param(
            RouteAttributes(),
            LARGE,
            ORIGIN + "4002060201fa56ea00" + NEXT_HOP,
            marks=pytest.mark.rule("bgp-native-2.8.both"),
        ),
        pytest.param(
            RouteAttributes(),
            NARROW,
            ORIGIN + "4002040201fde8" + NEXT_HOP,
            marks=pytest.mark.rule("bgp-native-2.8.narrow"),
        ),
    ],
)
def test_attributes_have_their_octets(
    attributes: RouteAttributes, encoding: Encoding, octets: str
) -> None:
    """Flags, type, length, value; ascending by type."""
    assert attribute.encode_all(attributes, encoding, HOP).hex() == octets


@pytest.mark.rule("bgp-native-2.1.local-asn")
def test_a_local_number_stands_alone_in_the_path() -> None:
    """The session's own number does not appear."""
    encoding = Encoding(65099, is_internal=False, next_hops=())
    octets = attribute.encode_all(RouteAttributes(as_path_prepend=1), encoding)
    assert octets.hex() == ORIGIN + "40020a0202" + "0000fe4b" * 2


@pytest.mark.rule("bgp-native-2.4.values")
def test_prefixes_of_other_families_are_attributes() -> None:
    """MP_REACH_NLRI and MP_UNREACH_NLRI (RFC 4760)."""
    hop = bytes.fromhex("20010db8" + "00" * 11 + "01")
    reach = attribute.encode_reach(IPV6, hop, b"\x00")
    assert reach.hex() == "800e16" + "000201" + "10" + hop.hex() + "00" + "00"
    assert attribute.encode_unreach(IPV6, b"\x00").hex() == "800f04" + "000201" + "00"
    long = attribute.encode_unreach(IPV6, bytes(253))
    assert long[:7].hex() == "900f0100000201"


def test_what_is_leaving_says_so() -> None:
    """GRACEFUL_SHUTDOWN in its place among the communities, and the lowest preference."""
    attributes = RouteAttributes(200, 1, (1, 0xFFFFFF01), ((1, 2, 3),), is_leaving=True)
    shown = attributes.shown(is_internal=True)
    assert shown.local_pref == 0
    assert shown.communities == (1, 0xFFFF0000, 0xFFFFFF01)
    assert shown.large_communities == ((1, 2, 3),)
    assert shown.shown(is_internal=True) == shown


def test_a_preference_is_not_shown_outside() -> None:
    """So that its change is no change."""
    assert RouteAttributes(200).shown(is_internal=False) == RouteAttributes(0)
    assert RouteAttributes(200).shown(is_internal=True) == RouteAttributes(200)


@pytest.mark.parametrize(
    ("attributes", "encoding", "words"),
    [
        (RouteAttributes(150), EXTERNAL, "path 65000"),
        (RouteAttributes(150), INTERNAL, "path empty, local preference 150"),
        (
            RouteAttributes(0, 1, (0xFFFF029A, 65536), ((1, 2, 3),)),
            EXTERNAL,
            "path 65000 65000, communities 65535:666 1:0, large communities 1:2:3",
        ),
    ],
)
def test_attributes_have_words(attributes: RouteAttributes, encoding: Encoding, words: str) -> None:
    """For operators."""
    assert attribute.describe(attributes, encoding) == words


def test_a_family_has_one_next_hop() -> None:
    """Or none."""
    assert EXTERNAL.next_hop(IPV4) == HOP
    assert EXTERNAL.next_hop(IPV6) is None
