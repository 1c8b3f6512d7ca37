"""Passwords, distances and who dials."""

from __future__ import annotations

import errno
import socket
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from lab import netns
from tests.interop.bgp.matrix import IMPOSSIBLE, LACKS, ROUTERS, capability
from tests.interop.bgp.network import HOP
from tests.interop.bgp.node import ASN, password

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.bgp.network import Network
    from tests.interop.bgp.node import Link, Node
    from tests.interop.bgp.routers.router import Router

    Meet = Callable[..., Link]
    Private = Callable[..., Node]

_TCP_AO_ADD_KEY = 38
SYN_AGAIN_S = 1.5
"""By then a kernel has repeated its SYN, which it does after a second."""


def test_the_network_has_no_way_out(bgp_network: Network) -> None:
    """No namespace of these tests has a default route but over our own hop."""
    for name in ("node", HOP, "hostile", *ROUTERS):
        for row in netns.ip_json(bgp_network.namespace(name), "route", "show", "default"):
            pytest.fail(f"{name} has a way out: {row}")


@pytest.mark.rule("bgp-native-2.15.md5")
@capability("MD5 password")
def test_password(router: Router, meet: Meet) -> None:
    """A session with the right password comes up and carries routes."""
    link = meet(router, neighbor={"password": "s3same"}, settings={"password": password("s3same")})
    link.announce(link.group("192.0.2.40/32"))
    link.wait_prefixes("192.0.2.40/32")


@pytest.mark.rule("bgp-native-2.15.md5")
@capability("MD5 password over IPv6")
def test_password_ipv6(router: Router, meet: Meet) -> None:
    """The same over IPv6."""
    link = meet(
        router,
        is_ipv6=True,
        neighbor={"password": "s3same"},
        settings={"password": password("s3same")},
    )
    link.announce(link.group("2001:db8::40/128"))
    link.wait_prefixes("2001:db8::40/128")


@pytest.mark.rule("bgp-native-2.15.md5")
@capability("MD5: wrong, then right")
def test_wrong_password(router: Router, meet: Meet) -> None:
    """A wrong password gives no session; the right one, set later, does."""
    link = meet(
        router,
        waits=False,
        neighbor={"password": "s3same"},
        settings={"password": password("sesame")},
    )
    time.sleep(SYN_AGAIN_S)  # Nothing comes of it, and nothing says so: the kernel drops it all.
    assert not link.view.is_established
    assert link.report.state != "Established"
    link.change(password=password("s3same"))
    link.wait_established()


@pytest.mark.rule("bgp-native-2.15.md5", "bgp-native-2.6.removed")
@capability("MD5 rotated")
def test_rotated_password(router: Router, meet: Meet) -> None:
    """When both sides take a new password, the session comes back by itself."""
    link = meet(router, neighbor={"password": "first"}, settings={"password": password("first")})
    link.announce(link.group("192.0.2.41/32"))
    link.wait_prefixes("192.0.2.41/32")
    link.change(password=password("second"))
    link.wait(lambda: link.report.state != "Established", "the session begins anew")
    link.router.add(msgspec.structs.replace(link.neighbor, password="second"))
    link.wait_established()
    link.wait_prefixes("192.0.2.41/32")


@capability("TCP-AO")
def test_authentication(router: Router) -> None:
    """A session with TCP-AO comes up, where the kernel has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_AO_ADD_KEY, bytes(256))
        except OSError as error:
            if error.errno == errno.ENOPROTOOPT:
                pytest.skip(f"{IMPOSSIBLE}: no TCP-AO in it")
    pytest.skip(f"{LACKS}: {router.kind} does not speak it in this release")


@pytest.mark.rule("bgp-native-2.15.gtsm")
@capability("GTSM, one hop")
def test_gtsm(router: Router, meet: Meet) -> None:
    """With RFC 5082 on both sides the session comes up."""
    link = meet(router, neighbor={"gtsm_hops": 1}, settings={"gtsm_hops": 1})
    link.announce(link.group("192.0.2.42/32"))
    link.wait_prefixes("192.0.2.42/32")


@pytest.mark.rule("bgp-native-2.15.gtsm")
@capability("GTSM refuses the distant")
def test_gtsm_distance(router: Router, meet: Meet) -> None:
    """A router behind a hop is too far for a limit of one hop, and near enough for two."""
    link = meet(router, waits=False, is_far=True, settings={"gtsm_hops": 1})
    time.sleep(SYN_AGAIN_S)  # Nothing comes of it, and nothing says so: the kernel drops it all.
    assert not link.view.is_established
    link.router.add(msgspec.structs.replace(link.neighbor, hop_count=255))
    link.change(gtsm_hops=2)
    if router.kind != "exabgp":  # It answers with the TTL of the kernel.
        link.wait_established()


@pytest.mark.rule("bgp-native-2.1.ttl", "bgp-native-2.15.ttl")
@capability("eBGP over a hop")
def test_multi_hop(router: Router, meet: Meet) -> None:
    """A router behind a hop is an external peer."""
    link = meet(router, is_far=True)
    link.announce(link.group("192.0.2.43/32"))
    link.wait_prefixes("192.0.2.43/32")
    assert link.routes()["192.0.2.43/32"].as_path == (ASN,)


@pytest.mark.rule("bgp-native-2.15.ttl")
@capability("iBGP over a hop, IPv6")
def test_multi_hop_internal(router: Router, meet: Meet) -> None:
    """A router behind a hop is an internal peer."""
    link = meet(router, is_far=True, is_ipv6=True, is_internal=True)
    link.announce(link.group("2001:db8::43/128"))
    link.wait_prefixes("2001:db8::43/128")
    assert link.routes()["2001:db8::43/128"].as_path == ()


@pytest.mark.rule("bgp-native-2.7.collision", "bgp-native-2.1.listener")
@capability("collision: both dial")
def test_collision(router: Router, meet: Meet, private: Private) -> None:
    """Where both sides dial, one session comes out of it, and it stays."""
    node = private("--bgp-listen-port", "179")
    link = meet(router, by=node, waits=False, neighbor={"is_dialling": True})
    link.wait_established()
    link.announce(link.group("192.0.2.44/32"))
    link.wait_prefixes("192.0.2.44/32")
    flaps = link.report.flap_count
    time.sleep(1.5)  # A second connection would have come by now.
    assert link.view.is_established
    assert link.report.flap_count == flaps


@pytest.mark.rule("bgp-native-2.1.listener")
@capability("the router dials alone")
def test_accepted(router: Router, meet: Meet, private: Private) -> None:
    """Where the router cannot be dialled, its own connection is taken."""
    node = private("--bgp-listen-port", "179")
    link = meet(
        router,
        by=node,
        waits=False,
        neighbor={"is_dialling": True},
        settings={"port": 1999, "connect_time_s": 60},
    )
    link.wait_established()
    link.announce(link.group("192.0.2.45/32"))
    link.wait_prefixes("192.0.2.45/32")
