"""Where peers are, as far as our links tell."""

from __future__ import annotations

import ipaddress

import pytest

from mercurylb.announcer.reach import ends_of, link_towards
from mercurylb.bgp.effect import Ends
from mercurylb.layer2.interface import Link


def link(index: int, name: str, *addresses: str, has_master: bool = False) -> Link:
    """Describe a link with addresses of interfaces."""
    parsed = [ipaddress.ip_interface(one) for one in addresses]
    return Link(
        index,
        name,
        0x41,
        bytes(6),
        has_master=has_master,
        link_locals=tuple(one.ip.packed for one in parsed if one.ip.is_link_local),
        addresses=tuple((one.ip.packed, one.network.prefixlen) for one in parsed),
    )


ETH0 = link(2, "eth0", "192.0.2.1/24", "192.0.2.9/24", "fe80::1/64", "2001:db8::1/64")
ETH1 = link(3, "eth1", "192.0.2.129/25", "10.0.0.1/8", "fe80::2/64")
RED = link(4, "red0", "172.16.0.1/24", has_master=True)
LINKS = [ETH0, ETH1, RED]


@pytest.mark.parametrize(
    ("address", "vrf", "name"),
    [
        ("192.0.2.7", "", "eth0"),
        ("192.0.2.200", "", "eth1"),  # The longest subnet wins.
        ("2001:db8::7", "", "eth0"),
        ("2001:db9::7", "", None),
        ("198.51.100.1", "", None),
        ("192.0.2.1", "", None),  # Ourselves.
        ("192.0.2.7", "red", None),
        ("172.16.0.7", "red", "red0"),
        ("10.0.0.7", "eth1", "eth1"),  # An ordinary device in the place of a VRF.
    ],
)
def test_peer_is_behind_the_link_with_the_longest_subnet(
    address: str, vrf: str, name: str | None
) -> None:
    """Which link a peer is on decides how its BFD session runs."""
    found = link_towards(address, LINKS, vrf=vrf)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("local", "remote", "scope", "ends"),
    [
        (
            "192.0.2.9",
            "192.0.2.7",
            0,
            Ends("192.0.2.9", "192.0.2.7", "eth0", "192.0.2.1", "2001:db8::1", "fe80::1"),
        ),
        (
            "2001:db8::1",
            "2001:db9::7",
            0,
            Ends(
                "2001:db8::1",
                "2001:db9::7",
                "eth0",
                "192.0.2.1",
                "2001:db8::1",
                "fe80::1",
                is_on_link=False,
            ),
        ),
        ("fe80::2", "fe80::7", 3, Ends("fe80::2", "fe80::7", "eth1", "192.0.2.129", "", "fe80::2")),
        ("172.16.0.1", "172.16.0.7", 0, Ends("172.16.0.1", "172.16.0.7", "red0", "172.16.0.1")),
        # An address that no link has in a subnet, such as one of the loopback interface.
        ("10.9.9.9", "192.0.2.7", 0, Ends("10.9.9.9", "192.0.2.7", is_on_link=False)),
    ],
)
def test_ends_of_a_connection_name_its_link_and_what_that_has(
    local: str, remote: str, scope: int, ends: Ends
) -> None:
    """Next hops of either family come from the interface that carries the session."""
    assert ends_of(local, remote, scope, LINKS) == ends
