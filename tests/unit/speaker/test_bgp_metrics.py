"""The series of BGP and BFD are those that dashboards for MetalLB know (spec: bgp §8)."""

from __future__ import annotations

import pytest

from mercurylb.bfd.report import BfdReport
from mercurylb.bgp.report import MessageCounts, SessionReport
from mercurylb.plan.desired import Observation
from mercurylb.speaker.bgp_metrics import BgpMetrics
from mercurylb.telemetry.metrics import Registry

COUNTS = MessageCounts(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
UP = SessionReport(
    "tor",
    "10.0.0.1:179",
    "Established",
    1.0,
    prefixes_sent=11,
    prefixes_pending=12,
    counts=COUNTS,
    flap_count=13,
)
DOWN = SessionReport("spine", "eth0:179", "Active", 1.0, prefixes_sent=5)
RED = SessionReport("red", "10.0.0.1:179", "Established", 1.0, vrf="red")
FAST = BfdReport(
    "10.0.0.1", state="Up", packets_received=1, packets_sent=2, up_count=3, down_count=4
)


def exposed(*sessions: SessionReport, bfd: tuple[BfdReport, ...] = ()) -> dict[str, str]:
    """Give every series with its value."""
    registry = Registry()
    metrics = BgpMetrics(registry)
    metrics.note(Observation(revision=1, sessions=(UP, RED), bfd=(FAST,)))
    metrics.note(Observation(revision=1, sessions=sessions, bfd=bfd))
    lines = registry.render().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


@pytest.mark.rule(
    "bgp-8.native", "bgp-8.further", "bgp-native-1.6.series", "bgp-native-1.6.updates"
)
def test_every_series_of_a_session() -> None:
    """The label is address and port; updates are counted by message."""
    label = '{peer="10.0.0.1:179"}'
    assert exposed(UP) == {
        f"{name}{label}": value
        for name, value in {
            "metallb_bgp_session_up": "1",
            "metallb_bgp_announced_prefixes_total": "11",
            "metallb_bgp_pending_prefixes_total": "23",
            "metallb_bgp_updates_total": "3",
            "metallb_bgp_updates_total_received": "4",
            "metallb_bgp_opens_sent": "1",
            "metallb_bgp_opens_received": "2",
            "metallb_bgp_notifications_sent": "7",
            "metallb_bgp_keepalives_sent": "5",
            "metallb_bgp_keepalives_received": "6",
            "metallb_bgp_route_refresh_sent": "9",
            "metallb_bgp_total_sent": "25",
            "metallb_bgp_total_received": "30",
            "mercurylb_bgp_session_flaps_total": "13",
        }.items()
    }


@pytest.mark.rule("bgp-8.native")
def test_a_session_that_is_down_has_no_prefixes() -> None:
    """The alert on session_up == 0 needs the series to be there."""
    found = exposed(DOWN)
    assert found['metallb_bgp_session_up{peer="eth0:179"}'] == "0"
    assert found['metallb_bgp_announced_prefixes_total{peer="eth0:179"}'] == "0"


def test_a_vrf_makes_another_series() -> None:
    """The same address may be in several."""
    assert {name for name in exposed(UP, RED) if "session_up" in name} == {
        'metallb_bgp_session_up{peer="10.0.0.1:179"}',
        'metallb_bgp_session_up{peer="10.0.0.1:179-red"}',
    }


@pytest.mark.rule("bgp-8.further")
def test_every_series_of_a_bfd_session() -> None:
    """As the exporter of MetalLB's FRR mode has them."""
    label = '{peer="10.0.0.1",vrf=""}'
    assert exposed(bfd=(FAST,)) == {
        f"metallb_bfd_{name}{label}": value
        for name, value in {
            "session_up": "1",
            "control_packet_input": "1",
            "control_packet_output": "2",
            "echo_packet_input": "0",
            "echo_packet_output": "0",
            "session_up_events": "3",
            "session_down_events": "4",
            "zebra_notifications": "0",
        }.items()
    }


def test_what_is_gone_has_no_series() -> None:
    """A peer that was removed raises no alert."""
    assert exposed() == {}


@pytest.mark.rule("metrics-1.2.bgp-mode")
def test_a_backend_outside_leaves_no_series() -> None:
    """The announcer then has no sessions, and a speaker shows none of the families."""
    registry = Registry()
    BgpMetrics(registry).note(Observation(revision=1))
    assert registry.render() == b""
