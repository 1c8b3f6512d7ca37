"""Labs for tests: one with our programs for the whole session, one without any.

``light_lab`` runs our controller and speakers and is shared, so a test must use names of its own
and leave no fault behind (``healed`` takes care of the faults).  ``bare_lab`` has a control plane,
nodes and kube-proxies only.  ``webhook_lab`` has our programs with webhooks; the other labs have
none, so that wrong objects can be created there.

Two workers share the tests by file (`-n2 --dist=loadfile --no-loadscope-reorder`), since a file's
tests share labs; files with full labs go to one worker, because two full labs at once are too much
for two cores. What takes longest comes first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from xdist.scheduler import LoadFileScheduling

from lab import Lab
from tests.lab.bgp_scene import OPTIONS
from tests.lab.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.light import LightLab

HERE: Final = Path(__file__).parent
AUDIT_POLICY: Final = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users:
  - system:serviceaccount:metallb:metallb-controller
  - system:serviceaccount:metallb:metallb-speaker
  - shadow
- level: None
"""


LONGEST: Final = (
    "test_compare",
    "test_frr_backend",
    "test_controller_outage",
    "test_frr_speaker",
    "test_lab_life",
    "test_surroundings",
    "test_bgp",
    "test_announcer_membership",
    "test_commands",
    "test_webhook",
)
"""Files that take a minute or more: no worker begins one when the other has nothing left."""


FULL: Final = frozenset(
    file.stem for file in HERE.glob("test_*.py") if "pytest.mark.full" in file.read_text()
)
"""Files whose labs are full ones."""


class ByFile(LoadFileScheduling):  # type: ignore[misc] # the plugin has no types
    """One worker for each file, and one for all files with full labs."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "full" if Path(path).stem in FULL else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile | None:
    """Hand out files, when workers are asked for by file."""
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the long files come first."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    name = item.path.stem
    if item.path.parent != HERE:
        return len(LONGEST) + 1
    if name in FULL:
        return -1
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


@dataclass(frozen=True)
class WebhookLab:
    """A lab with webhooks, and where the API server writes what our programs asked of it."""

    lab: LightLab
    audit_log: Path


def _name(prefix: str) -> str:
    """Name a lab so that parallel sessions and workers do not meet."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return f"{prefix}{worker}{os.getpid()}"


def _need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("a lab needs root: it makes network namespaces")


@pytest.fixture(scope="session")
def light_lab() -> Iterator[LightLab]:
    """Bring up three nodes with our controller and speakers, for the whole session."""
    _need_root()
    with Lab.light(name=_name("t"), nodes=3) as lab:
        yield lab


@pytest.fixture(scope="session")
def bare_lab() -> Iterator[LightLab]:
    """Bring up three nodes without a load balancer, for the whole session."""
    _need_root()
    with Lab.light(name=_name("b"), nodes=3, controller="", speaker="") as lab:
        yield lab


@pytest.fixture
def healed(light_lab: LightLab) -> Iterator[LightLab]:
    """Give the shared lab and end every fault after the test."""
    yield light_lab
    light_lab.faults.heal()


@pytest.fixture
def scene(light_lab: LightLab) -> Iterator[Scene]:
    """Give a test its own names on the shared lab; what it made goes with it."""
    made = Scene(light_lab)
    yield made
    light_lab.faults.heal()
    made.close()


@pytest.fixture(scope="module")
def router(light_lab: LightLab) -> Iterator[LightLab]:
    """Let the shared lab's router speak BGP for all tests of a file."""
    light_lab.bgp.start(OPTIONS)
    yield light_lab
    light_lab.bgp.stop()


@pytest.fixture(scope="session")
def web(light_lab: LightLab) -> Iterator[str]:
    """Run a web pod on each node; give the value of their label ``app``."""
    for node in light_lab.nodes:
        light_lab.web(f"web-{node}", node, labels={"app": "web"})
    yield "web"
    for node in light_lab.nodes:
        light_lab.pods.remove(f"web-{node}")


@pytest.fixture(scope="session")
def webhook_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookLab]:
    """Bring up two nodes with our programs, webhooks included, under an audit of their requests."""
    _need_root()
    folder = tmp_path_factory.mktemp("audit")
    policy, log = folder / "policy.yaml", folder / "audit.log"
    policy.write_text(AUDIT_POLICY)
    options = (f"--audit-policy-file={policy}", f"--audit-log-path={log}")
    with Lab.light(
        name=_name("w"),
        nodes=2,
        controller_args=("--webhook-mode=enabled",),
        apiserver_args=options,
    ) as lab:
        yield WebhookLab(lab, log)
