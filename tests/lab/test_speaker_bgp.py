"""What speakers tell the API server of BGP, beside a real router (spec: bgp §7 to §9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.bgp_scene import V1, BgpScene
from tests.lab.scene import HOME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.light import LightLab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
STATUSES = f"{V1}/servicebgpstatuses"
NOWHERE = "192.168.111.9"
"""An address of the LAN that nobody has."""


@pytest.fixture
def routed(router: LightLab) -> Iterator[BgpScene]:
    """Give a scene whose objects go at its end."""
    made = BgpScene(router)
    yield made
    for node in router.nodes:
        label(made, node, None)
    made.close()


def label(scene: BgpScene, node: str, value: str | None) -> None:
    """Set or remove the exclusion label of a node."""
    scene.lab.api.merge(f"/api/v1/nodes/{node}", {"metadata": {"labels": {EXCLUDE: value}}})


def everywhere(scene: BgpScene, *peers: str) -> dict[str, list[str]]:
    """Give what the status objects are to say when every node tells these peers."""
    return {node: sorted(peers) for node in scene.lab.nodes}


def wait_status(scene: BgpScene, key: str, wanted: dict[str, list[str]]) -> None:
    """Wait until the status objects of a service say exactly that."""
    scene.until(lambda: scene.bgp_status(key) == wanted, f"{key} is told of as {wanted}", 20)


def sessions(scene: BgpScene, peer: str) -> dict[str, dict[str, Any]]:
    """Give what the nodes say about their sessions with a peer."""
    return {item["node"]: item for item in scene.session_states() if item.get("peer") == peer}


@pytest.mark.rule("bgp-7.object", "bgp-7.status", "bgp-8.event", "bgp-9.end-to-end")
def test_a_service_is_told_of(routed: BgpScene, web: str) -> None:
    """The router has it from every node; objects and an event of each node say so."""
    peer = routed.peer()
    key = routed.stage(selector={"app": web})
    routed.wait_hops()
    wait_status(routed, key, everywhere(routed, peer))
    for node in routed.lab.nodes:
        routed.wait_event(key, "nodeAssigned", about=f'from node "{node}" with protocol "bgp"')
    routed.delete(key)
    routed.wait_hops([])
    wait_status(routed, key, {})


@pytest.mark.rule("bgp-7.repair")
def test_status_objects_are_put_right(routed: BgpScene, web: str) -> None:
    """Whatever is done to them by hand."""
    peer = routed.peer()
    key = routed.stage(selector={"app": web})
    wait_status(routed, key, everywhere(routed, peer))
    names = [item["metadata"]["name"] for item in routed.lab.api.get(STATUSES)["items"]]
    routed.lab.api.delete(f"{STATUSES}/{names[0]}")
    routed.lab.api.merge(f"{STATUSES}/{names[1]}/status", {"status": {"peers": ["nobody"]}})
    metadata = {"metadata": {"ownerReferences": None}}
    routed.lab.api.merge(f"{STATUSES}/{names[2]}", metadata)

    def is_right() -> bool:
        items = routed.lab.api.get(STATUSES)["items"]
        owned = [item for item in items if item["metadata"].get("ownerReferences")]
        return len(owned) == len(items) == 3 and names[0] not in str(items)

    routed.until(is_right, "the objects are right again", 20)
    wait_status(routed, key, everywhere(routed, peer))


def test_sessions_are_objects_of_their_own(routed: BgpScene, web: str) -> None:
    """One that is up says with whom and how much; one that is not says why."""
    peer = routed.peer()
    other = routed.peer(f"{routed.name}-gone", peerAddress=NOWHERE)
    routed.stage(selector={"app": web})

    def are_told() -> bool:
        up, down = sessions(routed, peer), sessions(routed, other)
        return sorted(up) == sorted(down) == sorted(routed.lab.nodes) and all(
            each.get("state") == "Established" and each.get("prefixes") == 1 for each in up.values()
        )

    routed.until(are_told, "the sessions are told", 30)
    routed.until(
        lambda: all(each.get("reason") for each in sessions(routed, other).values()),
        "the reason is told",
        40,
    )
    said = routed.lab.kubectl("get", "bgpsessions", "-n", HOME)
    assert said.splitlines()[0].split() == [
        *("NAME", "NODE", "PEER", "ADDRESS", "STATE", "BFD", "PREFIXES", "SINCE"),
    ]
    assert "Established" in said
    routed.lab.api.delete(f"/apis/metallb.io/v1beta2/namespaces/{HOME}/bgppeers/{other}")
    routed.until(lambda: not sessions(routed, other), "its objects are gone", 20)


@pytest.mark.rule("bgp-4.5", "bgp-9.end-to-end")
def test_a_labelled_node_is_left_out(routed: BgpScene, web: str) -> None:
    """Its routes and its status objects go, and come back with the label removed."""
    peer = routed.peer()
    key = routed.stage(selector={"app": web})
    routed.wait_hops()
    label(routed, "n2", "")
    routed.wait_hops(["n1", "n3"])
    wait_status(routed, key, {"n1": [peer], "n3": [peer]})
    routed.wait_sessions()
    label(routed, "n2", None)
    routed.wait_hops()
    wait_status(routed, key, everywhere(routed, peer))


@pytest.mark.rule("bgp-5.attributes", "bgp-9.end-to-end")
def test_attributes_reach_the_router_without_a_reset(routed: BgpScene, web: str) -> None:
    """Communities and prepending change on the running session."""
    routed.peer()
    routed.stage(selector={"app": web})
    routed.wait_hops()
    before = routed.router.dropped()
    path = f"{V1}/bgpadvertisements/{routed.name}-bgp"
    spec = {"communities": ["65001:7", "large:65001:1:2"], "asPathPrepend": 2}
    routed.lab.api.merge(path, {"spec": spec})

    def is_new() -> bool:
        paths = routed.router.paths(routed.far4)
        return len(paths) == 3 and all(
            each["aspath"]["length"] == 3
            and each.get("community", {}).get("string") == "65001:7"
            and each.get("largeCommunity", {}).get("string") == "65001:1:2"
            for each in paths
        )

    routed.until(is_new, "the router has the new attributes", 20)
    assert routed.router.dropped() == before


@pytest.mark.rule("bgp-3.1.stale", "bgp-6.password")
def test_a_missing_secret_holds_back_nobody_else(routed: BgpScene, web: str) -> None:
    """The speakers say what is missing and go on; once it is there the new peer is taken."""
    peer = routed.peer()
    key = routed.stage(selector={"app": web})
    wait_status(routed, key, everywhere(routed, peer))
    secret = f"{routed.name}-key"
    other = routed.peer(f"{routed.name}-gone", peerAddress=NOWHERE, passwordSecret={"name": secret})
    routed.until(
        lambda: all(
            "secret ref not found" in routed.state(f"speaker-{node}").get("errorSummary", "")
            for node in routed.lab.nodes
        ),
        "the speakers say what is missing",
        20,
    )
    routed.wait_hops()
    assert routed.bgp_status(key) == everywhere(routed, peer)
    routed.secret(secret, "swordfish")
    wait_status(routed, key, everywhere(routed, peer, other))
    states = [routed.state(f"speaker-{node}")["result"] for node in routed.lab.nodes]
    assert states == ["Valid"] * 3
