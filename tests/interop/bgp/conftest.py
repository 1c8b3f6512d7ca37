"""One network, four routers and one announcer for all BGP interop tests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from lab.build.apt import ensure_packages
from tests.interop.bgp.capture import OURS, Capture, describe
from tests.interop.bgp.matrix import FAIL, IMPOSSIBLE, LACKS, PASS, Table
from tests.interop.bgp.network import NODE, Network, sweep
from tests.interop.bgp.node import Link, Node
from tests.interop.bgp.routers.bird import Bird
from tests.interop.bgp.routers.exabgp import ExaBgp
from tests.interop.bgp.routers.frr import Frr
from tests.interop.bgp.routers.gobgp import GoBgp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.interop.bgp.routers.router import Router

PACKAGES = ("frr", "frr-pythontools", "bird2", "gobgpd", "tshark")
KINDS: dict[str, tuple[type[Router], int]] = {
    "frr": (Frr, 64511),
    "bird": (Bird, 64512),
    "gobgp": (GoBgp, 64513),
    "exabgp": (ExaBgp, 64514),
}
_TABLE = Table()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for configurations, sockets and logs."""
    return tmp_path_factory.mktemp("bgp")


@pytest.fixture(scope="session")
def bgp_network() -> Iterator[Network]:
    """Make the namespaces."""
    if os.geteuid() != 0:
        pytest.skip("it needs root: it makes network namespaces")
    ensure_packages(PACKAGES)
    sweep()
    network = Network()
    try:
        yield network
    finally:
        network.close()


@pytest.fixture(scope="session")
def routers(bgp_network: Network, folder: Path) -> Iterator[dict[str, Router]]:
    """Start each router at its first use."""
    started = _Started(bgp_network, folder)
    yield started
    for router in started.values():
        router.close()


class _Started(dict[str, "Router"]):
    def __init__(self, network: Network, folder: Path) -> None:
        super().__init__()
        self.network = network
        self.folder = folder

    def __missing__(self, kind: str) -> Router:
        make, asn = KINDS[kind]
        router = make(self.network, self.folder, asn=asn)
        self[kind] = router
        router.start()
        return router


@pytest.fixture
def router(request: pytest.FixtureRequest, routers: dict[str, Router]) -> Router:
    """Give the router that the test is about."""
    found = routers[request.param]
    request.node.user_properties.append(("release", (found.kind, found.release)))
    return found


@pytest.fixture
def another(bgp_network: Network, folder: Path) -> Iterator[Callable[..., Router]]:
    """Start one more instance of a router, of its own number or port."""
    made: list[Router] = []

    def start(kind: str, *, asn: int, port: int) -> Router:
        name = f"{kind}-{port}-{len(list(folder.iterdir()))}"
        instance = KINDS[kind][0](bgp_network, folder, asn=asn, name=name, port=port)
        made.append(instance)
        instance.start()
        return instance

    yield start
    for instance in made:
        instance.close()


@pytest.fixture(scope="session")
def node(bgp_network: Network, folder: Path) -> Iterator[Node]:
    """Start the announcer that most tests share."""
    found = Node(bgp_network, folder, NODE, 1)
    found.start()
    yield found
    found.close()


@pytest.fixture(scope="session", autouse=True)
def capture(bgp_network: Network, folder: Path) -> Iterator[Capture]:
    """Capture what passes the shared node's link, and have it judged in the end.

    No BGP, BFD or router advertisement message of ours is malformed or wrong for the dissector.
    """
    found = Capture(bgp_network.namespace(NODE), folder / "node.pcapng")
    yield found
    found.close()
    complaints = found.judge().complaints(OURS)
    assert not complaints, describe(complaints)


@pytest.fixture
def private(bgp_network: Network, folder: Path) -> Iterator[Callable[..., Node]]:
    """Start an announcer that the test may stop, kill and start again."""
    made: list[Node] = []

    def start(*options: str) -> Node:
        name, number = bgp_network.private_node()
        made.append(Node(bgp_network, folder, name, number, *options))
        made[-1].start()
        return made[-1]

    yield start
    for found in made:
        found.close()


@pytest.fixture
def meet(
    node: Node, another: Callable[..., Router], private: Callable[..., Node]
) -> Iterator[Callable[..., Link]]:
    """Connect our node with a router, and let them forget each other after the test."""
    assert another  # What these two started ends after the links.
    assert private
    links: list[Link] = []

    def connect(router: Router, *, by: Node | None = None, waits: bool = True, **how: Any) -> Link:
        links.append(Link(by or node, router, **how))
        return links[-1].establish() if waits else links[-1].open()

    yield connect
    for link in links:
        link.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Let a report carry its cell of the table."""
    outcome = yield
    name = getattr(getattr(item, "function", None), "capability", None)
    if name is not None:
        cell = (name, item.callspec.params["router"])  # type: ignore[attr-defined]
        outcome.get_result().user_properties.append(("cell", cell))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a cell."""
    for key, cell in report.user_properties:
        if key == "release":
            kind, release = cell  # type: ignore[misc]
            _TABLE.releases[kind] = release
        if key == "cell" and (outcome := _outcome(report)):
            _TABLE.note(*cell, outcome)  # type: ignore[misc]


def _outcome(report: pytest.TestReport) -> str:
    if report.failed:
        return FAIL
    if report.skipped:
        return LACKS if LACKS in str(report.longrepr) else IMPOSSIBLE
    return PASS if report.when == "call" else ""


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table."""
    lines = _TABLE.lines()
    if lines:
        terminalreporter.section("BGP: capability by neighbour")
        for line in lines:
            terminalreporter.write_line(line)
