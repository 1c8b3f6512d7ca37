"""Sessions with real routers: who they are with, over what, and by which number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab import netns
from tests.interop.bgp.matrix import capability
from tests.interop.bgp.network import NODE, SWITCH
from tests.interop.bgp.node import ASN
from tests.interop.bgp.routers.router import IPV4, IPV6

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.bgp.network import Network
    from tests.interop.bgp.node import Link
    from tests.interop.bgp.routers.router import Router

    Meet = Callable[..., Link]
    Another = Callable[..., Router]

LARGE_ASN = 4_200_000_001
AS_TRANS = 23456


def is_hop(link: Link, hops: tuple[str, ...]) -> bool:
    """Tell whether our address of the session is the next hop."""
    if link.router.kind == "exabgp" and ":" in hops[0]:
        # It tells one of the two addresses of an IPv6 next hop: the link-local one, if there is.
        return hops[0].startswith("fe80::") or hops == (link.local,)
    return link.local in hops


def check(link: Link, prefix: str, *path: int) -> None:
    """Announce a prefix and see that the router has it by our address and number."""
    link.announce(link.group(prefix))
    link.wait_prefixes(prefix)
    link.wait(lambda: link.report.prefixes_sent == 1, "we know")
    seen = link.routes()[prefix]
    assert is_hop(link, seen.next_hops)
    assert seen.as_path == path
    report, view = link.report, link.view
    assert view.router_id == report.router_id
    assert report.peer_asn == link.router.asn
    assert report.peer_router_id == link.router.address()
    assert report.local_address == link.local
    if view.end_of_rib is not None and link.neighbor.has_as4:  # Without capabilities it is nothing.
        link.wait(lambda: link.view.end_of_rib, "the end of the table was seen")


@pytest.mark.rule(
    "bgp-native-1.2.next-hop",
    "bgp-native-2.5.ipv4",
    "bgp-native-1.5.full",
    "bgp-native-1.5.end-of-rib",
)
@capability("eBGP over IPv4")
def test_external(router: Router, meet: Meet) -> None:
    """An external peer has the route with our number and our address."""
    check(meet(router), "192.0.2.1/32", ASN)


@pytest.mark.rule("bgp-native-2.4.path")
@capability("iBGP over IPv4")
def test_internal(router: Router, meet: Meet) -> None:
    """An internal peer has the route with an empty path."""
    check(meet(router, is_internal=True), "192.0.2.2/32")


@pytest.mark.rule("bgp-native-1.2.ipv6", "bgp-native-2.5.ipv6")
@capability("eBGP over IPv6")
def test_external_ipv6(router: Router, meet: Meet) -> None:
    """An external IPv6 peer has the route with our number and our address."""
    check(meet(router, is_ipv6=True), "2001:db8::1/128", ASN)


@pytest.mark.rule("bgp-native-1.2.ipv6")
@capability("iBGP over IPv6")
def test_internal_ipv6(router: Router, meet: Meet) -> None:
    """An internal IPv6 peer has the route with an empty path."""
    check(meet(router, is_ipv6=True, is_internal=True), "2001:db8::2/128")


@pytest.mark.rule("bgp-native-2.1.families", "bgp-native-2.5.ipv6-over-ipv4")
@capability("both families over IPv4")
def test_both_families(router: Router, meet: Meet) -> None:
    """Over an IPv4 session both families come, each with a next hop of its own family."""
    link = meet(router, has_both_families=True)
    link.announce(link.group("192.0.2.3/32", "2001:db8::3/128"))
    link.wait_prefixes("192.0.2.3/32", family=IPV4)
    link.wait_prefixes("2001:db8::3/128", family=IPV6)
    assert link.local in link.routes(IPV4)["192.0.2.3/32"].next_hops
    hops = link.routes(IPV6)["2001:db8::3/128"].next_hops
    assert any(hop.startswith("fd90::") for hop in hops) or is_hop(link, hops)
    assert link.report.families == (IPV4, IPV6)


@pytest.mark.rule("bgp-native-2.5.ipv4-over-ipv6")
@capability("both families over IPv6")
def test_both_families_ipv6(router: Router, meet: Meet) -> None:
    """Over an IPv6 session IPv4 routes have an IPv4 next hop where RFC 8950 is not spoken."""
    link = meet(router, is_ipv6=True, has_both_families=True)
    link.announce(link.group("192.0.2.4/32", "2001:db8::4/128"))
    link.wait_prefixes("192.0.2.4/32", family=IPV4)
    link.wait_prefixes("2001:db8::4/128", family=IPV6)
    assert is_hop(link, link.routes(IPV6)["2001:db8::4/128"].next_hops)
    hops = link.routes(IPV4)["192.0.2.4/32"].next_hops
    if router.kind == "gobgp":  # It speaks RFC 8950 on each session with both families.
        assert link.local in hops
    else:
        assert any(hop.startswith("10.90.") for hop in hops)


@pytest.mark.rule("bgp-native-2.5.extended")
@capability("IPv4 by an IPv6 next hop")
def test_extended_next_hop(router: Router, meet: Meet) -> None:
    """Where RFC 8950 is spoken, an IPv4 route has the IPv6 next hop of the session."""
    link = meet(
        router,
        is_ipv6=True,
        has_both_families=True,
        neighbor={"has_extended_next_hop": True},
    )
    link.announce(link.group("192.0.2.5/32"))
    link.wait_prefixes("192.0.2.5/32", family=IPV4)
    assert is_hop(link, link.routes(IPV4)["192.0.2.5/32"].next_hops)
    assert "extended next hop" in " ".join(link.report.capabilities)


@pytest.mark.rule(
    "bgp-native-2.9.discovery",
    "bgp-native-2.9.dial",
    "bgp-native-2.9.next-hop",
    "bgp-native-2.9.capability",
)
@capability("unnumbered")
def test_unnumbered(router: Router, meet: Meet, bgp_network: Network) -> None:
    """A router behind an interface is found by its advertisements and gets both families."""
    interface = f"un{router.kind}"
    bgp_network.point_to_point(NODE, router.kind, interface)
    link = meet(
        router,
        has_both_families=True,
        neighbor={"interface": interface, "address": "", "has_extended_next_hop": True},
        settings={"interface": interface, "address": "", "source_address": ""},
    )
    link.announce(link.group("192.0.2.6/32", "2001:db8::6/128"))
    link.wait_prefixes("192.0.2.6/32", family=IPV4)
    link.wait_prefixes("2001:db8::6/128", family=IPV6)
    hops = set(link.routes(IPV4)["192.0.2.6/32"].next_hops) - {"::"}  # BIRD shows it as missing.
    assert [hop[:6] for hop in hops] == ["fe80::"]
    assert link.report.peer == f"{interface}:179"


@pytest.mark.rule("bgp-native-2.8.both", "bgp-native-2.8.open")
@capability("4-octet numbers")
def test_four_octets(router: Router, meet: Meet) -> None:
    """A number of 32 bits is the session's and the path's."""
    link = meet(router, neighbor={"asn": LARGE_ASN}, settings={"my_asn": LARGE_ASN})
    check(link, "192.0.2.7/32", LARGE_ASN)
    assert link.view.asn == LARGE_ASN


@capability("4-octet numbers on both sides")
def test_large_router(meet: Meet, router: Router, another: Another) -> None:
    """A router with a number of 32 bits is an internal peer by the same number."""
    large = another(router.kind, asn=LARGE_ASN, port=1790)
    check(meet(large, is_internal=True), "192.0.2.8/32")


@pytest.mark.rule("bgp-native-1.2.open-narrow")
@capability("2-byte neighbour")
def test_two_bytes(router: Router, meet: Meet) -> None:
    """A neighbour that knows short numbers alone has the route by our short number."""
    check(meet(router, neighbor={"has_as4": False}), "192.0.2.9/32", ASN)


@pytest.mark.rule("bgp-native-1.2.open-narrow", "bgp-native-2.8.narrow")
@capability("2-byte neighbour")
def test_two_bytes_large(router: Router, meet: Meet) -> None:
    """To a neighbour that knows short numbers alone we are 23456, with the truth in AS4_PATH."""
    link = meet(
        router,
        # FRR and BIRD read the capability that they do not have themselves.
        neighbor={"has_as4": False, "asn": AS_TRANS if router.kind == "exabgp" else LARGE_ASN},
        settings={"my_asn": LARGE_ASN},
    )
    link.announce(link.group("192.0.2.10/32", as_path_prepend=1))
    link.wait_prefixes("192.0.2.10/32")
    # FRR looks at AS4_PATH only of neighbours that lack the capability, not where itself lacks it.
    shown = AS_TRANS if router.kind == "frr" else LARGE_ASN
    assert link.routes()["192.0.2.10/32"].as_path == (shown, shown)


@pytest.mark.rule("bgp-native-2.1.dynamic-asn")
@capability("dynamic AS: external")
def test_dynamic_external(router: Router, meet: Meet) -> None:
    """Whatever number the router has is taken, if it is not ours."""
    link = meet(router, settings={"peer_asn": 0, "dynamic_asn": "external"})
    check(link, "192.0.2.11/32", ASN)


@pytest.mark.rule("bgp-native-2.1.dynamic-asn")
@capability("dynamic AS: internal")
def test_dynamic_internal(router: Router, meet: Meet) -> None:
    """The router's number is taken, if it is ours."""
    link = meet(router, is_internal=True, settings={"peer_asn": 0, "dynamic_asn": "internal"})
    check(link, "192.0.2.12/32")


@pytest.mark.rule("bgp-native-2.1.dynamic-asn")
@capability("dynamic AS: the other kind is refused")
def test_dynamic_refused(router: Router, meet: Meet) -> None:
    """An internal router is refused where an external one is wanted, by 2/2."""
    link = meet(
        router,
        waits=False,
        is_internal=True,
        settings={"peer_asn": 0, "dynamic_asn": "external"},
    )
    link.wait(lambda: "peer AS" in link.report.last_error, "we say why")
    assert link.report.counts.notifications_sent > 0
    assert not link.view.is_established


@pytest.mark.rule("bgp-native-2.1.local-asn")
@capability("local AS")
def test_local_asn(router: Router, meet: Meet) -> None:
    """The local number is the session's and alone in the path."""
    link = meet(router, neighbor={"asn": 65077}, settings={"local_asn": 65077})
    check(link, "192.0.2.13/32", 65077)
    assert link.view.asn == 65077


@pytest.mark.rule("bgp-native-1.2.router-id")
@capability("router id")
def test_router_id(router: Router, meet: Meet) -> None:
    """The configured router id is what the router sees."""
    link = meet(router, settings={"router_id": "203.0.113.77"})
    link.wait(lambda: link.view.router_id == "203.0.113.77", "the router sees our id")
    assert link.report.router_id == "203.0.113.77"


@pytest.mark.rule("bgp-native-1.2.source", "bgp-native-2.15.source")
@capability("source address")
def test_source(router: Router, meet: Meet) -> None:
    """The session comes from the configured address; from one that is not here comes none."""
    link = meet(router, waits=False, settings={"source_address": "10.90.99.99"})
    link.wait(lambda: "10.90.99.99" in link.report.last_error, "we say why")
    assert not link.view.is_established
    link.change(source_address=link.local)
    link.wait_established()
    assert link.report.local_address == link.local


@pytest.mark.rule("bgp-native-1.7.ports")
@capability("custom port")
def test_port(router: Router, meet: Meet, another: Another) -> None:
    """A router that listens elsewhere is reached there."""
    link = meet(another(router.kind, asn=64600, port=1790))
    check(link, "192.0.2.14/32", ASN)
    assert link.report.peer.endswith(":1790")


@pytest.mark.rule("bgp-native-2.1.vrf")
@capability("VRF by device name")
def test_vrf(router: Router, meet: Meet, bgp_network: Network) -> None:
    """The session leaves by the named device, although the route says another one."""
    device = f"vrf{router.kind}"
    number = len(router.kind)
    address = f"10.90.200.{number}"
    namespace, switch = bgp_network.namespace(NODE), bgp_network.namespace(SWITCH)
    words = f"link add {device} type veth peer name {device} netns {switch}"
    netns.ip(namespace, *words.split())
    netns.ip(switch, "link", "set", device, "master", "br0", "up")
    netns.ip_batch(
        namespace,
        [
            f"link set {device} up",
            f"address add {address}/32 dev {device}",
            f"route add 10.90.0.0/24 dev {device} src {address} metric {900 + number}",
        ],
    )
    link = meet(
        router,
        neighbor={"address": address},
        settings={"vrf": device, "source_address": ""},
    )
    link.announce(link.group("192.0.2.15/32"))
    link.wait_prefixes("192.0.2.15/32")
    assert address in link.routes()["192.0.2.15/32"].next_hops
    assert link.report.vrf == device
    assert link.report.local_address == address
