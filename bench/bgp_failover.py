"""What flows through a router lose: the trials of `lab.failover.routed`, some rounds each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from bench import stage
from bench.figures import percentile
from lab import paths, progress
from lab.errors import LabError
from lab.failover.routed import ECHO_PORT, RoutedStage
from lab.router import RouterOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.failover.routed import Told
    from lab.light import LightLab

SCENARIO: Final = "bgp-failover"
ROUNDS_MAX: Final = 10
ADDRESS: Final = "198.51.100.1"
NODE_ASN: Final = 64500
ROUTER_ASN: Final = 64501
HOLD_S: Final = 3
KINDS: Final[Mapping[str, tuple[Mapping[str, Any], Sequence[str]]]] = {
    "bfd": ({"bfdProfile": "fast"}, ("cut", "drain", "stop", "roll", "brain", "outage")),
    "hold": ({"holdTime": f"{HOLD_S}s", "keepaliveTime": "1s"}, ("cut",)),
    "graceful": ({"enableGracefulRestart": True}, ("restart", "crash")),
}
_V1: Final = f"/apis/metallb.io/v1beta1/namespaces/{stage.NAMESPACE}"
_V2: Final = f"/apis/metallb.io/v1beta2/namespaces/{stage.NAMESPACE}"
_SERVICES: Final = "/api/v1/namespaces/default/services"


def measure(rounds: int) -> dict[str, float]:
    """Perform the trials with each kind of session; every round is a line of a file as well."""
    found: dict[str, float] = {}
    told = paths.REPOSITORY / "build" / "bgp-failover.jsonl"
    told.parent.mkdir(parents=True, exist_ok=True)
    told.write_text("")
    with stage.start(stage.Pair("ours"), proxy_mode="nftables") as lab:
        _serve(lab)
        for kind, (spec, names) in KINDS.items():
            _peer(lab, kind, spec)
            with RoutedStage(lab, ADDRESS) as trial:
                for name in names:
                    made = _trial(trial, kind, name, rounds)
                    trial.recover()
                    found |= summarise(f"bgp_{kind}_{name}", made)
                    with told.open("a") as out:
                        out.writelines(
                            json.dumps({"sessions": kind, **t.line()}) + "\n" for t in made
                        )
            lab.api.delete(f"{_V2}/bgppeers/router")
    found["bgp_failed"] = sum(value for key, value in found.items() if key.endswith("_failed"))
    return found


def _trial(trial: RoutedStage, kind: str, name: str, rounds: int) -> list[Told]:
    with progress.step(f"{kind}: {name}, {rounds} rounds"):
        try:
            return [trial.perform(name) for _ in range(rounds)]
        except LabError as failed:
            progress.say(f"{kind}: {name} was not got through: {failed}")
            trial.recover()
            return []


def summarise(key: str, rounds: Sequence[Told]) -> dict[str, float]:
    """Return the figures of one trial's rounds; one that was not got through has a single one."""
    if not rounds:
        return {f"{key}_failed": 1.0}
    outages = [told.outage_s for told in rounds]
    return {
        f"{key}_rounds": float(len(rounds)),
        f"{key}_outage_p50_s": percentile(outages, 0.5),
        f"{key}_outage_max_s": max(outages),
        f"{key}_lost": float(sum(told.lost for told in rounds)),
        f"{key}_dropped": float(sum(told.sessions_dropped for told in rounds)),
    }


def _peer(lab: LightLab, kind: str, spec: Mapping[str, Any]) -> None:
    """Let the router speak as this kind of session needs it."""
    lab.bgp.start(RouterOptions(asn=ROUTER_ASN, node_asn=NODE_ASN, has_bfd=kind == "bfd"))
    own = {"myASN": NODE_ASN, "peerASN": ROUTER_ASN, "peerAddress": lab.router.ipv4}
    head = {"apiVersion": "metallb.io/v1beta2", "metadata": {"name": "router"}}
    body = {**head, "kind": "BGPPeer", "spec": {**own, **spec}}
    lab.api.post(f"{_V2}/bgppeers", body)


def _serve(lab: LightLab) -> None:
    """Create the service under test, with a pod on each node."""
    head = {"apiVersion": "metallb.io/v1beta1", "metadata": {"name": "fast"}}
    bfd = {"receiveInterval": 50, "transmitInterval": 50, "detectMultiplier": 3}
    lab.api.post(f"{_V1}/bfdprofiles", {**head, "kind": "BFDProfile", "spec": bfd})
    stage.create_pool(lab, "bench", f"{ADDRESS}/32")
    head = {"apiVersion": "metallb.io/v1beta1", "metadata": {"name": "bench"}}
    lab.api.post(f"{_V1}/bgpadvertisements", {**head, "kind": "BGPAdvertisement", "spec": {}})
    ports = [
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "echo", "port": ECHO_PORT, "protocol": "UDP", "targetPort": 8080},
    ]
    spec = {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "selector": {"app": "routed"},
        "ports": ports,
    }
    head = {"apiVersion": "v1", "metadata": {"name": "routed"}}
    lab.api.post(_SERVICES, {**head, "kind": "Service", "spec": spec})
    for node in lab.nodes:
        lab.web(f"routed-{node}", node, labels={"app": "routed"}, urgent=True)
