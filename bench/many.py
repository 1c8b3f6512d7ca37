"""Ten thousand services and a hundred pools: start, memory, one more service, rest, edits, restart.

The order is bare loop, controller, bare loop, so that a machine that grows slower or quicker does
so for both; the same observer watches all three runs.  Writes are counted by the API server itself.
No speaker runs: this is about the controller.

A controller that does not finish its start within ``START_LIMIT_S`` is told by its rate until then,
and the scenario leaves out what needs everybody served.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from bench import scenarios, stage
from bench.figures import percentile
from lab import progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.stage import Pair
    from lab.light import LightLab
    from lab.process import Process

Figures = dict[str, float]

SCENARIO: Final = "scale"
SERVICES: Final = 10_000
POOLS: Final = 100
POOL_SIZE: Final = 105
"""So some pools stay empty: the hundred hold 10 500."""
MORE: Final = 30
REST_S: Final = 60.0
QUIET_S: Final = 3.0
START_LIMIT_S: Final = 240.0
MB: Final = 1_000_000
APISERVER_ARGS: Final = (
    "--emulated-version=1.33",
    "--feature-gates=MultiCIDRServiceAllocator=false",
    "--service-cluster-ip-range=10.96.0.0/17,fd00:96::/112",
)
"""The newer allocator of cluster IPs counts all addresses at each create: with 10 000 services that
is 20 ms of the API server for each new one, which would be most of what is measured here."""
_WRITES: Final = re.compile(
    r'^apiserver_request_total\{([^}]*verb="(?:POST|PUT|PATCH|DELETE|APPLY)"[^}]*)\} (\S+)$',
    re.MULTILINE,
)
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')
_FOREIGN: Final = frozenset({"leases", "tokenreviews", "subjectaccessreviews"})
"""The API server renews a Lease of its own; reviews write nothing."""


def many(pair: Pair) -> Figures:
    """Measure one controller among many services."""
    found: Figures = {}
    with stage.start(pair, nodes=1, has_speaker=False, apiserver_args=APISERVER_ARGS) as lab:
        with progress.step(f"{POOLS} pools, {MORE} services one by one"):
            _create_pools(lab)
            found |= _one_more(lab, "few")
        lab.controller.stop()
        with progress.step(f"{SERVICES} services are created"):
            count = ("--count", str(SERVICES))
            stage.answer(stage.load(lab, "create", *count), timeout_s=300)
        bare = []
        with progress.step("bare loop, and its addresses taken away"):
            bare.append(_bare_loop(lab))
            stage.answer(stage.load(lab, "clear"), timeout_s=300)
        with progress.step("the controller starts"):
            found |= _start(lab)
        if found["scale_assigned"] == SERVICES:
            found |= _among_many(lab)
        lab.controller.stop()
        with progress.step("bare loop again"):
            bare.append(_bare_loop(lab))
    rates = [one["scale_bare_patches_per_s"] for one in bare]
    found |= {key: sum(one[key] for one in bare) / len(bare) for key in bare[0]}
    return found | {"scale_bare_spread": abs(rates[0] - rates[1]) / max(rates)}


def _among_many(lab: LightLab) -> Figures:
    found: Figures = {}
    with progress.step("memory, and one more service"):
        found |= _memory(lab)
        found |= _one_more(lab, "many")
    with progress.step(f"{REST_S:g} s of rest"):
        found |= _rest(lab)
    with progress.step("pools are edited"):
        found |= _edit_unused(lab)
        found |= _edit_moving(lab)
    with progress.step("the controller starts again"):
        found |= _restart(lab)
    return found


def pool_name(number: int) -> str:
    """Name a pool so that the order of names is that of numbers."""
    return f"p{number:03d}"


def pool_range(number: int, *, moved: bool = False, size: int = POOL_SIZE) -> str:
    """Give a pool's addresses: several prefixes, as ranges of operators make."""
    net = 83 if moved else 82
    return f"10.{net}.{number}.0-10.{net}.{number}.{size - 1}"


def _create_pools(lab: LightLab) -> None:
    for number in range(POOLS):
        stage.create_pool(lab, pool_name(number), pool_range(number))


def _one_more(lab: LightLab, when: str) -> Figures:
    """Time single services, one after the other; they are gone afterwards."""
    stage.answer(stage.load(lab, "latency", "--count", "3", "--prefix", "warm-"))
    words = ("--count", str(MORE), "--prefix", "more-")
    told = stage.answer(stage.load(lab, "latency", *words))
    return {
        f"scale_more_{when}_p50_ms": percentile(told["from_start_ms"], 0.5),
        f"scale_more_{when}_max_ms": max(told["from_start_ms"]),
    }


def _bare_loop(lab: LightLab) -> Figures:
    """Write every service's status by the bare client, beside the observer that all runs have."""
    watching = _observer(lab, SERVICES)
    told = stage.answer(stage.load(lab, "patch", identity="controller"), timeout_s=300)
    seen = stage.answer(watching, timeout_s=300)
    return {
        "scale_bare_s": seen["last"] - told["begin"],
        "scale_bare_patches_per_s": seen["count"] / (seen["last"] - told["begin"]),
        "scale_bare_client_cpu_ms": 1000 * told["cpu_s"] / told["count"],
    }


def _observer(lab: LightLab, count: int) -> Process:
    words = ("--count", str(count), "--within", str(START_LIMIT_S))
    watching = stage.load(lab, "timeline", *words)
    lab.wait_for(lambda: "ready" in watching.log(), what="the observer", timeout_s=60)
    return watching


def _start(lab: LightLab) -> Figures:
    """Start the controller before services that all wait."""
    watching = _observer(lab, SERVICES)
    known = len(lab.controller.log())
    before, begin = count_writes(lab), time.monotonic()
    lab.controller.start()
    seen = stage.answer(watching, timeout_s=START_LIMIT_S + 30)
    cpu_s = stage.cpu_s(lab.controller)
    filled = scenarios.caches_filled(lab.controller.log()[known:], time.time() - time.monotonic())
    from_s = seen["first"] if filled is None else filled
    rate = seen["count"] / (seen["last"] - from_s)
    writes = count_writes(lab) - before
    is_complete = seen["count"] == SERVICES
    return {
        "scale_assigned": float(seen["count"]),
        "scale_start_s": seen["last"] - begin if is_complete else SERVICES / rate,
        "scale_start_patches_per_s": rate,
        "scale_start_client_cpu_ms": 1000 * cpu_s / seen["count"],
        "scale_start_service_writes": float(writes["services/status"]),
        "scale_start_other_writes": float(writes.total() - writes["services/status"]),
    }


def _memory(lab: LightLab) -> Figures:
    _await_quiet(lab)
    return {
        "scale_controller_pss_mb": stage.pss_mib(lab.controller) * stage.MIB / MB,
        "scale_controller_rss_mb": stage.rss_mib(lab.controller) * stage.MIB / MB,
        "scale_controller_peak_mb": stage.peak_mib(lab.controller) * stage.MIB / MB,
    }


def _rest(lab: LightLab) -> Figures:
    _await_quiet(lab)
    writes, cpu, begin = count_writes(lab), stage.cpu_s(lab.controller), time.monotonic()
    leases = stage.count_renewals(lab, REST_S)
    minutes = (time.monotonic() - begin) / 60
    written = count_writes(lab) - writes
    _say_writes("at rest", written)
    return {
        "scale_rest_cpu_percent": (stage.cpu_s(lab.controller) - cpu) / minutes / 60 * 100,
        "scale_rest_writes_per_min": written.total() / minutes,
        "scale_rest_renewals_per_min": leases / minutes,
    }


def _edit_unused(lab: LightLab) -> Figures:
    """Make a pool bigger that nobody has an address of."""
    name, wider = pool_name(POOLS - 1), 2 * POOL_SIZE
    before, begin = count_writes(lab), time.monotonic()
    stage.set_pool(lab, name, pool_range(POOLS - 1, size=wider))
    lab.wait_for(
        lambda: stage.pool_status(lab, name).get("availableIPv4") == wider,
        what="the counters of the edited pool",
        timeout_s=60,
        interval_s=0.01,
    )
    settled = time.monotonic() - begin
    _await_quiet(lab)
    written = count_writes(lab) - before
    _say_writes("after an edit that moves nobody", written)
    # The edit itself is the lab's write, the pool's status the controller's.
    return {
        "scale_edit_unused_s": settled,
        "scale_edit_unused_writes": float(written.total() - written["ipaddresspools"]),
    }


def _edit_moving(lab: LightLab) -> Figures:
    """Give a full pool other addresses, so that all who are in it move."""
    watching = _observer(lab, POOL_SIZE)
    before, begin = count_writes(lab), time.monotonic()
    stage.set_pool(lab, pool_name(20), pool_range(20, moved=True))
    seen = stage.answer(watching)
    _await_quiet(lab)
    written = count_writes(lab) - before
    _say_writes(f"after an edit that moves {seen['count']}", written)
    return {
        "scale_edit_moving_s": seen["last"] - begin,
        "scale_edit_moved": float(seen["count"]),
        "scale_edit_moving_status_writes": float(written["services/status"]),
        "scale_edit_moving_writes": float(written.total() - written["ipaddresspools"]),
    }


def _restart(lab: LightLab) -> Figures:
    """Start with everybody served: nothing is written, and a newcomer is served soon."""
    lab.controller.stop()
    before, known = count_writes(lab), len(lab.controller.log())
    lab.controller.start()
    lab.wait_for(lambda: len(lab.controller.log()) > known, timeout_s=30, what="a first word")
    time.sleep(QUIET_S)
    _await_quiet(lab)
    written = count_writes(lab) - before
    _say_writes("by a restart", written)
    lab.controller.stop()
    name = "newcomer"
    stage.create_service(lab, name)
    begin = time.monotonic()
    lab.controller.start()
    lab.wait_for(
        lambda: stage.address(lab, name), timeout_s=120, interval_s=0.01, what="a newcomer served"
    )
    return {
        "scale_restart_newcomer_s": time.monotonic() - begin,
        "scale_restart_writes": float(written.total()),
        "scale_restart_service_writes": float(written["services/status"]),
    }


def count_writes(lab: LightLab) -> Counter[str]:
    """Ask the API server how many writes of which resource it took so far."""
    return parse_writes(lab.api.get("/metrics"))


def parse_writes(text: str) -> Counter[str]:
    """Read the writes per ``resource/subresource`` out of the API server's metrics."""
    found: Counter[str] = Counter()
    for labels, value in _WRITES.findall(text):
        told = dict(_LABEL.findall(labels))
        if told.get("dry_run") or told["resource"] in _FOREIGN:
            continue
        name = "/".join(filter(None, (told["resource"], told.get("subresource", ""))))
        found[name] += int(float(value))
    return found


def _await_quiet(lab: LightLab, timeout_s: float = 60.0) -> None:
    """Wait until the API server took no write for a while: events follow their causes."""
    end, last, since = time.monotonic() + timeout_s, count_writes(lab), time.monotonic()
    while time.monotonic() < end:
        time.sleep(0.5)
        now = count_writes(lab)
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since >= QUIET_S:
            return


def _say_writes(when: str, written: Mapping[str, int]) -> None:
    text = ", ".join(f"{count} {name}" for name, count in written.items() if count)
    progress.say(f"writes {when}: {text or 'none'}")
