"""Failover as figures: every scenario of `lab.failover`, many rounds each, on one light lab.

One service with an address of each family; its pods run on the second and the third node of the
ranking, so that an address's move is all that is measured.  A scenario that a pair of programs does
not get through in time is told on standard error and has no figures.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from bench import stage
from bench.figures import percentile
from lab import progress
from lab.errors import LabError
from lab.failover import SCENARIOS, Figures, Stage
from lab.failover.stage import ECHO_PORT, HTTP_PORT, Settings, ranking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bench.stage import Pair
    from lab.light import LightLab

SCENARIO: Final = "failover"
ROUNDS: Final = 20
ORIGINAL_ROUNDS: Final = 3
POOL: Final = ("192.168.111.20/32", "fd00:111::5:20/128")
_SERVICES: Final = "/api/v1/namespaces/default/services"
_ORIGINAL: Final = Settings(quiet_s=2.5)


def failover(
    pair: Pair,
    faults: Sequence[str],
    rounds: int,
    *,
    settings: Settings | None = None,
    record: Callable[[str, Mapping[str, Any]], None] = lambda _name, _told: None,
) -> dict[str, float]:
    """Perform the scenarios with a pair of programs; return the figures by name.

    Every single round goes to ``record`` as well.
    """
    found: dict[str, float] = {}
    with stage.start(pair, proxy_mode="nftables") as lab:
        stage.configure(lab, *POOL)
        addresses = serve(lab)
        with Stage(lab, addresses, settings) as trial:
            for name in faults:
                if SCENARIOS[name].needs_parts and not trial.control.parts(trial.first).brains:
                    continue
                found |= _scenario(trial, name, rounds, record)
    return found


def settings_of(pair: Pair, hogs_s: float) -> Settings:
    """Return how long the long parts last; a slower pair is given longer to settle."""
    quiet_s = Settings().quiet_s if pair.name == "ours" else _ORIGINAL.quiet_s
    return Settings(quiet_s=quiet_s, hogs_s=hogs_s)


def _scenario(
    trial: Stage, name: str, rounds: int, record: Callable[[str, Mapping[str, Any]], None]
) -> dict[str, float]:
    scenario, begin = SCENARIOS[name], time.monotonic()
    try:
        made = trial.run(scenario, rounds)
    except LabError as failed:
        print(f"bench: failover {name}: {failed}", file=sys.stderr)
        trial.recover()
        return {f"failover_{name}_failed": 1.0}
    found = summarise(name, made)
    for one in made:
        record(name, asdict(one))
    progress.say(f"failover {name}: {len(made)} rounds in {time.monotonic() - begin:.0f} s")
    return found


def summarise(name: str, rounds: Sequence[Figures]) -> dict[str, float]:
    """Return median, 95th percentile and maximum of each gap, and sums of what must not happen."""
    found: dict[str, float] = {f"failover_{name}_rounds": float(len(rounds))}

    def spread(what: str, values: Iterable[float | None]) -> None:
        known = [value for value in values if value is not None]
        if known:
            for word, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
                found[f"failover_{name}_{what}_{word}_s"] = percentile(known, share)

    spread("wire", (one.wire_gap_s for one in rounds))
    spread("udp", (one.udp_gap_s for one in rounds))
    spread("tcp", (one.tcp_gap_s for one in rounds))
    spread("back", (one.back_gap_s for one in rounds))
    spread("two", (one.two_owners_s for one in rounds))
    spread("two_after", (one.two_owners_after_s for one in rounds))
    found[f"failover_{name}_false"] = float(sum(one.false_takeovers for one in rounds))
    lost = [one.lost for one in rounds if one.lost is not None]
    if lost:
        found[f"failover_{name}_lost"] = float(sum(lost))
    return found


def serve(lab: LightLab) -> tuple[str, ...]:
    """Create the service under test with pods that survive the faults; return its addresses."""
    ports = [
        {"name": "http", "port": HTTP_PORT, "targetPort": 8080},
        {"name": "echo", "port": ECHO_PORT, "protocol": "UDP", "targetPort": 8080},
    ]
    spec = {
        "type": "LoadBalancer",
        "selector": {"app": "failover"},
        "ipFamilyPolicy": "RequireDualStack",
        "ipFamilies": ["IPv4", "IPv6"],
        "ports": ports,
    }
    head = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "failover"}}
    lab.api.post(_SERVICES, {**head, "spec": spec})
    addresses = lab.wait_for(lambda: _addresses(lab), timeout_s=30, what="two addresses")
    for node in ranking(addresses[0], lab.nodes)[1:]:
        lab.web(f"failover-{node}", node, labels={"app": "failover"}, urgent=True)
    for address in addresses:
        stage.settled_owner(lab, address)
        _await_echo(lab, address)
    return addresses


def _await_echo(lab: LightLab, address: str) -> None:
    def ask() -> bytes:
        return lab.client.udp_ask(address, ECHO_PORT, b"1 ?")

    lab.wait_for(ask, timeout_s=30, what=f"an echo from {address}")


def _addresses(lab: LightLab) -> tuple[str, ...]:
    ingress = lab.api.get(f"{_SERVICES}/failover")["status"]["loadBalancer"].get("ingress") or []
    return tuple(entry["ip"] for entry in ingress) if len(ingress) == len(POOL) else ()
