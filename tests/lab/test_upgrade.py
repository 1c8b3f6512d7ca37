"""`helm upgrade` while new connections are made 1 000 times a second: nobody notices.

The load is asked of two services whose pods stay where they are, one by layer 2, one behind a
router by BGP with graceful restart: what is replaced are controller and speakers alone. Figures are
printed, and written as lines of JSON where MERCURYLB_UPGRADE_FIGURES names a file.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from lab import Lab, chartrepo, controlplane, kubeproxy
from lab.errors import LabError
from lab.load import Load, favour
from lab.router import RouterOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from lab.console import Console
    from lab.full import FullLab
    from lab.observe.report import Interval

ROUNDS = int(os.environ.get("MERCURYLB_UPGRADE_ROUNDS", "1"))
pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.timeout(400 + 300 * ROUNDS),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

NODE_COUNT = 3
MANIFEST = Path(chartrepo.__file__).parent / "manifests" / "load.yaml"
NODE_ASN, ROUTER_ASN = 64512, 64513
ADDRESSES = {"layer2": "192.168.111.60", "bgp": "198.51.100.60"}
POLICIES = {"layer2": "Cluster", "bgp": "Local"}
INSTALL = "metallb mercurylb/mercurylb --namespace metallb"
TWO_OWNERS_S = float(os.environ.get("MERCURYLB_TWO_OWNERS_S", "0.5"))
ROLL_S = 300
"""A rolling update of three nodes takes half a minute, and ten times that on a busy machine."""
DRY_POOL = {
    "apiVersion": "metallb.io/v1beta1",
    "kind": "IPAddressPool",
    "metadata": {"name": "dry", "namespace": "metallb"},
    "spec": {"addresses": ["192.168.111.77/32"]},
}


@pytest.fixture(scope="module")
def lab() -> Iterator[FullLab]:
    """Bring up a full lab with the chart, the load's pods, and a service of each kind."""
    with Lab.full(name="upgrade", nodes=NODE_COUNT) as running:
        running.apply(MANIFEST)
        out = running.console()
        out.run(f"helm repo add mercurylb {chartrepo.URL}")
        out.run(f"helm install {INSTALL} --create-namespace --wait --timeout 300s", timeout_s=330)
        running.bgp.start(RouterOptions(asn=ROUTER_ASN, node_asn=NODE_ASN))
        running.apply(list(configuration(running.router.ipv4)))
        out.run("kubectl rollout status daemonset/load --timeout 90s", timeout_s=100)
        favour(running.site.name, "nginx")
        hops = sorted(running.nodes)
        running.wait_for(lambda: running.bgp.next_hops(ADDRESSES["bgp"]) == hops, timeout_s=60)
        kubeproxy.await_known(running, *ADDRESSES.values())
        yield running


@pytest.fixture
def console(lab: FullLab) -> Console:
    """Return terminals."""
    return lab.console()


def configuration(router: str) -> Iterator[dict[str, Any]]:
    """Give a pool, an advertisement and a service of each kind, and the router as a peer."""
    yield _object(
        "v1beta2",
        "BGPPeer",
        "router",
        {
            "myASN": NODE_ASN,
            "peerASN": ROUTER_ASN,
            "peerAddress": router,
            "enableGracefulRestart": True,
        },
    )
    for kind, address in ADDRESSES.items():
        advertisement = "L2Advertisement" if kind == "layer2" else "BGPAdvertisement"
        yield _object("v1beta1", "IPAddressPool", kind, {"addresses": [f"{address}/32"]})
        yield _object("v1beta1", advertisement, kind, {"ipAddressPools": [kind]})
        yield {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": f"load-{kind}",
                "namespace": "default",
                "annotations": {"metallb.io/loadBalancerIPs": address},
            },
            "spec": {
                "type": "LoadBalancer",
                "externalTrafficPolicy": POLICIES[kind],
                "selector": {"app": "load"},
                "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
            },
        }


def _object(version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": f"metallb.io/{version}",
        "kind": kind,
        "metadata": {"name": name, "namespace": "metallb"},
        "spec": spec,
    }


class Asking:
    """Somebody who never stops having the webhooks look at a pool, by dry runs."""

    def __init__(self, lab: FullLab) -> None:
        self._lab = lab
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.asked = 0
        self.refused: list[str] = []

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        api = controlplane.client(self._lab.site)
        path = "/apis/metallb.io/v1beta1/namespaces/metallb/ipaddresspools?dryRun=All"
        while not self._is_over.wait(0.05):
            self.asked += 1
            try:
                api.post(path, DRY_POOL)
            except (LabError, OSError) as failed:
                self.refused.append(str(failed)[:300])
        api.close()


def upgrade(console: Console, *words: str) -> None:
    """Have Helm replace every pod of the release, and wait until the last one is ready."""
    stamp = f"stamp-{time.monotonic_ns()}"
    marks = [
        f"--set-string {part}.podAnnotations.stamp={stamp}" for part in ("controller", "speaker")
    ]
    console.run(" ".join(["helm upgrade", INSTALL, *marks, *words]), timeout_s=120)
    for target in ("deployment/metallb-controller", "daemonset/metallb-speaker"):
        line = f"kubectl -n metallb rollout status {target} --timeout {ROLL_S}s"
        console.run(line, timeout_s=ROLL_S + 10)


def speakers(lab: FullLab) -> set[str]:
    """Name the speakers' pods."""
    words = ("-n", "metallb", "get", "pods", "-l", "app.kubernetes.io/component=speaker")
    return {item["metadata"]["name"] for item in lab.kubectl_json(*words)["items"]}


def changes(lab: FullLab, stretches: Iterable[Interval], begin: float) -> list[tuple[str, float]]:
    """Return who began to answer when, in seconds from a moment on."""
    found: list[tuple[str, float]] = []
    for stretch in stretches:
        name = lab.site.plan.host_of_mac(stretch.mac)
        if not found or found[-1][0] != name:
            found.append((name, round(stretch.begin - begin, 2)))
    return found


def tell(line: dict[str, Any]) -> None:
    """Print figures, and write them down where that is wanted."""
    sys.stdout.write(json.dumps(line) + "\n")
    if name := os.environ.get("MERCURYLB_UPGRADE_FIGURES"):
        with Path(name).open("a") as file:
            file.write(json.dumps(line) + "\n")


@pytest.mark.parametrize("kind", ["layer2", "bgp"])
def test_an_upgrade_under_load_loses_no_connection(
    lab: FullLab, console: Console, kind: str
) -> None:
    """Of 1 000 new connections a second none is lost, nor any question to the webhooks."""
    for _ in range(ROUNDS):
        before = speakers(lab)
        with (
            Asking(lab) as asking,
            lab.observe.owner(ADDRESSES["layer2"]) as owner,
            Load(lab.client, ADDRESSES[kind]) as load,
        ):
            begin = time.monotonic()
            upgrade(console)
        assert not before & speakers(lab)
        report = load.report
        tell(
            {
                "kind": kind,
                **asdict(report),
                "two_owners_s": owner.report().two_owners_s,
                "asked": asking.asked,
                "refused": len(asking.refused),
                "lost_at_s": [
                    [round(line["t"] - begin, 2), round(line["end"] - begin, 2), line["error"]]
                    for line in load.lines()
                    if "error" in line
                ][:20],
                "reset_at_s": [
                    [round(line["t"] - begin, 2), round(line["end"] - begin, 2)]
                    for line in load.lines()
                    if "reset" in line.get("error", "")
                ][:20],
                "resent_at_s": [
                    [round(line["t"] - begin, 1), line["resent"], line["slowest_ms"]]
                    for line in load.lines()
                    if line.get("resent")
                ],
                "owners": changes(lab, owner.report().intervals, begin),
            }
        )
        assert report.lost == 0, report.errors
        assert report.ok > 0
        assert asking.asked > 0
        assert asking.refused == []
        assert owner.report().two_owners_s < TWO_OWNERS_S
