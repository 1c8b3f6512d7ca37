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
from tests.lab.kill_run import NAMESPACES, Round, RoundReport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.light import LightLab

ROUNDS = int(os.environ.get("MERCURYLB_KILL_ROUNDS", "20"))
OPERATIONS = int(os.environ.get("MERCURYLB_KILL_OPERATIONS", "250"))
SEED = int(os.environ.get("MERCURYLB_KILL_SEED", "1"))

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


def test_a_killed_controller_holds_nothing_twice_swaps_nothing_and_leaks_nothing(
    kill_lab: LightLab,
) -> None:
    """Whatever moment it dies at, what services were given stays theirs and nobody else's."""
    reports = []
    for seed in range(SEED, SEED + ROUNDS):
        report = play(kill_lab, seed)
        sys.stdout.write(f"{report}\n")
        reports.append(report)
    assert not [str(report) for report in reports if report.findings]
    assert sum(report.kills for report in reports) >= 3 * ROUNDS
    counts = [report.counts for report in reports]
    assert all(sum(count.get(what, 0) for count in counts) for what in ("given", "moved"))


def play(lab: LightLab, seed: int) -> RoundReport:
    """Play one round."""
    return Round(lab, seed=seed, operations=OPERATIONS, controllers=[lab.controller]).run()
