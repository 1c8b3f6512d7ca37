"""How sessions end, in whose words, and what stays of the routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.bgp.daemon import wait_until
from tests.interop.bgp.matrix import capability

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.bgp.node import Link, Node
    from tests.interop.bgp.routers.router import Router

    Meet = Callable[..., Link]
    Private = Callable[..., Node]

GRACEFUL_SHUTDOWN = "65535:0"


@pytest.mark.rule("bgp-native-2.6.text", "bgp-native-2.7.notification")
@capability("the router shuts down with a text")
def test_router_shuts_down(router: Router, meet: Meet) -> None:
    """The router's reason is in our report, with its words (RFC 9003)."""
    link = meet(router)
    link.wait(lambda: link.view.is_established, "both are up")
    router.shut_down(link.name, "maintenance")
    link.wait(lambda: link.report.flap_count == 1, "the session is over")
    link.wait(lambda: "shutdown" in link.report.last_error.lower(), "we say why")
    assert link.report.counts.notifications_received == 1
    if router.kind != "exabgp":  # It has no words for it.
        assert "maintenance" in link.report.last_error


@pytest.mark.rule("bgp-native-1.2.open-peer", "bgp-native-2.3.peer-as")
@capability("wrong AS: we refuse")
def test_wrong_asn(router: Router, meet: Meet) -> None:
    """A router of another number than configured is refused with 2/2, and told so."""
    link = meet(router, waits=False, settings={"peer_asn": 64999})
    link.wait(lambda: "peer AS" in link.report.last_error, "we say why")
    assert str(router.asn) in link.report.last_error
    assert not link.view.is_established


@pytest.mark.rule("bgp-native-2.7.notification")
@capability("wrong AS: the router refuses")
def test_wrong_asn_there(router: Router, meet: Meet) -> None:
    """Where the router expects another number of us, our report has its reason."""
    link = meet(router, waits=False, neighbor={"asn": 64998})
    link.wait(lambda: "peer AS" in link.report.last_error, "we say why")
    assert link.report.counts.notifications_received > 0


@pytest.mark.rule("bgp-native-2.6.removed")
@capability("a removed peer is told")
def test_removed(router: Router, meet: Meet) -> None:
    """When the peer is removed, its routes go and the router is told by a Cease."""
    link = meet(router)
    link.announce(link.group("192.0.2.60/32"))
    link.wait_prefixes("192.0.2.60/32")
    link.node.remove_peer(link.name)
    wait_until(lambda: not link.view.is_established, "the session is over")
    wait_until(lambda: _is_cease(link), f"the router knows why: {link.view.last_error}")
    if router.kind != "exabgp":
        wait_until(lambda: not link.routes(), "the routes are gone")


def _is_cease(link: Link) -> bool:
    words = link.view.last_error.lower()
    return any(word in words for word in ("cease", "configured", "(6,3)"))


@pytest.mark.rule("bgp-native-2.6.removed")
@capability("a changed peer begins anew")
def test_changed(router: Router, meet: Meet) -> None:
    """When settings change, the session ends and comes back with the new ones."""
    link = meet(router)
    link.announce(link.group("192.0.2.61/32"))
    link.wait_prefixes("192.0.2.61/32")
    link.change(hold_time_s=6)
    link.wait(lambda: link.report.hold_time_s == 6, "the new hold time holds")
    link.wait_established()
    link.wait_prefixes("192.0.2.61/32")


@pytest.mark.rule("bgp-native-2.6.stop", "bgp-native-2.6.text")
@capability("planned stop: GSHUT, then withdrawn")
def test_planned_stop(router: Router, meet: Meet, private: Private) -> None:
    """Before a planned stop routes get GRACEFUL_SHUTDOWN, then they go, then the session ends."""
    node = private()
    link = meet(router, by=node, is_internal=True)
    link.announce(link.group("192.0.2.62/32", local_pref=200))
    link.wait_prefixes("192.0.2.62/32")
    node.stop()
    seen: list[object] = []

    def is_leaving() -> bool:
        found = link.routes().get("192.0.2.62/32")
        seen.append(found)
        return found is not None and GRACEFUL_SHUTDOWN in found.communities and not found.local_pref

    wait_until(is_leaving, f"the route is marked; last {seen[-1:]}")
    wait_until(lambda: not link.view.is_established, "the session is over")
    wait_until(lambda: "being stopped" in link.view.last_error, "the router has our words")
    assert node.announcer is not None
    node.announcer.process.wait(10)
    wait_until(lambda: not link.routes() or router.kind == "exabgp", "the route is gone")


@capability("drain: GSHUT, then withdrawn")
def test_drain(router: Router, meet: Meet) -> None:
    """Routes that leave are marked first, then withdrawn; others and the session stay."""
    link = meet(router, is_internal=True)
    staying = link.group("192.0.2.63/32")
    link.announce(staying, link.group("192.0.2.64/32", local_pref=200))
    link.wait_prefixes("192.0.2.63/32", "192.0.2.64/32")
    link.announce(staying, link.group("192.0.2.64/32", local_pref=200, is_leaving=True))
    seen = link.wait_seen(
        "192.0.2.64/32", lambda found: GRACEFUL_SHUTDOWN in found.communities, "is marked"
    )
    assert seen.local_pref == 0
    link.wait_prefixes("192.0.2.63/32")
    assert link.view.is_established


@pytest.mark.rule("bgp-native-2.11.on", "bgp-native-2.11.restarting", "bgp-native-2.11.end-of-rib")
@capability("graceful restart")
def test_graceful_restart(router: Router, meet: Meet, private: Private) -> None:
    """When the announcer dies and comes back, the router keeps the routes all the while."""
    node = private()
    link = meet(
        router,
        by=node,
        neighbor={"has_graceful_restart": True},
        settings={"has_graceful_restart": True},
    )
    link.announce(link.group("192.0.2.65/32", "192.0.2.66/32"))
    link.wait_prefixes("192.0.2.65/32", "192.0.2.66/32")
    node.kill()
    wait_until(lambda: not link.view.is_established, "the session is over")
    kept = link.routes()
    assert set(kept) == {"192.0.2.65/32", "192.0.2.66/32"}
    if router.kind != "bird":  # It does not tell.
        link.wait(lambda: all(it.is_stale for it in link.routes().values()), "they are stale")
    link.announce_later(link.group("192.0.2.66/32"))
    node.start()

    def is_back() -> bool:
        assert "192.0.2.66/32" in link.routes(), "a route that stays was withdrawn"
        return link.report.state == "Established" and link.view.is_established

    wait_until(is_back, "the session is back")
    # What is not announced any more is swept after the End-of-RIB.
    link.wait_prefixes("192.0.2.66/32", timeout_s=30)


@pytest.mark.rule("bgp-native-2.11.off")
@capability("without graceful restart")
def test_no_graceful_restart(router: Router, meet: Meet, private: Private) -> None:
    """Without graceful restart the routes go with the session."""
    node = private()
    link = meet(router, by=node, neighbor={"has_graceful_restart": True})
    link.announce(link.group("192.0.2.67/32"))
    link.wait_prefixes("192.0.2.67/32")
    node.kill()
    wait_until(lambda: not link.view.is_established, "the session is over")
    wait_until(lambda: not link.routes(), "the routes are gone")
    node.start()
    link.wait_established()
    link.wait_prefixes("192.0.2.67/32")


@pytest.mark.rule("bgp-native-2.11.stop", "bgp-native-2.6.stop")
@capability("graceful restart, planned")
def test_planned_restart(router: Router, meet: Meet, private: Private) -> None:
    """With graceful restart a planned stop says nothing, so the router keeps the routes."""
    node = private()
    link = meet(
        router,
        by=node,
        neighbor={"has_graceful_restart": True},
        settings={"has_graceful_restart": True},
    )
    link.announce(link.group("192.0.2.68/32"))
    link.wait_prefixes("192.0.2.68/32")
    node.stop()
    assert node.announcer is not None
    node.announcer.process.wait(10)
    wait_until(lambda: not link.view.is_established, "the session is over")
    assert set(link.routes()) == {"192.0.2.68/32"}
    node.start()
    link.wait_established()
    assert set(link.routes()) == {"192.0.2.68/32"}
