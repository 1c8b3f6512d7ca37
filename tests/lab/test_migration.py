"""MetalLB's speakers and ours in one cluster: the same owner everywhere, moved node by node.

Needs the original's speaker: MERCURYLB_ORIGINAL_SPEAKER names the program.  The membership is open,
as releases of the original derive their key from the secret in different ways.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from lab import Lab, progress
from lab.errors import WaitTimeout
from lab.failover import judge
from lab.failover.judge import Marks
from lab.light import OWN
from tests.lab.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.light import LightLab

ORIGINAL = os.environ.get("MERCURYLB_ORIGINAL_SPEAKER", "")
pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
    pytest.mark.skipif(not ORIGINAL, reason="MERCURYLB_ORIGINAL_SPEAKER names no program"),
]

ADDRESSES = 8
TAKEOVER_S = 30.0
"""The original takes 5 to 7 s on a quiet machine."""
QUIET_S = 2.0


@pytest.fixture(scope="module")
def lab() -> Iterator[LightLab]:
    """Bring up three nodes, of which the last one runs the original's speaker."""
    name = f"mix{os.getpid()}"
    speakers = {"n3": ORIGINAL}
    # The original asks for more rights than our chart gives.
    options = {"speakers": speakers, "has_secret": False, "limited_rights": False}
    with Lab.light(name=name, nodes=3, **options) as running:
        yield running


@pytest.fixture
def scene(lab: LightLab) -> Iterator[Scene]:
    """Announce one service per address, so that each node is the first for some."""
    made = Scene(lab)
    made.block = 112
    made.pool(f"{made.ip4()}-{made.ip4(ADDRESSES - 1)}")
    made.advertise()
    made.web("n1", made.name)
    for number in range(ADDRESSES):
        asks = {"metallb.io/loadBalancerIPs": made.ip4(number)}
        made.service(f"s{number}", selector={"app": made.name}, annotations=asks)
    yield made
    lab.faults.heal()
    made.close()


def owners(scene: Scene) -> dict[str, list[str]]:
    """Ask who answers for each address."""
    return {ip: scene.who(ip) for ip in map(scene.ip4, range(ADDRESSES))}


def wanted(scene: Scene, nodes: list[str]) -> dict[str, list[str]]:
    """Give who should, when these nodes are alive."""
    return {ip: [scene.ranking(ip, nodes)[0]] for ip in map(scene.ip4, range(ADDRESSES))}


def await_owners(scene: Scene, nodes: list[str], timeout_s: float = TAKEOVER_S) -> None:
    """Wait until the first of the living answers alone for each address."""
    right = wanted(scene, nodes)

    def wrong() -> dict[str, tuple[list[str], list[str]]]:
        return {ip: (who, right[ip]) for ip, who in owners(scene).items() if who != right[ip]}

    try:
        scene.until(lambda: not wrong(), f"owners of {nodes}", timeout_s)
    except WaitTimeout:
        pytest.fail(f"with {nodes} alive (who answers, who should): {wrong()}")


def test_a_mixed_cluster_has_one_owner_per_address(scene: Scene) -> None:
    """Both kinds elect the same owner, with all alive and when one of either kind is killed."""
    lab, every = scene.lab, ["n1", "n2", "n3"]
    await_owners(scene, every)
    assert len({names[0] for names in owners(scene).values()}) == len(every), "each owns some"
    for victim in ("n3", "n2"):
        rest = [node for node in every if node != victim]
        lab.speaker(victim).kill()
        await_owners(scene, rest)
        time.sleep(QUIET_S)
        assert owners(scene) == wanted(scene, rest)
        lab.speaker(victim).start()
        await_owners(scene, every)


def test_a_cluster_is_moved_node_by_node_while_it_serves(scene: Scene, tmp_path: Path) -> None:
    """The original's speakers are replaced one by one; an address is never without an owner long.

    What was measured is printed and written to ``migration.json``.
    """
    lab, every = scene.lab, ["n1", "n2", "n3"]
    for node in every:
        lab.replace_speaker(node, ORIGINAL)
    await_owners(scene, every, 60.0)
    told = []
    for node in every:
        address = next(ip for ip in wanted(scene, every) if scene.ranking(ip)[0] == node)
        with lab.observe.owner(address) as watch:
            scene.owner_watch_ready(watch)
            begin = time.monotonic()
            lab.replace_speaker(node, OWN)
            lab.await_speaker(node)
            await_owners(scene, every, 60.0)
            scene.quiet(watch, QUIET_S)
            end = time.monotonic()
        lines = watch.lines()
        marks = Marks(begin, begin, end, end)
        first = lab.site.plan.node(node).mac
        told.append(
            {
                "node": node,
                "gap_s": round(judge.wire_gap(lines, begin, end), 3),
                "two_owners_s": round(judge.two_owners(lines, begin, end), 3),
                "false": judge.false_takeovers(lines, marks, first, moves=True),
            }
        )
    text = json.dumps(told, indent=1)
    progress.say(text)
    (tmp_path / "migration.json").write_text(text)
    assert owners(scene) == wanted(scene, every)
    assert all(one["false"] == 0 for one in told), text
