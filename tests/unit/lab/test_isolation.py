"""The rules by which a way out of the lab is found."""

from __future__ import annotations

from typing import Any

import pytest

from lab import isolation


@pytest.mark.parametrize(
    ("row", "is_foreign"),
    [
        ({"ifname": "lo", "link_type": "loopback"}, False),
        ({"ifname": "eth0", "link_type": "ether", "linkinfo": {"info_kind": "veth"}}, False),
        ({"ifname": "br0", "link_type": "ether", "linkinfo": {"info_kind": "bridge"}}, False),
        ({"ifname": "eth0", "link_type": "ether"}, True),
        ({"ifname": "mv0", "link_type": "ether", "linkinfo": {"info_kind": "macvlan"}}, True),
        ({"ifname": "wg0", "link_type": "none", "linkinfo": {"info_kind": "wireguard"}}, True),
    ],
)
def test_only_cables_and_software_devices_belong(row: dict[str, Any], is_foreign: bool) -> None:  # noqa: FBT001
    """A device that may reach hardware is named."""
    assert bool(isolation.foreign_links([row])) is is_foreign


@pytest.mark.parametrize(
    ("route", "is_router", "leads_out"),
    [
        ({"dst": "default", "gateway": "192.168.111.1"}, False, False),
        ({"dst": "default", "gateway": "fd00:111::1"}, False, False),
        ({"dst": "default", "gateway": "203.0.113.1"}, False, False),
        ({"dst": "default", "gateway": "172.16.0.1"}, False, True),
        ({"dst": "default", "dev": "eth0"}, False, True),
        ({"dst": "default", "gateway": "203.0.113.10"}, True, True),
        ({"dst": "default", "type": "unreachable", "dev": "lo"}, True, False),
        ({"dst": "10.0.0.0/8", "gateway": "172.16.0.1"}, False, False),
    ],
)
def test_default_routes_end_inside(route: dict[str, Any], is_router: bool, leads_out: bool) -> None:  # noqa: FBT001
    """A default route leads to the lab's router, which itself has none."""
    assert bool(isolation.outward_defaults([route], is_router=is_router)) is leads_out
