"""How soon a new service is served again: after an API server's return, and by another leader.

One control plane, two controllers, no speaker.  A round of each trial creates a service at the
moment of the fault and waits for its address.  A second pair takes part in the first trial alone,
with one controller: which of two acts is its own affair.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Final

from bench import stage
from bench.figures import percentile
from lab.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.stage import Pair
    from lab.light import LightLab
    from lab.process import Process

Figures = dict[str, float]

SCENARIO: Final = "outage"
ROUNDS: Final = 10
AWAY_S: Final = 3.0
POOL: Final = "10.90.0.0/16"
STANDBY_S: Final = 30.0
ADDRESS_S: Final = 60.0
_LEASE: Final = (
    f"/apis/coordination.k8s.io/v1/namespaces/{stage.NAMESPACE}/leases/mercurylb-controller"
)
_POLL_S: Final = 0.01


def measure(pair: Pair) -> Figures:
    """Measure all trials with ours, and the API server's return with any pair."""
    with stage.start(pair, nodes=1, has_speaker=False) as lab:
        stage.create_pool(lab, "bench", POOL)
        names = (f"outage-{number}" for number in itertools.count())
        found = _told("outage_api", [_api_away(lab, next(names)) for _ in range(ROUNDS)])
        if pair.name == "ours":
            lab.add_controller(1)
            found |= _told("outage_stop", _successions(lab, names, lambda leader: leader.stop()))
            found |= _told("outage_kill", _successions(lab, names, lambda leader: leader.kill()))
    return found


def _told(key: str, seconds: list[float]) -> Figures:
    return {f"{key}_p50_s": percentile(seconds, 0.5), f"{key}_max_s": max(seconds)}


def _api_away(lab: LightLab, name: str) -> float:
    """Kill the API server; return how long a service waits once it can be created again."""
    server = lab.process("kube-apiserver")
    server.kill()
    time.sleep(AWAY_S)
    server.start()

    def is_taken() -> bool:
        try:
            stage.create_service(lab, name)
        except (ApiError, OSError):
            return False
        return True

    lab.wait_for(is_taken, timeout_s=ADDRESS_S, what="the API server takes a service")
    return _wait_s(lab, name)


def _successions(
    lab: LightLab, names: Iterator[str], end: Callable[[Process], None]
) -> list[float]:
    """End whoever leads, again and again; return how long a service of that moment waits."""
    found = []
    both = [lab.controller, lab.process("controller-1")]
    for _ in range(ROUNDS):
        leader = _await_pair(lab, both)
        name = next(names)
        end(leader)
        stage.create_service(lab, name)
        found.append(_wait_s(lab, name))
        leader.start()
    return found


def _await_pair(lab: LightLab, both: list[Process]) -> Process:
    """Wait until one leads and the other one stands by; return who leads."""

    def leader() -> list[Process]:
        holder = str(lab.api.get(_LEASE)["spec"].get("holderIdentity", "")).partition("_")[0]
        leading = both[int(holder[-1])] if holder else None
        waiting = [each for each in both if each is not leading]
        return [leading] if leading and all(map(_stands_by, waiting)) else []

    (leading,) = lab.wait_for(leader, timeout_s=STANDBY_S, what="a leader and a stand-by")
    return leading


def _stands_by(controller: Process) -> bool:
    """Tell whether a controller has filled its caches and waits for the lease, since its start."""
    said = controller.log()
    since = said[said.rfind('"controller.starting"') :]
    awaited, held = since.rfind('"kube.lease_awaited"'), since.rfind('"kube.lease_acquired"')
    return '"controller.caches_filled"' in since and awaited > held


def _wait_s(lab: LightLab, name: str) -> float:
    begin = time.monotonic()
    while not stage.address(lab, name):
        if time.monotonic() - begin > ADDRESS_S:
            return ADDRESS_S
        time.sleep(_POLL_S)
    return time.monotonic() - begin
