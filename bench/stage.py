"""Labs as the scenarios need them: a pair of programs, a pool, helpers, and who answers."""

from __future__ import annotations

import itertools
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.load import SERVICES, address_of, service
from lab import Lab, binaries, controlplane
from lab.errors import WaitTimeout
from lab.light import OWN
from lab.observe.neighbour import Asker
from lab.observe.watch import urgent_argv
from lab.process import pss_bytes, read_stat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.light import LightLab
    from lab.process import Process, ProcStat

NAMESPACE: Final = "metallb"
_GROUP: Final = f"/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}"
_NUMBERS: Final = itertools.count(1)
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Pair:
    """A controller and a speaker, by path or as ``own``."""

    name: str
    controller: str = OWN
    speaker: str = OWN


def start(  # noqa: PLR0913  (what a lab of the bench can be)
    pair: Pair,
    *,
    nodes: int = 3,
    proxy_mode: str = "none",
    has_speaker: bool = True,
    apiserver_args: tuple[str, ...] = (),
    env: Mapping[str, str] | None = None,
) -> LightLab:
    """Bring a lab up with the pair in it."""
    return Lab.light(
        name=f"bench{os.getpid()}x{next(_NUMBERS)}",
        nodes=nodes,
        controller=pair.controller,
        speaker=pair.speaker if has_speaker else "",
        apiserver_args=apiserver_args,
        proxy_mode=proxy_mode,
        env=dict(env or {}),
        # Others may ask for more than our chart gives.
        limited_rights=pair.speaker == OWN,
    )


def configure(lab: LightLab, *addresses: str) -> None:
    """Create a pool named ``bench`` and have it announced on layer 2."""
    create_pool(lab, "bench", *addresses)
    head = {"apiVersion": "metallb.io/v1beta1", "metadata": {"name": "bench"}}
    advertisement = {**head, "kind": "L2Advertisement", "spec": {"ipAddressPools": ["bench"]}}
    lab.api.post(f"{_GROUP}/l2advertisements", advertisement)


def create_pool(lab: LightLab, name: str, *addresses: str) -> None:
    """Create a pool."""
    head = {"apiVersion": "metallb.io/v1beta1", "metadata": {"name": name}}
    pool = {**head, "kind": "IPAddressPool", "spec": {"addresses": list(addresses)}}
    lab.api.post(f"{_GROUP}/ipaddresspools", pool)


def set_pool(lab: LightLab, name: str, *addresses: str) -> None:
    """Give a pool other addresses."""
    lab.api.merge(f"{_GROUP}/ipaddresspools/{name}", {"spec": {"addresses": list(addresses)}})


def pool_status(lab: LightLab, name: str) -> Mapping[str, int]:
    """Return a pool's counters."""
    told: Mapping[str, int] = lab.api.get(f"{_GROUP}/ipaddresspools/{name}").get("status", {})
    return told


def create_service(lab: LightLab, name: str) -> None:
    """Create a service that waits for an address."""
    lab.api.post(SERVICES, service(name))


def address(lab: LightLab, name: str) -> str:
    """Return a service's first address, or nothing."""
    return address_of(lab.api.get(f"{SERVICES}/{name}"))


def count_renewals(lab: LightLab, seconds: float) -> int:
    """Look for a while, and return how often a Lease beside the controller was renewed."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
    seen: set[str] = set()
    first: set[str] | None = None
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = {item["metadata"]["resourceVersion"] for item in lab.api.get(path)["items"]}
        first = found if first is None else first
        seen |= found
        time.sleep(min(1.0, max(0.0, end - time.monotonic())))
    return len(seen - (first or set()))


def helper(lab: LightLab, host: str, module: str, *words: str, urgent: bool = False) -> Process:
    """Start one of the bench's own helpers on a host of the lab, before others when urgent."""
    name = f"bench-{module}-{next(_NUMBERS)}"
    argv = binaries.helper_argv(f"bench.{module}", *words)
    argv = [*(urgent_argv() if urgent else ()), *argv]
    return lab.host(host).start(name, argv, env=binaries.helper_env())


def load(lab: LightLab, mode: str, *words: str, identity: str = "admin") -> Process:
    """Start the bare client of the API server on the control plane."""
    server, pki = controlplane.server_url(lab.site), str(controlplane.pki_dir(lab.site))
    return helper(
        lab,
        "cp",
        "load",
        *(mode, "--server", server, "--pki", pki, "--identity", identity),
        *words,
    )


def answer(process: Process, *, timeout_s: float = 200.0) -> Any:  # noqa: ANN401  (JSON)
    """Wait for a helper's end and return its last line."""
    if not process.wait(timeout_s):
        process.kill()
        raise WaitTimeout(f"{process.name}: not finished within {timeout_s:g} s")
    lines = process.log().splitlines()
    if not lines or not lines[-1].startswith("{"):
        raise WaitTimeout(f"{process.name} failed:\n{process.log()[-2000:]}")
    return json.loads(lines[-1])


def speakers(lab: LightLab) -> list[Process]:
    """List the speakers' processes."""
    return [lab.speaker(node) for node in lab.nodes]


def pss_mib(process: Process) -> float:
    """Return the memory of a process and all that it forked."""
    return sum(pss_bytes(stat.pid) for stat in process.family()) / MIB


def rss_mib(process: Process) -> float:
    """Return the resident memory of a process and all that it forked, shared pages twice."""
    return sum(stat.rss_bytes for stat in process.family()) / MIB


def peak_mib(process: Process) -> float:
    """Return the most resident memory the process alone ever had."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if "VmHWM" in line) / 1024


def _is_python(stat: ProcStat) -> bool:
    return "python" in Path(f"/proc/{stat.pid}/exe").readlink().name


def speaker_parts_mib(process: Process) -> dict[str, float]:
    """Return the memory of announcer (the first process) and brain (what it forked).

    A program of one process has no parts.
    """
    family = process.family()
    others = [stat for stat in family if stat.pid != process.pid]
    if not others or not all(_is_python(stat) for stat in family):
        return {}
    return {
        "announcer": pss_bytes(process.pid) / MIB,
        "brain": sum(pss_bytes(stat.pid) for stat in others) / MIB,
    }


def cpu_s(process: Process) -> float:
    """Return the CPU time of a process and all that it forked."""
    return sum(stat.cpu_s for stat in process.family())


def main_cpu_s(process: Process) -> float:
    """Return the CPU time of the process alone."""
    stat = read_stat(process.pid)
    return stat.cpu_s if stat else 0.0


def owners_now(lab: LightLab, address: str, *, within_s: float = 0.05) -> set[str]:
    """Ask once from the LAN client and return the hosts that answer."""
    with lab.client.inside():
        asker = Asker(address, "eth0")
    try:
        asker.ask()
        end, found = time.monotonic() + within_s, set()
        while time.monotonic() < end:
            lines = [line for line in asker.read() if line["kind"] == "answer"]
            found |= {lab.site.plan.host_of_mac(line["mac"]) for line in lines}
            time.sleep(0.002)
        return found
    finally:
        asker.socket.close()


def _samples(lab: LightLab, address: str, timeout_s: float) -> Iterator[tuple[float, set[str]]]:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        yield time.monotonic(), owners_now(lab, address)
        time.sleep(0.02)


def settled_owner(
    lab: LightLab, address: str, *, quiet_s: float = 3.0, timeout_s: float = 90.0
) -> str:
    """Wait until one and the same host alone has answered for a while; return it."""
    since, last = time.monotonic(), set[str]()
    for now, found in _samples(lab, address, timeout_s):
        if found != last or len(found) != 1:
            since, last = now, found
        elif now - since >= quiet_s:
            return next(iter(found))
    raise WaitTimeout(f"{address}: no single owner within {timeout_s:g} s; last {sorted(last)}")
