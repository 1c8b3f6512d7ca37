"""What each speaker says of its configuration: BGP objects concern the nodes they select only."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any

import pytest

from lab import Lab
from tests.lab.scene import HOME, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

SECRETS = f"/api/v1/namespaces/{HOME}/secrets"


@pytest.fixture
def frr_scene() -> Iterator[Scene]:
    """Bring up two nodes whose programs believe in FRR: the native backend knows no BFD."""
    if os.geteuid() != 0:
        pytest.skip("a lab needs root: it makes network namespaces")
    environment = {"METALLB_BGP_TYPE": "frr"}
    with Lab.light(name=f"c{os.getpid()}", nodes=2, env=environment) as lab:
        scene = Scene(lab)
        yield scene
        scene.close()


def put(scene: Scene, kind: str, name: str, spec: Any) -> str:
    """Create an object of the configuration; give its path."""
    version = "v1beta2" if kind == "BGPPeer" else "v1beta1"
    path = f"/apis/metallb.io/{version}/namespaces/{HOME}/{kind.lower()}s"
    head = {"apiVersion": f"metallb.io/{version}", "kind": kind, "metadata": {"name": name}}
    scene.create(path, {**head, "spec": spec})
    return f"{path}/{name}"


def result(scene: Scene, node: str) -> str:
    """Give what the speaker of a node says."""
    found: str = scene.state(f"speaker-{node}").get("result", "")
    return found


def wait_result(scene: Scene, node: str, wanted: str) -> None:
    """Wait until the speaker of a node says so."""
    scene.until(lambda: result(scene, node) == wanted, f"speaker-{node} is {wanted}", 20)


@pytest.mark.rule("config-1.speaker", "config-1.profiles", "config-10.rejected")
def test_only_the_speakers_concerned_reject_a_peer(frr_scene: Scene) -> None:
    """An unknown profile and a missing secret are told on their node, until they are there."""
    scene = frr_scene
    for node in ("n1", "n2"):
        wait_result(scene, node, "Valid")
    spec = {
        "myASN": 64512,
        "peerASN": 64513,
        "peerAddress": "192.168.111.250",
        "bfdProfile": "fast",
        "nodeSelectors": [{"matchLabels": {"kubernetes.io/hostname": "n1"}}],
    }
    peer = put(scene, "BGPPeer", "router", spec)
    wait_result(scene, "n1", "Invalid")
    state = scene.state("speaker-n1")
    assert "BGPPeer metallb/router: spec.bfdProfile" in state["errorSummary"]
    assert "peer router referencing non existing bfd profile fast" in state["errorSummary"]
    (condition,) = state["conditions"]
    assert (condition["type"], condition["status"]) == ("configReconcilerValid", "False")
    assert result(scene, "n2") == "Valid"
    assert result(scene, "n2") == scene.state()["result"]

    put(scene, "BFDProfile", "fast", {})
    wait_result(scene, "n1", "Valid")

    scene.lab.api.merge(peer, {"spec": {"passwordSecret": {"name": "router-password"}}})
    wait_result(scene, "n1", "Invalid")
    assert "secret ref not found" in scene.state("speaker-n1")["errorSummary"]
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "router-password"},
        "type": "kubernetes.io/basic-auth",
        "data": {"password": base64.b64encode(b"swordfish").decode()},
    }
    scene.create(SECRETS, secret)
    wait_result(scene, "n1", "Valid")

    everywhere = {"spec": {"nodeSelectors": None, "bfdProfile": "slow"}}
    scene.lab.api.merge(peer, everywhere)
    for node in ("n1", "n2"):
        wait_result(scene, node, "Invalid")
    scene.lab.api.delete(peer)
    for node in ("n1", "n2"):
        wait_result(scene, node, "Valid")
