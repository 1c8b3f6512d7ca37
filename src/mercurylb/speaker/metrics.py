"""The speaker's metric families: the original's (spec: metrics §1.2), and a few of ours."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from mercurylb.plan.desired import DETECTION_BOUNDS_S
from mercurylb.speaker.bgp_metrics import BgpMetrics
from mercurylb.telemetry.daemon import ConfigMetrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mercurylb.plan.desired import Count, Observation
    from mercurylb.plan.testimony import Dispute
    from mercurylb.telemetry.metrics import Registry

STRANGER: Final = "stranger"
MEMBER: Final = "member"
MEMBERSHIP: Final = "membership"
WIRE: Final = "wire"
FRAMES: Final = "frames"
ALIVE: Final = ("up", "suspect")
_PREFIXES: Final = (MEMBERSHIP, WIRE)


class SpeakerMetrics:
    """Everything a speaker exposes besides its process figures."""

    def __init__(self, registry: Registry) -> None:
        self.config = ConfigMetrics(registry)
        self.bgp = BgpMetrics(registry)
        self._by_layer2: dict[tuple[str, ...], float] = {}
        self._by_bgp: tuple[Mapping[str, Iterable[str]], str] = ({}, "")
        self._announced = registry.gauge(
            "metallb_speaker_announced",
            "Services being announced from this node.",
            ("service", "protocol", "node", "ip"),
        )
        registry.on_scrape(self._note_announced)
        by_ip = ("ip",)
        self._received = registry.counter(
            "metallb_layer2_requests_received",
            "Number of layer2 requests received for owned IPs.",
            by_ip,
        )
        self._sent = registry.counter(
            "metallb_layer2_responses_sent",
            "Number of layer2 responses sent for owned IPs.",
            by_ip,
        )
        self._gratuitous = registry.counter(
            "metallb_layer2_gratuitous_sent",
            "Number of gratuitous layer2 packets sent for owned IPs.",
            by_ip,
        )
        self._live = registry.gauge(
            "mercurylb_speaker_live_members", "Nodes whose announcers are alive, this one included."
        )
        self._lag = registry.gauge(
            "mercurylb_announcer_loop_lag_seconds",
            "The longest the announcer's loop was late between two observations.",
        )
        self._scheduling = registry.gauge(
            "mercurylb_announcer_scheduling_info",
            "1 for the scheduling class that the kernel granted the announcer.",
            ("class",),
        )
        self.takeovers = registry.counter(
            "mercurylb_layer2_takeovers_total",
            "Times this node began to announce a service.",
        )
        self.withdrawals = registry.counter(
            "mercurylb_layer2_withdrawals_total",
            "Times this node ceased to announce a service, by the reason in the log.",
            ("reason",),
        )
        self._conflicts = registry.gauge(
            "mercurylb_layer2_conflicts",
            "Claims on announced addresses by others that go on now: of strangers, or of members.",
            ("kind",),
        )
        self._members = registry.gauge(
            "mercurylb_membership_members",
            "Other nodes' speakers, by their state as this node sees it.",
            ("state",),
        )
        self._silence = registry.gauge(
            "mercurylb_membership_silence_seconds",
            "Age of the latest proof of life of each node that this one watches.",
            ("peer_node",),
        )
        self._detection = registry.histogram(
            "mercurylb_membership_detection_seconds",
            "How long nodes had been silent when this one found them dead.",
            DETECTION_BOUNDS_S,
        )
        by_reason = ("reason",)
        self._drops = {
            FRAMES: registry.counter(
                "mercurylb_layer2_dropped_frames_total", "Frames not answered.", by_reason
            ),
            MEMBERSHIP: registry.counter(
                "mercurylb_membership_refused_total", "Membership messages refused.", by_reason
            ),
            WIRE: registry.counter(
                "mercurylb_announcer_wire_errors_total",
                "What sockets did not take or give.",
                by_reason,
            ),
        }

    def note(self, observation: Observation, *, node: str) -> None:
        """Take over what the announcer saw."""
        self._by_layer2 = {
            (entry.service, "layer2", node, address): 1
            for entry in observation.owned
            for address in entry.addresses
        }
        self.bgp.note(observation)
        counters = observation.counters
        self._received.replace({(entry.address,): entry.requests_received for entry in counters})
        self._sent.replace({(entry.address,): entry.responses_sent for entry in counters})
        self._gratuitous.replace({(entry.address,): entry.gratuitous_sent for entry in counters})
        self._live.set(len(observation.live))
        self._lag.set(observation.loop_lag_s)
        granted = (observation.scheduling,) if observation.scheduling else ()
        self._scheduling.replace({(name,): 1 for name in granted})
        states = Counter(member.state for member in observation.members)
        self._members.replace({(state,): count for state, count in sorted(states.items())})
        self._silence.replace(
            {
                (member.node,): member.silent_s
                for member in observation.members
                if member.silent_s is not None and member.state in ALIVE
            }
        )
        self._detection.replace(observation.detections.counts, observation.detections.sum_s)
        self._note_drops(observation.drops)

    def watch_bgp(self, announced: Mapping[str, Iterable[str]], *, node: str) -> None:
        """Show what is announced by BGP, the addresses by service, as it is at each scrape."""
        self._by_bgp = announced, node

    def _note_announced(self) -> None:
        announced, node = self._by_bgp
        by_bgp: dict[tuple[str, ...], float] = {
            (service, "bgp", node, address): 1
            for service, addresses in announced.items()
            for address in addresses
        }
        self._announced.replace(self._by_layer2 | by_bgp)

    def note_disputes(self, disputes: Iterable[tuple[Dispute, ...]]) -> None:
        """Take over who else claims what, service by service."""
        counts: dict[tuple[str, ...], float] = {(STRANGER,): 0, (MEMBER,): 0}
        for each in {dispute for group in disputes for dispute in group}:
            counts[(MEMBER if each.node else STRANGER,)] += 1
        self._conflicts.replace(counts)

    def _note_drops(self, drops: Iterable[Count]) -> None:
        series: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in self._drops}
        for drop in drops:
            prefix, _, reason = drop.name.partition(" ")
            if prefix in _PREFIXES and reason:
                series[prefix][(reason,)] = drop.count
            else:
                series[FRAMES][(drop.name,)] = drop.count
        for name, family in self._drops.items():
            family.replace(series[name])
