"""The families of the exporter, and how FRR's answers become their series (spec: bgp-frr A9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mercurylb.frr.vtysh import BfdCounters, BfdPeer, Neighbor
    from mercurylb.telemetry.metrics import Family, Registry

LABELS: Final = ("peer", "vrf")
PORT: Final = 179

_BGP: Final[tuple[tuple[str, str, str, Callable[[Neighbor], int]], ...]] = (
    (
        "gauge",
        "session_up",
        "BGP session state (1 is up, 0 is down)",
        lambda item: int(item.is_connected),
    ),
    (
        "gauge",
        "announced_prefixes_total",
        "Number of prefixes currently being advertised on the BGP session",
        lambda item: item.prefixes_sent,
    ),
    ("counter", "opens_sent", "OPEN messages sent", lambda item: item.message_stats.opens_sent),
    (
        "counter",
        "opens_received",
        "OPEN messages received",
        lambda item: item.message_stats.opens_recv,
    ),
    (
        "counter",
        "notifications_sent",
        "NOTIFICATION messages sent",
        lambda item: item.message_stats.notifications_sent,
    ),
    (
        "counter",
        "updates_total",
        "UPDATE messages sent",
        lambda item: item.message_stats.updates_sent,
    ),
    (
        "counter",
        "updates_total_received",
        "UPDATE messages received",
        lambda item: item.message_stats.updates_recv,
    ),
    (
        "counter",
        "keepalives_sent",
        "KEEPALIVE messages sent",
        lambda item: item.message_stats.keepalives_sent,
    ),
    (
        "counter",
        "keepalives_received",
        "KEEPALIVE messages received",
        lambda item: item.message_stats.keepalives_recv,
    ),
    (
        "counter",
        "route_refresh_sent",
        "ROUTE-REFRESH messages sent",
        lambda item: item.message_stats.route_refresh_sent,
    ),
    (
        "counter",
        "total_sent",
        "BGP messages of any kind sent",
        lambda item: item.message_stats.total_sent,
    ),
    (
        "counter",
        "total_received",
        "BGP messages of any kind received",
        lambda item: item.message_stats.total_recv,
    ),
)
_BFD: Final[tuple[tuple[str, str, Callable[[BfdCounters], int]], ...]] = (
    ("control_packet_input", "control packets received", lambda item: item.control_packet_input),
    ("control_packet_output", "control packets sent", lambda item: item.control_packet_output),
    ("echo_packet_input", "echo packets received", lambda item: item.echo_packet_input),
    ("echo_packet_output", "echo packets sent", lambda item: item.echo_packet_output),
    ("session_up_events", "times the session came up", lambda item: item.session_up),
    ("session_down_events", "times the session went down", lambda item: item.session_down),
    ("zebra_notifications", "notifications from zebra", lambda item: item.zebra_notifications),
)


class Families:
    """Everything the exporter shows."""

    def __init__(self, registry: Registry) -> None:
        self._bgp: list[tuple[Family, Callable[[Neighbor], int]]] = []
        for kind, name, words, value in _BGP:
            add = registry.gauge if kind == "gauge" else registry.counter
            self._bgp.append((add(f"metallb_bgp_{name}", words, LABELS), value))
        words = "BFD session state (1 is up, 0 is down)"
        self._bfd_up = registry.gauge("metallb_bfd_session_up", words, LABELS)
        self._bfd: list[tuple[Family, Callable[[BfdCounters], int]]] = [
            (registry.counter(f"metallb_bfd_{name}", f"BFD: {words}", LABELS), value)
            for name, words, value in _BFD
        ]

    def show_neighbors(self, found: Iterable[tuple[str, Neighbor]]) -> None:
        """Make these, with their VRFs, all the neighbours there are."""
        items = list(found)
        for family, value in self._bgp:
            family.replace({(peer_label(item), vrf): float(value(item)) for vrf, item in items})

    def show_bfd_peers(self, found: Iterable[tuple[str, BfdPeer]]) -> None:
        """Make these, with their VRFs, all the BFD sessions there are."""
        self._bfd_up.replace({(item.peer, vrf): float(item.is_up) for vrf, item in found})

    def show_bfd_counters(self, found: Iterable[tuple[str, BfdCounters]]) -> None:
        """Make these, with their VRFs, all the counters of BFD sessions there are."""
        items = list(found)
        for family, value in self._bfd:
            family.replace({(item.peer, vrf): float(value(item)) for vrf, item in items})


def peer_label(item: Neighbor) -> str:
    """Give `address:port`, or `interface:port` for an unnumbered neighbour.

    FRR does not know the port before the first connection, and says -1 or nothing.
    """
    return f"{item.peer}:{item.port_foreign if item.port_foreign > 0 else PORT}"
