"""What a router's flows lose when nodes, speakers or the API server go, and come back.

Twelve flows send 1 000 datagrams a second in all.  What is held here is who must lose nothing, and
for how long at most others may; every figure is printed, and written as lines of JSON where
MERCURYLB_BGP_FIGURES names a file.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from lab.failover.routed import ECHO_PORT, RoutedStage
from lab.router import RouterOptions
from tests.lab.bgp_scene import NODE_ASN, ROUTER_ASN, BgpScene, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.failover.routed import Told
    from lab.light import LightLab

ROUNDS = int(os.environ.get("MERCURYLB_FAILOVER_ROUNDS", "1"))
pytestmark = [pytest.mark.lab, pytest.mark.timeout(240 + 60 * ROUNDS)]

BFD_LOSS_S = 0.3
HOLD_S = 3
SLACK_S = 1.0
"""For a router that is late with its timer."""
PORTS = [
    {"name": "http", "port": 80, "targetPort": 8080},
    {"name": "echo", "port": ECHO_PORT, "protocol": "UDP", "targetPort": 8080},
]
FAST: dict[str, Any] = {"keepaliveTime": "1s", "holdTime": f"{HOLD_S}s"}
KINDS: dict[str, dict[str, Any]] = {
    "bfd": {"bfdProfile": "fast"},
    "hold": FAST,
    "graceful": {"enableGracefulRestart": True},
}


def _open(lab: LightLab, kind: str) -> Iterator[RoutedStage]:
    lab.bgp.start(RouterOptions(asn=ROUTER_ASN, node_asn=NODE_ASN, has_bfd=kind == "bfd"))
    scene = BgpScene(lab)
    try:
        if kind == "bfd":
            scene.profile()
        scene.peer(**KINDS[kind])
        for node in lab.nodes:
            scene.web(node, scene.name, urgent=True)
        scene.stage(selector={"app": scene.name}, externalTrafficPolicy="Local", ports=PORTS)
        scene.wait_hops()
        with RoutedStage(lab, scene.far4) as stage:
            yield stage
    finally:
        lab.faults.heal()
        scene.close()
        lab.bgp.stop()


@pytest.fixture(scope="module")
def opened(
    request: pytest.FixtureRequest, light_lab: LightLab
) -> Iterator[tuple[str, RoutedStage]]:
    """Watch a service behind a router, with one kind of session after the other."""
    for stage in _open(light_lab, request.param):
        yield request.param, stage


@pytest.fixture
def trial(opened: tuple[str, RoutedStage]) -> Iterator[tuple[str, RoutedStage]]:
    """Give the stage, and leave no fault and no dead speaker behind."""
    yield opened
    opened[1].recover()


def perform(trial: tuple[str, RoutedStage], name: str) -> list[Told]:
    """Perform a trial, print and write down its figures."""
    kind, stage = trial
    found = []
    for _ in range(ROUNDS):
        told = stage.perform(name)
        found.append(told)
        tell({"sessions": kind, **told.line()})
    return found


NOTHING = pytest.mark.rule("bgp-native-2.11.traffic")
TRIALS = [
    pytest.param("bfd", "cut", BFD_LOSS_S, id="bfd-cut"),
    pytest.param("bfd", "drain", 0.0, id="bfd-drain"),
    pytest.param("bfd", "stop", 0.0, id="bfd-stop"),
    pytest.param("bfd", "roll", 0.0, id="bfd-roll"),
    pytest.param("bfd", "brain", 0.0, id="bfd-brain"),
    pytest.param("hold", "cut", HOLD_S + SLACK_S, id="hold-cut"),
    pytest.param("hold", "stop", 0.0, id="hold-stop"),
    pytest.param("hold", "roll", 0.0, id="hold-roll"),
    pytest.param("hold", "restart", None, id="hold-restart", marks=NOTHING),
    pytest.param("graceful", "crash", 0.0, id="graceful-crash", marks=NOTHING),
    pytest.param("graceful", "restart", 0.0, id="graceful-restart", marks=NOTHING),
    pytest.param("graceful", "roll", 0.0, id="graceful-roll", marks=NOTHING),
    pytest.param("graceful", "brain", 0.0, id="graceful-brain"),
    pytest.param("graceful", "outage", 0.0, id="graceful-outage"),
]
"""Kind of session, trial, and how long any flow may be out; None: it must be, as no route is left.

All trials of a kind follow one another: there is one stage for each.
"""


@pytest.mark.parametrize(("opened", "name", "outage_s"), TRIALS, indirect=["opened"])
def test_flows_lose_no_more_than_they_must(
    trial: tuple[str, RoutedStage], name: str, outage_s: float | None
) -> None:
    """A cut costs its detection, all at once without graceful restart a while, the rest nothing."""
    for told in perform(trial, name):
        if outage_s is None:
            assert told.lost > 0
            assert told.sessions_dropped == len(trial[1].nodes)
        elif outage_s == 0:
            assert told.lost == 0
        else:
            assert 0 < told.outage_s <= outage_s
        if name in {"brain", "outage", "drain"}:
            assert told.sessions_dropped == 0
