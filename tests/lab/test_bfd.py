"""Our BFD against FRR's bfdd: what the router says of us is asserted."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from mercurylb.bfd.effect import BfdKey
from mercurylb.bfd.settings import BfdSettings
from tests.lab.bfd_lab import BfdNode
from tests.lab.bgp_lab import Router, has_frr
from tests.lab.wire_lab import Lan, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.lab.wire_lab import Host

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
    pytest.mark.skipif(not has_frr(), reason="needs FRR"),
]

NODE, R1 = "10.77.0.1", "10.77.0.2"
KEY = BfdKey(R1, interface="eth0")
FAST = BfdSettings(50, 50)
PATIENCE_S = 30.0


class Scene:
    """A node of ours and a router beside it."""

    def __init__(self, folder: Path) -> None:
        self.lan = Lan(folder)
        self.host: Host = self.lan.host("n1")
        self.node = BfdNode(self.host)
        self.routers: list[Router] = []

    def router(self, *lines: str, peer: str = f"{NODE} interface eth0") -> Router:
        """Start FRR with one BFD peer and these lines about it."""
        body = "\n  ".join(("receive-interval 50", "transmit-interval 50", *lines))
        router = Router(self.lan, "r1", f"bfd\n peer {peer}\n  {body}\n")
        self.routers.append(router)
        return router

    def close(self) -> None:
        """Stop everything."""
        self.node.close()
        for router in self.routers:
            router.close()
        self.lan.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Give a node without sessions."""
    made = Scene(tmp_path)
    yield made
    made.close()


def seen(router: Router) -> dict[str, Any]:
    """Return what the router says of its only BFD peer."""
    try:
        peers = json.loads(router.vtysh("show bfd peers json"))
    except ValueError:
        return {}
    return dict(peers[0]) if peers else {}


def says(router: Router, **wanted: object) -> Callable[[], bool]:
    """Return whether the router says all of this."""

    def compare() -> bool:
        told = seen(router)
        return all(told.get(name.replace("_", "-")) == value for name, value in wanted.items())

    return compare


def down_count(router: Router) -> int:
    """Return how often the router's session went down."""
    counters = json.loads(router.vtysh("show bfd peers counters json"))
    return int(counters[0]["session-down"])


def up(scene: Scene, router: Router, settings: BfdSettings = FAST, key: BfdKey = KEY) -> None:
    """Bring a session up, and wait until both have agreed on its intervals."""
    scene.node.want({key: settings})
    wait_until(lambda: scene.node.is_up(key), "we are up", PATIENCE_S)
    interval = settings.transmit_interval_ms
    agreed = says(router, status="up", remote_transmit_interval=interval)
    wait_until(agreed, "the router is up and knows our interval", PATIENCE_S)


@pytest.mark.rule("bgp-native-2.14.packet", "bgp-native-2.14.states")
def test_the_router_reads_what_we_say(scene: Scene) -> None:
    """Intervals, multiplier and echo interval arrive as they are configured."""
    router = scene.router()
    up(scene, router, BfdSettings(70, 90, detect_multiplier=4, echo_interval_ms=80))
    told = seen(router)
    assert told["remote-receive-interval"] == 70
    assert told["remote-detect-multiplier"] == 4
    assert told["remote-echo-receive-interval"] == 80
    assert told["remote-diagnostic"] == "ok"


@pytest.mark.rule("bgp-native-2.14.poll")
def test_intervals_change_without_an_interruption(scene: Scene) -> None:
    """Both sides change theirs while up, and neither goes down."""
    router = scene.router()
    up(scene, router)
    for interval_ms in (300, 60, 1000, 50):
        up(scene, router, BfdSettings(interval_ms, interval_ms))
        router.configure("bfd", f"peer {NODE} interface eth0", f"transmit-interval {interval_ms}")
    report = None

    def has_agreed() -> bool:
        nonlocal report
        report = scene.node.report(KEY)
        return report is not None and report.detection_time_ms == 150

    wait_until(has_agreed, "both agree on 50 ms again", PATIENCE_S)
    assert scene.node.failures() == []
    assert down_count(router) == 0


@pytest.mark.rule("bgp-native-2.14.expiry")
def test_a_cut_is_found_in_the_detection_time(scene: Scene) -> None:
    """Three intervals after the cable is cut we know it."""
    router = scene.router()
    up(scene, router)
    cut_at = time.monotonic()
    scene.host.cut()
    wait_until(scene.node.failures, "the failure")
    at, change = next(each for each in scene.node.changes if each[1].is_failure)
    assert change.diagnostic == "Control Detection Time Expired"
    assert 0.09 < at - cut_at < 0.3
    wait_until(says(router, status="down"), "the router knows it too")
    scene.host.heal()
    wait_until(lambda: scene.node.is_up(KEY), "up again", PATIENCE_S)


def test_who_stands_still_does_not_blame_the_router(scene: Scene) -> None:
    """The loop is blocked for three detection times, several times, and nobody is declared down."""
    router = scene.router()
    up(scene, router, BfdSettings(50, 50, detect_multiplier=30))
    for _ in range(5):
        scene.node.stand_still(0.45)
        time.sleep(0.7)
    assert scene.node.failures() == []
    assert down_count(router) == 0


@pytest.mark.rule("bgp-native-2.14.admin-down")
def test_our_end_is_heard(scene: Scene) -> None:
    """A session that we end is down on the router because we said so, not by expiry."""
    router = scene.router()
    up(scene, router)
    scene.node.want({})
    wait_until(says(router, status="down", diagnostic="neighbor signaled session down"), "told")
    wait_until(lambda: scene.node.table.is_idle, "nothing is left")


@pytest.mark.rule("bgp-native-2.14.states")
def test_the_routers_end_is_no_failure(scene: Scene) -> None:
    """Who shuts the peer down on the router does not tear down what relies on BFD."""
    router = scene.router()
    up(scene, router)
    router.configure("bfd", f"peer {NODE} interface eth0", "shutdown")
    wait_until(lambda: not scene.node.is_up(KEY), "we are down")
    assert scene.node.failures() == []
    router.configure("bfd", f"peer {NODE} interface eth0", "no shutdown")
    wait_until(lambda: scene.node.is_up(KEY), "up again", PATIENCE_S)


@pytest.mark.rule("bgp-native-2.14.passive")
def test_a_passive_session_comes_up_by_the_router(scene: Scene) -> None:
    """The router speaks first, and we answer."""
    router = scene.router()
    up(scene, router, BfdSettings(50, 50, is_passive=True))


@pytest.mark.rule("bgp-native-2.14.passive")
def test_a_passive_router_comes_up_by_us(scene: Scene) -> None:
    """We speak first, and the router answers."""
    router = scene.router("passive-mode")
    up(scene, router)


@pytest.mark.rule("bgp-native-2.14.demultiplexing")
def test_a_session_over_several_hops(scene: Scene) -> None:
    """Port and TTL are those of RFC 5883."""
    router = scene.router(peer=f"{NODE} multihop local-address {R1}")
    up(scene, router, key=BfdKey(R1, NODE, is_multi_hop=True))


def test_a_session_over_ipv6(scene: Scene) -> None:
    """Over IPv6 all is the same."""
    router = scene.router(peer="fd77::1 interface eth0 local-address fd77::2")
    up(scene, router, key=BfdKey("fd77::2", "fd77::1", interface="eth0"))
