"""Reading what vtysh answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mercurylb.errors import ParseError
from mercurylb.frr.vtysh import (
    parse_bfd_counters,
    parse_bfd_peers,
    parse_neighbor,
    parse_neighbors,
    parse_routes,
    parse_vrfs,
)

NEIGHBOR: dict[str, Any] = {
    "remoteAs": 64600,
    "localAs": 64512,
    "remoteRouterId": "192.0.2.1",
    "bgpState": "Established",
    "portForeign": 179,
    "bgpTimerConfiguredHoldTimeMsecs": 180000,
    "bgpTimerConfiguredKeepAliveIntervalMsecs": 60000,
    "bgpTimerHoldTimeMsecs": 9000,
    "bgpTimerKeepAliveIntervalMsecs": 3000,
    "connectRetryTimer": 120,
    "gracefulRestartInfo": {"localGrMode": "Restart", "timers": {"configuredRestartTimer": 120}},
    "messageStats": {
        "opensSent": 1,
        "opensRecv": 2,
        "notificationsSent": 3,
        "updatesSent": 4,
        "updatesRecv": 5,
        "keepalivesSent": 6,
        "keepalivesRecv": 7,
        "routeRefreshSent": 8,
        "totalSent": 22,
        "totalRecv": 14,
    },
    "addressFamilyInfo": {
        "ipv4Unicast": {"sentPrefixCounter": 3},
        "ipv6Unicast": {"sentPrefixCounter": 4},
        "l2VpnEvpn": {},
    },
    "peerBfdInfo": {
        "type": "single hop",
        "detectMultiplier": 3,
        "rxMinInterval": 300,
        "txMinInterval": 200,
        "status": "Up",
    },
    "somethingNew": [1],
}


@pytest.mark.rule("bgp-frr-A9.neighbors", "bgp-frr-A9.timers")
def test_a_neighbour() -> None:
    """Everything that is read of it, and prefixes added up over its families."""
    (found,) = parse_neighbors(json.dumps({"192.0.2.1": NEIGHBOR}))
    assert (found.peer, found.remote_as, found.local_as) == ("192.0.2.1", 64600, 64512)
    assert (found.remote_router_id, found.port_foreign) == ("192.0.2.1", 179)
    assert found.prefixes_sent == 7
    stats = found.message_stats
    assert (stats.opens_sent, stats.opens_recv, stats.notifications_sent) == (1, 2, 3)
    assert (stats.updates_sent, stats.updates_recv, stats.keepalives_sent) == (4, 5, 6)
    assert (stats.keepalives_recv, stats.route_refresh_sent) == (7, 8)
    assert (stats.total_sent, stats.total_recv) == (22, 14)
    assert (found.configured_hold_ms, found.configured_keepalive_ms) == (180000, 60000)
    assert (found.hold_ms, found.keepalive_ms, found.connect_retry_timer) == (9000, 3000, 120)
    assert found.graceful_restart_info["localGrMode"] == "Restart"
    assert found.peer_bfd_info is not None
    assert (found.peer_bfd_info.type, found.peer_bfd_info.status) == ("single hop", "Up")


@pytest.mark.rule("bgp-frr-A9.connected")
@pytest.mark.parametrize("state", ["Idle", "Active", "OpenConfirm", "established", ""])
def test_only_an_established_neighbour_is_connected(state: str) -> None:
    """Any other word means that it is not."""
    text = json.dumps({"192.0.2.1": NEIGHBOR})
    assert parse_neighbor(text).is_connected
    assert not parse_neighbor(text.replace("Established", state)).is_connected


def test_neighbours_are_sorted_and_notes_are_skipped() -> None:
    """FRR puts words about the VRF beside its neighbours."""
    answer = {"net0": {}, "192.0.2.1": {}, "vrfName": "red", "vrfId": -1}
    assert [item.peer for item in parse_neighbors(json.dumps(answer))] == ["192.0.2.1", "net0"]
    assert parse_neighbors("{}") == ()


@pytest.mark.rule("bgp-frr-A9.single")
@pytest.mark.parametrize("answer", [{}, {"192.0.2.1": {}, "192.0.2.2": {}}])
def test_one_neighbour_is_one(answer: dict[str, Any]) -> None:
    """None and two are mistakes."""
    with pytest.raises(ParseError, match="one neighbour is expected"):
        parse_neighbor(json.dumps(answer))


@pytest.mark.rule("bgp-frr-A9.routes")
def test_routes() -> None:
    """By destination; what is not valid, link-local or said twice is left out of the next hops."""
    hop = {"ip": "192.0.2.1", "scope": "global"}
    local = {"ip": "fe80::1", "scope": "link-local"}
    path = {"valid": True, "peerId": "192.0.2.1", "locPrf": 300, "origin": "IGP", "stale": True}
    answer = {
        "routes": {
            "198.51.100.1/32": [
                path | {"nexthops": [hop, hop, local]},
                {"valid": False, "nexthops": [{"ip": "192.0.2.9"}]},
                {"valid": True, "nexthops": [{"ip": "192.0.2.2"}]},
            ],
            "2001:db8:1::1/128": [],
        }
    }
    found = parse_routes(json.dumps(answer))
    route = found["198.51.100.1"]
    assert route.next_hops == ("192.0.2.1", "192.0.2.2")
    assert (route.prefix, route.local_pref, route.origin) == ("198.51.100.1/32", 300, "IGP")
    assert route.is_stale
    assert found["2001:db8:1::1"].next_hops == ()
    assert parse_routes("{}") == {}


@pytest.mark.rule("bgp-frr-A9.vrfs")
def test_vrfs_are_sorted() -> None:
    """By name."""
    assert parse_vrfs('{"vrfs":{"red":{},"default":{"a":1}},"totalVrfs":2}') == ("default", "red")


@pytest.mark.rule("bgp-frr-A9.bfd-peers")
def test_bfd_peers() -> None:
    """Only `up` is up."""
    entry = {
        "multihop": True,
        "peer": "192.0.2.1",
        "local": "192.0.2.10",
        "vrf": "red",
        "id": 7,
        "remote-id": 8,
        "passive-mode": True,
        "status": "up",
        "uptime": 9,
        "diagnostic": "ok",
        "remote-diagnostic": "ok",
        "receive-interval": 60,
        "transmit-interval": 70,
        "echo-receive-interval": 80,
        "echo-transmit-interval": 0,
        "detect-multiplier": 5,
        "remote-receive-interval": 300,
    }
    first, second = parse_bfd_peers(json.dumps([entry, entry | {"status": "down"}]))
    assert first.is_up
    assert not second.is_up
    assert (first.peer, first.local, first.vrf, first.multihop) == (
        "192.0.2.1",
        "192.0.2.10",
        "red",
        True,
    )
    assert (first.id, first.remote_id, first.detect_multiplier) == (7, 8, 5)
    assert (first.receive_interval, first.remote_receive_interval) == (60, 300)
    assert first.passive_mode


@pytest.mark.rule("bgp-frr-A9.bfd-counters")
def test_bfd_counters() -> None:
    """Under FRR's names."""
    entry = {
        "peer": "192.0.2.1",
        "control-packet-input": 1,
        "control-packet-output": 2,
        "echo-packet-input": 3,
        "echo-packet-output": 4,
        "session-up": 5,
        "session-down": 6,
        "zebra-notifications": 7,
    }
    (found,) = parse_bfd_counters(json.dumps([entry]))
    assert (found.peer, found.control_packet_input, found.control_packet_output) == (
        "192.0.2.1",
        1,
        2,
    )
    assert (found.echo_packet_input, found.echo_packet_output) == (3, 4)
    assert (found.session_up, found.session_down, found.zebra_notifications) == (5, 6, 7)


@pytest.mark.parametrize("parse", [parse_vrfs, parse_neighbors, parse_routes, parse_bfd_peers])
@pytest.mark.parametrize("text", ["", "% Unknown command", "[1]", '{"a":', "null"])
def test_what_is_no_answer_is_told(parse: Any, text: str) -> None:
    """Nothing else is raised."""
    with pytest.raises(ParseError, match="cannot be read"):
        parse(text)
