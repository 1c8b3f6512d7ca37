"""Every kind of fault on real programs: the address moves, or stays, and comes back.

One round each unless MERCURYLB_FAILOVER_ROUNDS asks for more.  What is held here is who answers,
and that nothing is lost where nothing may be; bounds of time only say that it happened at all.  The
figures are `python -m bench --only failover`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lab.failover import SCENARIOS, Stage
from lab.failover.stage import ECHO_PORT, HTTP_PORT, Settings
from tests.lab.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.failover import Figures
    from lab.light import LightLab

ROUNDS = int(os.environ.get("MERCURYLB_FAILOVER_ROUNDS", "1"))
pytestmark = [pytest.mark.lab, pytest.mark.timeout(120 + 30 * ROUNDS)]

SANE_S = 5.0
"""Nothing of ours takes so long, be the machine as busy as it may."""
SHORT = Settings(quiet_s=0.6, outage_s=3.0, hogs_s=6.0)
PORTS = [
    {"name": "http", "port": HTTP_PORT, "targetPort": 8080},
    {"name": "echo", "port": ECHO_PORT, "protocol": "UDP", "targetPort": 8080},
]


@pytest.fixture(scope="module")
def watched(light_lab: LightLab) -> Iterator[Stage]:
    """Announce a service with an address of each family, and watch it for all tests here."""
    scene = Scene(light_lab)
    scene.pool(f"{scene.ip4()}/32", f"{scene.ip6()}/128")
    scene.advertise()
    key = scene.service(
        selector={"app": scene.name},
        ipFamilyPolicy="RequireDualStack",
        ipFamilies=["IPv4", "IPv6"],
        ports=PORTS,
    )
    for node in scene.ranking(scene.ip4())[1:]:
        scene.web(node, scene.name, urgent=True)
    addresses = scene.wait_addresses(key)
    scene.wait_endpoints(key)
    with Stage(light_lab, addresses, SHORT) as stage:
        yield stage
    scene.close()


@pytest.fixture
def trial(watched: Stage) -> Iterator[Stage]:
    """Give the stage, and leave no fault and no dead speaker behind."""
    yield watched
    watched.recover()


def perform(trial: Stage, name: str) -> list[Figures]:
    """Perform a scenario; at the end of each round the first node alone answers, and is known."""
    rounds = trial.run(SCENARIOS[name], ROUNDS)
    for seen in rounds:
        assert seen.after == (trial.mac(trial.first),)
        assert seen.false_takeovers == 0
        assert seen.astray == 0, "the client's kernel was not told who owns the address"
        assert seen.two_owners_after_s < SANE_S
    return rounds


@pytest.mark.rule("layer2-10.death")
@pytest.mark.parametrize(
    "name", ["cut", "kill", "announcer", "freeze", "reboot", "mute", "flap", "outage"]
)
def test_another_node_takes_over_and_gives_back(trial: Stage, name: str) -> None:
    """The next node answers while the first cannot; once it can again it answers alone."""
    for seen in perform(trial, name):
        assert seen.wire_gap_s < SANE_S
        assert seen.two_owners_s < SANE_S


@pytest.mark.parametrize("name", ["brain", "oneway", "hogs"])
def test_nobody_takes_over_without_a_reason(trial: Stage, name: str) -> None:
    """A dead brain, a link lost one way and a machine without time move no address."""
    for seen in perform(trial, name):
        assert seen.two_owners_s == 0


@pytest.mark.rule("layer2-10.stop")
@pytest.mark.parametrize("name", ["stop", "roll"])
def test_nothing_is_lost_when_a_speaker_ends_as_planned(trial: Stage, name: str) -> None:
    """Of datagrams sent 1 000 times a second none is lost when speakers end and start."""
    for seen in perform(trial, name):
        assert seen.lost == 0


@pytest.mark.rule("layer2-10.partition")
def test_each_side_of_a_partition_has_an_owner_until_it_heals(trial: Stage) -> None:
    """Who reaches both sides hears two owners, and one after healing."""
    for seen in perform(trial, "partition"):
        assert seen.two_owners_s > 0
