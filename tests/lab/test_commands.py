"""The operator's commands against a real API server: what they say is what happens."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from lab import binaries, netns
from lab.errors import ApiError, WaitTimeout
from tests.lab.scene import HOME

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.scene import Scene

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


def mercurylb(
    scene: Scene | None, *arguments: str, stdin: str = "", code: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """Run the command, with the lab's cluster or with none."""
    hidden = ("KUBECONFIG", "METALLB_NAMESPACE", "METALLB_BGP_TYPE")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["HOME"] = "/nonexistent"
    argv = [binaries.own("mercurylb"), *arguments]
    if scene is not None:
        site = scene.lab.site
        environment["KUBECONFIG"] = str(site.kubeconfig())
        argv = [*netns.enter_argv(site.namespace("cp")), *argv]
    done = subprocess.run(
        argv, input=stdin, capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done


def cause(scene: Scene, key: str, *arguments: str) -> str:
    """Give the code of the cause that is found now."""
    done = mercurylb(scene, "explain", "service", key, "-o", "json", *arguments, code=None)
    assert done.stdout, done.stderr
    code: str = json.loads(done.stdout)["cause"]["code"]
    return code


def test_explain_follows_a_service_from_pending_to_announced(scene: Scene, web: str) -> None:
    """Each missing piece is named while it is missing, and the announcing node in the end."""
    key = scene.service(selector={"app": web})
    assert cause(scene, key) == "noPools"
    scene.pool()
    scene.wait_addresses(key, [scene.ip4()])
    assert cause(scene, key) == "notAdvertised"
    scene.wait_endpoints(key)
    scene.advertise(nodeSelectors=[{"matchLabels": {"kubernetes.io/hostname": "n2"}}])
    scene.until(lambda: scene.l2_status(key), "a node says that it announces it")
    shown = mercurylb(scene, "explain", "service", key).stdout
    assert shown.startswith(
        f"Cause: {scene.ip4()} of pool {scene.name}-pool is announced from node n2"
    )
    assert "Node     -  n1: no advertisement for the service includes it" in shown


def test_a_snapshot_explains_without_the_cluster(scene: Scene, tmp_path: Path) -> None:
    """A saved file says the same as the cluster, and holds no password."""
    password = "correct-horse"
    group = f"/apis/metallb.io/v1beta2/namespaces/{HOME}/bgppeers"
    peer: dict[str, Any] = {
        "apiVersion": "metallb.io/v1beta2",
        "kind": "BGPPeer",
        "metadata": {"name": scene.name},
        "spec": {"myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1", "password": password},
    }
    scene.create(group, peer)
    scene.pool()
    first = scene.service("a")
    scene.wait_addresses(first, [scene.ip4()])
    second = scene.service("b")
    scene.wait_event(second, "AllocationFailed")
    file = tmp_path / "cluster.yaml"
    mercurylb(scene, "snapshot", "-o", str(file))
    assert password not in file.read_text()
    explain = ["explain", "service", second, "-o", "json", "--snapshot", str(file)]
    saved = json.loads(mercurylb(None, *explain, code=1).stdout)
    assert saved["cause"]["code"] == "poolExhausted"
    assert saved["events"][-1]["reason"] == "AllocationFailed"
    live = mercurylb(scene, "explain", "service", second, "-o", "json", code=1)
    assert json.loads(live.stdout)["cause"] == saved["cause"]


def test_what_plan_foretells_happens(scene: Scene) -> None:
    """The addresses that a changed pool would give are those that it gives."""
    pool = scene.pool()
    keys = [scene.service("a")]
    scene.wait_addresses(keys[0], [scene.ip4()])
    keys.append(scene.service("b"))
    wanted = f"{scene.ip4(1)}-{scene.ip4(2)}"
    manifest = {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {"name": pool, "namespace": HOME},
        "spec": {"addresses": [wanted]},
    }
    arguments = ["plan", "-f", "-", "-o", "json", "--detailed-exitcode"]
    done = mercurylb(scene, *arguments, stdin=json.dumps(manifest), code=3)
    changed = {c["service"]: c for c in json.loads(done.stdout)["changed"]}
    assert [changed[key]["kind"] for key in keys] == ["moved", "assigned"]
    assert scene.addresses(keys[0]) == [scene.ip4()]
    scene.set_pool(pool, wanted)
    foretold = {key: changed[key]["addresses_after"] for key in keys}
    with suppress(WaitTimeout):
        scene.until(lambda: {key: scene.addresses(key) for key in keys} == foretold, "", 20.0)
    assert {key: scene.addresses(key) for key in keys} == foretold


@pytest.mark.parametrize(
    ("plural", "kind", "spec"),
    [
        ("ipaddresspools", "IPAddressPool", {"addresses": "192.0.2.0/24"}),
        ("ipaddresspools", "IPAddressPool", {"autoAssign": False}),
        ("bfdprofiles", "BFDProfile", {"receiveInterval": 5}),
        ("bfdprofiles", "BFDProfile", {"detectMultiplier": 256}),
        ("bgpadvertisements", "BGPAdvertisement", {"aggregationLength": 0}),
        ("bgpadvertisements", "BGPAdvertisement", {"asPathPrepend": 11}),
        (
            "l2advertisements",
            "L2Advertisement",
            {"preferredNodeSelectors": [{"weight": 101, "preference": {}}]},
        ),
        ("communities", "Community", {"communities": ["gold"]}),
    ],
)
def test_validate_refuses_what_the_api_server_refuses(
    scene: Scene, plural: str, kind: str, spec: dict[str, Any]
) -> None:
    """Whatever the definitions refuse is found without a cluster."""
    body = {
        "apiVersion": "metallb.io/v1beta1",
        "kind": kind,
        "metadata": {"name": scene.name, "namespace": HOME},
        "spec": spec,
    }
    path = f"/apis/metallb.io/v1beta1/namespaces/{HOME}/{plural}"
    with pytest.raises(ApiError) as caught:
        scene.create(f"{path}?dryRun=All", body)
    assert caught.value.status == 422
    done = mercurylb(None, "validate", "-f", "-", "-o", "json", stdin=json.dumps(body), code=1)
    codes = {finding["code"] for finding in json.loads(done.stdout)["findings"]}
    assert any(code.startswith("schema-") for code in codes)
