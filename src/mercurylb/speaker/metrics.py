"""The speaker's metric families: the original's (spec: metrics §1.2), and a few of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.telemetry.daemon import ConfigMetrics

if TYPE_CHECKING:
    from mercurylb.plan.desired import Observation
    from mercurylb.telemetry.metrics import Registry


class SpeakerMetrics:
    """Everything a speaker exposes besides its process figures."""

    def __init__(self, registry: Registry) -> None:
        self.config = ConfigMetrics(registry)
        self._announced = registry.gauge(
            "metallb_speaker_announced",
            "Services being announced from this node.",
            ("service", "protocol", "node", "ip"),
        )
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

    def note(self, observation: Observation, *, node: str) -> None:
        """Take over what the announcer saw."""
        self._announced.replace(
            {
                (entry.service, "layer2", node, address): 1
                for entry in observation.owned
                for address in entry.addresses
            }
        )
        counters = observation.counters
        self._received.replace({(entry.address,): entry.requests_received for entry in counters})
        self._sent.replace({(entry.address,): entry.responses_sent for entry in counters})
        self._gratuitous.replace({(entry.address,): entry.gratuitous_sent for entry in counters})
        self._live.set(len(observation.live))
        self._lag.set(observation.loop_lag_s)
