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


@pytest.mark.parametrize("opened", ["bfd"], indirect=True)
def test_a_cut_with_bfd_costs_its_detection_time(trial: tuple[str, RoutedStage]) -> None:
    """With 3 x 50 ms the flows of a node that is cut off are elsewhere within 300 ms."""
    for told in perform(trial, "cut"):
        assert told.lost > 0, "the node that was cut off had no flows"
        assert told.outage_s <= BFD_LOSS_S


@pytest.mark.parametrize("opened", ["hold"], indirect=True)
def test_a_cut_without_bfd_costs_the_hold_time(trial: tuple[str, RoutedStage]) -> None:
    """The router waits for the hold time, and no longer."""
    for told in perform(trial, "cut"):
        assert told.outage_s <= HOLD_S + SLACK_S


@pytest.mark.parametrize(
    ("opened", "name"),
    [("bfd", "drain"), ("bfd", "stop"), ("bfd", "roll"), ("hold", "stop"), ("hold", "roll")],
    indirect=["opened"],
)
def test_what_is_planned_loses_nothing(trial: tuple[str, RoutedStage], name: str) -> None:
    """A node that is drained, a speaker that ends, and all of them one after the other."""
    for told in perform(trial, name):
        assert told.lost == 0


@pytest.mark.parametrize("opened", ["bfd", "hold"], indirect=True)
@pytest.mark.parametrize("name", ["brain", "outage"])
def test_sessions_outlive_brain_and_api_server(trial: tuple[str, RoutedStage], name: str) -> None:
    """Neither is noticed by the router."""
    for told in perform(trial, name):
        assert (told.lost, told.sessions_dropped) == (0, 0)


@pytest.mark.rule("bgp-native-2.11.traffic")
@pytest.mark.parametrize("opened", ["graceful"], indirect=True)
@pytest.mark.parametrize("name", ["crash", "restart", "roll"])
def test_a_graceful_restart_loses_nothing(trial: tuple[str, RoutedStage], name: str) -> None:
    """A killed speaker, and even all of them at once: the router keeps their routes."""
    for told in perform(trial, name):
        assert told.lost == 0


@pytest.mark.rule("bgp-native-2.11.traffic")
@pytest.mark.parametrize("opened", ["hold"], indirect=True)
def test_without_graceful_restart_routes_go_with_the_speakers(
    trial: tuple[str, RoutedStage],
) -> None:
    """When all speakers end at once the router has no route left, and loses what is sent."""
    for told in perform(trial, "restart"):
        assert told.lost > 0
        assert told.sessions_dropped == len(trial[1].nodes)
