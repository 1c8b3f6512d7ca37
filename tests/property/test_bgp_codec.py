"""BGP on the wire under any octets: our own errors only, and nothing is lost there and back."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.bgp import notification, opening, pack, path, prefix
from mercurylb.bgp.attribute import Encoding, RouteAttributes
from mercurylb.bgp.capability import Capabilities, GracefulRestart
from mercurylb.bgp.error import BgpError
from mercurylb.bgp.family import IPV4, IPV6, Family
from mercurylb.bgp.message import HEADER_LENGTH
from mercurylb.bgp.notification import Notification
from mercurylb.bgp.opening import Open
from mercurylb.bgp.rule import RULES, UpdateContext
from mercurylb.bgp.table import diff
from mercurylb.bgp.update import UpdateCheck, UpdateChecker, count_prefixes
from tests.fuzz import bgp

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
asn = st.integers(1, 0xFFFFFFFF)
families = st.builds(Family, u16, u8)
UNKNOWN = [code for code in range(256) if code not in {1, 2, 5, 6, 9, 64, 65, 70, 73}]
restarts = st.builds(
    GracefulRestart,
    st.integers(0, 4095),
    st.lists(st.tuples(families, st.booleans()), max_size=4).map(tuple),
    st.booleans(),
    st.booleans(),
)
names = st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=64)
capabilities = st.builds(
    Capabilities,
    families=st.lists(families, unique=True, max_size=5).map(tuple),
    has_route_refresh=st.booleans(),
    extended_next_hops=st.lists(
        st.tuples(st.builds(Family, u16, u16), u16), unique=True, max_size=5
    ).map(tuple),
    has_extended_message=st.booleans(),
    role=st.none() | u8,
    graceful_restart=st.none() | restarts,
    asn=st.none() | asn,
    has_enhanced_refresh=st.booleans(),
    unknown=st.lists(st.tuples(st.sampled_from(UNKNOWN), st.binary(max_size=255)), max_size=6).map(
        tuple
    ),
)
router_ids = st.integers(1, 0xFFFFFFFF).map(lambda number: str(ipaddress.IPv4Address(number)))
hold_times = st.sampled_from([0, 3, 90, 65535])


@st.composite
def opens(draw: st.DrawFn) -> Open:
    """Make an OPEN that can be: a large number is in the capability as well."""
    said = draw(capabilities)
    number = said.asn if said.asn is not None else draw(st.integers(1, 0xFFFF))
    return Open(number, draw(hold_times), draw(router_ids), said)


@given(opens())
def test_an_open_survives(opened: Open) -> None:
    """There and back."""
    assert opening.decode(opening.encode(opened)[HEADER_LENGTH:]) == opened


@given(names.filter(bool), names)
def test_a_name_survives(host: str, domain: str) -> None:
    """There and back."""
    opened = Open(1, 90, "192.0.2.1", Capabilities(host=host, domain=domain))
    assert opening.decode(opening.encode(opened)[HEADER_LENGTH:]) == opened


@given(st.builds(Notification, u8, u8, st.binary(max_size=4000)))
def test_a_notification_survives(said: Notification) -> None:
    """There and back, and in one line."""
    assert notification.decode(notification.encode(said)[HEADER_LENGTH:]) == said
    assert said.describe().isprintable()


@st.composite
def prefixes(draw: st.DrawFn, family: Family) -> str:
    """Make a prefix in canonical text."""
    bits = 32 if family == IPV4 else 128
    length = draw(st.integers(0, bits))
    number = draw(st.integers(0, (1 << bits) - 1)) >> bits - length << bits - length
    address = number.to_bytes(bits // 8, "big")
    return f"{prefix.decode_address(address)}/{length}"


@pytest.mark.parametrize("family", [IPV4, IPV6])
@given(data=st.data())
def test_prefixes_survive(family: Family, data: st.DataObject) -> None:
    """There and back, and as the standard library has them."""
    texts = data.draw(st.lists(prefixes(family), max_size=20))
    encoded = prefix.encode_all(texts, family)
    assert [prefix.decode(entry, family) for entry in prefix.split(encoded)] == texts
    assert count_prefixes(encoded, 32 if family == IPV4 else 128) == len(texts)
    for text in texts:
        network = ipaddress.ip_network(text)
        length = network.prefixlen
        packed = network.network_address.packed[: (length + 7) // 8]
        assert prefix.encode(text) == bytes((length,)) + packed


large = st.tuples(u32, u32, u32)
attributes = st.builds(
    RouteAttributes,
    u32,
    st.integers(0, 300),
    st.lists(u32, unique=True, max_size=100).map(lambda found: tuple(sorted(found))),
    st.lists(large, unique=True, max_size=60).map(lambda found: tuple(sorted(found))),
)
HOPS = {IPV4: (b"\x0a\x00\x00\x01", bytes(15) + b"\x01"), IPV6: (bytes(15) + b"\x01", bytes(32))}


@pytest.mark.parametrize("family", [IPV4, IPV6])
@given(data=st.data())
def test_what_is_packed_is_right(family: Family, data: st.DataObject) -> None:
    """Whatever we send passes the check of what we receive, and no prefix is lost."""
    texts = tuple(data.draw(st.lists(prefixes(family), min_size=1, max_size=30, unique=True)))
    is_internal, is_wide = data.draw(st.booleans()), data.draw(st.booleans())
    encoding = Encoding(
        data.draw(asn),
        is_internal=is_internal,
        next_hops=((family, data.draw(st.sampled_from(HOPS[family]))),),
        has_four_octet_asn=is_wide,
        max_length=data.draw(st.sampled_from([4096, 65535])),
    )
    shown = data.draw(attributes).shown(is_internal=is_internal)
    checker = UpdateChecker(
        UpdateContext(
            frozenset((IPV4, IPV6)),
            is_internal=is_internal,
            has_four_octet_asn=is_wide,
            extended_next_hops=frozenset((IPV4,)),
        )
    )
    packings = [pack.announcing(family, shown, encoding), pack.withdrawing(family, encoding)]
    for packing in packings:
        start = count = 0
        while packing is not None and start < len(texts):
            packed = pack.pack(texts, start, packing)
            assert len(packed.octets) <= encoding.max_length
            found = checker.check(packed.octets[HEADER_LENGTH:])
            assert found == UpdateCheck(announced=found.announced, withdrawn=found.withdrawn)
            count += found.announced + found.withdrawn
            start = packed.end
        assert packing is None or count == len(texts)


@given(asn, st.integers(0, 600), st.sampled_from([path.NARROW, path.WIDE]))
def test_a_path_survives(number: int, count: int, width: int) -> None:
    """As often as it was asked for."""
    encoded = path.encode(number, count, width=width)
    assert path.problem(encoded, width=width) == ""
    shown = number if width == path.WIDE or number <= 0xFFFF else 23456
    assert path.numbers(encoded, width=width) == (shown,) * count


@given(st.sets(st.integers(0, 400)), st.sets(st.integers(0, 400)))
def test_differences_are_those_of_sets(old: set[int], new: set[int]) -> None:
    """However they were found."""
    before, after = (tuple(sorted(map(str, numbers))) for numbers in (old, new))
    removed, added = diff(before, after)
    assert removed == sorted(set(before) - set(after))
    assert added == sorted(set(after) - set(before))


attribute_octets = st.one_of(
    st.binary(max_size=12),
    st.builds(
        lambda flags, type_, value: bytes((flags & 0xEF, type_, len(value))) + value,
        u8,
        st.sampled_from([*RULES, 14, 15, 99]),
        st.binary(max_size=40),
    ),
)
bodies = st.builds(
    lambda context, withdrawn, octets, nlri: b"".join(
        (
            bytes((context,)),
            len(withdrawn).to_bytes(2, "big"),
            withdrawn,
            len(b"".join(octets)).to_bytes(2, "big"),
            *octets,
            nlri,
        )
    ),
    u8,
    st.binary(max_size=20),
    st.lists(attribute_octets, max_size=8),
    st.binary(max_size=20),
)


@given(bodies | st.binary(max_size=200))
def test_any_update_is_refused_or_counted(octets: bytes) -> None:
    """Nothing but our own error comes out, and twice the same."""
    with contextlib.suppress(BgpError):
        bgp.check_update(octets)


@given(st.binary(max_size=300))
def test_any_open_is_refused_or_read(octets: bytes) -> None:
    """Nothing but our own error comes out."""
    with contextlib.suppress(BgpError):
        bgp.check_open(b"\x04" + octets)


@given(st.binary(max_size=300))
def test_any_notification_is_refused_or_read(octets: bytes) -> None:
    """Nothing but our own error comes out."""
    with contextlib.suppress(BgpError):
        bgp.check_notification(octets)


@given(st.binary(max_size=12))
def test_any_refresh_is_refused_or_read(octets: bytes) -> None:
    """Nothing but our own error comes out."""
    with contextlib.suppress(BgpError):
        bgp.check_refresh(octets)


@given(u8, st.lists(st.sampled_from(bgp.STREAMS) | st.binary(max_size=60), max_size=4))
def test_any_stream_is_split_alike_however_it_is_cut(first: int, pieces: list[bytes]) -> None:
    """The messages, and the error at its end, do not depend on how it came."""
    bgp.check_stream(bytes((first,)) + b"".join(piece[1:] for piece in pieces))
