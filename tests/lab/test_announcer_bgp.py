"""An announcer's BGP and BFD beside FRR, in network namespaces."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from mercurylb.bfd.settings import BfdSettings
from mercurylb.bgp.settings import Key
from tests.lab.bgp_lab import (
    P1,
    BgpLab,
    group,
    has_frr,
    is_established,
    lasts,
    neighbor,
    peer,
    session,
    up,
)
from tests.lab.wire_lab import inside, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
]
needs_frr = pytest.mark.skipif(not has_frr(), reason="needs FRR")

NODE, R1 = "10.77.0.1", "10.77.0.2"
P2, V6 = "203.0.113.2/32", "2001:db8:9::1/128"
GSHUT = 0xFFFF0000
CEASE_SHUTDOWN = b"\x06\x02"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[BgpLab]:
    """Give a LAN with the node on it."""
    made = BgpLab(tmp_path)
    yield made
    made.close()


# --- sessions ------------------------------------------------------------------------------------


@needs_frr
@pytest.mark.rule("bgp-native-2.6.removed")
def test_router_has_what_is_wanted_as_long_as_it_is(lab: BgpLab) -> None:
    """Routes appear in the router's table with their attributes, change, and go."""
    router = lab.router()
    announcer = lab.start()
    wanted = (peer("r1", R1),)
    lab.want(announcer, wanted, group(P1, communities=(0xFC000001,), as_path_prepend=2), group(P2))
    wait_until(lambda: router.has_routes(P1, P2), "both routes")
    seen = router.detail(P1)
    assert seen["aspath"]["string"] == "64512 64512 64512"
    assert seen["community"]["string"] == "64512:1"
    assert [hop["ip"] for hop in seen["nexthops"]] == [NODE]
    lab.want(announcer, wanted, group(P2))
    wait_until(lambda: router.has_routes(P2), "one is gone")
    report = session(announcer)
    assert report is not None
    assert (report.remote_address, report.peer_asn, report.hold_time_s) == (R1, 64513, 9)
    assert "bgp.session_up" in announcer.events()
    lab.want(announcer, ())
    wait_until(router.has_routes, "peer gone")
    assert router.neighbor(NODE)["lastNotificationReason"] == "Cease/Peer De-configured"


@needs_frr
@pytest.mark.rule("bgp-native-1.2.ipv6")
def test_session_over_ipv6(lab: BgpLab) -> None:
    """A peer with an IPv6 address, which the original cannot have, gets IPv6 routes."""
    router = lab.router(bgp=neighbor(lab.host.address6, "ipv6"))
    announcer = lab.start()
    lab.want(announcer, (peer("r1", router.host.address6),), group(V6))
    wait_until(lambda: router.has_routes(V6, family="ipv6"), "the route")
    hops = router.detail(V6, "ipv6")["nexthops"]
    assert lab.host.address6 in [hop["ip"] for hop in hops]


@needs_frr
@pytest.mark.rule("bgp-native-2.15.md5")
def test_passwords_must_match_and_can_be_changed(lab: BgpLab) -> None:
    """A wrong password is silence, told with a hint; the right one makes the session."""
    router = lab.router("r1", "password right")
    announcer = lab.start()
    lab.want(announcer, (peer("r1", R1, password=Key(b"wrong")),), group(P1))
    wait_until(lambda: "same password" in getattr(session(announcer), "last_error", ""), "hint")
    assert not is_established(announcer)
    up(lab, announcer, peer("r1", R1, password=Key(b"right")))
    wait_until(lambda: router.has_routes(P1), "the route")
    router.configure("router bgp 64513", f"neighbor {NODE} password next")
    wait_until(lambda: not is_established(announcer), "the old one is of no use")
    up(lab, announcer, peer("r1", R1, password=Key(b"next")))


@needs_frr
@pytest.mark.rule("bgp-native-2.15.gtsm")
def test_gtsm_both_ways(lab: BgpLab) -> None:
    """A router that accepts nothing from beyond one hop takes ours, and we do the same."""
    router = lab.router("r1", "ttl-security hops 1")
    announcer = lab.start()
    up(lab, announcer, peer("r1", R1, gtsm_hops=1))
    wait_until(lambda: router.has_routes(P1), "the route")


@needs_frr
@pytest.mark.rule("bgp-native-2.1.listener")
def test_listener_lets_routers_call(lab: BgpLab) -> None:
    """With a port of its own the node is reachable for its peers, and for nobody else."""
    router = lab.router("r1", "timers connect 1")
    announcer = lab.start("--bgp-listen-port", "179")
    # Nobody listens on the port that we dial, so the session is the router's.
    lab.want(announcer, (peer("r1", R1, port=1179),), group(P1))
    wait_until(lambda: router.has_routes(P1), "the route")
    stranger = lab.lan.host("stranger")
    with inside(stranger.namespace):
        sock = socket.create_connection((NODE, 179), 2)
    with sock:
        assert sock.recv(1) == b""
    wait_until(lambda: announcer.drops.get("bgp connections of strangers"), "counted")
    assert is_established(announcer)


@needs_frr
@pytest.mark.rule("bgp-native-1.2.source", "bgp-native-2.15.source")
def test_missing_source_address_is_said_and_used_once_it_is_there(lab: BgpLab) -> None:
    """What this host lacks is said in words; an address that appears is used at once."""
    router = lab.router(bgp=neighbor("10.77.0.50", "ipv4"))
    announcer = lab.start()
    wanted = peer("r1", R1, source_address="10.77.0.50", connect_time_s=120)
    lab.want(announcer, (wanted,), group(P1))
    words = 'address "10.77.0.50": doesn\'t exist on this host'
    wait_until(lambda: getattr(session(announcer), "last_error", "") == words, "said")
    lab.host.ip("addr", "add", "10.77.0.50/24", "dev", "eth0")
    wait_until(lambda: is_established(announcer), "established")
    wait_until(lambda: router.has_routes(P1), "the route")


@needs_frr
@pytest.mark.rule("bgp-native-2.1.vrf")
def test_session_bound_to_a_device(lab: BgpLab) -> None:
    """A VRF is a device that sockets are bound to; one that is missing is named."""
    router = lab.router()
    announcer = lab.start()
    lab.want(announcer, (peer("r1", R1, vrf="red"),), group(P1))
    words = "red: does not exist on this host"
    wait_until(lambda: getattr(session(announcer), "last_error", "") == words, "said")
    up(lab, announcer, peer("r1", R1, vrf="eth0"))
    wait_until(lambda: router.has_routes(P1), "the route")


@needs_frr
@pytest.mark.rule("bgp-native-2.9.discovery", "bgp-native-2.9.dial")
def test_router_behind_an_interface(lab: BgpLab) -> None:
    """Without any address configured both find each other and exchange routes of both families."""
    router = lab.router(
        extra="interface eth0\n ipv6 nd ra-interval 1\n no ipv6 nd suppress-ra\nexit",
        bgp=" neighbor eth0 interface remote-as external\n address-family ipv4 unicast\n"
        "  neighbor eth0 activate\n exit-address-family\n address-family ipv6 unicast\n"
        "  neighbor eth0 activate\n exit-address-family",
    )
    announcer = lab.start()
    wanted = peer("r1", interface="eth0", has_both_families=True)
    lab.want(announcer, (wanted,), group(P1, V6))
    wait_until(lambda: router.has_routes(P1), "IPv4")
    wait_until(lambda: router.has_routes(V6, family="ipv6"), "IPv6")
    link_local = next(
        row["local"]
        for row in json.loads(lab.host.ip("-json", "addr", "show", "dev", "eth0"))[0]["addr_info"]
        if row["scope"] == "link"
    )
    assert link_local in [hop["ip"] for hop in router.detail(P1)["nexthops"]]
    assert "bgp.router_found" in announcer.events()


# --- BFD -----------------------------------------------------------------------------------------


@needs_frr
@pytest.mark.rule("bgp-native-2.14.coupling")
def test_bfd_ends_a_session_long_before_its_hold_time(lab: BgpLab) -> None:
    """A cable that no kernel sees broken ends the session in a detection time; it comes back."""
    router = lab.router("r1", "bfd", "timers 30 90")
    announcer = lab.start()
    up(lab, announcer, peer("r1", R1, BfdSettings(100, 100), hold_time_s=90))
    wait_until(lambda: getattr(session(announcer), "bfd", "") == "Up", "BFD is up")
    wait_until(lambda: router.has_routes(P1), "the route")
    lab.host.pull()
    wait_until(lambda: not is_established(announcer), "BFD says so")
    assert "bfd.session_down" in announcer.events()
    wait_until(router.has_routes, "the router knows as well")
    lab.host.repair()
    wait_until(lambda: is_established(announcer), "back with BFD, not with the timer")
    wait_until(lambda: router.has_routes(P1), "the route")


# --- brains come and go --------------------------------------------------------------------------


def test_killed_brain_costs_no_session_and_no_route(lab: BgpLab) -> None:
    """The wire goes on, and a new brain that wants the same changes nothing."""
    small = lab.small_peer("r1")
    announcer = lab.start()
    up(lab, announcer, peer("r1", R1, hold_time_s=90))
    wait_until(lambda: small.prefixes() == {P1}, "the route")
    count = len(small.updates)
    first = (announcer.folder / "brain.pid").read_text()
    os.kill(int(first), signal.SIGKILL)
    wait_until(lambda: (announcer.folder / "brain.pid").read_text() != first, "a new brain")
    assert lasts(lambda: is_established(announcer), 0.5)
    lab.want(announcer, (peer("r1", R1, hold_time_s=90),), group(P1, P2))
    wait_until(lambda: small.prefixes() == {P1, P2}, "the new brain is heard")
    assert not small.ended_at
    assert [one.prefixes for one in small.updates[count:]] == [(P2,)]


def test_expired_lease_withdraws_but_keeps_the_session(lab: BgpLab) -> None:
    """Without a brain for too long nothing is announced any more; its next word brings all back."""
    small = lab.small_peer("r1")
    announcer = lab.start("--lease", "1")
    up(lab, announcer, peer("r1", R1, hold_time_s=90))
    wait_until(lambda: small.prefixes() == {P1}, "the route")
    wait_until(lambda: small.prefixes() == set(), "withdrawn")
    assert not small.ended_at
    lab.want(announcer, (peer("r1", R1, hold_time_s=90),), group(P1))
    wait_until(lambda: small.prefixes() == {P1}, "back")
    assert not small.ended_at


# --- the end, and the next beginning --------------------------------------------------------------


@pytest.mark.rule("bgp-native-2.6.stop")
def test_planned_stop_warns_withdraws_and_says_why(lab: BgpLab) -> None:
    """SIGTERM: GRACEFUL_SHUTDOWN, a second later the withdrawal, Cease, exit code 0 in time."""
    small = lab.small_peer("r1")
    announcer = lab.start()
    up(lab, announcer, peer("r1", R1, hold_time_s=90))
    wait_until(lambda: small.prefixes() == {P1}, "the route")
    stopped_at = time.monotonic()
    announcer.kill(signal.SIGTERM)
    assert announcer.process.wait(5) == 0
    took_s = time.monotonic() - stopped_at
    wait_until(lambda: small.notifications, "a last word")
    leaving = [one for one in small.updates if GSHUT in one.communities]
    withdrawal = [one for one in small.updates if P1 in one.withdrawn]
    assert [one.prefixes for one in leaving] == [(P1,)]
    assert leaving[0].at - stopped_at < 0.3
    assert 0.9 < withdrawal[0].at - leaving[0].at < 1.4
    at, body = small.notifications[0]
    assert at >= withdrawal[0].at
    assert body[:2] == CEASE_SHUTDOWN
    assert b"stopped" in body
    assert took_s < 2.0


@needs_frr
@pytest.mark.parametrize("has_bfd", [False, True], ids=["", "bfd"])
@pytest.mark.rule("bgp-native-2.11.restarting", "bgp-native-2.11.stop")
def test_restart_with_graceful_restart_loses_no_route(lab: BgpLab, *, has_bfd: bool) -> None:
    """A killed announcer's routes stay with the router until the next one has confirmed them."""
    router = lab.router("r1", "graceful-restart-helper", *(["bfd"] if has_bfd else []))
    announcer = lab.start()
    bfd = BfdSettings() if has_bfd else None
    wanted = peer("r1", R1, bfd, has_graceful_restart=True)
    up(lab, announcer, wanted)
    wait_until(lambda: router.has_routes(P1), "the route")
    if has_bfd:
        wait_until(lambda: getattr(session(announcer), "bfd", "") == "Up", "BFD is up")
    announcer.kill()
    announcer.process.wait()
    wait_until(lambda: router.neighbor(NODE)["bgpState"] != "Established", "the router noticed")
    assert lasts(lambda: router.has_routes(P1), 2.0 if has_bfd else 0.2)
    again = lab.start()
    wait_until(lambda: router.has_routes(P1) and is_established(again), "established again")
    wait_until(lambda: not router.detail(P1).get("stale"), "confirmed")
    again.kill(signal.SIGTERM)
    assert again.process.wait(5) == 0
    assert lasts(lambda: router.has_routes(P1), 2.0), "a planned stop withdraws nothing either"


# --- operators ------------------------------------------------------------------------------------


def test_desk_answers_on_the_node(lab: BgpLab) -> None:
    """What the session does can be asked for in the namespace of the announcer."""
    small = lab.small_peer("r1")
    announcer = lab.start()
    assert ask(lab, {"ask": "peers"}) == {"node": "n1", "sessions": [], "bfd": []}
    up(lab, announcer, peer("r1", R1))
    wait_until(lambda: small.prefixes() == {P1}, "the route")
    answer = ask(lab, {"ask": "peers"})
    assert [one["state"] for one in answer["sessions"]] == ["Established"]
    assert ask(lab, {"ask": "session", "peer": "r1"})["story"]
    routes = ask(lab, {"ask": "routes", "peer": "r1"})
    assert [prefix for prefix, _ in routes["routes"]] == [P1]
    assert ask(lab, {"ask": "session", "peer": "r9"})["known"] == ["r1"]


def ask(lab: BgpLab, question: dict[str, Any]) -> dict[str, Any]:
    """Ask the announcer on the node, once it is there."""
    with inside(lab.host.namespace):
        sock = socket.socket(socket.AF_UNIX)
        wait_until(lambda: not sock.connect_ex("\0mercurylb/announcer"), "the desk is there")
    with sock:
        sock.sendall(json.dumps(question).encode() + b"\n")
        heard = b""
        while received := sock.recv(1 << 20):
            heard += received
    return dict(json.loads(heard))
