"""Which address a host has for those who bind to all of them."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from mercurylb.net import host

if TYPE_CHECKING:
    import pytest


def test_loopback_is_no_private_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was told it would talk to themselves."""
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo")])
    assert not host.first_private_ipv4()


def test_the_first_private_one_by_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Public addresses, and interfaces without any, are passed over."""
    found = {"eth0": "192.0.2.1", "eth1": None, "eth2": "172.16.0.9", "eth3": "10.0.0.1"}
    links = [(4, "eth3"), (1, "eth0"), (2, "eth1"), (3, "eth2")]
    monkeypatch.setattr(socket, "if_nameindex", lambda: links)
    monkeypatch.setattr(
        host, "_ipv4_of", lambda name: found[name] and ipaddress.IPv4Address(found[name])
    )
    assert host.first_private_ipv4() == "172.16.0.9"
