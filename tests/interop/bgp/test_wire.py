"""What all the other tests sent, in the eyes of a dissector; runs after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.interop.bgp.capture import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.bgp.capture import Capture
    from tests.interop.bgp.node import Link
    from tests.interop.bgp.routers.router import Router

OURS = "(ip.src == 10.90.1.0/24 or ipv6.src == fd90::1:0/112 or sll.pkttype == 4)"


def test_nothing_malformed(
    capture: Capture, routers: dict[str, Router], meet: Callable[..., Link]
) -> None:
    """No BGP, BFD or router advertisement message of ours is malformed or wrong."""
    link = meet(routers["bird"], has_both_families=True)
    link.announce(link.group("192.0.2.99/32", "2001:db8::99/128"))
    link.wait_prefixes("192.0.2.99/32")
    found = capture.judge()
    opens = found.select(f"{OURS} and bgp.type == 1", "ip.dst")
    assert opens, "nothing was captured"
    complaints = found.complaints(OURS)
    assert not complaints, describe(complaints)
