"""What a peer's settings say by themselves."""

from __future__ import annotations

import pytest

from mercurylb.bgp.settings import Key, PeerSettings


@pytest.mark.rule("bgp-native-1.1.identity")
def test_time_series_are_named_by_address_and_port() -> None:
    """Or by the interface of an unnumbered peer."""
    assert PeerSettings("p", 65000, address="192.0.2.1").label == "192.0.2.1:179"
    assert PeerSettings("p", 65000, interface="eth0", port=1179).label == "eth0:1179"


@pytest.mark.rule("bgp-native-1.1.hold-default")
def test_the_hold_time_is_90_s_unless_said() -> None:
    """As with the original."""
    assert PeerSettings("p", 65000).hold_time_s == 90


@pytest.mark.rule("bgp-native-2.1.local-asn")
def test_a_local_number_is_what_the_peer_sees() -> None:
    """In place of our own."""
    assert PeerSettings("p", 65000).asn == 65000
    assert PeerSettings("p", 65000, local_asn=65001).asn == 65001


def test_keys_are_not_shown() -> None:
    """Not even by accident."""
    assert "secret" not in repr(PeerSettings("p", 65000, password=Key(b"secret")))
