"""The knobs: two profiles, and the file that replaces them."""

from __future__ import annotations

import json

import pytest

from mercurylb.errors import ConfigError
from mercurylb.membership.swim.config import LAN, WAN, SwimConfig, parse_config

FILE: dict[str, object] = {
    "TCPTimeout": "1m30s",
    "IndirectChecks": 2,
    "RetransmitMult": 5,
    "SuspicionMult": 6,
    "SuspicionMaxTimeoutMult": 7,
    "PushPullInterval": "1.5h",
    "ProbeTimeout": "200ms",
    "ProbeInterval": "500000µs",
    "DisableTcpPings": True,
    "AwarenessMaxMultiplier": 3,
    "GossipNodes": 9,
    "GossipInterval": "100ms",
    "GossipToTheDeadTime": "5s",
    "GossipVerifyIncoming": True,
    "GossipVerifyOutgoing": True,
    "EnableCompression": True,
    "HandoffQueueDepth": 10,
    "UDPBufferSize": 1200,
    "QueueCheckInterval": "0",
}
DURATIONS = sorted(key for key, value in FILE.items() if isinstance(value, str))
NUMBERS = sorted(key for key, value in FILE.items() if type(value) is int)
FLAGS = sorted(key for key, value in FILE.items() if isinstance(value, bool))


def parse(**changes: object) -> SwimConfig:
    """Parse the file with some keys changed, or left out when None."""
    file = {key: value for key, value in {**FILE, **changes}.items() if value is not None}
    return parse_config(json.dumps(file).encode())


@pytest.mark.rule("membership-1.4.lan")
def test_lan_is_the_default() -> None:
    """Nothing configured means the parameters of a LAN."""
    assert SwimConfig() == LAN
    assert (LAN.tcp_timeout_s, LAN.indirect_checks, LAN.retransmit_mult) == (10, 3, 4)
    assert (LAN.suspicion_mult, LAN.suspicion_max_timeout_mult) == (4, 6)
    assert (LAN.push_pull_interval_s, LAN.probe_timeout_s, LAN.probe_interval_s) == (30, 0.5, 1)
    assert (LAN.awareness_max_multiplier, LAN.gossip_nodes, LAN.gossip_interval_s) == (8, 3, 0.2)
    assert (LAN.gossip_to_the_dead_time_s, LAN.handoff_queue_depth) == (30, 1024)
    assert (LAN.udp_buffer_size, LAN.queue_check_interval_s) == (1400, 30)
    assert LAN.dead_node_reclaim_time_s == 0
    assert LAN.gossip_verify_incoming
    assert LAN.gossip_verify_outgoing
    assert LAN.enable_compression
    assert not LAN.disable_tcp_pings


@pytest.mark.rule("membership-1.4.wan")
def test_wan_differs_where_distance_matters() -> None:
    """A WAN is given more time, and told more members at once; all else is as in a LAN."""
    differing = {
        f: getattr(WAN, f) for f in WAN.__struct_fields__ if getattr(WAN, f) != getattr(LAN, f)
    }
    assert differing == {
        "tcp_timeout_s": 30,
        "suspicion_mult": 6,
        "push_pull_interval_s": 60,
        "probe_timeout_s": 3,
        "probe_interval_s": 5,
        "gossip_nodes": 4,
        "gossip_interval_s": 0.5,
        "gossip_to_the_dead_time_s": 60,
    }


@pytest.mark.rule("membership-1.4.keys", "membership-1.4.durations")
def test_every_key_of_the_file_counts() -> None:
    """The file's keys and Go's durations are read as the original reads them."""
    assert parse() == SwimConfig(
        tcp_timeout_s=90,
        indirect_checks=2,
        retransmit_mult=5,
        suspicion_mult=6,
        suspicion_max_timeout_mult=7,
        push_pull_interval_s=5400,
        probe_timeout_s=0.2,
        probe_interval_s=0.5,
        disable_tcp_pings=True,
        awareness_max_multiplier=3,
        gossip_nodes=9,
        gossip_interval_s=0.1,
        gossip_to_the_dead_time_s=5,
        gossip_verify_incoming=True,
        gossip_verify_outgoing=True,
        enable_compression=True,
        handoff_queue_depth=10,
        udp_buffer_size=1200,
        queue_check_interval_s=0,
    )


@pytest.mark.rule("membership-1.4.missing-duration")
@pytest.mark.parametrize("key", DURATIONS)
def test_missing_duration_is_a_mistake(key: str) -> None:
    """A duration that is not there is told by its name."""
    with pytest.raises(ConfigError, match=f"{key}: {key} is missing") as caught:
        parse(**{key: None})
    assert [problem.field for problem in caught.value.problems] == [key]


@pytest.mark.rule("membership-1.4.missing-number")
@pytest.mark.parametrize("key", [*NUMBERS, *FLAGS])
def test_missing_number_or_flag_is_nothing(key: str) -> None:
    """A number that is not there is 0, a flag false: no profile stands behind the file."""
    changed = dict(zip(SwimConfig.__struct_fields__, _values(key), strict=True))
    fallen = [f for f, v in changed.items() if v != getattr(parse(), f)]
    assert len(fallen) == 1
    assert not changed[fallen[0]]


def _values(missing: str) -> list[object]:
    found = parse(**{missing: None})
    return [getattr(found, field) for field in SwimConfig.__struct_fields__]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"ProbeInterval": "1"}, ["ProbeInterval"]),
        ({"ProbeInterval": ""}, ["ProbeInterval"]),
        ({"ProbeInterval": 5}, ["ProbeInterval"]),
        ({"ProbeInterval": "-1s"}, ["ProbeInterval"]),
        ({"GossipNodes": 1.5}, ["GossipNodes"]),
        ({"GossipNodes": -1}, ["GossipNodes"]),
        ({"GossipNodes": "3"}, ["GossipNodes"]),
        ({"GossipNodes": True}, ["GossipNodes"]),
        ({"EnableCompression": 1}, ["EnableCompression"]),
        (
            {"TCPTimeout": "x", "GossipNodes": [], "EnableCompression": ""},
            ["TCPTimeout", "GossipNodes", "EnableCompression"],
        ),
    ],
)
def test_all_mistakes_are_told(changes: dict[str, object], fields: list[str]) -> None:
    """Whoever mends the file sees everything that is wrong with it."""
    with pytest.raises(ConfigError) as caught:
        parse(**changes)
    assert [problem.field for problem in caught.value.problems] == fields


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"null", b"{} {}"])
def test_what_is_no_object_is_a_mistake(raw: bytes) -> None:
    """Any bytes at all end in a clear error."""
    with pytest.raises(ConfigError, match=r"no JSON|not a JSON object"):
        parse_config(raw)


def test_keys_are_found_as_go_finds_them() -> None:
    """Case does not matter, unknown keys are ignored."""
    file = {key.upper(): value for key, value in FILE.items()} | {"Name": "x"}
    assert parse_config(json.dumps(file).encode()) == parse()
