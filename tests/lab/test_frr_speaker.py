"""A whole speaker with each of the two backends: from a Service to FRR, and to FRRConfiguration."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lab import Lab
from lab.build.apt import ROUTER_PACKAGES, ensure_packages
from lab.build.helm import ensure_helm
from lab.errors import ApiError
from lab.light import await_served
from tests.lab.frr_pod import ROOT, FrrPod
from tests.lab.frrk8s_definitions import DEFINITIONS, GROUP
from tests.lab.scene import HOME, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.light import LightLab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(240),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

METALLB = f"/apis/metallb.io/v1beta1/namespaces/{HOME}"
PEERS = f"/apis/metallb.io/v1beta2/namespaces/{HOME}/bgppeers"
K8S = f"/apis/{GROUP}/v1beta1/namespaces/{HOME}"


def announce(scene: Scene, **peer: Any) -> str:
    """Put a service, an advertisement and a router on the stage; give the prefix."""
    scene.web("n1", scene.name)
    scene.pool()
    head = {"metadata": {"name": scene.name}}
    kind = {"apiVersion": "metallb.io/v1beta1", "kind": "BGPAdvertisement"}
    spec = {"communities": ["64512:100"], "localPref": 300}
    scene.create(f"{METALLB}/bgpadvertisements", kind | head | {"spec": spec})
    kind = {"apiVersion": "metallb.io/v1beta2", "kind": "BGPPeer"}
    spec = {"myASN": 64512, "peerASN": 64600, "peerAddress": "192.168.111.250", **peer}
    scene.create(PEERS, kind | head | {"spec": spec})
    key = scene.service(selector={"app": scene.name})
    scene.wait_addresses(key, timeout_s=60)
    scene.wait_endpoints(key)
    return f"{scene.ip4()}/32"


def restart(scene: Scene, pod: FrrPod) -> None:
    """Kill the speaker and start it; wait until a reload of the whole configuration has ended."""
    speaker = scene.lab.speaker("n1")
    speaker.kill()
    pod.forget_status()
    speaker.start()
    scene.until(lambda: "success" in pod.status, "the speaker has had FRR reloaded", 30)


@pytest.fixture
def frr_lab(tmp_path: Path) -> Iterator[tuple[Scene, FrrPod]]:
    """Bring up one node whose speaker has FRR beside it."""
    ensure_packages(ROUTER_PACKAGES)
    with FrrPod(tmp_path) as pod:
        pod.start_reloader()
        env = {"METALLB_BGP_TYPE": "frr", **pod.environ}
        with Lab.light(name="frrspk", nodes=1, env=env) as lab:
            scene = Scene(lab)
            yield scene, pod
            scene.close()


@pytest.mark.rule("bgp-frr-A10.speaker-restart")
def test_a_service_reaches_frr(frr_lab: tuple[Scene, FrrPod]) -> None:
    """FRR originates its address; a speaker that is killed and comes back changes nothing."""
    scene, pod = frr_lab
    prefix = announce(scene)
    scene.until(lambda: f"network {prefix}" in pod.running, "FRR originates it", 30)
    running = pod.running
    assert "neighbor 192.168.111.250 remote-as 64600" in running
    assert "set community 64512:100 additive" in running
    assert "set local-preference 300" in running
    restart(scene, pod)
    running = pod.running
    restart(scene, pod)
    assert pod.running == running
    scene.delete(f"default/{scene.name}-a")
    scene.until(lambda: f"network {prefix}" not in pod.running, "FRR withdraws it", 30)


@pytest.fixture
def frrk8s_lab() -> Iterator[LightLab]:
    """Bring up one node whose speaker leaves BGP to frr-k8s, with the rights of our chart."""
    env = {"METALLB_BGP_TYPE": "frr-k8s"}
    with Lab.light(name="frrk8ss", nodes=1, env=env) as lab:
        for definition in DEFINITIONS:
            lab.api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        await_served(lab.api, [f"{K8S}/frrconfigurations", f"{K8S}/bgpsessionstates"])
        role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/metallb:speaker"
        lab.api.merge(role, {"rules": chart_rules()})
        yield lab


def chart_rules() -> list[dict[str, Any]]:
    """Give the rights that our chart gives a speaker that leaves BGP to frr-k8s."""
    argv = [str(ensure_helm()), "template", "metallb", str(ROOT / "charts/mercurylb")]
    argv += ["--show-only", "templates/speaker-rbac.yaml"]
    argv += ["--set", f"frrk8s.external=true,frrk8s.namespace={HOME}"]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    documents = [item for item in yaml.safe_load_all(text) if item]
    (role,) = [item for item in documents if item["kind"] == "ClusterRole"]
    return list(role["rules"])


@pytest.mark.rule("bgp-frr-B3.rights", "bgp-frr-B2.secret")
def test_a_service_reaches_frr_k8s(frrk8s_lab: LightLab) -> None:
    """The object says whom to tell of what; a peer's secret is named, not read out."""
    scene = Scene(frrk8s_lab)
    secret = {"type": "kubernetes.io/basic-auth", "stringData": {"password": "open-sesame"}}
    head = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bgp"}}
    scene.create(f"/api/v1/namespaces/{HOME}/secrets", head | secret)
    prefix = announce(scene, passwordSecret={"name": "bgp", "namespace": HOME})

    def neighbor() -> dict[str, Any]:
        try:
            found = frrk8s_lab.api.get(f"{K8S}/frrconfigurations/metallb-n1")
        except ApiError:
            return {}
        routers = found["spec"]["bgp"].get("routers") or [{"neighbors": [{}]}]
        return dict(routers[0]["neighbors"][0])

    def allowed() -> list[str]:
        return list(neighbor().get("toAdvertise", {}).get("allowed", {}).get("prefixes", []))

    scene.until(lambda: allowed() == [prefix], "the object", 30)
    said = neighbor()
    assert said["passwordSecret"] == {"name": "bgp", "namespace": HOME}
    assert "password" not in said
    assert said["toAdvertise"]["withLocalPref"] == [{"localPref": 300, "prefixes": [prefix]}]
    frrk8s_lab.api.delete(f"{K8S}/frrconfigurations/metallb-n1")
    scene.until(lambda: allowed() == [prefix], "the object is back", 15)
    scene.close()
    scene.until(lambda: not allowed(), "nothing is told any more", 15)
