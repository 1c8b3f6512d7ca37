"""The controller is killed at random moments: no address held twice, none swapped, none leaked.

A round is a seeded stream of creates, deletes and edits with kills in between. More of it:
`MERCURYLB_KILL_ROUNDS`, `MERCURYLB_KILL_OPERATIONS` (per round) and `MERCURYLB_KILL_SEED`;
`MERCURYLB_KILL_CONTROLLER` names another program to be killed.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from lab import Lab
from lab.light import OWN
from lab.objects import PodPlan
from tests.lab.kill_run import Round, RoundReport
from tests.lab.kill_stream import HOME, NAMESPACES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.light import LightLab
    from lab.process import Process

ROUNDS = int(os.environ.get("MERCURYLB_KILL_ROUNDS", "20"))
OPERATIONS = int(os.environ.get("MERCURYLB_KILL_OPERATIONS", "250"))
SEED = int(os.environ.get("MERCURYLB_KILL_SEED", "1"))
STAND_BY_POD = "metallb-controller-1"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases/mercurylb-controller"

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(120 + ROUNDS * (30 + OPERATIONS // 10)),
]


@pytest.fixture(scope="module")
def kill_lab() -> Iterator[LightLab]:
    """Bring up a cluster with a controller and nothing else."""
    if os.geteuid() != 0:
        pytest.skip("a lab needs root: it makes network namespaces")
    name = f"k{os.environ.get('PYTEST_XDIST_WORKER', '')}{os.getpid()}"
    program = os.environ.get("MERCURYLB_KILL_CONTROLLER", OWN)
    with Lab.light(name=name, nodes=1, controller=program, speaker="", proxy_mode="none") as lab:
        for namespace in NAMESPACES[1:]:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            lab.api.post("/api/v1/namespaces", body)
        yield lab


@pytest.fixture
def stand_by(kill_lab: LightLab) -> Iterator[Process]:
    """Run a second replica on another host, as another pod."""
    lab, first = kill_lab, kill_lab.controller
    node = lab.site.plan.nodes[0]
    lab.pods.register(
        PodPlan(
            name=STAND_BY_POD,
            namespace=HOME,
            node=node.name,
            host_ip=node.ipv4,
            ips=(node.ipv4,),
            host_network=True,
        )
    )
    spec = first.record.spec
    env = {**(spec.env or {}), "METALLB_POD_NAME": STAND_BY_POD}
    process = lab.site.start("stand-by", node.name, list(spec.argv), env=env)
    yield process
    process.stop()


def test_a_killed_controller_holds_nothing_twice_swaps_nothing_and_leaks_nothing(
    kill_lab: LightLab,
) -> None:
    """Whatever moment it dies at, what services were given stays theirs and nobody else's."""
    reports = []
    for seed in range(SEED, SEED + ROUNDS):
        run = Round(kill_lab, seed=seed, operations=OPERATIONS, controllers=[kill_lab.controller])
        reports.append(_told(run.run()))
    _check(reports, kills_min=3 * ROUNDS)


def test_a_killed_leader_leaves_nothing_behind_for_its_stand_by(
    kill_lab: LightLab, stand_by: Process
) -> None:
    """The stand-by takes over what it finds, and the one that comes back does not interfere."""
    controllers = [kill_lab.controller, stand_by]

    def leader() -> Process:
        holder = kill_lab.api.get(LEASE)["spec"].get("holderIdentity", "")
        return controllers[holder.startswith(STAND_BY_POD)]

    rounds = max(1, ROUNDS // 10)
    reports = []
    for seed in range(SEED + 1000, SEED + 1000 + rounds):
        run = Round(
            kill_lab, seed=seed, operations=OPERATIONS, controllers=controllers, leader=leader
        )
        reports.append(_told(run.run()))
    _check(reports, kills_min=2 * rounds)


def _told(report: RoundReport) -> RoundReport:
    sys.stdout.write(f"{report}\n")
    return report


def _check(reports: list[RoundReport], *, kills_min: int) -> None:
    assert not [str(report) for report in reports if report.findings]
    assert sum(report.kills for report in reports) >= kills_min
    for what in ("given", "moved"):
        assert sum(report.counts.get(what, 0) for report in reports)
