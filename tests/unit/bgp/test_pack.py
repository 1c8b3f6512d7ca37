"""UPDATEs with as many prefixes as they hold."""

from __future__ import annotations

import pytest

from mercurylb.bgp import pack
from mercurylb.bgp.attribute import Encoding, RouteAttributes
from mercurylb.bgp.family import IPV4, IPV6, Family
from mercurylb.bgp.message import MessageSplitter
from mercurylb.bgp.pack import Packer
from mercurylb.bgp.rule import UpdateContext
from mercurylb.bgp.update import UpdateChecker

HOP = bytes((192, 0, 2, 1))
GLOBAL = bytes.fromhex("20010db8" + "00" * 11 + "01")
LINK_LOCAL = bytes.fromhex("fe80" + "00" * 13 + "01")
BOTH = Encoding(65000, is_internal=False, next_hops=((IPV4, HOP), (IPV6, GLOBAL)))
UNNUMBERED = Encoding(
    65000, is_internal=False, next_hops=((IPV4, LINK_LOCAL), (IPV6, GLOBAL + LINK_LOCAL))
)
EXTENDED = Encoding(65000, is_internal=False, next_hops=((IPV4, HOP),), max_length=65535)
PLAIN = RouteAttributes()
ATTRIBUTES = "40010100" + "4002060201" + "0000fde8"
CHECKER = UpdateChecker(
    UpdateContext(frozenset((IPV4, IPV6)), extended_next_hops=frozenset((IPV4,)))
)


def announced(prefixes: tuple[str, ...], family: Family, encoding: Encoding) -> list[bytes]:
    """Pack everything."""
    packing = pack.announcing(family, PLAIN, encoding)
    assert packing is not None
    return whole(prefixes, packing)


def withdrawn(prefixes: tuple[str, ...], family: Family, encoding: Encoding) -> list[bytes]:
    """Pack everything."""
    packing = pack.withdrawing(family, encoding)
    assert packing is not None
    return whole(prefixes, packing)


def whole(prefixes: tuple[str, ...], packing: pack.Packing) -> list[bytes]:
    """Pack from the first to the last prefix."""
    messages = []
    start = 0
    while start < len(prefixes):
        packed = pack.pack(prefixes, start, packing)
        assert packed.end > start
        messages.append(packed.octets)
        start = packed.end
    return messages


def hosts(count: int) -> tuple[str, ...]:
    """Make IPv4 prefixes."""
    return tuple(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}/32" for n in range(count))


def hosts6(count: int) -> tuple[str, ...]:
    """Make IPv6 prefixes."""
    return tuple(
        f"2001:db8::{n >> 16:x}:{n & 65535:x}/128" for n in range(1 << 16, (1 << 16) + count)
    )


@pytest.mark.rule("bgp-native-1.5.attributes", "bgp-native-2.4.order", "bgp-native-2.4.values")
@pytest.mark.parametrize(
    ("messages", "body"),
    [
        (
            announced(("192.0.2.1/32", "10.0.0.0/8"), IPV4, BOTH),
            "0000" + "0014" + ATTRIBUTES + "400304c0000201" + "20c0000201" + "080a",
        ),
        (
            announced(("2001:db8::/32",), IPV6, BOTH),
            f"0000002a800e1a00020110{GLOBAL.hex()}002020010db8{ATTRIBUTES}",
        ),
        (
            announced(("2001:db8::/32",), IPV6, UNNUMBERED),
            f"0000003a800e2a00020120{GLOBAL.hex()}{LINK_LOCAL.hex()}002020010db8{ATTRIBUTES}",
        ),
        pytest.param(
            announced(("10.0.0.0/8",), IPV4, UNNUMBERED),
            "0000" + "0027" + "800e17" + "00010110" + LINK_LOCAL.hex() + "00" + "080a" + ATTRIBUTES,
            marks=pytest.mark.rule("bgp-native-2.5.extended", "bgp-native-2.9.next-hop"),
        ),
        (withdrawn(("192.0.2.1/32", "10.0.0.0/8"), IPV4, BOTH), "0007" + "20c0000201080a" + "0000"),
        (
            withdrawn(("2001:db8::/32",), IPV6, BOTH),
            "0000" + "000b" + "800f08" + "0002012020010db8",
        ),
        (withdrawn(("10.0.0.0/8",), IPV4, UNNUMBERED), "0000" + "0008" + "800f05" + "000101080a"),
    ],
)
def test_messages_have_their_octets(messages: list[bytes], body: str) -> None:
    """MP_REACH_NLRI stands first."""
    (octets,) = messages
    assert octets[19:].hex() == body
    assert octets[:19].hex() == "ff" * 16 + f"{len(octets):04x}" + "02"


@pytest.mark.rule("bgp-native-2.11.end-of-rib", "bgp-native-1.5.end-of-rib")
def test_the_end_of_a_table_is_told() -> None:
    """An empty message, or an empty MP_UNREACH_NLRI."""
    assert pack.end_of_rib(IPV4).hex() == "ff" * 16 + "001702" + "00000000"
    assert pack.end_of_rib(IPV6).hex() == "ff" * 16 + "001d02" + "0000" + "0006" + "800f03000201"


@pytest.mark.rule("bgp-native-2.4.packing", "bgp-native-1.5.packed")
@pytest.mark.parametrize(
    ("messages", "limit", "longest"),
    [
        (announced(hosts(5000), IPV4, BOTH), 4096, 5),
        (withdrawn(hosts(5000), IPV4, BOTH), 4096, 5),
        (announced(hosts6(5000), IPV6, BOTH), 4096, 17),
        (announced(hosts6(5000), IPV6, UNNUMBERED), 4096, 17),
        (withdrawn(hosts6(5000), IPV6, BOTH), 4096, 17),
        (announced(hosts(5000), IPV4, UNNUMBERED), 4096, 5),
        (withdrawn(hosts(5000), IPV4, UNNUMBERED), 4096, 5),
        (announced(hosts(20000), IPV4, EXTENDED), 16384, 5),
        (withdrawn(hosts(20000), IPV4, EXTENDED), 16384, 5),
    ],
)
def test_messages_are_full(messages: list[bytes], limit: int, longest: int) -> None:
    """Not one more prefix would have fitted, but into the last one."""
    assert all(limit - longest < len(octets) <= limit for octets in messages[:-1])
    splitter = MessageSplitter()
    splitter.has_extended = True
    splitter.feed(b"".join(messages))
    checks = [CHECKER.check(found.body) for found in iter(splitter.take, None) if found]
    assert not any(check.unusable or check.discarded or check.ignored for check in checks)
    assert sum(check.announced + check.withdrawn for check in checks) % 5000 == 0


@pytest.mark.rule("bgp-native-2.4.packing")
def test_prefixes_of_many_lengths_fill_a_message_too() -> None:
    """Their true size counts, not the longest."""
    mixed = (*(f"10.{n >> 8 & 255}.{n & 255}.0/24" for n in range(3000)), "0.0.0.0/0")
    messages = announced(mixed, IPV4, BOTH)
    assert [len(octets) for octets in messages[:-1]] == [4096 - (4096 - 43) % 4] * 2
    assert len(messages) == 3


def test_100_prefixes_with_equal_attributes_are_one_message() -> None:
    """The original sends 100."""
    assert len(announced(hosts(100), IPV4, BOTH)) == 1


def test_a_family_that_the_session_lacks_is_not_sent() -> None:
    """Neither announced nor withdrawn."""
    assert pack.announcing(IPV6, PLAIN, EXTENDED) is None
    assert pack.withdrawing(IPV6, EXTENDED) is None


LARGE = RouteAttributes(large_communities=tuple((n, 0, 0) for n in range(400)))


def test_attributes_may_leave_no_room() -> None:
    """4096 octets do not hold 400 large communities; an extended message does."""
    assert pack.announcing(IPV4, LARGE, BOTH) is None
    packing = pack.announcing(IPV4, LARGE, EXTENDED)
    assert packing is not None
    messages = whole(hosts(30000), packing)
    assert len(messages) == 3
    assert all(65530 < len(octets) <= 65535 for octets in messages[:-1])


def test_attributes_may_leave_room_for_one_prefix() -> None:
    """Each message has one then."""
    large = tuple((n, 0, 0) for n in range(336))
    many = RouteAttributes(communities=(1, 2), large_communities=large)
    packing = pack.announcing(IPV4, many, BOTH)
    assert packing is not None
    assert 5 <= packing.room < 10
    assert len(whole(hosts(10), packing)) == 10


def test_what_was_packed_is_kept_for_the_next() -> None:
    """The same prefixes with the same octets before them are packed once."""
    packer = Packer()
    prefixes = hosts(1000)
    packing = pack.announcing(IPV4, PLAIN, BOTH)
    again = pack.announcing(IPV4, PLAIN, BOTH)
    assert packing is not None
    assert again is not None
    first = packer.pack(prefixes, 0, packing)
    assert packer.pack(prefixes, 0, again) is first
    assert packer.pack(prefixes, first.end, packing) is not first
    assert len(packer) == len(first.octets) + 23 + 20 + 5 * (1000 - first.end)
    packer.clear()
    assert len(packer) == 0


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes first."""
    monkeypatch.setattr(pack, "KEPT_MAX_BYTES", 20_000)
    packer = Packer()
    packing = pack.announcing(IPV4, PLAIN, BOTH)
    assert packing is not None
    prefixes = hosts(5000)
    start = 0
    while start < len(prefixes):
        start = packer.pack(prefixes, start, packing).end
        assert len(packer) <= 20_000
    assert len(packer) > 20_000 - 4096
    last = packer.pack(prefixes, 0, packing)
    assert packer.pack(prefixes, 0, packing) is last
