"""What a real Prometheus has to find: one line for each series, with type, labels and value.

The tables are those of the specification (metrics-and-install §1.2), and of docs/metrics.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.lab.prometheus_lab import Row, at_least, row
from tests.lab.prometheus_stage import addresses

if TYPE_CHECKING:
    from tests.lab.prometheus_stage import Stage

CONTROLLER: Final = "metallb-controller"
SPEAKER: Final = "metallb-speaker"
SIDECAR: Final = "metallb-frr"


def config_rows() -> list[Row]:
    """Say what both programs have in common while all is well."""
    return [
        line
        for job in (CONTROLLER, SPEAKER)
        for line in (
            row("metallb_k8s_client_updates_total", "counter", job, at_least(2)),
            row("metallb_k8s_client_update_errors_total", "counter", job, 0),
            row("metallb_k8s_client_config_loaded_bool", "gauge", job, 1),
            row("metallb_k8s_client_config_stale_bool", "gauge", job, 0),
            row("mercurylb_config_problems", "gauge", job, 0),
            row("mercurylb_api_writes_total", "counter", job, at_least(1), result="done"),
            row("mercurylb_api_watch_total", "counter", job, at_least(1), event="list"),
            row("process_resident_memory_bytes", "gauge", job, at_least(1e6)),
        )
    ]


def pool_rows(near: str, far: str) -> list[Row]:
    """Say how full the pools are: of the near one, two services share an address."""
    figures = {
        "addresses_total": (6, 1),
        "ipv4_addresses_total": (4, 1),
        "ipv6_addresses_total": (2, 0),
        "addresses_in_use_total": (3, 1),
        "ipv4_addresses_in_use_total": (2, 1),
        "ipv6_addresses_in_use_total": (1, 0),
    }
    return [
        row(f"metallb_allocator_{name}", "gauge", CONTROLLER, value, pool=pool)
        for name, values in figures.items()
        for pool, value in zip((near, far), values, strict=True)
    ]


def layer2_rows(stage: Stage) -> list[Row]:
    """Say what a speaker tells of the addresses that it announces on layer 2."""
    scene, rows = stage.scene, list[Row]()
    for name in ("dual", "one", "two"):
        key = stage.services[name]
        at, owner = owner_of(stage, name)
        for ip in scene.addresses(key):
            labels = {"service": key, "protocol": "layer2", "node": owner, "ip": ip}
            rows.append(
                row("metallb_speaker_announced", "gauge", SPEAKER, 1, instance=at, **labels)
            )
            rows.append(
                row(
                    "metallb_layer2_gratuitous_sent", "counter", SPEAKER, at_least(1),
                    instance=at, ip=ip,
                )
            )  # fmt: skip
    at, _ = owner_of(stage, "dual")
    for ip in addresses(stage, "dual"):
        for what in ("requests_received", "responses_sent"):
            name = f"metallb_layer2_{what}"
            rows.append(row(name, "counter", SPEAKER, at_least(1), instance=at, ip=ip))
    return rows


def owner_of(stage: Stage, name: str) -> tuple[str, str]:
    """Give the speaker that announces a service, and its node: the first address decides."""
    first = stage.scene.addresses(stage.services[name])[0]
    owner = stage.scene.ranking(first, tuple(stage.lab.nodes))[0]
    return f"{stage.lab.nodes[owner].ipv4}:9120", owner


def bgp_rows(stage: Stage) -> list[Row]:
    """Say what the native backend tells of its sessions, on every node."""
    peer, ip = f"{stage.lab.router.ipv4}:179", stage.lab.router.ipv4
    gauges = {"session_up": 1, "announced_prefixes_total": 1, "pending_prefixes_total": 1}
    rows = [
        row(f"metallb_bgp_{name}", "gauge", SPEAKER, value, instance=f"{host.ipv4}:9120", peer=peer)
        for name, value in gauges.items()
        for host in stage.lab.nodes.values()
    ]
    counters = {"updates_total": 1, "opens_sent": 1, "opens_received": 1, "keepalives_sent": 1}
    counters |= {"keepalives_received": 1, "total_sent": 3, "total_received": 2}
    counters |= {"updates_total_received": 0, "notifications_sent": 0, "route_refresh_sent": 0}
    rows += [
        row(f"metallb_bgp_{name}", "counter", SPEAKER, at_least(least), peer=peer)
        for name, least in counters.items()
    ]
    for node, host in stage.lab.nodes.items():
        labels = {"service": stage.services["far"], "protocol": "bgp", "node": node}
        labels["ip"] = stage.scene.far4
        at = f"{host.ipv4}:9120"
        rows.append(row("metallb_speaker_announced", "gauge", SPEAKER, 1, instance=at, **labels))
    return rows + bfd_rows(SPEAKER, peer=ip)


def bfd_rows(
    job: str, prefix: str = "metallb_bfd", *, instance: str = "", **labels: str
) -> list[Row]:
    """Say what is told of a BFD session; the empty VRF of the native mode is as no label."""
    least = {"control_packet_input": 1, "control_packet_output": 1, "session_up_events": 1}
    least |= {"echo_packet_input": 0, "echo_packet_output": 0, "session_down_events": 0}
    least["zebra_notifications"] = 0
    return [
        row(f"{prefix}_session_up", "gauge", job, 1, instance=instance, **labels),
        *(
            row(f"{prefix}_{name}", "counter", job, at_least(value), instance=instance, **labels)
            for name, value in least.items()
        ),
    ]


def sidecar_rows() -> list[Row]:
    """Say what the exporter beside FRR tells of it."""
    bgp = frr_rows(SIDECAR, "metallb_bgp", peer="192.0.2.2:179", vrf="default")
    return [*bgp, *bfd_rows(SIDECAR, peer="192.0.2.2", vrf="default")]


def frr_rows(job: str, prefix: str, *, instance: str = "", **labels: str) -> list[Row]:
    """Say what is told of a BGP session that FRR has, and that has been sent one prefix."""
    gauges = {"session_up": 1, "announced_prefixes_total": 1}
    counters = {"opens_sent": 1, "opens_received": 1, "notifications_sent": 0, "updates_total": 1}
    counters |= {"updates_total_received": 1, "keepalives_sent": 1, "keepalives_received": 1}
    counters |= {"route_refresh_sent": 0, "total_sent": 3, "total_received": 3}
    return [
        *(
            row(f"{prefix}_{name}", "gauge", job, value, instance=instance, **labels)
            for name, value in gauges.items()
        ),
        *(
            row(f"{prefix}_{name}", "counter", job, at_least(least), instance=instance, **labels)
            for name, least in counters.items()
        ),
    ]


def frrk8s_rows(job: str, prefix: str = "frrk8s", *, instance: str, peer: str) -> list[Row]:
    """Say what frr-k8s tells of the sessions of a node."""
    labels = {"peer": peer, "vrf": "default"}
    received = f"{prefix}_bgp_received_prefixes_total"
    return [
        *frr_rows(job, f"{prefix}_bgp", instance=instance, **labels),
        row(received, "gauge", job, 0, instance=instance, **labels),
        *bfd_rows(job, f"{prefix}_bfd", instance=instance, **labels),
    ]


def frrk8s_client_rows(job: str) -> list[Row]:
    """Say what frr-k8s tells of the configuration that it was given."""
    return [
        row("frrk8s_k8s_client_updates_total", "counter", job, at_least(1)),
        row("frrk8s_k8s_client_update_errors_total", "counter", job, at_least(0)),
        row("frrk8s_k8s_client_config_loaded_bool", "gauge", job, 1),
        row("frrk8s_k8s_client_config_stale_bool", "gauge", job, 0),
    ]


def own_rows(stage: Stage) -> list[Row]:
    """Say what only MercuryLB tells."""
    count = "mercurylb_allocator_assignment_seconds_count"
    rows = [
        row("mercurylb_controller_leader", "gauge", CONTROLLER, 1),
        row("mercurylb_allocator_services_pending", "gauge", CONTROLLER, 0),
        row("mercurylb_speaker_live_members", "gauge", SPEAKER, 2),
        row("mercurylb_membership_members", "gauge", SPEAKER, 1, state="up"),
        row("mercurylb_layer2_conflicts", "gauge", SPEAKER, 0, kind="stranger"),
        row("mercurylb_announcer_loop_lag_seconds", "gauge", SPEAKER, at_least(0)),
    ]
    assert stage.prometheus.kind(count.removesuffix("_count")) == "histogram"
    for node, other in (("n1", "n2"), ("n2", "n1")):
        at = f"{stage.lab.nodes[node].ipv4}:9120"
        silence = "mercurylb_membership_silence_seconds"
        rows.append(row(silence, "gauge", SPEAKER, lambda v: v < 60, instance=at, peer_node=other))
    return rows
