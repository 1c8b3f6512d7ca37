"""What frr-k8s calls a peer."""

from __future__ import annotations

import msgspec
import pytest

from mercurylb.frr.session_state import BGPSessionState, target_of


@pytest.mark.rule("bgp-frr-B5.peer")
@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001-0db8-0000-0000-0000-0000-0000-0001", "2001:db8::1"),
        ("net0", "net0"),
        ("net-a", "net-a"),
        ("a-b-c-d-e-f-g-h", "a-b-c-d-e-f-g-h"),
    ],
)
def test_the_peer_of_a_state(text: str, target: str) -> None:
    """An IPv6 address is written out with dashes; an interface may have some of its own."""
    assert target_of(text) == target


@pytest.mark.rule("bgp-frr-B5.fields")
def test_a_state_is_read_as_frr_k8s_writes_it() -> None:
    """An object without a status is one too."""
    text = """{"metadata":{"name":"n1-x"},"status":{"node":"n1","peer":"192.0.2.1","vrf":"red",
      "bgpStatus":"Established","bfdStatus":"N/A"}}"""
    status = msgspec.json.decode(text, type=BGPSessionState).status
    assert status is not None
    assert (status.peer, status.vrf, status.bgp_status) == ("192.0.2.1", "red", "Established")
    assert msgspec.json.decode('{"metadata":{}}', type=BGPSessionState).status is None
