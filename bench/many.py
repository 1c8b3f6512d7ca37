"""Ten thousand services and a hundred pools: start, memory, one more service, rest, edits, restart.

The order is bare loop, controller, bare loop, so that a machine that grows slower or quicker does
so for both; the same observer watches all three runs.  Writes are counted by the API server itself.
No speaker runs: this is about the controller.

A controller that does not finish its start within ``START_LIMIT_S`` is told by its rate until then,
and the scenario leaves out what needs everybody served.
"""

from __future__ import annotations

import math
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
SPARE: Final = 1.05
"""So some pools stay empty: the hundred hold 10 500."""
MOVED_POOL: Final = 20
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
_NO_WRITES: Final = frozenset({"leases", "tokenreviews", "subjectaccessreviews"})
"""Leases are counted apart, the API server has one of its own; reviews write nothing."""


def many(pair: Pair, services: int = SERVICES) -> Figures:
    """Measure one controller among many services."""
    with stage.start(pair, nodes=1, has_speaker=False, apiserver_args=APISERVER_ARGS) as lab:
        return Crowd(lab, services).measure()


class Crowd:
    """A lab that gets many services."""

    def __init__(self, lab: LightLab, services: int) -> None:
        self.lab = lab
        self.services = services
        self.pool_size = math.ceil(services * SPARE / POOLS)

    def measure(self) -> Figures:
        """Go through the whole scenario."""
        found: Figures = {}
        with progress.step(f"{POOLS} pools, {MORE} services one by one"):
            for number in range(POOLS):
                stage.create_pool(self.lab, pool_name(number), pool_range(number, self.pool_size))
            found |= self._one_more("few")
        self.lab.controller.stop()
        with progress.step(f"{self.services} services are created"):
            self._run("create", "--count", str(self.services))
        with progress.step("bare loop, and its addresses taken away"):
            bare = [self._bare_loop()]
            self._run("clear")
        with progress.step("the controller starts"):
            found |= self._start()
        if found["scale_assigned"] == self.services:
            found |= self._among_many()
        self.lab.controller.stop()
        with progress.step("bare loop again"):
            bare.append(self._bare_loop())
        rates = [one["scale_bare_patches_per_s"] for one in bare]
        found |= {key: sum(one[key] for one in bare) / len(bare) for key in bare[0]}
        return found | {"scale_bare_spread_percent": 100 * abs(rates[0] - rates[1]) / max(rates)}

    def _among_many(self) -> Figures:
        found: Figures = {}
        with progress.step("memory, and one more service"):
            found |= self._memory()
            found |= self._one_more("many")
        with progress.step(f"{REST_S:g} s of rest"):
            found |= self._rest()
        with progress.step("pools are edited"):
            found |= self._edit_unused()
            found |= self._edit_moving()
        with progress.step("the controller starts again"):
            found |= self._restart()
        return found

    # --- with few and with many --------------------------------------------------------------

    def _run(self, mode: str, *words: str, identity: str = "admin") -> Mapping[str, float]:
        process = stage.load(self.lab, mode, *words, identity=identity)
        told: Mapping[str, float] = stage.answer(process, timeout_s=300)
        return told

    def _one_more(self, when: str) -> Figures:
        """Time single services, one after the other; they are gone afterwards."""
        stage.answer(stage.load(self.lab, "latency", "--count", "3", "--prefix", "warm-"))
        words = ("--count", str(MORE), "--prefix", "more-")
        told = stage.answer(stage.load(self.lab, "latency", *words))
        return {
            f"scale_more_{when}_p50_ms": percentile(told["from_start_ms"], 0.5),
            f"scale_more_{when}_max_ms": max(told["from_start_ms"]),
        }

    def _observer(self, count: int) -> Process:
        words = ("--count", str(count), "--within", str(START_LIMIT_S))
        watching = stage.load(self.lab, "timeline", *words)
        self.lab.wait_for(lambda: "ready" in watching.log(), what="the observer", timeout_s=60)
        return watching

    # --- the start ---------------------------------------------------------------------------

    def _bare_loop(self) -> Figures:
        """Write every service's status by the bare client."""
        watching = self._observer(self.services)
        server_cpu_s = scenarios.server_cpu_s(self.lab)
        told = self._run("patch", identity="controller")
        seen = stage.answer(watching, timeout_s=START_LIMIT_S + 30)
        server_cpu_s = scenarios.server_cpu_s(self.lab) - server_cpu_s
        return {
            "scale_bare_server_cpu_ms": 1000 * server_cpu_s / told["count"],
            "scale_bare_s": seen["last"] - told["begin"],
            "scale_bare_patches_per_s": seen["count"] / (seen["last"] - told["begin"]),
            "scale_bare_client_cpu_ms": 1000 * told["cpu_s"] / told["count"],
        }

    def _start(self) -> Figures:
        """Start the controller before services that all wait."""
        watching = self._observer(self.services)
        controller = self.lab.controller
        known = len(controller.log())
        before, begin = count_writes(self.lab), time.monotonic()
        server_cpu_s = scenarios.server_cpu_s(self.lab)
        controller.start()
        seen = stage.answer(watching, timeout_s=START_LIMIT_S + 30)
        cpu_s = stage.cpu_s(controller)
        server_cpu_s = scenarios.server_cpu_s(self.lab) - server_cpu_s
        writes = count_writes(self.lab) - before
        offset_s = time.time() - time.monotonic()
        filled = scenarios.caches_filled(controller.log()[known:], offset_s)
        rate = seen["count"] / (seen["last"] - (filled or begin))
        is_complete = seen["count"] == self.services
        return {
            "scale_assigned": float(seen["count"]),
            "scale_start_s": seen["last"] - begin if is_complete else self.services / rate,
            "scale_start_patches_per_s": rate,
            "scale_start_server_cpu_ms": 1000 * server_cpu_s / max(seen["count"], 1),
            "scale_start_client_cpu_ms": 1000 * cpu_s / max(seen["count"], 1),
            "scale_start_service_writes": float(writes["services/status"]),
            "scale_start_other_writes": float(writes.total() - writes["services/status"]),
        }

    # --- everybody is served -----------------------------------------------------------------

    def _memory(self) -> Figures:
        self._await_quiet()
        controller = self.lab.controller
        return {
            "scale_controller_pss_mb": stage.pss_mib(controller) * stage.MIB / MB,
            "scale_controller_rss_mb": stage.rss_mib(controller) * stage.MIB / MB,
            "scale_controller_peak_mb": stage.peak_mib(controller) * stage.MIB / MB,
        }

    def _rest(self) -> Figures:
        self._await_quiet()
        controller = self.lab.controller
        writes, cpu_s, begin = count_writes(self.lab), stage.cpu_s(controller), time.monotonic()
        renewals = stage.count_renewals(self.lab, REST_S)
        passed_s = time.monotonic() - begin
        cpu_s = stage.cpu_s(controller) - cpu_s
        written = count_writes(self.lab) - writes
        _say_writes("at rest", written)
        return {
            "scale_rest_cpu_percent": 100 * cpu_s / passed_s,
            "scale_rest_writes_per_min": 60 * written.total() / passed_s,
            "scale_rest_renewals_per_min": 60 * renewals / passed_s,
        }

    def _edit_unused(self) -> Figures:
        """Make a pool bigger that nobody has an address of."""
        number, wider = POOLS - 1, 2 * self.pool_size
        before, begin = count_writes(self.lab), time.monotonic()
        stage.set_pool(self.lab, pool_name(number), pool_range(number, wider))
        self.lab.wait_for(
            lambda: self._available(number) == wider,
            what="the counters of the edited pool",
            timeout_s=60,
            interval_s=0.01,
        )
        settled_s = time.monotonic() - begin
        self._await_quiet()
        written = count_writes(self.lab) - before
        _say_writes("after an edit that moves nobody", written)
        # The edit itself is the lab's write, the pool's status the controller's.
        return {
            "scale_edit_unused_s": settled_s,
            "scale_edit_unused_writes": float(written.total() - written["ipaddresspools"]),
        }

    def _available(self, number: int) -> int:
        return stage.pool_status(self.lab, pool_name(number)).get("availableIPv4", 0)

    def _edit_moving(self) -> Figures:
        """Give a full pool other addresses, so that all who are in it move."""
        watching = self._observer(self.pool_size)
        before, begin = count_writes(self.lab), time.monotonic()
        elsewhere = pool_range(MOVED_POOL, self.pool_size, net=83)
        stage.set_pool(self.lab, pool_name(MOVED_POOL), elsewhere)
        seen = stage.answer(watching, timeout_s=START_LIMIT_S + 30)
        self._await_quiet()
        written = count_writes(self.lab) - before
        _say_writes(f"after an edit that moves {seen['count']}", written)
        return {
            "scale_edit_moving_s": seen["last"] - begin,
            "scale_edit_moved": float(seen["count"]),
            "scale_edit_moving_status_writes": float(written["services/status"]),
            "scale_edit_moving_writes": float(written.total() - written["ipaddresspools"]),
        }

    def _restart(self) -> Figures:
        """Start with everybody served: nothing is written, and a newcomer is served soon."""
        controller = self.lab.controller
        controller.stop()
        before, known = count_writes(self.lab), len(controller.log())
        controller.start()
        self.lab.wait_for(lambda: len(controller.log()) > known, timeout_s=30, what="a first word")
        time.sleep(QUIET_S)
        self._await_quiet()
        written = count_writes(self.lab) - before
        _say_writes("by a restart", written)
        controller.stop()
        stage.create_service(self.lab, "newcomer")
        begin = time.monotonic()
        controller.start()
        self.lab.wait_for(
            lambda: stage.address(self.lab, "newcomer"),
            timeout_s=120,
            interval_s=0.01,
            what="an address for the newcomer",
        )
        return {
            "scale_restart_newcomer_s": time.monotonic() - begin,
            "scale_restart_writes": float(written.total()),
        }

    def _await_quiet(self, timeout_s: float = 60.0) -> None:
        """Wait until the API server took no write for a while: events follow their causes."""
        end, since = time.monotonic() + timeout_s, time.monotonic()
        last = count_writes(self.lab)
        while time.monotonic() < end and time.monotonic() - since < QUIET_S:
            time.sleep(0.5)
            now = count_writes(self.lab)
            if now != last:
                last, since = now, time.monotonic()


def pool_name(number: int) -> str:
    """Name a pool so that the order of names is that of numbers."""
    return f"p{number:03d}"


def pool_range(number: int, size: int, *, net: int = 82) -> str:
    """Give a pool's addresses: a range that makes several prefixes."""
    return f"10.{net}.{number}.0-10.{net}.{number}.{size - 1}"


def count_writes(lab: LightLab) -> Counter[str]:
    """Ask the API server how many writes of which resource it took so far."""
    return parse_writes(lab.api.get("/metrics"))


def parse_writes(text: str) -> Counter[str]:
    """Read the writes per ``resource/subresource`` out of the API server's metrics."""
    found: Counter[str] = Counter()
    for labels, value in _WRITES.findall(text):
        told = dict(_LABEL.findall(labels))
        if told.get("dry_run") or told["resource"] in _NO_WRITES:
            continue
        name = "/".join(filter(None, (told["resource"], told.get("subresource", ""))))
        found[name] += int(float(value))
    return found


def _say_writes(when: str, written: Mapping[str, int]) -> None:
    text = ", ".join(f"{count} {name}" for name, count in written.items() if count)
    progress.say(f"writes {when}: {text or 'none'}")
