"""BFD with the routers that have it, tied to the BGP session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from mercurylb.bfd.settings import BfdSettings
from tests.interop.bgp.daemon import wait_until
from tests.interop.bgp.matrix import capability
from tests.interop.bgp.network import NODE
from tests.interop.bgp.routers.frr import Frr
from tests.interop.bgp.routers.router import BfdTimers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.bgp.network import Network
    from tests.interop.bgp.node import Link
    from tests.interop.bgp.routers.router import Router

    Meet = Callable[..., Link]

TIMERS = BfdTimers(interval_ms=100, multiplier=3)
SETTINGS = BfdSettings(receive_interval_ms=100, transmit_interval_ms=100, detect_multiplier=3)
HOLD_S = 30


def connect(
    meet: Meet,
    router: Router,
    settings: BfdSettings = SETTINGS,
    timers: BfdTimers = TIMERS,
    **how: object,
) -> Link:
    """Bring BGP and BFD up."""
    link = meet(
        router,
        bfd=settings,
        neighbor={"bfd": timers, "hold_time_s": HOLD_S, "keepalive_time_s": 10},
        settings={"hold_time_s": HOLD_S},
        **how,
    )
    link.wait(lambda: link.report.bfd == "Up", "BFD is up here")
    link.wait(lambda: link.view.bfd == "up", "BFD is up there")
    return link


def check_cut(link: Link, network: Network) -> None:
    """Cut the link without a word: both sides drop the session long before the hold time."""
    link.announce(
        link.group("192.0.2.80/32") if "." in link.local else link.group("2001:db8::80/128")
    )
    link.wait(lambda: len(link.routes()) == 1, "the router has the route")
    ours = link.node.bfd(link.remote)
    assert ours is not None
    assert ours.state == "Up"
    assert ours.detection_time_ms == 300
    network.cut(link.router.kind, link.local)
    network.cut(NODE, link.remote)
    try:
        link.wait(lambda: not link.view.is_established, "the router drops us", 3)
        link.wait(lambda: link.report.state != "Established", "we drop the router", 3)
        assert "bfd" in link.report.last_error.lower()
        assert link.report.bfd == "Down"
        wait_until(lambda: not link.routes(), "the route is gone")
    finally:
        network.heal(link.router.kind)
        network.heal(NODE)
    link.wait_established()
    link.wait(lambda: link.report.bfd == "Up", "BFD is up again")


@pytest.mark.rule("bgp-native-2.14.ports", "bgp-native-2.14.expiry")
@capability("BFD, single hop")
def test_single_hop(router: Router, meet: Meet, bgp_network: Network) -> None:
    """BFD comes up beside BGP; a silent cut ends both within the detection time."""
    check_cut(connect(meet, router), bgp_network)


@pytest.mark.rule("bgp-native-2.14.ports", "bgp-native-2.14.mode", "bgp-native-2.14.ttl")
@capability("BFD, several hops")
def test_multi_hop(router: Router, meet: Meet, bgp_network: Network) -> None:
    """The same over a hop."""
    # BIRD sends with the TTL of the kernel; FRR with 255, which the hop makes 254.
    minimum_ttl = 63 if router.kind == "bird" else 254
    settings = msgspec.structs.replace(SETTINGS, minimum_ttl=minimum_ttl)
    link = connect(meet, router, settings, is_far=True)
    assert link.node.bfd(link.remote).is_multi_hop  # type: ignore[union-attr]
    check_cut(link, bgp_network)


@pytest.mark.rule("bgp-native-2.14.passive")
@capability("BFD, passive")
def test_passive(router: Router, meet: Meet) -> None:
    """A passive side of ours waits for the router, and is up then."""
    settings = BfdSettings(
        receive_interval_ms=100, transmit_interval_ms=100, detect_multiplier=3, is_passive=True
    )
    connect(meet, router, settings)


@capability("BFD, the router passive")
def test_passive_router(router: Router, meet: Meet) -> None:
    """A passive router hears us first, and is up then."""
    connect(meet, router, timers=msgspec.structs.replace(TIMERS, is_passive=True))


@pytest.mark.rule("bgp-native-2.14.admin-down", "bgp-native-2.14.coupling")
@capability("BFD taken down by its operator")
def test_administrative(router: Router, meet: Meet) -> None:
    """When the router's operator takes BFD down, BGP stays, and BFD comes back with his word."""
    assert isinstance(router, Frr)
    link = connect(meet, router)
    router.take_bfd_down(link.name)
    link.wait(lambda: link.report.bfd == "Down", "BFD is down here")
    router.take_bfd_down(link.name, is_down=False)
    link.wait(lambda: link.report.bfd == "Up", "BFD is up again")
    assert link.report.flap_count == 0
    assert link.view.is_established
