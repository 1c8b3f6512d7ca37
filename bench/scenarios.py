"""The scenarios: each takes a pair of programs and returns figures by name."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import TYPE_CHECKING, Final

from bench import stage
from bench.figures import percentile
from lab import hogs
from lab.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.stage import Pair
    from lab.light import LightLab
    from lab.process import Process

Figures = dict[str, float]

SERVICES: Final = 1000
LATENCY_COUNT: Final = 60
BIG_POOL: Final = "10.80.0.0/20"
LAN_POOL: Final = "192.168.111.20-192.168.111.30"
FOREIGN: Final = "192.168.111.99"
LOAD_S: Final = 10.0
ASKED_PER_S: Final = 20_000
HOGS: Final = 40
WITHOUT_PAUSE_PER_S: Final = 100_000
_L2_STATUSES: Final = "/apis/metallb.io/v1beta1/servicel2statuses"
_SETTLE_S: Final = 4.0

SCALE: Final = ("latency", "start", "memory")
WIRE: Final = ("arp",)


def scale(pair: Pair, wanted: frozenset[str]) -> Figures:
    """Measure what depends on the API server and on many services."""
    found: Figures = {}
    with stage.start(pair) as lab:
        stage.configure(lab, BIG_POOL)
        if "memory" in wanted:
            found |= _memory(lab, "idle")
        if "latency" in wanted:
            found |= _latency(lab)
        if wanted & {"start", "memory"}:
            found |= _start(lab, with_bare="start" in wanted)
        if "memory" in wanted:
            found |= _announce_all(lab)
            found |= _memory(lab, "loaded")
    return found


def _latency(lab: LightLab) -> Figures:
    count = ("--count", str(LATENCY_COUNT))
    stage.answer(stage.load(lab, "latency", "--count", "3", "--prefix", "warm-"))
    ours = stage.answer(stage.load(lab, "latency", *count, "--prefix", "quick-"))
    lab.controller.stop()
    words = (*count, "--prefix", "bare-", "--bare")
    bare = stage.answer(stage.load(lab, "latency", *words))
    lab.controller.start()
    return {
        "latency_p50_ms": percentile(ours["from_start_ms"], 0.5),
        "latency_p95_ms": percentile(ours["from_start_ms"], 0.95),
        "latency_after_p50_ms": percentile(ours["from_answer_ms"], 0.5),
        "latency_after_p95_ms": percentile(ours["from_answer_ms"], 0.95),
        "bare_latency_p50_ms": percentile(bare["from_start_ms"], 0.5),
    }


def _start(lab: LightLab, *, with_bare: bool) -> Figures:
    """Start the controller before 1 000 pending services, between two runs of the bare loop.

    The speakers stand still meanwhile, so that both have the API server to themselves.
    """
    lab.controller.stop()
    for speaker in stage.speakers(lab):
        speaker.stop()
    stage.answer(stage.load(lab, "create", "--count", str(SERVICES)))
    bare = [_bare_loop(lab)] if with_bare else []
    found = _time_start(lab)
    if with_bare:
        lab.controller.stop()
        stage.answer(stage.load(lab, "clear"))
        bare.append(_bare_loop(lab))
        lab.controller.start()
        found |= {key: sum(one[key] for one in bare) / len(bare) for key in bare[0]}
        found |= {f"{key}_spread": abs(bare[0][key] - bare[1][key]) for key in bare[0]}
    for speaker in stage.speakers(lab):
        speaker.start()
    return found


def _bare_loop(lab: LightLab) -> Figures:
    """Write every service's status once by the bare client, and take it away again."""
    before = server_cpu_s(lab)
    told = stage.answer(stage.load(lab, "patch", identity="controller"))
    used_s = server_cpu_s(lab) - before
    stage.answer(stage.load(lab, "clear"))
    return {
        "bare_patches_per_s": told["count"] / told["seconds"],
        "bare_server_cpu_ms": 1000 * used_s / told["count"],
        "bare_client_cpu_ms": 1000 * told["cpu_s"] / told["count"],
    }


def server_cpu_s(lab: LightLab) -> float:
    """Return the CPU time that the API server and its store have used."""
    return sum(stage.main_cpu_s(lab.process(name)) for name in ("kube-apiserver", "etcd"))


def _time_start(lab: LightLab) -> Figures:
    watching = stage.load(lab, "timeline", "--count", str(SERVICES))
    lab.wait_for(lambda: "ready" in watching.log(), what="the watch of the time line")
    known = len(lab.controller.log())
    begin, before = time.monotonic(), server_cpu_s(lab)
    lab.controller.start()
    told = stage.answer(watching)
    found = {
        "start_s": told["last"] - begin,
        "start_first_s": told["first"] - begin,
        "start_client_cpu_ms": 1000 * stage.cpu_s(lab.controller) / SERVICES,
        "start_server_cpu_ms": 1000 * (server_cpu_s(lab) - before) / SERVICES,
        "start_patches_per_s": (SERVICES - 1) / (told["last"] - told["first"]),
    }
    filled = caches_filled(lab.controller.log()[known:], time.time() - time.monotonic())
    if filled is not None:
        found["start_filled_s"] = told["last"] - filled
        found["start_patches_per_s"] = SERVICES / (told["last"] - filled)
    return found


def caches_filled(log: str, offset_s: float) -> float | None:
    """Return when the controller said its caches are filled, on the monotonic clock."""
    for line in log.splitlines():
        if '"controller.caches_filled"' in line:
            moment = dt.datetime.fromisoformat(json.loads(line)["ts"])
            return moment.timestamp() - offset_s
    return None


def _announce_all(lab: LightLab) -> Figures:
    """Give every service an endpoint and wait until all are announced."""
    begin = time.monotonic()
    before = {speaker.pid: stage.cpu_s(speaker) for speaker in stage.speakers(lab)}
    stage.answer(stage.load(lab, "create", "--slices", "--count", str(SERVICES)))
    created = time.monotonic()
    lab.wait_for(lambda: _announced(lab) >= SERVICES, timeout_s=180, interval_s=0.5)
    used = [stage.cpu_s(speaker) - before[speaker.pid] for speaker in stage.speakers(lab)]
    return {
        "announce_all_s": time.monotonic() - begin,
        "announce_slices_s": created - begin,
        "announce_speaker_cpu_s": max(used),
    }


def _announced(lab: LightLab) -> int:
    try:
        return len(lab.api.get(f"{_L2_STATUSES}?resourceVersion=0")["items"])
    except ApiError:
        return 0


def _memory(lab: LightLab, when: str) -> Figures:
    time.sleep(_SETTLE_S)
    found = {f"controller_{when}_mib": stage.pss_mib(lab.controller)}
    found[f"speaker_{when}_mib"] = max(map(stage.pss_mib, stage.speakers(lab)))
    for parts in map(stage.speaker_parts_mib, stage.speakers(lab)):
        for part, size in parts.items():
            key = f"{part}_{when}_mib"
            found[key] = max(size, found.get(key, 0.0))
    return found


def wire(pair: Pair) -> Figures:
    """Measure what a host on the LAN sees of one service behind a speaker."""
    with stage.start(pair, proxy_mode="nftables") as lab:
        stage.configure(lab, LAN_POOL)
        address = _web(lab)
        return _arp(lab, address) | _times_of_answers(lab, address)


def _web(lab: LightLab) -> str:
    for i, node in enumerate(lab.nodes, 1):
        lab.web(f"w{i}", node)
    ports = [
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "echo", "port": 81, "protocol": "UDP", "targetPort": 8080},
    ]
    spec = {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": ports}
    path = "/api/v1/namespaces/default/services"
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    lab.api.post(path, body)

    def served() -> str:
        ingress = lab.api.get(f"{path}/web")["status"]["loadBalancer"].get("ingress")
        return str(ingress[0]["ip"]) if ingress else ""

    address = lab.wait_for(served, timeout_s=30, what="an address for the web service")
    stage.settled_owner(lab, address)
    lab.wait_for(lambda: lab.client.udp_ask(address, 81, b"1 ?"), timeout_s=30, what="an echo")
    return address


def _arp(lab: LightLab, address: str) -> Figures:
    speaker = lab.speaker(stage.settled_owner(lab, address))
    found = {"idle_cpu_percent": _cpu_percent(_speaker_cpu(speaker), lambda: time.sleep(LOAD_S))}

    def ask(what: str, rate: int, seconds: float) -> Callable[[], Mapping[str, float]]:
        words = (what, "--rate", str(rate), "--seconds", str(seconds))
        return lambda: stage.answer(stage.helper(lab, "client", "flood", *words))

    asked: list[Mapping[str, float]] = []
    cpu = _speaker_cpu(speaker)
    run = ask(FOREIGN, ASKED_PER_S, LOAD_S)
    found["foreign_cpu_percent"] = _cpu_percent(cpu, lambda: asked.append(run()))
    run = ask(address, ASKED_PER_S, LOAD_S)
    found["answers_cpu_percent"] = _cpu_percent(cpu, lambda: asked.append(run()))
    asked.append(ask(address, WITHOUT_PAUSE_PER_S, LOAD_S / 2)())
    foreign, paced, full = asked
    extra = found["foreign_cpu_percent"] - found["idle_cpu_percent"]
    found["foreign_extra_cpu_percent"] = max(0.0, extra)
    found["foreign_sent_per_s"] = foreign["sent_per_s"]
    found["asked_per_s"], found["answers_per_s"] = paced["sent_per_s"], paced["answers_per_s"]
    found["asked_max_per_s"] = full["sent_per_s"]
    found["answers_max_per_s"] = full["answers_per_s"]
    found["answered_percent"] = 100 * paced["answers_per_s"] / paced["sent_per_s"]
    found["answers_best_per_s"] = max(paced["answers_per_s"], full["answers_per_s"])
    return found


def _times_of_answers(lab: LightLab, address: str) -> Figures:
    """Measure how long an answer takes, on an idle machine and on one that has no time."""
    words = (address, "--seconds", str(LOAD_S))

    def ask() -> Mapping[str, float]:
        helper = stage.helper(lab, "client", "latency", *words, urgent=True)
        told: Mapping[str, float] = stage.answer(helper)
        return told

    found: Figures = {}
    stage.settled_owner(lab, address)
    told = {"idle": ask()}
    with hogs.hogs(lab.site, HOGS, 3 * LOAD_S):
        time.sleep(1.0)
        told["hogs"] = ask()
    for when, figures in told.items():
        found[f"answer_{when}_lost"] = figures["asked"] - figures["answered"]
        found |= {f"answer_{when}_{k}": v for k, v in figures.items() if k.endswith("_ms")}
    return found


def _speaker_cpu(speaker: Process) -> Callable[[], float]:
    """Return a clock of the CPU time a speaker has used."""
    return lambda: stage.cpu_s(speaker)


def _cpu_percent(clock: Callable[[], float], action: Callable[[], object]) -> float:
    begin, before = time.monotonic(), clock()
    action()
    return 100 * (clock() - before) / (time.monotonic() - begin)
