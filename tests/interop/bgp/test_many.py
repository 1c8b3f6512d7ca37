"""Routers with full tables: nothing of it is taken."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.interop.bgp import hostile
from tests.interop.bgp.daemon import Daemon, wait_until
from tests.interop.bgp.matrix import capability
from tests.interop.bgp.network import HOSTILE
from tests.interop.bgp.routers.router import Neighbor
from tests.lab.wire_lab import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.interop.bgp.network import Network
    from tests.interop.bgp.node import Link
    from tests.interop.bgp.routers.router import Router

    Meet = Callable[..., Link]

COUNT = 100_000
MEMORY_MAX_KIB = 16 * 1024
PORT = 1791
FEEDER = "feeder"
PREFIX_OCTETS = 5


@pytest.fixture
def feeder(bgp_network: Network, folder: Path) -> Iterator[None]:
    """Run a neighbour of the routers that announces a full table to whoever dials it."""
    address, log = bgp_network.address(HOSTILE), folder / "feeder.log"
    argv = [sys.executable, "-m", "tests.interop.bgp.hostile", "many-routes", str(COUNT)]
    daemon = Daemon(
        [*argv, "--address", address, "--port", str(PORT)],
        namespace=bgp_network.namespace(HOSTILE),
        log=log,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        cwd=ROOT,
    )
    wait_until(lambda: daemon.check() and "listening" in log.read_text(), "the feeder listens")
    yield
    daemon.close()


@pytest.mark.rule("bgp-native-1.4.ignored")
@pytest.mark.usefixtures("feeder")
@capability("100 000 routes from the router")
def test_full_table(router: Router, meet: Meet, bgp_network: Network) -> None:
    """A router's 100 000 routes are let pass by: nothing is kept, and the session is as before."""
    link = meet(router)
    status = Path(f"/proc/{link.node.process.pid}/status")

    def memory_kib() -> int:
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line[:5] == "VmRSS")

    before, updates = memory_kib(), link.report.counts.updates_received
    if router.kind == "exabgp":  # It passes nothing on; what it announces is its own.
        router.flood(link.name, COUNT)
    else:
        router.add(
            Neighbor(
                name=FEEDER,
                address=bgp_network.address(HOSTILE),
                asn=hostile.ASN,
                local=router.address(),
                is_dialling=True,
                port=PORT,
                hold_time_s=90,
                keepalive_time_s=30,
            )
        )
    try:
        expected = COUNT // _per_update(link)
        link.wait(
            lambda: link.report.counts.updates_received - updates >= expected, "they came", 45
        )
        link.announce(link.group("192.0.2.90/32"))
        link.wait(lambda: link.report.prefixes_sent == 1, "ours was sent")
        if router.kind == "exabgp":
            link.wait_prefixes("192.0.2.90/32")
        assert memory_kib() - before < MEMORY_MAX_KIB
        assert link.report.state == "Established"
        assert link.report.flap_count == 0
    finally:
        router.remove(FEEDER)


def _per_update(link: Link) -> int:
    is_extended = "extended message" in link.report.capabilities
    return (65535 if is_extended else 4096) // PREFIX_OCTETS
