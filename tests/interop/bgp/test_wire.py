"""That the judge of everything that is sent (see `capture` in conftest.py) sees it at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.interop.bgp.capture import OURS, describe
from tests.interop.bgp.daemon import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.bgp.capture import Capture
    from tests.interop.bgp.node import Link
    from tests.interop.bgp.routers.router import Router


def test_dissected(capture: Capture, routers: dict[str, Router], meet: Callable[..., Link]) -> None:
    """A session's messages are dissected: our OPEN, its table of both families, and KEEPALIVEs."""
    link = meet(routers["bird"], has_both_families=True)
    link.announce(link.group("192.0.2.99/32", "2001:db8::99/128"))
    link.wait_prefixes("192.0.2.99/32")
    ours = f"ip.src == {link.local} and tcp"
    wait_until(lambda: capture.judge().select(f"{ours} and bgp.type == 4"), "it was captured")
    seen = capture.judge()
    assert len(seen.select(f"{ours} and bgp.type == 1")) == 1
    assert seen.select(f"{ours} and bgp.nlri_prefix == 192.0.2.99")
    assert seen.select(f"{ours} and bgp.mp_reach_nlri_ipv6_prefix == 2001:db8::99")
    complaints = seen.complaints(OURS)
    assert not complaints, describe(complaints)
