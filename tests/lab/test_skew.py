"""Two releases side by side: speakers of the next one beside ours, while a cluster is upgraded.

The next release is a copy of this one whose announcers say more than ours know (`wordy`), or speak
another version of the detector's datagrams (`other`): then gossip alone connects the two.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pytest

from lab import kubeproxy, paths
from lab.failover import SCENARIOS, Stage
from lab.failover.stage import ECHO_PORT, HTTP_PORT, Settings
from tests.lab.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.light import LightLab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

SOURCE: Final = paths.REPOSITORY / "src" / "mercurylb"
CODEC: Final = "membership/fast/codec.py"
PORTS: Final = [
    {"name": "http", "port": HTTP_PORT, "targetPort": 8080},
    {"name": "echo", "port": ECHO_PORT, "protocol": "UDP", "targetPort": 8080},
]
SHORT: Final = Settings(quiet_s=0.6)
LAST_FIELD: Final = "    status_incarnation: U32\n"
CHANGES: Final = {
    "wordy": (LAST_FIELD, LAST_FIELD + "    temper: int = 7\n    tongue: str = 'next'\n"),
    "other": ("VERSION = 1\n", "VERSION = 2\n"),
}
"""What a line of this release's codec is in the next one."""


@dataclass(frozen=True)
class Skew:
    """A watched service in a cluster whose speakers the next release's can replace."""

    kind: str
    program: str
    lab: LightLab
    stage: Stage

    def upgrade(self, node: str) -> None:
        """Replace a node's speaker by the next release's."""
        self.lab.replace_speaker(node, self.program)
        self.lab.await_speaker(node)

    def downgrade(self, node: str) -> None:
        """Replace a node's speaker by ours."""
        self.lab.replace_speaker(node, "own")
        self.lab.await_speaker(node)


def next_release(folder: Path, kind: str) -> str:
    """Write the next release's speaker into a folder; return its program."""
    tree = folder / "mercurylb"
    shutil.copytree(SOURCE, tree, ignore=shutil.ignore_patterns("__pycache__"))
    before, after = CHANGES[kind]
    text = (tree / CODEC).read_text()
    assert text.count(before) == 1
    (tree / CODEC).write_text(text.replace(before, after))
    program = folder / "mercurylb-speaker"
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        "from mercurylb.speaker.__main__ import main\n"
        "sys.exit(main())\n"
    )
    program.chmod(0o755)
    return str(program)


@pytest.fixture(params=list(CHANGES))
def skew(request: pytest.FixtureRequest, light_lab: LightLab, tmp_path: Path) -> Iterator[Skew]:
    """Announce a service and watch it; in the end all speakers are ours again."""
    program = next_release(tmp_path, request.param)
    scene = Scene(light_lab)
    scene.pool(f"{scene.ip4()}/32")
    scene.advertise()
    key = scene.service(selector={"app": scene.name}, ports=PORTS)
    for node in scene.ranking(scene.ip4())[1:]:
        scene.web(node, scene.name, urgent=True)
    addresses = scene.wait_addresses(key)
    scene.wait_endpoints(key)
    kubeproxy.await_known(light_lab, *addresses)
    with Stage(light_lab, addresses, SHORT) as stage:
        made = Skew(request.param, program, light_lab, stage)
        yield made
        stage.recover()
        for node in light_lab.nodes:
            made.downgrade(node)
        stage.settle()
    scene.close()


def test_an_upgrade_node_by_node_and_its_return_lose_nothing(skew: Skew) -> None:
    """Of 1 000 datagrams a second none is lost, and there is one owner after each step."""

    def there_and_back(_: Stage) -> None:
        for step in (skew.upgrade, skew.downgrade):
            for node in skew.stage.ranking:
                step(node)
                skew.stage.settle()

    scenario = SCENARIOS["roll"]
    (seen,) = skew.stage.run(replace(scenario, strike=there_and_back), 1)
    assert seen.lost == 0
    assert seen.false_takeovers <= 1
    assert seen.two_owners_after_s == 0


@pytest.mark.parametrize("first_is_next", [True, False], ids=["next dies", "ours dies"])
def test_a_death_in_a_mixed_cluster_moves_the_address(skew: Skew, first_is_next: bool) -> None:  # noqa: FBT001
    """Whichever release the owner is of, one of the other takes over, and gives back."""
    stage = skew.stage
    for node in stage.ranking[:1] if first_is_next else stage.ranking[1:]:
        skew.upgrade(node)
    for seen in stage.run(SCENARIOS["cut"], 1):
        assert seen.after == (stage.mac(stage.first),)
