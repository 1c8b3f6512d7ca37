"""What the figures mean: rows of the table, budgets, what is known from elsewhere.  Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ELSEWHERE: Final[Mapping[str, float]] = {
    "latency_p50_ms": 16.0,
    "start_s": 17.8,
    "controller_idle_mib": 62.0,
    "controller_loaded_mib": 77.0,
    "speaker_idle_mib": 65.0,
    "answers_per_s": 9_600.0,
    "foreign_cpu_percent": 42.0,
    "foreign_extra_cpu_percent": 42.0,
    "failover_cut_wire_max_s": 5.2,
    "failover_kill_wire_max_s": 6.5,
    "failover_stop_wire_max_s": 0.057,
    "failover_partition_two_after_max_s": 25.5,
    "bgp_equal_updates": 100.0,
}
"""Of MetalLB 0.16 on another machine; its memory was read as resident size."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A bound of a figure, or of its ratio to what it is compared with."""

    limit: float
    of_ratio: bool = False
    is_least: bool = False

    def text(self, unit: str) -> str:
        """Say the bound in words."""
        sign = "≥" if self.is_least else "≤"
        tail = " x" if self.of_ratio else f" {unit}"
        return f"{sign} {number(self.limit)}{tail}".rstrip()

    def is_met(self, value: float | None, ratio: float | None) -> bool | None:
        """Tell whether the bound holds; None when there is nothing to compare."""
        judged = ratio if self.of_ratio else value
        if judged is None:
            return None
        return judged >= self.limit if self.is_least else judged <= self.limit


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table before it has figures.

    ``against`` names the figure of the same pair that it is compared with; without it the second
    pair's figure of the same name is meant.
    """

    key: str
    what: str
    unit: str
    budget: Budget | None = None
    against: str = ""
    against_name: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table with its figures."""

    key: str
    what: str
    unit: str
    ours: float | None
    other: float | None
    other_is: str
    ratio: float | None
    budget: str
    is_met: bool | None


def _ratio_most(limit: float) -> Budget:
    return Budget(limit, of_ratio=True)


def _ratio_least(limit: float) -> Budget:
    return Budget(limit, of_ratio=True, is_least=True)


def _table_lines(size: str, count: int) -> tuple[Line, ...]:
    """Return the lines of one size of tables and one number of routers."""
    ours, theirs = f"bgp_ours_{size}_{count}", f"bgp_gobgp_{size}_{count}"
    words = {"10k": "10 000", "100k": "100 000"}[size]
    routers = "a router" if count == 1 else f"{count} routers"

    def line(what: str, text: str, unit: str) -> Line:
        return Line(f"{ours}_{what}", text, unit, None, f"{theirs}_{what}", "GoBGP")

    found = [
        line("s", f"{words} routes → all at {routers} (BIRD)", "s"),
        line("cpu_s", "… CPU", "s"),
        line("updates", "… UPDATEs per session", ""),
        line("rss_mb", "… memory (RSS)", "MB"),
    ]
    if count == 1:
        found += [
            Line(f"bgp_ours_{size}_to_{other.lower()}_s", f"… to {other} instead", "s")
            for other in ("FRR", "GoBGP")
        ]
    return tuple(found)


_TRIALS: Final = (
    ("bfd_cut", "node cut off, BFD 3 x 50 ms"),
    ("hold_cut", "node cut off, hold time 3 s"),
    ("bfd_drain", "node drained"),
    ("bfd_stop", "speaker stopped"),
    ("bfd_roll", "rolling update"),
    ("graceful_restart", "all speakers at once, graceful restart"),
    ("graceful_crash", "speaker killed, graceful restart"),
    ("bfd_brain", "brain killed"),
    ("bfd_outage", "no API server"),
)


def _trial_lines(name: str, told: str) -> tuple[Line, ...]:
    """Return the lines of one trial with flows through a router."""
    key = f"bgp_{name}"
    if name == "bfd_cut":
        budget: Budget | None = Budget(0.3)
    else:
        budget = None
    if name.endswith("_cut"):
        return (
            Line(f"{key}_outage_p50_s", f"{told}: longest outage of a flow, p50", "s"),
            Line(f"{key}_outage_max_s", "… max", "s", budget),
        )
    lines = [Line(f"{key}_lost", f"{told}: datagrams lost of 1 000/s", "", Budget(0.0))]
    if name in {"bfd_brain", "bfd_outage"}:
        lines.append(Line(f"{key}_dropped", "… sessions that ended", "", Budget(0.0)))
    return tuple(lines)


LINES: Final[tuple[Line, ...]] = (
    Line("latency_p50_ms", "service created → address, p50", "ms", _ratio_most(0.6)),
    Line("latency_p95_ms", "service created → address, p95", "ms"),
    Line("latency_after_p50_ms", "create call answered → address, p50", "ms"),
    Line("latency_after_p95_ms", "create call answered → address, p95", "ms"),
    Line(
        "latency_p50_ms",
        "service created → address, beside a bare loop",
        "ms",
        against="bare_latency_p50_ms",
        against_name="bare loop",
    ),
    Line("start_s", "start with 1 000 pending → all served", "s", _ratio_most(0.25)),
    Line("start_filled_s", "… from filled caches", "s"),
    Line(
        "start_patches_per_s",
        "status patches/s at start",
        "/s",
        _ratio_least(0.8),
        against="bare_patches_per_s",
        against_name="bare loop",
    ),
    Line(
        "start_server_cpu_ms",
        "… CPU of API server and etcd per service",
        "ms",
        against="bare_server_cpu_ms",
        against_name="bare loop",
    ),
    Line(
        "start_client_cpu_ms",
        "… CPU of the controller per service",
        "ms",
        against="bare_client_cpu_ms",
        against_name="bare loop",
    ),
    Line("controller_idle_mib", "controller, idle (PSS)", "MiB", _ratio_most(1.0)),
    Line("controller_loaded_mib", "controller, 1 000 services (PSS)", "MiB", _ratio_most(1.0)),
    Line("scale_start_s", "start with 10 000 pending, 100 pools → all served", "s"),
    Line("scale_assigned", "… served when its time was over", ""),
    Line(
        "scale_start_patches_per_s",
        "… from filled caches",
        "/s",
        _ratio_least(0.8),
        against="scale_bare_patches_per_s",
        against_name="bare loop",
    ),
    Line("scale_bare_spread_percent", "… difference between the bare loop's two runs", "%"),
    Line(
        "scale_start_client_cpu_ms",
        "… CPU of the controller per service",
        "ms",
        against="scale_bare_client_cpu_ms",
        against_name="bare loop",
    ),
    Line(
        "scale_start_server_cpu_ms",
        "… CPU of API server and etcd per service",
        "ms",
        against="scale_bare_server_cpu_ms",
        against_name="bare loop",
    ),
    Line("scale_start_service_writes", "… writes of services' status", ""),
    Line("scale_start_other_writes", "… other writes", ""),
    Line("scale_controller_pss_mb", "controller, 10 000 services (PSS)", "MB", Budget(110.0)),
    Line("scale_controller_rss_mb", "controller, 10 000 services (RSS)", "MB", Budget(110.0)),
    Line("scale_controller_peak_mb", "… at most since its start (RSS)", "MB"),
    Line(
        "scale_more_many_p50_ms",
        "one more service → address, p50",
        "ms",
        _ratio_most(2.0),
        against="scale_more_few_p50_ms",
        against_name="empty cluster",
    ),
    Line(
        "scale_more_many_max_ms",
        "one more service → address, max of 30",
        "ms",
        against="scale_more_few_max_ms",
        against_name="empty cluster",
    ),
    Line("scale_rest_cpu_percent", "controller's CPU at rest, 10 000 services", "%"),
    Line("scale_rest_writes_per_min", "… API writes per minute", "", Budget(0.0)),
    Line("scale_rest_renewals_per_min", "… renewals of its Lease per minute", ""),
    Line("scale_edit_unused_s", "pool edited, nobody moves → settled", "s"),
    Line("scale_edit_unused_writes", "… writes", ""),
    Line("scale_edit_moving_s", "pool edited, 105 services move → settled", "s"),
    Line("scale_edit_moving_status_writes", "… writes of services' status", ""),
    Line("scale_edit_moving_writes", "… all writes", ""),
    Line("scale_restart_newcomer_s", "restart with 10 000 served → a newcomer is served", "s"),
    Line("scale_restart_writes", "… writes of a restart", ""),
    Line("outage_api_p50_s", "API server killed, back: a new service → address, p50", "s"),
    Line("outage_api_max_s", "… max", "s", Budget(2.0)),
    Line("outage_stop_p50_s", "leader stopped: a new service → address, p50", "s"),
    Line("outage_stop_max_s", "… max", "s", Budget(1.0)),
    Line("outage_kill_p50_s", "leader killed: a new service → address, p50", "s"),
    Line("outage_kill_max_s", "… max (its lease lasts 6 s)", "s", Budget(8.0)),
    Line("speaker_idle_mib", "speaker, idle (PSS)", "MiB", _ratio_most(1.0)),
    Line("speaker_loaded_mib", "speaker, 1 000 announced (PSS)", "MiB"),
    Line("brain_idle_mib", "… brain, idle", "MiB"),
    Line("brain_loaded_mib", "… brain, 1 000 announced", "MiB"),
    Line("announcer_idle_mib", "… announcer, idle", "MiB"),
    Line("announcer_loaded_mib", "… announcer, 1 000 announced", "MiB"),
    Line("announce_all_s", "1 000 services → all announced and reported", "s"),
    Line("announce_speaker_cpu_s", "… CPU of a speaker, max", "s"),
    Line("answers_per_s", "ARP answers/s, asked 20 000/s", "/s"),
    Line("answered_percent", "… share of the requests that were sent", "%"),
    Line("answers_cpu_percent", "… speaker's CPU meanwhile", "%"),
    Line("answers_max_per_s", "ARP answers/s, asked without pause", "/s"),
    Line("answers_best_per_s", "ARP answers/s, the better of the two", "/s", _ratio_least(2.0)),
    Line("idle_cpu_percent", "speaker's CPU, idle", "%"),
    Line("foreign_cpu_percent", "speaker's CPU, 20 000 foreign ARP/s", "%"),
    Line("foreign_extra_cpu_percent", "… above idle", "%", Budget(1.0)),
    Line("answer_idle_p50_ms", "time until an ARP answer, p50", "ms"),
    Line("answer_idle_p99_ms", "time until an ARP answer, p99", "ms"),
    Line("answer_hogs_p50_ms", "… with 40 CPU hogs, p50", "ms"),
    Line("answer_hogs_p99_ms", "… with 40 CPU hogs, p99", "ms"),
    Line("answer_hogs_lost", "… questions without an answer within a second", ""),
    Line("failover_cut_wire_p50_s", "node cut off → another answers, p50", "s"),
    Line("failover_cut_wire_p95_s", "node cut off → another answers, p95", "s"),
    Line("failover_cut_wire_max_s", "node cut off → another answers, max", "s", Budget(0.6)),
    Line("failover_kill_wire_p50_s", "speaker killed → another answers, p50", "s"),
    Line("failover_kill_wire_max_s", "speaker killed → another answers, max", "s", Budget(2.0)),
    Line("failover_stop_wire_max_s", "planned stop: time without an answer, max", "s"),
    Line("failover_stop_lost", "planned stop: datagrams lost of 1 000/s", "", Budget(0.0)),
    Line("failover_roll_lost", "rolling update: datagrams lost of 1 000/s", "", Budget(0.0)),
    Line("failover_partition_two_after_max_s", "healed: two owners, max", "s", Budget(0.5)),
    Line("failover_hogs_false", "40 CPU hogs: false takeovers", "", Budget(0.0)),
    Line("failover_false", "false takeovers in all scenarios", "", Budget(0.0)),
    Line("failover_failed", "scenarios that were not got through", "", Budget(0.0)),
    Line("member_sim5_cpu_percent", "membership of 5, simulated: CPU of a node", "%"),
    Line("member_sim5_bytes_per_s", "… bytes sent per node", "B/s"),
    Line("member_sim50_cpu_percent", "membership of 50, simulated: CPU of a node", "%"),
    Line("member_sim50_bytes_per_s", "… bytes sent per node", "B/s"),
    Line("member_sim200_cpu_percent", "membership of 200, simulated: CPU of a node", "%"),
    Line("member_sim200_bytes_per_s", "… bytes sent per node", "B/s"),
    Line("member_real5_cpu_percent", "membership of 5, processes: CPU of a node", "%"),
    Line("member_real5_bytes_per_s", "… bytes sent per node", "B/s"),
    Line("member_real50_cpu_percent", "membership of 50, processes: CPU of a node", "%"),
    Line("member_real50_bytes_per_s", "… bytes sent per node", "B/s"),
    Line("member_real50_pss_mib", "… announcer (PSS)", "MiB"),
    Line("member_real200_cpu_percent", "membership of 200, processes: CPU of a node", "%"),
    Line("member_real200_bytes_per_s", "… bytes sent per node", "B/s"),
    Line("bgp_update_p50_ms", "service created → first UPDATE at the router, p50", "ms"),
    Line("bgp_update_p99_ms", "… p99", "ms", Budget(50.0)),
    Line("bgp_update_all_p50_ms", "… UPDATE of every node, p50", "ms"),
    Line("bgp_update_all_p99_ms", "… UPDATE of every node, p99", "ms"),
    Line("bgp_table_p50_ms", "… route in the router's kernel, p50", "ms"),
    Line("bgp_table_p99_ms", "… route in the router's kernel, p99", "ms"),
    Line("bgp_gone_p50_ms", "service deleted → route gone, p50", "ms"),
    Line("bgp_gone_p99_ms", "… p99", "ms"),
    Line("bgp_many_s", "500 services at once → all in the router's kernel", "s"),
    Line("bgp_many_create_s", "… of which creating them", "s"),
    Line("bgp_many_behind_s", "… after the last one was created", "s"),
    Line("bgp_many_updates", "… UPDATEs of a node", ""),
    Line("bgp_many_speaker_cpu_s", "… CPU of a speaker", "s"),
    Line("bgp_equal_updates", "100 equal routes on a new session: UPDATEs", "", Budget(2.0)),
    *(line for size in ("10k", "100k") for count in (1, 16) for line in _table_lines(size, count)),
    Line("bgp_one_more_p50_ms", "one more of 10 000 routes → at both routers, p50", "ms"),
    Line("bgp_memory_empty_pss_mb", "announcer, 2 peers, no routes (PSS)", "MB"),
    Line("bgp_memory_pss_mb", "announcer, 10 000 routes to 2 peers (PSS)", "MB", Budget(60.0)),
    Line("bgp_memory_rss_mb", "announcer, 10 000 routes to 2 peers (RSS)", "MB", Budget(60.0)),
    *(line for name, told in _TRIALS for line in _trial_lines(name, told)),
    Line("bgp_failed", "trials with a router that were not got through", "", Budget(0.0)),
    Line("bgp_bfd_idle_cpu_percent", "BFD 3 x 50 ms with 16 peers: CPU", "%"),
    Line("bgp_bfd_false_downs", "… with 40 CPU hogs: sessions that went down", "", Budget(0.0)),
    Line("bgp_bfd_longest_gap_ms", "… longest time between two packets", "ms", Budget(150.0)),
    Line("image_mb", "image, uncompressed", "MB", Budget(90.0)),
    Line("image_controller_start_s", "container → controller watches, p50", "s", Budget(1.0)),
    Line("image_controller_start_max_s", "… max", "s"),
    Line("image_controller_start_cpu_s", "… CPU time", "s"),
    Line("image_speaker_start_s", "container → speaker watches, p50", "s", Budget(1.0)),
    Line("image_speaker_start_max_s", "… max", "s"),
    Line("image_speaker_start_cpu_s", "… CPU time of brain and announcer", "s"),
)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least the share (0 to 1) of all values do not exceed."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    rank = math.ceil(share * len(ordered))
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def rows(ours: Mapping[str, float], original: Mapping[str, float] | None) -> list[Row]:
    """Put figures beside each other; lines without any figure of ours are left out."""
    found: list[Row] = []
    for line in LINES:
        value = ours.get(line.key)
        if value is None:
            continue
        other, name = _other(line, ours, original)
        if other is None and any(row.key == line.key for row in found):
            continue  # It would only say the same figure again.
        ratio = value / other if other else None
        budget = line.budget
        found.append(
            Row(
                key=line.key,
                what=line.what,
                unit=line.unit,
                ours=value,
                other=other,
                other_is=name,
                ratio=ratio,
                budget=budget.text(line.unit) if budget else "",
                is_met=budget.is_met(value, ratio) if budget else None,
            )
        )
    return found


def _other(
    line: Line, ours: Mapping[str, float], original: Mapping[str, float] | None
) -> tuple[float | None, str]:
    """Return what a line is compared with, and where that is from."""
    if line.against:
        found = ours.get(line.against)
        return found, line.against_name if found is not None else ""
    if original is not None:
        found = original.get(line.key)
        return found, "original" if found is not None else ""
    key = "answers_per_s" if line.key == "answers_best_per_s" else line.key
    found = ELSEWHERE.get(key)
    return found, "elsewhere" if found is not None else ""


def number(value: float) -> str:
    """Write a figure with as many digits as mean something."""
    size = abs(value)
    if value == int(value) and size < 100:
        return str(int(value))
    if size >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    if size >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.3g}"
