"""The plain manifests on real nodes: each way to speak BGP is applied, and serves an address.

One lab for all, and each variant takes the place of the one before, as when somebody changes his
mind; the last test takes everything away.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lab import Lab
from lab.console import MANIFESTS
from lab.router import RouterOptions
from scripts import manifests
from tests.lab.monitor_definitions import SERVICE_MONITOR
from tests.lab.monitor_jobs import scrape_jobs
from tests.lab.prometheus_lab import Prometheus, Row, asked, expressions, make_token, row
from tests.lab.prometheus_rows import frrk8s_client_rows, frrk8s_rows
from tests.lab.prometheus_stage import CHART

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.full import FullLab
    from lab.host import Host

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

CONFIG = manifests.CONFIG
HOME = manifests.NAMESPACE
FRRK8S = "frr-k8s-system"
NODE_COUNT = 2
NEAR = "192.168.111.11"
FAR = "198.51.100.1"
GREETING = "Hello from pod"
READY_S = 240.0
SEEN_S = 60.0
NETWORK = """\
apiVersion: v1
kind: Service
metadata:
  name: near
  namespace: default
  annotations: {metallb.io/address-pool: main-pool}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}]
"""
PEER = f"""\
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {{name: router, namespace: {HOME}}}
spec: {{myASN: 64500, peerASN: 64501, peerAddress: 192.168.111.1, connectTime: 1s}}
"""
WITH_BFD = f"""\
apiVersion: metallb.io/v1beta1
kind: BFDProfile
metadata: {{name: calm, namespace: {HOME}}}
spec: {{receiveInterval: 500, transmitInterval: 500, detectMultiplier: 20}}
---
{PEER.replace("connectTime", "bfdProfile: calm, connectTime")}"""
READER = """\
apiVersion: v1
kind: Namespace
metadata: {name: monitoring}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: prometheus-k8s, namespace: monitoring}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: prometheus-k8s}
rules: [{nonResourceURLs: [/metrics], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: prometheus-k8s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: prometheus-k8s}
subjects: [{kind: ServiceAccount, name: prometheus-k8s, namespace: monitoring}]
"""
"""What everybody has who has the operator: its account may read metrics, and nothing else."""
WRONG_POOL = f"""\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {{name: wrong, namespace: {HOME}}}
spec: {{addresses: [192.168.111.300/32]}}
"""
WRONG_CONFIGURATION = """\
apiVersion: frrk8s.metallb.io/v1beta1
kind: FRRConfiguration
metadata: {name: wrong, namespace: %s}
spec: {bgp: {routers: [{asn: 64500, neighbors: [{asn: 64501, address: 192.168.111.300}]}]}}
"""
ELSEWHERE = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: %s
resources: [namespace.yaml, %s]
"""


_HASHES = r"(-[bcdfghjklmnpqrstvwxz2456789]{8,10})?-[0-9a-z]{5}$"
"""What Kubernetes puts behind the name of a set."""
RAW = {"frr": 9141, "frr-k8s": 9140}
"""The two ports of frr-k8s, scraped without the monitor, which gives series other names."""
MONITOR = "frr-k8s-metrics-service"
"""What the monitor of frr-k8s calls its job."""


class Site:
    """A cluster that manifests are applied to."""

    def __init__(self, lab: FullLab) -> None:
        self.lab = lab

    def apply(self, folder: Path | str) -> str:
        """Apply a folder as a user does, and wait until all that runs is the new one."""
        said = self.lab.kubectl("apply", "-k", str(CONFIG / folder), timeout_s=120)
        assert "Warning" not in said, said
        for home in (HOME, FRRK8S):
            for kind in ("deployments", "daemonsets"):
                for item in self.lab.kubectl_json("-n", home, "get", kind)["items"]:
                    name = f"{kind}/{item['metadata']['name']}"
                    words = ("-n", home, "rollout", "status", name, f"--timeout={READY_S:.0f}s")
                    self.lab.kubectl(*words, timeout_s=READY_S + 10)
        return said

    def await_pods(self, **wanted: str) -> None:
        """Wait until the namespaces hold so many containers per pod, all ready, and no others."""
        expected = {name.replace("_", "-"): ready for name, ready in wanted.items()}
        self.lab.wait_for(lambda: self.pods() == expected, timeout_s=READY_S, what=str(expected))

    def pods(self) -> dict[str, str]:
        """Return the READY column of all pods by their set's name; differences are told apart."""
        found: dict[str, str] = {}
        for home in (HOME, FRRK8S):
            table = self.lab.kubectl("-n", home, "get", "pods", "--no-headers", check=False)
            for cells in (line.split() for line in table.splitlines() if "/" in line):
                name = re.sub(_HASHES, "", cells[0])
                ready = cells[1] if cells[2] == "Running" else cells[2]
                found[name] = ready if found.get(name, ready) == ready else f"{ready}?"
        return found

    def put(self, *files: str) -> None:
        """Apply manifests of the walk-through in the namespace that ours have."""
        for file in files:
            text = (MANIFESTS / file).read_text()
            self.create(text.replace("namespace: metallb}", f"namespace: {HOME}}}"))

    def create(self, text: str) -> None:
        """Apply a manifest once the webhook, if there is one for it, answers."""
        self.lab.wait_for(lambda: self.lab.apply(text), timeout_s=SEEN_S, what=text)

    def check_page(self, host: Host, address: str) -> None:
        """Check that a page comes from an address."""
        self.lab.wait_for(
            lambda: GREETING in host.http_get(f"http://{address}/").text,
            timeout_s=SEEN_S,
            what=f"a page from {address}",
        )

    def check_both(self) -> None:
        """Check that layer 2 and BGP work, and that mistakes are refused."""
        self.check_page(self.lab.client, NEAR)
        nodes = sorted(self.lab.nodes)
        self.lab.wait_for(
            lambda: self.lab.bgp.next_hops(FAR) == nodes,
            timeout_s=READY_S,
            what="the router's route",
        )
        self.check_page(self.lab.client, FAR)
        self.check_refused(WRONG_POOL, "spec.addresses[0]")

    def check_refused(self, text: str, reason: str) -> None:
        """Check that a manifest is refused, and not for want of an answer."""
        self.lab.wait_for(
            lambda: reason in self.lab.kubectl("apply", "-f", "-", stdin=text, check=False),
            timeout_s=SEEN_S,
            what=f"a refusal: {reason}",
        )

    def restart_router(self, *, has_bfd: bool = False) -> None:
        """Have a router that knows nothing from before, so that a route is news."""
        slow = RouterOptions(asn=64501, node_asn=64500, bfd_ms=500, bfd_multiplier=20)
        self.lab.bgp.start(replace(slow, has_bfd=has_bfd))

    def prometheus(self, folder: Path) -> Prometheus:
        """Start Prometheus as its operator would for the monitors that there are, and as we ask."""
        lab = self.lab
        lab.apply(READER)
        token = make_token(lab, "prometheus-k8s", "monitoring")
        # The exporter runs vtysh several times for an answer, which takes its time.
        made = Prometheus(lab, folder, token=token, host=lab.control_plane, every_s=10)
        for monitor in lab.kubectl_json("-n", HOME, "get", "servicemonitors")["items"]:
            made.jobs += scrape_jobs(
                lab, monitor, "system:serviceaccount:monitoring:prometheus-k8s"
            )
        for name, port in RAW.items():
            targets = [f"{host.ipv4}:{port}" for host in lab.nodes.values()]
            made.add(name, targets, insecure_skip_verify=True)
        made.start()
        return made

    def monitors(self) -> dict[str, list[str]]:
        """Return the ports that each monitor scrapes."""
        items = self.lab.kubectl_json("-n", HOME, "get", "servicemonitors")["items"]
        return {
            item["metadata"]["name"]: [end["port"] for end in item["spec"]["endpoints"]]
            for item in items
        }


def announced(node: str, instance: str) -> Row:
    """Say what a speaker tells of the address that frr-k8s announces for it."""
    labels = {"service": "default/routed", "protocol": "bgp", "node": node, "ip": FAR}
    job = "speaker-monitor-service"
    return row("metallb_speaker_announced", "gauge", job, 1, instance=instance, **labels)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Bring up a full lab with FRR's images, a web application, and the kinds of the operator."""
    with Lab.full(name="manifests", nodes=NODE_COUNT, has_frr=True, serve_chart=False) as lab:
        lab.apply(SERVICE_MONITOR)
        lab.apply((MANIFESTS / "web.yaml").read_text())
        running = Site(lab)
        running.restart_router()
        yield running


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write what installs frr-k8s in a namespace of its own."""
    folder = tmp_path_factory.mktemp("elsewhere")
    base = os.path.relpath(CONFIG / "frr-k8s-daemon", folder)
    (folder / "kustomization.yaml").write_text(ELSEWHERE % (FRRK8S, base))
    namespace = (CONFIG / "common/namespace.yaml").read_text().replace(HOME, FRRK8S)
    (folder / "namespace.yaml").write_text(namespace)
    return folder


@pytest.mark.rule("manifests-4.current")
def test_manifests_are_what_the_chart_and_the_bases_make() -> None:
    """Nothing generated in config/ was edited or forgotten; `scripts/manifests` draws it."""
    assert manifests.main(["--check"]) == 0


@pytest.mark.rule("manifests-4.native", "manifests-4.prometheus", "manifests-4.networkpolicies")
def test_native(site: Site) -> None:
    """Speakers speak BGP themselves; monitors and network policies come on top."""
    site.apply("native")
    site.await_pods(controller="1/1", speaker="1/1")
    site.put("pool.yaml", "advertisement.yaml", "bgp-pool.yaml", "bgp-advertisement.yaml")
    site.put("bgp-service.yaml")
    site.create(NETWORK)
    site.create(PEER)
    site.check_both()
    assert "monitor" not in site.lab.kubectl("-n", HOME, "get", "services")
    site.apply("prometheus-native")
    ports = ["metricshttps"]
    assert site.monitors() == {"controller-monitor": ports, "speaker-monitor": ports}
    site.apply("networkpolicies")
    names = site.lab.kubectl("-n", HOME, "get", "networkpolicies", "-o", "name").split()
    assert [name.split("/")[1] for name in names] == ["controller", "default-deny"]
    site.check_page(site.lab.client, NEAR)


@pytest.mark.rule("manifests-4.frr", "manifests-4.prometheus", "manifests-5.frr")
def test_frr(site: Site) -> None:
    """FRR beside each speaker learns from it what the router is to know."""
    site.apply("frr")
    site.await_pods(controller="1/1", speaker="4/4")
    site.restart_router()
    site.check_both()
    site.apply("prometheus-frr")
    assert site.monitors()["speaker-monitor"] == ["metricshttps", "frrmetricshttps"]


@pytest.mark.rule("manifests-4.frr-k8s", "manifests-4.prometheus", "manifests-5.frr-k8s")
def test_frr_k8s(site: Site) -> None:
    """Of FRR beside the speakers nothing is left, and frr-k8s speaks BGP for them."""
    site.apply("frr-k8s")
    frrk8s = {"frr_k8s_daemon": "5/5", "frr_k8s_statuscleaner": "1/1"}
    site.await_pods(controller="1/1", speaker="1/1", **frrk8s)
    site.restart_router()
    site.check_both()
    site.check_refused(WRONG_CONFIGURATION % HOME, "denied the request")
    site.apply("prometheus-frr-k8s")
    assert site.monitors()["frr-k8s-metrics-monitor"] == ["metricshttps", "frrmetricshttps"]


@pytest.mark.rule("metrics-1.2.frr-k8s", "metrics-1.2.frr-k8s-labels", "metrics-1.2.bgp-mode")
@pytest.mark.rule("metrics-1.2.frr-k8s-token", "manifests-4.prometheus")
def test_frr_k8s_is_scraped(site: Site, tmp_path: Path) -> None:
    """A real Prometheus finds all that it tells of BGP and BFD; who may not read it is refused."""
    lab, peer = site.lab, site.lab.router.ipv4
    stranger = make_token(lab, "default", "default")
    site.create(WITH_BFD)
    site.restart_router(has_bfd=True)
    prometheus = site.prometheus(tmp_path)
    ends = {name: f"{host.ipv4}:9141" for name, host in lab.nodes.items()}
    rows = frrk8s_client_rows("frr-k8s")
    for name, end in ends.items():
        rows += frrk8s_rows("frr", instance=end, peer=peer)
        renamed = frrk8s_rows(MONITOR, "metallb", instance=end, peer=peer)
        rows += [replace(it, kind="") for it in renamed]  # Types go by the names before.
        rows.append(announced(name, f"{lab.nodes[name].ipv4}:9120"))
        told = [asked(lab.client, f"https://{end}/metrics", it) for it in ("", "wrong", stranger)]
        assert told == [401, 500, 403]  # Of the tokens only what nobody gave out differs from ours.
    site.check_page(lab.client, FAR)
    prometheus.await_targets(1 + 5 * NODE_COUNT)
    prometheus.await_rows(rows, timeout_s=READY_S)
    assert prometheus.query('{__name__=~"metallb_b.*",job="speaker-monitor-service"}') == []
    board = json.loads((CHART / "files/dashboards/bgp.json").read_text())
    shown = [it for it in expressions(board, "1m") if "frrk8s_" in it[1]]
    assert len(shown) > 8
    for title, text in shown:
        of_raw = text.replace("metallb_", "absent_")
        lab.wait_for(lambda it=of_raw: prometheus.query(it), timeout_s=SEEN_S, what=title)  # type: ignore[misc]
    lab.bgp.stop()
    for family in ("bgp", "bfd"):
        prometheus.until(f'sum(frrk8s_{family}_session_up{{job="frr"}})', 0)
    prometheus.until('sum(frrk8s_bgp_announced_prefixes_total{job="frr"})', 0)
    prometheus.until('min(frrk8s_bfd_session_down_events{job="frr"}) >= bool 1', 1)


@pytest.mark.rule("manifests-4.frr-k8s-external")
def test_frr_k8s_of_somebody_else(site: Site, elsewhere: Path) -> None:
    """A frr-k8s in a namespace of its own is told where to find what the speakers want."""
    site.lab.kubectl("delete", "-k", str(CONFIG / "frr-k8s-daemon"), timeout_s=READY_S)
    site.lab.wait_for(
        lambda: "frr-k8s-daemon" not in site.pods(), timeout_s=READY_S, what="it is gone"
    )
    site.apply(elsewhere)
    site.apply("frr-k8s-external")
    frrk8s = {"frr_k8s_daemon": "5/5", "frr_k8s_statuscleaner": "1/1"}
    site.await_pods(controller="1/1", speaker="1/1", **frrk8s)
    site.restart_router()
    site.check_both()
    found = site.lab.kubectl("get", "frrconfigurations", "-A", "--no-headers").split()[::3]
    assert FRRK8S in found


@pytest.mark.rule("manifests-4.delete")
def test_everything_goes_again(site: Site, elsewhere: Path) -> None:
    """What was applied can be deleted by the same folders, and nothing of the cluster is left."""
    for folder in (CONFIG / "prometheus-native", elsewhere):
        words = ("delete", "-k", str(folder), "--ignore-not-found")
        site.lab.kubectl(*words, timeout_s=READY_S)
    for kind in ("clusterroles", "clusterrolebindings", "validatingwebhookconfigurations", "crds"):
        left = site.lab.kubectl("get", kind, "-o", "name")
        assert not re.findall(r".*(?:metallb|mercurylb|frr-k8s).*", left), kind
