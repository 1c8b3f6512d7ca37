"""`mercurylb who` on a real network: it says who answers, and whether that is right."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lab import binaries, netns
from mercurylb.plan.testimony import CONFLICTS_ANNOTATION
from tests.lab.scene import HOME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.scene import Scene

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


def who(scene: Scene, *arguments: str, host: str = "cp") -> tuple[int, dict[str, Any]]:
    """Ask from a host; give the exit code and what is told."""
    site = scene.lab.site
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    environment |= {"HOME": "/nonexistent"}
    if host == "cp":
        environment["KUBECONFIG"] = str(site.kubeconfig())
    argv = [binaries.own("mercurylb"), "who", *arguments, "--json"]
    done = subprocess.run(
        [*netns.enter_argv(site.namespace(host)), *argv],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, told


@pytest.fixture
def announced(scene: Scene, web: str) -> Scene:
    """Give a scene with a service of both families that is announced."""
    scene.announce(web)
    return scene


@pytest.mark.parametrize("family", ["ARP", "NDP"])
def test_the_owner_is_named_and_right(announced: Scene, family: str) -> None:
    """Wire, ranking and status object agree, and the nodes' MAC addresses are learnt by asking."""
    address = announced.ip4() if family == "ARP" else announced.ip6()
    owner = announced.ranking(announced.ip4())[0]
    key = f"default/{announced.name}-a"
    announced.until(lambda: [s["node"] for s in announced.l2_status(key)] == [owner])
    code, told = who(announced, address)
    assert (code, told["code"]) == (0, "right")
    (answer,) = told["answers"]
    assert (answer["node"], answer["mac"]) == (owner, announced.lab.site.plan.node(owner).mac)
    assert told["ranking"] == announced.ranking(announced.ip4())
    assert [each["node"] for each in told["said"]] == [owner]
    assert told["unlearnt"] == []


def test_without_credentials_the_wire_is_told(announced: Scene) -> None:
    """A machine outside the cluster sees the one owner's MAC address."""
    code, told = who(announced, announced.ip4(), host="client")
    assert (code, told["code"]) == (0, "answered")
    owner = announced.ranking(announced.ip4())[0]
    assert [each["mac"] for each in told["answers"]] == [announced.lab.site.plan.node(owner).mac]


def test_nobody_answers(scene: Scene) -> None:
    """A service without endpoints is announced by nobody, and that is told as the reason."""
    scene.pool()
    scene.advertise()
    scene.wait_addresses(scene.service(selector={"app": scene.name}))
    code, told = who(scene, scene.ip4(), "--timeout", "0.5")
    assert (code, told["code"]) == (3, "nobody")
    assert "no endpoint of the service takes traffic" in told["sentence"]


@pytest.fixture
def stranger(announced: Scene) -> Iterator[Scene]:
    """Let the client have the announced address too."""
    client = announced.lab.client
    client.run(["ip", "address", "add", f"{announced.ip4()}/32", "dev", "eth0"])
    yield announced
    client.run(["ip", "address", "del", f"{announced.ip4()}/32", "dev", "eth0"])


def test_a_stranger_is_seen_and_told(stranger: Scene) -> None:
    """Two answer, one is no node; the announcing speaker tells it by event, object and `who`."""
    scene = stranger
    owner = scene.ranking(scene.ip4())[0]
    mac = scene.lab.site.plan.client.mac
    key = f"default/{scene.name}-a"
    code, told = who(scene, scene.ip4())
    assert (code, told["code"]) == (1, "twoOwners")
    assert {each["mac"]: each["node"] for each in told["answers"]} == {
        scene.lab.site.plan.node(owner).mac: owner,
        mac: "",
    }
    scene.shout(scene.ip4())
    event = scene.wait_event(key, "addressConflict", about=mac)
    assert event["type"] == "Warning"
    path = f"/apis/metallb.io/v1beta1/namespaces/{HOME}/servicel2statuses"

    def annotation() -> str:
        for item in scene.lab.api.get(path)["items"]:
            if item["metadata"]["labels"]["metallb.io/service-name"] == f"{scene.name}-a":
                return str(item["metadata"].get("annotations", {}).get(CONFLICTS_ANNOTATION, ""))
        return ""

    scene.until(annotation, "the status object tells the conflict")
    assert [each["mac"] for each in msgspec.json.decode(annotation())] == [mac]
    _, told = who(scene, scene.ip4())
    assert [each["mac"] for each in told["disputes"]] == [mac]
