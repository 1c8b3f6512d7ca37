"""The knobs of memberlist, their two profiles, and the file that replaces them.

The file is `config.json` as MetalLB 0.16 reads it: one JSON object; what it does not name is not
taken from a profile but is 0 or false, and a duration that is missing is a mistake. Keys are found
whatever their case, unknown ones are ignored, null is as good as missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.errors import ConfigError, ParseError, Problem
from mercurylb.values.duration import SECOND_NS, parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE: Final = "memberlist config.json"
NUMBER_MAX: Final = (1 << 31) - 1


class SwimConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How patient, how talkative and how strict the machine is; the defaults are those of a LAN."""

    tcp_timeout_s: float = 10.0
    """For a whole exchange over a connection."""
    indirect_checks: int = 3
    """Members that are asked to ping one that does not answer."""
    retransmit_mult: int = 4
    suspicion_mult: int = 4
    suspicion_max_timeout_mult: int = 6
    push_pull_interval_s: float = 30.0
    """0 for never; so too of the probe and gossip intervals."""
    probe_timeout_s: float = 0.5
    probe_interval_s: float = 1.0
    disable_tcp_pings: bool = False
    awareness_max_multiplier: int = 8
    gossip_nodes: int = 3
    gossip_interval_s: float = 0.2
    gossip_to_the_dead_time_s: float = 30.0
    """For so long the dead are told news and kept in the table."""
    gossip_verify_incoming: bool = True
    gossip_verify_outgoing: bool = True
    enable_compression: bool = True
    handoff_queue_depth: int = 1024
    """Messages of a kind that are taken from one datagram."""
    udp_buffer_size: int = 1400
    """Bytes of a datagram that news may fill."""
    queue_check_interval_s: float = 30.0
    """Read for the sake of the file; nothing depends on it."""
    dead_node_reclaim_time_s: float = 0.0
    """After it the name of a dead member may be taken by another address; 0 for never."""


LAN: Final = SwimConfig()
WAN: Final = SwimConfig(
    tcp_timeout_s=30.0,
    suspicion_mult=6,
    push_pull_interval_s=60.0,
    probe_timeout_s=3.0,
    probe_interval_s=5.0,
    gossip_nodes=4,
    gossip_interval_s=0.5,
    gossip_to_the_dead_time_s=60.0,
)

_DURATIONS: Final = {
    "TCPTimeout": "tcp_timeout_s",
    "PushPullInterval": "push_pull_interval_s",
    "ProbeTimeout": "probe_timeout_s",
    "ProbeInterval": "probe_interval_s",
    "GossipInterval": "gossip_interval_s",
    "GossipToTheDeadTime": "gossip_to_the_dead_time_s",
    "QueueCheckInterval": "queue_check_interval_s",
}
_NUMBERS: Final = {
    "IndirectChecks": "indirect_checks",
    "RetransmitMult": "retransmit_mult",
    "SuspicionMult": "suspicion_mult",
    "SuspicionMaxTimeoutMult": "suspicion_max_timeout_mult",
    "AwarenessMaxMultiplier": "awareness_max_multiplier",
    "GossipNodes": "gossip_nodes",
    "HandoffQueueDepth": "handoff_queue_depth",
    "UDPBufferSize": "udp_buffer_size",
}
_FLAGS: Final = {
    "DisableTcpPings": "disable_tcp_pings",
    "GossipVerifyIncoming": "gossip_verify_incoming",
    "GossipVerifyOutgoing": "gossip_verify_outgoing",
    "EnableCompression": "enable_compression",
}


def parse_config(raw: bytes) -> SwimConfig:
    """Read the file; raise `ConfigError` with every mistake, each under its key."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError((_problem("", "", f"no JSON: {error}"),)) from error
    if not isinstance(found, dict):
        raise ConfigError((_problem("", type(found).__name__, "not a JSON object"),))
    values = {key.lower(): value for key, value in found.items()}
    problems: list[Problem] = []
    chosen: dict[str, object] = {}
    for names, read in ((_DURATIONS, _duration), (_NUMBERS, _number), (_FLAGS, _flag)):
        for key, field in names.items():
            try:
                chosen[field] = read(values, key)
            except ParseError as error:
                value = values.get(key.lower())
                problems.append(_problem(key, "" if value is None else str(value), str(error)))
    if problems:
        raise ConfigError(tuple(problems))
    return msgspec.convert(chosen, SwimConfig)


def _problem(field: str, value: str, message: str) -> Problem:
    return Problem(object=FILE, field=field, value=value, message=message, code="memberlist-config")


def _duration(values: Mapping[str, object], key: str) -> float:
    value = values.get(key.lower())
    if value is None:
        raise ParseError(f"{key} is missing; it is a duration such as 200ms")
    if not isinstance(value, str):
        raise ParseError(f"{key} is not a text such as 200ms")
    duration_ns = parse_duration(value)
    if duration_ns < 0:
        raise ParseError(f"{key} is negative")
    return duration_ns / SECOND_NS


def _number(values: Mapping[str, object], key: str) -> int:
    value = values.get(key.lower())
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= NUMBER_MAX:
        raise ParseError(f"{key} is not a whole number from 0 to {NUMBER_MAX}")
    return value


def _flag(values: Mapping[str, object], key: str) -> bool:
    value = values.get(key.lower())
    if value is None:
        return False
    if not isinstance(value, bool):
        raise ParseError(f"{key} is neither true nor false")
    return value
