"""What an announcer costs and how quick it is, on two network namespaces and a bridge.

`measure()` returns the figures by name; as a program it prints them as JSON. Needs root.
Figures: answers per second when asked without pause, CPU share under foreign requests, memory, and
the gap when the answering node is cut off.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mercurylb.plan.desired import DesiredState
from tests.lab.wire_lab import Announcer, Asker, Lan, service, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

ADDRESS = "10.77.0.100"
FOREIGN = "10.77.0.200"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
BURST = 50


def cpu_s(pid: int) -> float:
    """Return the CPU time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def pss_kib(pid: int) -> int:
    """Return the proportional memory of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def flood(asker: Asker, address: str, *, rate: float, seconds: float) -> int:
    """Ask from another process at a rate; return how many requests were sent."""
    frame = asker.request(address)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        started, sent = time.monotonic(), 0
        send = asker.sock.send
        while (passed := time.monotonic() - started) < seconds:
            if sent > passed * rate:
                time.sleep(0.0005)
                continue
            for _ in range(BURST):
                try:
                    send(frame)
                    sent += 1
                except BlockingIOError:
                    break
        os.write(writing, str(sent).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    sent = int(os.read(reading, 32))
    os.close(reading)
    os.close(writing)
    return sent


def answered(announcer: Announcer) -> int:
    """Return how many requests were answered so far, after the counters had time to arrive."""
    time.sleep(2.2)
    return sum(c.responses_sent for c in announcer.observation.counters)


def cut_gaps(lan: Lan, asker: Asker, count: int, settle: Callable[[], None]) -> list[float]:
    """Cut the owner off several times; return the seconds until the other one answers."""
    owner, other = lan.hosts["n1"], lan.hosts["n2"]
    gaps = []
    for _ in range(count):
        settle()
        owner.cut()
        gaps.append(wait_until(lambda: asker.who(ADDRESS, 0.01) == {other.mac}, "taken over", 5.0))
        owner.heal()
        wait_until(lambda: asker.who(ADDRESS, 0.05) == {owner.mac}, "healed", 10.0)
    return gaps


def measure(*, seconds: float = 5.0, cuts: int = 5) -> dict[str, float]:
    """Run everything once and return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        lan = Lan(Path(folder))
        try:
            return _measure(lan, seconds=seconds, cuts=cuts)
        finally:
            lan.close()


def _measure(lan: Lan, *, seconds: float, cuts: int) -> dict[str, float]:
    nodes = [lan.host("n1"), lan.host("n2")]
    asker = Asker(lan.host("client"))
    started = time.monotonic()
    announcers = [lan.announcer(node) for node in nodes]
    for announcer in announcers:
        members = lan.members(without=announcer.host.name)
        wanted = (service(ADDRESS, "fd77::100", ranking=("n1", "n2")),)
        announcer.want(DesiredState(1, members, wanted))
    first = announcers[0]

    def settle() -> None:
        wait_until(lambda: first.owned == ("default/web",), "owned")
        wait_until(lambda: not announcers[1].owned, "one owner")

    settle()
    figures: dict[str, float] = {"start_s": time.monotonic() - started}
    pid = first.process.pid
    before, idle = cpu_s(pid), 4.0
    time.sleep(idle)
    figures["idle_cpu_percent"] = 100 * (cpu_s(pid) - before) / idle
    before = cpu_s(pid)
    sent = flood(asker, FOREIGN, rate=20_000, seconds=seconds)
    figures["foreign_requests_per_s"] = sent / seconds
    figures["foreign_cpu_percent"] = 100 * (cpu_s(pid) - before) / seconds
    count, before = answered(first), cpu_s(pid)
    sent = flood(asker, ADDRESS, rate=60_000, seconds=seconds)
    figures["requests_per_s"] = sent / seconds
    figures["answers_cpu_percent"] = 100 * (cpu_s(pid) - before) / seconds
    figures["answers_per_s"] = (answered(first) - count) / seconds
    figures["announcer_pss_mib"] = pss_kib(pid) / 1024
    figures["loop_lag_max_s"] = first.observation.loop_lag_s
    gaps = cut_gaps(lan, asker, cuts, settle)
    figures["cut_gap_median_s"], figures["cut_gap_max_s"] = statistics.median(gaps), max(gaps)
    asker.close()
    return {name: round(value, 3) for name, value in figures.items()}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
