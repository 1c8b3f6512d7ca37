"""What routers have of our routes: attributes, several groups, changes and withdrawals."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest

from tests.interop.bgp.matrix import capability
from tests.interop.bgp.node import ASN
from tests.interop.bgp.routers.bird import Bird
from tests.interop.bgp.routers.router import IPV4, IPV6

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.bgp.node import Link
    from tests.interop.bgp.routers.router import Router

    Meet = Callable[..., Link]

NO_EXPORT, NO_ADVERTISE, BLACKHOLE = 0xFFFFFF01, 0xFFFFFF02, 0xFFFF029A
EXTENDED_PREFIXES = 1200


def hosts(count: int, base: str = "198.18.0.0") -> list[str]:
    """Return host routes, one after another."""
    start = ipaddress.ip_address(base)
    return [f"{start + number}/{start.max_prefixlen}" for number in range(count)]


@pytest.mark.rule("bgp-native-2.4.communities")
@capability("communities")
def test_communities(router: Router, meet: Meet) -> None:
    """Standard communities arrive, ascending."""
    link = meet(router)
    link.announce(link.group("192.0.2.20/32", communities=(65001 << 16 | 7, 65001 << 16 | 9)))
    link.wait_prefixes("192.0.2.20/32")
    assert link.routes()["192.0.2.20/32"].communities == ("65001:7", "65001:9")


@pytest.mark.rule("bgp-native-2.4.communities")
@capability("well-known communities")
def test_well_known(router: Router, meet: Meet) -> None:
    """Well-known communities are opaque to us: the route is sent with them."""
    link = meet(router)
    link.announce(
        link.group("192.0.2.21/32", communities=(BLACKHOLE, NO_EXPORT)),
        link.group("192.0.2.22/32", communities=(NO_ADVERTISE,)),
    )
    link.wait_prefixes("192.0.2.21/32", "192.0.2.22/32")
    assert set(link.routes()["192.0.2.21/32"].communities) == {"65535:666", "65535:65281"}
    assert link.routes()["192.0.2.22/32"].communities == ("65535:65282",)


@pytest.mark.rule("bgp-native-1.5.ipv4-only")
@capability("large communities")
def test_large_communities(router: Router, meet: Meet) -> None:
    """Large communities arrive, ascending."""
    link = meet(router)
    large = ((65001, 1, 2), (4_200_000_001, 7, 9))
    link.announce(link.group("192.0.2.23/32", large_communities=large))
    link.wait_prefixes("192.0.2.23/32")
    assert link.routes()["192.0.2.23/32"].large == ("65001:1:2", "4200000001:7:9")


@pytest.mark.rule("bgp-native-2.4.values")
@capability("many communities")
def test_many_communities(router: Router, meet: Meet) -> None:
    """An attribute over 255 octets arrives whole."""
    link = meet(router)
    communities = tuple(65001 << 16 | number for number in range(100))
    link.announce(link.group("192.0.2.24/32", communities=communities))
    link.wait_prefixes("192.0.2.24/32")
    expected = tuple(f"65001:{number}" for number in range(100))
    found = link.routes()["192.0.2.24/32"].communities
    if router.kind == "bird":  # It shows a few dozen of a long list.
        assert len(found) > 40
        expected = expected[: len(found)]
    assert found == expected


@pytest.mark.rule("bgp-native-1.5.local-pref")
@capability("local preference")
def test_local_preference(router: Router, meet: Meet) -> None:
    """An internal peer has the preference, also when it is 0."""
    link = meet(router, is_internal=True)
    link.announce(
        link.group("192.0.2.25/32", local_pref=150), link.group("192.0.2.26/32", local_pref=0)
    )
    link.wait_prefixes("192.0.2.25/32", "192.0.2.26/32")
    assert link.routes()["192.0.2.25/32"].local_pref == 150
    assert link.routes()["192.0.2.26/32"].local_pref == 0


@pytest.mark.rule("bgp-native-1.5.local-pref")
@capability("no local preference outside")
def test_no_local_preference(router: Router, meet: Meet) -> None:
    """An external peer is not told our preference."""
    link = meet(router)
    link.announce(link.group("192.0.2.27/32", local_pref=150))
    link.wait_prefixes("192.0.2.27/32")
    assert link.routes()["192.0.2.27/32"].local_pref in {None, 100}


@pytest.mark.rule("bgp-native-2.4.path")
@capability("prepending")
def test_prepend(router: Router, meet: Meet) -> None:
    """The own number stands in the path once, and as often more as wanted."""
    link = meet(router)
    link.announce(link.group("192.0.2.28/32", as_path_prepend=3))
    link.wait_prefixes("192.0.2.28/32")
    assert link.routes()["192.0.2.28/32"].as_path == (ASN,) * 4


@pytest.mark.rule("bgp-native-1.5.attributes")
@capability("several groups")
def test_groups(router: Router, meet: Meet) -> None:
    """Each prefix has its own group's attributes, in both families."""
    link = meet(router, has_both_families=True)
    link.announce(
        link.group("192.0.2.29/32", "2001:db8::29/128", communities=(1 << 16 | 1,)),
        link.group("192.0.2.30/32", "2001:db8::30/128", as_path_prepend=1),
        link.group("192.0.2.31/32"),
    )
    link.wait_prefixes("192.0.2.29/32", "192.0.2.30/32", "192.0.2.31/32")
    link.wait_prefixes("2001:db8::29/128", "2001:db8::30/128", family=IPV6)
    table = {**link.routes(IPV4), **link.routes(IPV6)}
    assert table["192.0.2.29/32"].communities == table["2001:db8::29/128"].communities == ("1:1",)
    assert table["192.0.2.30/32"].as_path == table["2001:db8::30/128"].as_path == (ASN, ASN)
    assert table["192.0.2.31/32"].communities == ()


@pytest.mark.rule("bgp-native-2.4.nlri")
@capability("aggregates")
def test_aggregates(router: Router, meet: Meet) -> None:
    """Prefixes of any length arrive as they are."""
    link = meet(router, has_both_families=True)
    prefixes = ("192.0.2.0/24", "198.18.0.0/15", "203.0.113.64/26", "10.200.3.128/25")
    link.announce(link.group(*prefixes, "2001:db8::/32", "2001:db8:5::/61"))
    link.wait_prefixes(*prefixes)
    link.wait_prefixes("2001:db8::/32", "2001:db8:5::/61", family=IPV6)


@pytest.mark.rule("bgp-native-1.5.changes")
@capability("withdrawals")
def test_withdraw(router: Router, meet: Meet) -> None:
    """What is not wanted any more is gone from the router; the rest stays."""
    link = meet(router, has_both_families=True)
    link.announce(link.group("192.0.2.32/32", "192.0.2.33/32", "2001:db8::32/128"))
    link.wait_prefixes("192.0.2.32/32", "192.0.2.33/32")
    link.wait_prefixes("2001:db8::32/128", family=IPV6)
    link.announce(link.group("192.0.2.33/32"))
    link.wait_prefixes("192.0.2.33/32")
    link.wait_prefixes(family=IPV6)
    link.announce()
    link.wait_prefixes()
    assert link.view.is_established


@pytest.mark.rule("bgp-native-1.5.changes", "bgp-native-2.16.diff")
@capability("only changes are sent")
def test_changes_only(router: Router, meet: Meet) -> None:
    """One changed attribute is one message; what is wanted again unchanged is none."""
    link = meet(router)
    steady = link.group("192.0.2.34/32", "192.0.2.35/32")
    link.announce(steady, link.group("192.0.2.36/32"))
    link.wait_prefixes("192.0.2.34/32", "192.0.2.35/32", "192.0.2.36/32")
    link.wait(lambda: link.report.prefixes_sent == 3, "we know")
    before, ours = link.view.updates, link.report.counts.updates_sent
    prefixes = router.import_updates(link.name) if isinstance(router, Bird) else 0
    link.announce(steady, link.group("192.0.2.36/32", communities=(1 << 16 | 5,)))
    link.wait_seen("192.0.2.36/32", lambda seen: seen.communities == ("1:5",), "is changed")
    link.wait(lambda: link.report.counts.updates_sent == ours + 1, "one message was sent")
    if isinstance(router, Bird):  # It counts prefixes.
        assert router.import_updates(link.name) == prefixes + 1
    else:
        link.wait(lambda: link.view.updates == before + 1, "one message came")


@pytest.mark.rule("bgp-native-1.5.packed", "bgp-native-2.4.packing", "bgp-native-1.6.updates")
@capability("1000 prefixes packed")
def test_packed(router: Router, meet: Meet) -> None:
    """A thousand prefixes with equal attributes arrive in a few messages, and leave in a few."""
    link = meet(router)
    prefixes = hosts(1000)
    before = link.report.counts.updates_sent
    link.announce(link.group(*prefixes, communities=(1 << 16 | 3,)))
    link.wait_prefixes(*prefixes)
    link.wait(lambda: link.report.prefixes_sent == 1000, "we know")
    assert link.report.counts.updates_sent - before <= 3
    link.announce()
    link.wait_prefixes()
    link.wait(lambda: link.report.prefixes_sent == 0, "we know")
    assert link.report.counts.updates_sent - before <= 5


@pytest.mark.rule("bgp-native-2.2.extended")
@capability("extended messages")
def test_extended_messages(router: Router, meet: Meet) -> None:
    """Where both sides have RFC 8654, one message holds more than 4096 octets."""
    link = meet(router, neighbor={"has_extended_messages": True})
    assert "extended message" in " ".join(link.report.capabilities)
    before = link.report.counts.updates_sent
    prefixes = hosts(EXTENDED_PREFIXES, "198.19.0.0")
    link.announce(link.group(*prefixes))
    link.wait_prefixes(*prefixes)
    link.wait(lambda: link.report.prefixes_sent == EXTENDED_PREFIXES, "we know")
    assert link.report.counts.updates_sent - before <= 2
