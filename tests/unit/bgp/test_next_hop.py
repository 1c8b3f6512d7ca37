"""Which address of the node a route points to, and which number the node has."""

from __future__ import annotations

import ipaddress

import msgspec
import pytest

from mercurylb.bgp.effect import Ends
from mercurylb.bgp.family import IPV4, IPV6
from mercurylb.bgp.negotiation import router_id
from mercurylb.bgp.next_hop import is_link_local, next_hops
from tests.unit.bgp.rig import PEER

V4 = Ends("192.0.2.1", "192.0.2.254", "eth0", "192.0.2.1", "2001:db8::1", "fe80::1")
V6 = Ends("2001:db8::1", "2001:db8::fe", "eth0", "192.0.2.7", "2001:db8::1", "fe80::1")
LINK = Ends("fe80::1", "fe80::fe", "eth1", "", "", "fe80::1")


def far(ends: Ends) -> Ends:
    """Give the same, several hops away."""
    return msgspec.structs.replace(ends, is_on_link=False)


@pytest.mark.parametrize(
    ("ends", "family", "has_extended", "expected"),
    [
        pytest.param(
            V4, IPV4, False, ["192.0.2.1"],
            marks=pytest.mark.rule("bgp-native-2.5.ipv4", "bgp-native-1.2.next-hop"),
        ),
        pytest.param(
            V6, IPV6, False, ["2001:db8::1", "fe80::1"],
            marks=pytest.mark.rule("bgp-native-2.5.ipv6"),
        ),
        pytest.param(
            far(V6), IPV6, False, ["2001:db8::1"], marks=pytest.mark.rule("bgp-native-2.5.ipv6")
        ),
        pytest.param(
            V4, IPV6, False, ["2001:db8::1", "fe80::1"],
            marks=pytest.mark.rule("bgp-native-2.5.ipv6-over-ipv4"),
        ),
        pytest.param(
            Ends("192.0.2.1", "192.0.2.254"), IPV6, False, ["::ffff:192.0.2.1"],
            marks=pytest.mark.rule("bgp-native-2.5.ipv6-over-ipv4"),
        ),
        pytest.param(
            V6, IPV4, False, ["192.0.2.7"],
            marks=pytest.mark.rule("bgp-native-2.5.ipv4-over-ipv6"),
        ),
        pytest.param(
            msgspec.structs.replace(V6, local_ipv4=""), IPV4, False, ["10.9.8.7"],
            marks=pytest.mark.rule("bgp-native-2.5.ipv4-over-ipv6"),
        ),
        pytest.param(
            V6, IPV4, True, ["2001:db8::1", "fe80::1"],
            marks=pytest.mark.rule("bgp-native-2.5.extended"),
        ),
        pytest.param(V4, IPV4, True, ["192.0.2.1"]),
        pytest.param(
            LINK, IPV4, True, ["fe80::1"], marks=pytest.mark.rule("bgp-native-2.9.next-hop")
        ),
        pytest.param(
            msgspec.structs.replace(LINK, local_ipv6="2001:db8::9"), IPV4, True,
            ["2001:db8::9", "fe80::1"], marks=pytest.mark.rule("bgp-native-2.9.next-hop"),
        ),
        pytest.param(LINK, IPV6, True, ["fe80::1"]),
    ],
)  # fmt: skip
def test_next_hops(ends: Ends, family: object, has_extended: bool, expected: list[str]) -> None:  # noqa: FBT001 (a column of the table)
    """By session and family, as the table in the module says."""
    chosen = next_hops(ends, [family], has_extended=has_extended, router_id="10.9.8.7")  # type: ignore[list-item]
    assert chosen == (
        (family, b"".join(ipaddress.ip_address(address).packed for address in expected)),
    )


@pytest.mark.rule("bgp-native-1.2.router-id")
@pytest.mark.parametrize(
    ("configured", "ends", "expected"),
    [
        ("10.0.0.1", V4, "10.0.0.1"),
        ("", V4, "192.0.2.1"),
        ("", V6, "192.0.2.7"),
        ("", LINK, "95.28.242.19"),
    ],
)
def test_the_router_id(configured: str, ends: Ends, expected: str) -> None:
    """Configured, or an address, or made of the name `node-1`."""
    settings = msgspec.structs.replace(PEER, router_id=configured)
    assert router_id(settings, ends, "node-1") == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [("fe80::1", True), ("febf::1", True), ("fec0::1", False), ("2001:db8::1", False),
     ("169.254.0.1", False)],
)  # fmt: skip
def test_link_local(address: str, *, expected: bool) -> None:
    """fe80::/10."""
    assert is_link_local(address) is expected
