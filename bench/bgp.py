"""From a service to a router: how long it takes, and in how many messages.

A light lab of three nodes whose router runs FRR.  Each service has an endpoint, so every node
announces it.  Moments are taken on the router's side: an UPDATE when its frame arrives, a route
when the router's kernel has it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from bench import stage
from bench.figures import percentile
from bench.load import SERVICES, endpoint_slice, service
from lab import progress
from lab.failover.tail import Tail
from lab.router import RouterOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.stage import Pair
    from lab.light import LightLab

SCENARIO: Final = "bgp"
ONE_BY_ONE: Final = 60
AT_ONCE: Final = 500
EQUAL: Final = 100
POOL: Final = "10.85.0.0/22"
ROUTER_ASN: Final = 64501
NODE_ASN: Final = 64500
_SLICES: Final = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
_V1: Final = f"/apis/metallb.io/v1beta1/namespaces/{stage.NAMESPACE}"
_V2: Final = f"/apis/metallb.io/v1beta2/namespaces/{stage.NAMESPACE}"
_PAUSE_S: Final = 0.1
_WAIT_S: Final = 60.0

Figures = dict[str, float]
Line = dict[str, Any]


def measure(pair: Pair) -> Figures:
    """Measure one pair of programs."""
    found: Figures = {}
    with stage.start(pair, env={"METALLB_BGP_TYPE": "native"}) as lab:
        lab.bgp.start(RouterOptions(asn=ROUTER_ASN, node_asn=NODE_ASN))
        _configure(lab)
        wanted = sorted(lab.nodes)
        lab.wait_for(lambda: lab.bgp.established() == wanted, timeout_s=30, what="sessions")
        helper = stage.helper(lab, "router", "bgp_watch", urgent=True)
        tail = Tail(helper.log_path)
        _until(lambda: any("ready" in line for line in _all(tail)), "the watcher")
        with progress.step(f"bgp, {pair.name}: {ONE_BY_ONE} services one by one"):
            found |= _one_by_one(lab, tail)
        with progress.step(f"bgp, {pair.name}: {AT_ONCE} services at once"):
            found |= _at_once(lab, tail)
        with progress.step(f"bgp, {pair.name}: {EQUAL} equal routes on new sessions"):
            found |= _equal(lab, tail)
        helper.kill()
    return found


def _configure(lab: LightLab) -> None:
    stage.create_pool(lab, "bench", POOL)
    peer = {
        "apiVersion": "metallb.io/v1beta2",
        "kind": "BGPPeer",
        "metadata": {"name": "router"},
        "spec": {"myASN": NODE_ASN, "peerASN": ROUTER_ASN, "peerAddress": lab.router.ipv4},
    }
    lab.api.post(f"{_V2}/bgppeers", peer)
    head = {"apiVersion": "metallb.io/v1beta1", "metadata": {"name": "bench"}}
    lab.api.post(f"{_V1}/bgpadvertisements", {**head, "kind": "BGPAdvertisement", "spec": {}})


def _one_by_one(lab: LightLab, tail: Tail) -> Figures:
    """Create services one after the other and follow each to the router."""
    waits: dict[str, list[float]] = {}
    for i in range(ONE_BY_ONE):
        for what, seconds in _one(lab, tail, f"one-{i:03d}").items():
            waits.setdefault(what, []).append(seconds * 1000)
        tail.forget(time.monotonic())
        time.sleep(_PAUSE_S)
    return {
        f"bgp_{what}_{word}_ms": percentile(times, share)
        for what, times in waits.items()
        for word, share in (("p50", 0.5), ("p99", 0.99))
    }


def _one(lab: LightLab, tail: Tail, name: str) -> Figures:
    """Create a service and delete it; return how long the router took to know each."""
    lab.api.post(_SLICES, endpoint_slice(name))
    begin = time.monotonic()
    lab.api.post(SERVICES, service(name))
    _until(lambda: stage.address(lab, name), "an address")
    prefix = f"{stage.address(lab, name)}/32"
    seen = _follow(tail, prefix, begin, nodes=len(lab.nodes))
    found = {what: moment - begin for what, moment in seen.items()}
    begin = time.monotonic()
    lab.api.delete(f"{SERVICES}/{name}")
    gone = _await_line(tail, lambda line: line.get("route") == prefix and line["is_gone"], begin)
    lab.api.delete(f"{_SLICES}/{name}")
    return found | {"gone": gone["t"] - begin}


def _follow(tail: Tail, prefix: str, since: float, *, nodes: int) -> dict[str, float]:
    """Return when the first and the last node's UPDATE came, and when the kernel had the route."""
    table = _await_line(
        tail, lambda line: line.get("route") == prefix and not line["is_gone"], since
    )

    def senders() -> dict[str, float]:
        found: dict[str, float] = {}
        for line in _all(tail):
            if prefix in line.get("announced", ()) and line["t"] >= since:
                found.setdefault(line["from"], line["t"])
        return found

    _until(lambda: len(senders()) == nodes, f"UPDATE of all nodes for {prefix}")
    moments = sorted(senders().values())
    return {"update": moments[0], "update_all": moments[-1], "table": table["t"]}


def _at_once(lab: LightLab, tail: Tail) -> Figures:
    """Create many services as fast as the API server takes them."""
    words = ("--count", str(AT_ONCE), "--prefix", "many-")
    stage.answer(stage.load(lab, "create", "--slices", *words))
    cpu = {speaker.pid: stage.cpu_s(speaker) for speaker in stage.speakers(lab)}
    begin = time.monotonic()
    creating = stage.load(lab, "create", *words)
    routes: dict[str, float] = {}

    def has_all() -> bool:
        for line in _all(tail):
            if "route" in line and not line["is_gone"] and line["t"] >= begin:
                routes.setdefault(line["route"], line["t"])
        return len(routes) >= AT_ONCE

    _until(has_all, f"{AT_ONCE} routes", 120.0)
    told = stage.answer(creating)
    time.sleep(1.0)
    per_node = _updates(_all(tail), begin)
    used = [stage.cpu_s(speaker) - cpu[speaker.pid] for speaker in stage.speakers(lab)]
    return {
        "bgp_many_s": max(routes.values()) - begin,
        "bgp_many_create_s": told["seconds"],
        "bgp_many_behind_s": max(0.0, max(routes.values()) - told["end"]),
        "bgp_many_updates": float(max(per_node.values())),
        "bgp_many_speaker_cpu_s": max(used),
    }


def _equal(lab: LightLab, tail: Tail) -> Figures:
    """Leave some services and let every session begin anew; count the UPDATEs of the table."""
    for i in range(EQUAL, AT_ONCE):
        lab.api.delete(f"{SERVICES}/many-{i:04d}")
    _until(lambda: lab.bgp.routes() == EQUAL, f"{EQUAL} routes left", 90.0)
    time.sleep(1.0)
    tail.forget(time.monotonic())
    begin = time.monotonic()
    lab.bgp.vtysh("clear bgp *")
    wanted = sorted(lab.nodes)
    _until(lambda: lab.bgp.established() == wanted and lab.bgp.routes() == EQUAL, "routes again")
    time.sleep(1.0)
    per_node = _updates(_all(tail), begin)
    return {"bgp_equal_updates": float(max(per_node.values()))}


def _updates(lines: Iterable[Line], since: float) -> dict[str, int]:
    """Count the UPDATE messages with new prefixes, by sender."""
    counts: dict[str, int] = {}
    for line in lines:
        if line.get("announced") and line["t"] >= since:
            counts[line["from"]] = counts.get(line["from"], 0) + 1
    return counts or {"": 0}


def _all(tail: Tail) -> list[Line]:
    return tail.lines()


def _await_line(tail: Tail, wanted: Callable[[Line], bool], since: float) -> Line:
    found: list[Line] = []

    def has_it() -> bool:
        found.extend(line for line in _all(tail) if line.get("t", 0.0) >= since and wanted(line))
        return bool(found)

    _until(has_it, "a line of the watcher")
    return found[0]


def _until(condition: Callable[[], object], what: str, timeout_s: float = _WAIT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.01)
