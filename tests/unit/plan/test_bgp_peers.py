"""What the session machine is told about a BGPPeer (spec: bgp §3.3, §3.4, §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mercurylb.bfd.settings import BfdSettings
from mercurylb.bgp.settings import Key, PeerSettings
from mercurylb.config.resources import NATIVE
from mercurylb.plan.bgp_peers import bfd_settings, peers_for
from tests.unit.config.objects import bfd, config_of, peer, secret

if TYPE_CHECKING:
    from mercurylb.plan.desired import BgpPeer


def resolved(*objects: Any) -> tuple[BgpPeer, ...]:
    """Give what a configuration of the native backend comes to."""
    config = config_of(*objects, backend=NATIVE)
    return peers_for(config, config.peers)


def settings(**spec: Any) -> PeerSettings:
    """Give the settings of one peer."""
    (found,) = resolved(peer(**spec), bfd(), secret(password="swordfish"))
    return found.settings


PLAIN = PeerSettings(name="p", my_asn=100, peer_asn=200, address="10.2.2.2")

FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"peerPort": 1179}, {"port": 1179}),
    ({"peerAddress": "2001:DB8:0::1"}, {"address": "2001:db8::1"}),
    (
        {"peerAddress": None, "interface": "eth0"},
        {"address": "", "interface": "eth0", "has_both_families": True},
    ),
    ({"peerASN": None, "dynamicASN": "external"}, {"peer_asn": 0, "dynamic_asn": "external"}),
    ({"localASN": 7}, {"local_asn": 7}),
    ({"sourceAddress": "10.2.2.9"}, {"source_address": "10.2.2.9"}),
    ({"routerID": "1.2.3.4"}, {"router_id": "1.2.3.4"}),
    ({"holdTime": "180s"}, {"hold_time_s": 180, "keepalive_time_s": 60}),
    ({"keepaliveTime": "15s"}, {"hold_time_s": 45, "keepalive_time_s": 15}),
    ({"holdTime": "9s", "keepaliveTime": "2s"}, {"hold_time_s": 9, "keepalive_time_s": 2}),
    ({"holdTime": "0s", "keepaliveTime": "0s"}, {"hold_time_s": 0, "keepalive_time_s": None}),
    ({"holdTime": "500ms"}, {"hold_time_s": 0, "keepalive_time_s": None}),
    ({"holdTime": "90s", "keepaliveTime": "0s"}, {"keepalive_time_s": None}),
    ({"holdTime": "90s", "keepaliveTime": "900ms"}, {"keepalive_time_s": None}),
    ({"holdTime": "4500ms"}, {"hold_time_s": 4, "keepalive_time_s": 1}),
    ({"holdTime": "48h"}, {"hold_time_s": 65535, "keepalive_time_s": 57600}),
    ({"connectTime": "7s"}, {"connect_time_s": 7}),
    ({"connectTime": "0s"}, {"connect_time_s": None}),
    ({"password": "x"}, {"password": Key(b"x")}),
    ({"passwordSecret": {"name": "s"}}, {"password": Key(b"swordfish")}),
    ({"enableGracefulRestart": True}, {"has_graceful_restart": True}),
    ({"ebgpMultiHop": True}, {"is_multi_hop": True}),
    ({"vrf": "red"}, {"vrf": "red"}),
    ({"dualStackAddressFamily": True}, {"has_both_families": True}),
    ({"disableMP": True}, {}),
    ({"nodeSelectors": [{"matchLabels": {"a": "b"}}]}, {}),
]


@pytest.mark.rule("bgp-6.settings", "bgp-6.defaults", "bgp-6.password")
@pytest.mark.parametrize(("spec", "expected"), FIELDS)
def test_each_field_of_a_peer(spec: dict[str, Any], expected: dict[str, Any]) -> None:
    """Times are whole seconds; what is left open has the native backend's value."""
    assert settings(**spec) == msgspec.structs.replace(PLAIN, **expected)


@pytest.mark.rule("bgp-6.any-field", "bgp-6.unchanged", "bgp-native-2.1.disable-mp")
def test_what_does_not_matter_to_a_session_leaves_its_settings_equal() -> None:
    """Equal settings are what keeps a session from being begun anew."""
    assert settings(disableMP=True, nodeSelectors=[{"matchLabels": {"a": "b"}}]) == settings()
    assert settings(holdTime="90s", keepaliveTime="0s") == settings()
    assert settings(vrf="red") != settings()


def test_the_key_is_for_tcp_ao_where_the_annotation_says_so() -> None:
    """It is one or the other; GTSM goes with it or alone."""
    made = peer(password="x")
    annotations = {"mercurylb.io/tcp-ao": "true", "mercurylb.io/gtsm-hops": "2"}
    metadata = msgspec.structs.replace(made.metadata, annotations=annotations)
    (found,) = resolved(msgspec.structs.replace(made, metadata=metadata))
    assert (found.settings.password, found.settings.authentication) == (None, Key(b"x"))
    assert found.settings.gtsm_hops == 2
    assert "x" not in repr(found.settings.authentication)


@pytest.mark.rule("bgp-6.defaults")
def test_a_profile_is_resolved() -> None:
    """What is written counts, what is not has FRR's values."""
    written = bfd(
        "full",
        receiveInterval=10,
        transmitInterval=20,
        detectMultiplier=5,
        echoInterval=30,
        echoMode=True,
        passiveMode=True,
        minimumTtl=3,
    )
    peers = [
        peer("a"),
        peer("b", bfdProfile="fast", peerAddress="10.2.2.3"),
        peer("c", bfdProfile="full", peerAddress="10.2.2.4"),
    ]
    assert [each.bfd for each in resolved(*peers, bfd(), written)] == [
        None,
        BfdSettings(300, 300, 3, 50, has_echo=False, is_passive=False, minimum_ttl=254),
        BfdSettings(10, 20, 5, 30, has_echo=True, is_passive=True, minimum_ttl=3),
    ]
    assert bfd_settings(None) is None


def test_peers_come_by_name() -> None:
    """The order of the objects changes nothing."""
    names = [each.settings.name for each in resolved(peer("b"), peer("a"))]
    assert names == ["a", "b"]
