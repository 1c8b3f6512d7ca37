"""Speakers beside a real router: which node it sends to, and by whose word."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lab.failover.routed import EXCLUDE, outage, restart_proxies
from tests.lab.bgp_scene import OPTIONS, BgpScene, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.light import LightLab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

FLOWS = 150
FAIR_SHARE = 0.15
"""A third is due; the kernel's hash of so few flows is not exact."""
BOTH: dict[str, Any] = {"families": ("IPv4", "IPv6")}


@pytest.fixture
def routed(router: LightLab) -> Iterator[BgpScene]:
    """Give a scene whose objects go at its end, and the router as it was."""
    made = BgpScene(router)
    yield made
    router.faults.heal()
    made.close()
    if router.bgp.options() != OPTIONS:
        router.bgp.start(OPTIONS)


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_flows_are_spread_over_all_nodes(routed: BgpScene, web: str, family: str) -> None:
    """Every node announces the address with equal attributes, and each gets its share."""
    routed.peer(dualStackAddressFamily=True)
    routed.stage(**BOTH, selector={"app": web})
    address = routed.far4 if family == "IPv4" else routed.far6
    routed.wait_hops(address=address)
    counts = routed.flows(address, FLOWS)
    tell({"name": "spread", "family": family, "connections": FLOWS, "by_node": counts})
    assert sorted(counts) == sorted(routed.lab.nodes)
    assert min(counts.values()) >= FAIR_SHARE * FLOWS


def test_a_local_service_is_announced_where_its_pods_are(routed: BgpScene) -> None:
    """The router's next hops follow pods that come, become ready or unready, and go."""
    routed.peer()
    first, second, third = sorted(routed.lab.nodes)
    pod = routed.web(first, routed.name)
    routed.stage(selector={"app": routed.name}, externalTrafficPolicy="Local")
    routed.wait_hops([first])
    routed.web(second, routed.name)
    routed.wait_hops([first, second])
    routed.lab.pods.set_ready(pod, ready=False)
    routed.wait_hops([second])
    routed.lab.pods.set_ready(pod, ready=True)
    routed.web(third, routed.name)
    routed.wait_hops()
    routed.remove_pod(pod)
    routed.wait_hops([second, third])


def test_a_service_that_goes_is_withdrawn(routed: BgpScene, web: str) -> None:
    """Status objects name node and peer while it is announced, and go with it."""
    peer = routed.peer()
    key = routed.stage(selector={"app": web})
    routed.wait_hops()
    wanted = {node: [peer] for node in routed.lab.nodes}
    routed.until(lambda: routed.bgp_status(key) == wanted, "status objects")
    routed.delete(key)
    routed.wait_hops([])
    routed.until(lambda: routed.bgp_status(key) == {}, "no status objects")


def test_node_selectors_choose_who_peers_and_who_announces(routed: BgpScene, web: str) -> None:
    """A peer's selector decides about sessions, an advertisement's about routes."""
    first, second, _ = sorted(routed.lab.nodes)
    hosts = [{"matchLabels": {"kubernetes.io/hostname": node}} for node in (first, second)]
    routed.peer(nodeSelectors=hosts)
    routed.pool(f"{routed.far4}/32")
    routed.advertise_bgp(nodeSelectors=hosts[1:])
    routed.wait_addresses(routed.service(selector={"app": web}))
    routed.wait_sessions([first, second])
    routed.wait_hops([second])


def test_an_excluded_node_announces_nothing(routed: BgpScene, web: str) -> None:
    """The well-known label takes its routes back but keeps the session; without it they return."""
    routed.peer()
    routed.stage(selector={"app": web})
    routed.wait_hops()
    first, *rest = sorted(routed.lab.nodes)
    path = f"/api/v1/nodes/{first}"
    routed.lab.api.merge(path, {"metadata": {"labels": {EXCLUDE: ""}}})
    try:
        routed.wait_hops(rest)
        assert first in routed.router.established()
    finally:
        routed.lab.api.merge(path, {"metadata": {"labels": {EXCLUDE: None}}})
    routed.wait_hops()


def test_a_session_waits_for_its_missing_secret(routed: BgpScene, web: str) -> None:
    """Without the password no session; as soon as the secret is there they come up."""
    routed.router.start(replace(OPTIONS, password="s3cret"))
    routed.peer(passwordSecret={"name": f"{routed.name}-secret"})
    routed.pool(f"{routed.far4}/32")
    routed.advertise_bgp()
    routed.wait_addresses(routed.service(selector={"app": web}))
    assert routed.router.established() == []
    routed.secret(f"{routed.name}-secret", "s3cret")
    routed.wait_sessions()
    routed.wait_hops()


def test_a_password_is_rotated(routed: BgpScene, web: str) -> None:
    """Once router and secret have the new password the sessions are back, each by itself."""
    routed.router.start(replace(OPTIONS, password="first"))
    name = f"{routed.name}-secret"
    routed.secret(name, "first")
    routed.peer(passwordSecret={"name": name})
    routed.stage(selector={"app": web})
    routed.wait_hops()
    routed.router.configure("neighbor nodes password second")
    routed.set_secret(name, "second")
    routed.until(
        lambda: all(count > 0 for count in routed.router.dropped().values()), "the old ones end"
    )
    routed.wait_sessions()
    routed.wait_hops()


def test_a_wrong_password_is_told(routed: BgpScene, web: str) -> None:
    """A session that does not come about says so in its state."""
    routed.router.start(replace(OPTIONS, password="right"))
    routed.peer(password="wrong")
    routed.stage(selector={"app": web})
    states = routed.lab.wait_for(
        lambda: [s for s in routed.session_states() if "password" in s.get("reason", "")],
        timeout_s=30,
        what="an error",
    )
    assert states
    assert routed.router.established() == []


def test_the_state_of_sessions_can_be_read(routed: BgpScene, web: str) -> None:
    """There is an object per node and peer that tells its state."""
    routed.peer()
    routed.stage(selector={"app": web})
    routed.wait_hops()

    def established() -> int:
        return sum(s.get("state") == "Established" for s in routed.session_states())

    routed.until(lambda: established() == len(routed.lab.nodes), "states of sessions")


def test_sessions_do_without_an_api_server(routed: BgpScene, web: str) -> None:
    """While it is away routes stay and a node that is cut off goes; after it all is as before."""
    routed.router.start(replace(OPTIONS, has_bfd=True))
    routed.peer(bfdProfile=routed.profile())
    key = routed.stage(selector={"app": web})
    routed.wait_hops()
    first, *rest = sorted(routed.lab.nodes)
    routed.until(lambda: routed.router.watched() == [first, *rest], "BFD with all nodes")
    before = routed.router.dropped()
    try:
        with outage(routed.lab):
            routed.lab.faults.cut(first)
            routed.wait_hops(rest)
            routed.lab.faults.heal()
            routed.wait_hops()
    finally:
        restart_proxies(routed.lab)
    after = routed.router.dropped()
    assert [node for node in before if after[node] > before[node]] == [first]
    routed.delete(key)
    routed.wait_hops([])
