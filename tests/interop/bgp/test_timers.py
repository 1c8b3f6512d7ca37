"""Hold, keepalive and connect times, enforced on both sides."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.interop.bgp.daemon import wait_until
from tests.interop.bgp.matrix import capability
from tests.interop.bgp.network import NODE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.bgp.network import Network
    from tests.interop.bgp.node import Link, Node
    from tests.interop.bgp.routers.router import Router

    Meet = Callable[..., Link]
    Private = Callable[..., Node]


@pytest.mark.rule("bgp-native-1.3.hold", "bgp-native-1.3.keepalive")
@capability("hold time: ours is less")
def test_our_hold_time(router: Router, meet: Meet) -> None:
    """The lesser hold time holds on both sides: ours."""
    link = meet(router, neighbor={"hold_time_s": 30}, settings={"hold_time_s": 12})
    assert link.report.hold_time_s == 12
    assert link.report.keepalive_time_s == 4.0
    if router.kind != "exabgp":  # It does not tell what it negotiated.
        assert link.view.hold_time_s == 12


@pytest.mark.rule("bgp-native-1.3.hold")
@capability("hold time: theirs is less")
def test_their_hold_time(router: Router, meet: Meet) -> None:
    """The lesser hold time holds on both sides: the router's."""
    link = meet(router, neighbor={"hold_time_s": 15}, settings={"hold_time_s": 90})
    assert link.report.hold_time_s == 15


@pytest.mark.rule("bgp-native-2.1.keepalive")
@capability("keepalive time")
def test_keepalive(router: Router, meet: Meet) -> None:
    """A configured keepalive time is kept where it is less than a third of the hold time."""
    link = meet(
        router,
        neighbor={"hold_time_s": 30},
        settings={"hold_time_s": 30, "keepalive_time_s": 1},
    )
    assert link.report.keepalive_time_s == 1
    before = link.report.counts.keepalives_sent
    link.wait(lambda: link.report.counts.keepalives_sent >= before + 2, "they are sent", 4)


@pytest.mark.rule("bgp-native-1.3.hold")
@capability("hold time 0")
def test_no_hold_time(router: Router, meet: Meet) -> None:
    """Without a hold time there is a session, and no keepalives after the first."""
    link = meet(
        router,
        neighbor={"hold_time_s": 0, "keepalive_time_s": 0},
        settings={"hold_time_s": 0},
    )
    assert link.report.hold_time_s == 0
    link.announce(link.group("192.0.2.50/32"))
    link.wait_prefixes("192.0.2.50/32")
    assert link.report.counts.keepalives_sent == 1


@pytest.mark.rule("bgp-native-1.3.silent", "bgp-native-2.7.hold")
@capability("a silent router is dropped")
def test_silent_router(router: Router, meet: Meet, bgp_network: Network) -> None:
    """A router that falls silent is dropped by our hold timer, and taken back."""
    link = meet(router, settings={"hold_time_s": 3})
    bgp_network.cut(NODE, link.remote)
    try:
        took_s = link.wait(lambda: link.report.state != "Established", "we drop it", 6)
        assert took_s < 4.5
        assert "nothing heard for 3 s" in link.report.last_error
    finally:
        bgp_network.heal(NODE)
    link.wait_established()


@pytest.mark.rule("bgp-native-2.7.restart")
@capability("a silent node is dropped")
def test_silent_node(router: Router, meet: Meet, private: Private) -> None:
    """The router drops us when the announcer stands still."""
    node = private()
    link = meet(router, by=node, settings={"hold_time_s": 3})
    link.announce(link.group("192.0.2.51/32"))
    link.wait_prefixes("192.0.2.51/32")
    node.process.kill(signal.SIGSTOP)
    try:
        wait_until(lambda: not link.view.is_established, "the router drops us", 30)
        if router.kind != "exabgp":
            link.wait_prefixes()
    finally:
        node.process.kill(signal.SIGCONT)
    link.wait_established()
    link.wait_prefixes("192.0.2.51/32")


@pytest.mark.rule("bgp-native-2.1.connect-time", "bgp-native-2.16.delays")
@capability("connect time")
def test_connect_time(router: Router, meet: Meet) -> None:
    """We try again after the connect time, and are connected soon after the router appears."""
    link = meet(
        router,
        waits=False,
        settings={"connect_time_s": 1, "port": 1998},
    )
    link.wait(lambda: link.report.last_error, "we say why")
    assert "refused" in link.report.last_error
    link.wait(lambda: link.report.next_attempt_s is not None, "we say when")
    assert (link.report.next_attempt_s or 0) <= 1.0
    link.change(port=router.port)
    link.wait_established()
