"""The metric families of BGP and BFD, with the labels of MetalLB's native backend (spec: bgp §8).

That one has four of them; the others are those of its FRR exporter (spec: bgp-frr §A9). They are
filled from what the announcer sees, so they are empty with a backend outside the speaker.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mercurylb.bfd.report import BfdReport
    from mercurylb.bgp.report import SessionReport
    from mercurylb.plan.desired import Observation
    from mercurylb.telemetry.metrics import Registry

ESTABLISHED: Final = "Established"
UP: Final = "Up"

_SESSION_GAUGES: Final[dict[str, tuple[str, Callable[[SessionReport], float]]]] = {
    "session_up": ("BGP session state (1 is up, 0 is down)", lambda it: it.state == ESTABLISHED),
    "announced_prefixes_total": (
        "Number of prefixes currently being advertised on the BGP session",
        lambda it: it.prefixes_sent if it.state == ESTABLISHED else 0,
    ),
    "pending_prefixes_total": (
        "Number of prefixes that should be advertised on the BGP session",
        lambda it: it.prefixes_sent + it.prefixes_pending,
    ),
}
_SESSION_COUNTERS: Final[dict[str, tuple[str, Callable[[SessionReport], float]]]] = {
    "updates_total": ("Number of BGP UPDATE messages sent", attrgetter("counts.updates_sent")),
    "updates_total_received": (
        "Number of BGP UPDATE messages received",
        attrgetter("counts.updates_received"),
    ),
    "opens_sent": ("Number of BGP open messages sent", attrgetter("counts.opens_sent")),
    "opens_received": ("Number of BGP open messages received", attrgetter("counts.opens_received")),
    "notifications_sent": (
        "Number of BGP notification messages sent",
        attrgetter("counts.notifications_sent"),
    ),
    "keepalives_sent": (
        "Number of BGP keepalive messages sent",
        attrgetter("counts.keepalives_sent"),
    ),
    "keepalives_received": (
        "Number of BGP keepalive messages received",
        attrgetter("counts.keepalives_received"),
    ),
    "route_refresh_sent": (
        "Number of BGP route refresh messages sent",
        attrgetter("counts.refreshes_sent"),
    ),
    "total_sent": (
        "Number of total BGP messages sent",
        lambda it: (
            it.counts.opens_sent
            + it.counts.updates_sent
            + it.counts.keepalives_sent
            + it.counts.notifications_sent
            + it.counts.refreshes_sent
        ),
    ),
    "total_received": (
        "Number of total BGP messages received",
        lambda it: (
            it.counts.opens_received
            + it.counts.updates_received
            + it.counts.keepalives_received
            + it.counts.notifications_received
            + it.counts.refreshes_received
        ),
    ),
}
_BFD_COUNTERS: Final[dict[str, tuple[str, Callable[[BfdReport], float]]]] = {
    "control_packet_input": (
        "Number of received BFD control packets",
        attrgetter("packets_received"),
    ),
    "control_packet_output": ("Number of sent BFD control packets", attrgetter("packets_sent")),
    "echo_packet_input": ("Number of received BFD echo packets", lambda _: 0),
    "echo_packet_output": ("Number of sent BFD echo packets", lambda _: 0),
    "session_up_events": ("Number of BFD session up events", attrgetter("up_count")),
    "session_down_events": ("Number of BFD session down events", attrgetter("down_count")),
    "zebra_notifications": ("Number of BFD zebra notifications", lambda _: 0),
}


class BgpMetrics:
    """The families, and how they are filled."""

    def __init__(self, registry: Registry) -> None:
        by_peer = ("peer",)
        self._sessions = [
            (registry.gauge(f"metallb_bgp_{name}", text, by_peer), read)
            for name, (text, read) in _SESSION_GAUGES.items()
        ] + [
            (registry.counter(f"metallb_bgp_{name}", text, by_peer), read)
            for name, (text, read) in _SESSION_COUNTERS.items()
        ]
        self._flaps = registry.counter(
            "mercurylb_bgp_session_flaps_total", "Established BGP sessions that ended.", by_peer
        )
        by_vrf = ("peer", "vrf")
        self._bfd_up = registry.gauge(
            "metallb_bfd_session_up", "BFD session state (1 is up, 0 is down)", by_vrf
        )
        self._bfd = [
            (registry.counter(f"metallb_bfd_{name}", text, by_vrf), read)
            for name, (text, read) in _BFD_COUNTERS.items()
        ]

    def note(self, observation: Observation) -> None:
        """Take over what the announcer saw."""
        self.note_sessions(observation.sessions)
        self._note_bfd(observation.bfd)

    def note_sessions(self, reports: Iterable[SessionReport]) -> None:
        """Take over how sessions stand."""
        by_peer = {(label_of(report),): report for report in reports}
        for family, read in self._sessions:
            family.replace({labels: int(read(report)) for labels, report in by_peer.items()})
        self._flaps.replace({labels: report.flap_count for labels, report in by_peer.items()})

    def _note_bfd(self, reports: Iterable[BfdReport]) -> None:
        by_peer = {(report.peer, report.vrf): report for report in reports}
        self._bfd_up.replace({key: int(report.state == UP) for key, report in by_peer.items()})
        for family, read in self._bfd:
            family.replace({key: read(report) for key, report in by_peer.items()})


def label_of(report: SessionReport) -> str:
    """Give the name of a session in time series; the VRF, which the original has not, follows."""
    return f"{report.peer}-{report.vrf}" if report.vrf else report.peer
