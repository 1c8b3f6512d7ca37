"""Routers with full tables: nothing of it is taken."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.interop.bgp.matrix import capability

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.bgp.node import Link
    from tests.interop.bgp.routers.router import Router

    Meet = Callable[..., Link]

COUNT = 100_000
MEMORY_MAX_KIB = 16 * 1024


@capability("100 000 routes from the router")
def test_full_table(router: Router, meet: Meet) -> None:
    """A router's 100 000 routes are let pass by: none is kept, none in the kernel."""
    link = meet(router)
    status = Path(f"/proc/{link.node.process.pid}/status")

    def memory_kib() -> int:
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line[:5] == "VmRSS")

    before, updates = memory_kib(), link.report.counts.updates_received
    router.flood(link.name, COUNT)
    try:
        link.wait(
            lambda: link.report.counts.updates_received - updates >= router.flood_updates,
            "they came",
            30,
        )
        link.announce(link.group("192.0.2.90/32"))
        link.wait_prefixes("192.0.2.90/32")
        assert memory_kib() - before < MEMORY_MAX_KIB
        assert link.report.state == "Established"
        assert link.report.flap_count == 0
    finally:
        router.calm(link.name)
