"""The stage that a real Prometheus looks at, and the script that is played on it.

Two nodes with certificates for their metrics, a router, and the exporter beside a real FRR.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lab import binaries
from lab.build.helm import ensure_helm
from lab.programs import apply, load_yaml
from lab.router import RouterOptions
from tests.lab.bgp_scene import NODE_ASN, ROUTER_ASN, BgpScene
from tests.lab.prometheus_lab import make_token
from tests.lab.scene import HOME

if TYPE_CHECKING:
    from lab.light import LightLab
    from lab.pki import Authority
    from lab.process import Process
    from tests.lab.frr_pod import FrrPod
    from tests.lab.prometheus_lab import Prometheus

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "charts" / "mercurylb"
NAME: Final = "metrics.test"
FRR_CONF: Final = """\
hostname {name}
bfd
 profile fast
  receive-interval 100
  transmit-interval 100
router bgp {asn}
 bgp router-id {own}
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor {other} remote-as {other_asn}
 neighbor {other} timers connect 1
 neighbor {other} bfd profile fast
{more}
"""


@dataclass
class Stage:
    """Everything that the tests here look at; they build on each other, in their order."""

    lab: LightLab
    scene: BgpScene
    prometheus: Prometheus
    certificates: Path
    authority: Authority
    token: str
    services: dict[str, str]

    def renew_certificate(self) -> str:
        """Put another certificate where the programs look for it; give its text."""
        certificate, key = self.authority.issue("metrics", NAME, alternative_names=[NAME])
        for source, name in ((certificate, "tls.crt"), (key, "tls.key")):
            fresh = self.certificates / f".{name}"
            fresh.write_bytes(source.read_bytes())
            fresh.replace(self.certificates / name)
        return certificate.read_text()


def rendered(*values: str) -> list[dict[str, Any]]:
    """Give the objects of the chart with some values."""
    argv = [str(ensure_helm()), "template", "metallb", str(CHART), "--namespace", HOME]
    for value in values:
        argv += ["--set", value]
    return load_yaml(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


def grant(lab: LightLab) -> str:
    """Create the account that the chart makes for Prometheus; give its token."""
    values = ("prometheus.podMonitor.enabled=true", "prometheus.serviceAccount=p")
    wanted = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding"}
    for document in rendered(*values, "prometheus.namespace=monitoring"):
        is_reader = document["metadata"]["name"].endswith("-metrics-reader")
        if is_reader and document["kind"] in wanted:
            apply(lab.api, document, HOME)
    return make_token(lab, "metallb-metrics-reader", HOME)


def start_exporter(lab: LightLab, frr: FrrPod) -> Process:
    """Start the sidecar on a node: it asks the FRR whose sockets it is shown."""
    argv = [binaries.own("mercurylb-frr-metrics"), "--vty-socket-dir", str(frr.root / "run/frr")]
    env = {"KUBECONFIG": str(lab.site.kubeconfig("speaker"))}
    return lab.nodes["n1"].start("frr-metrics", argv, env=env)


def play(stage: Stage) -> None:
    """Play the first part of the script: addresses on layer 2 and by BGP, shared and not."""
    lab, scene = stage.lab, stage.scene
    lab.bgp.start(RouterOptions(asn=ROUTER_ASN, node_asn=NODE_ASN, has_bfd=True))
    for node in lab.nodes:
        scene.web(node, scene.name)
    near, far = f"{scene.name}-near", f"{scene.name}-far"
    scene.pool(f"{scene.ip4()}-{scene.ip4(3)}", f"{scene.ip6()}-{scene.ip6(1)}", name=near)
    scene.pool(f"{scene.far4}/32", name=far)
    scene.advertise(ipAddressPools=[near])
    scene.advertise_bgp(ipAddressPools=[far])
    scene.peer(bfdProfile=scene.profile())
    chosen: dict[str, Any] = {"selector": {"app": scene.name}}
    dual = {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"}
    pool = {"metallb.io/address-pool": near}
    shared = {**pool, "metallb.io/allow-shared-ip": "key"}
    at = {**shared, "metallb.io/loadBalancerIPs": scene.ip4(1)}
    stage.services = {
        "dual": scene.service("dual", annotations=pool, **dual, **chosen),
        "one": scene.service("one", annotations=at, port=81, **chosen),
        "two": scene.service("two", annotations=at, port=82, **chosen),
        "far": scene.service("far", annotations={"metallb.io/address-pool": far}, **chosen),
        "gone": scene.service("gone", annotations=pool, **chosen),
    }
    for key in stage.services.values():
        scene.wait_addresses(key, timeout_s=60)
        scene.wait_endpoints(key)
    for address in addresses(stage, "dual", "gone"):
        scene.until(lambda ip=address: scene.who(ip), f"{address} is answered for", 30)
    scene.wait_hops(address=scene.far4, timeout_s=60)
    # Endpoints may have come and gone as the pods came up: then the end of one is counted already.
    scene.delete(stage.services.pop("gone"))


def addresses(stage: Stage, *names: str) -> list[str]:
    """Give the IPv4 addresses of services."""
    found = [ip for name in names for ip in stage.scene.addresses(stage.services[name])]
    return [ip for ip in found if ":" not in ip]
