"""The chart on real nodes: installed by Helm, used as the walk-through uses it, removed again."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from lab import Lab, chartrepo, demo
from lab.failover import SCENARIOS, Stage
from lab.failover.stage import Settings
from lab.full import ready_nodes
from lab.topology import FORWARDED_TO, WAN_ROUTER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.console import Console
    from lab.full import FullLab
    from lab.host import Host

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

NODE_COUNT = 3
GREETING = "Hello from pod"
SANE_S = 5.0
"""A few questions that a busy machine loses by itself."""
HOOKS = "metallb-webhook-configuration"


@pytest.fixture(scope="module")
def lab() -> Iterator[FullLab]:
    """Bring up a full lab for all tests of this file."""
    with Lab.full(name="install", nodes=NODE_COUNT) as running:
        yield running


@pytest.fixture(scope="module")
def console(lab: FullLab) -> Console:
    """Install the chart, the pool, the advertisement, and NGINX before the web application."""
    out = lab.console()
    out.run("kubectl apply -f web.yaml")
    out.run(f"helm repo add mercurylb {chartrepo.URL}")
    out.run("helm install metallb mercurylb/mercurylb --create-namespace --namespace metallb")
    out.until(
        "kubectl -n metallb get pods",
        lambda text: demo.pods_ready(text, NODE_COUNT),
        what="all pods 1/1 Running",
        timeout_s=90,
    )
    out.run("kubectl apply -f pool.yaml -f advertisement.yaml")
    out.run("kubectl create namespace ingress-nginx")
    out.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 "
        "-subj /CN=test -keyout tls.key -out tls.crt 2>/dev/null && kubectl -n ingress-nginx "
        "create secret tls ingress-nginx-tls --cert tls.crt --key tls.key"
    )
    out.run("kubectl apply -f nginx.yaml -f service.yaml -f admission.yaml")
    deployment = "deployment/ingress-nginx-controller"
    out.run(f"kubectl -n ingress-nginx rollout status {deployment} --timeout 60s")
    return out


def page(lab: FullLab, host: Host, url: str) -> str:
    """Fetch a page that may take a moment to be reachable."""
    return lab.wait_for(
        lambda: text if GREETING in (text := host.http_get(url).text) else "",
        timeout_s=10,
        what=f"{url} from {host.name}",
    )


def test_services_look_as_in_the_tutorial(console: Console) -> None:
    """The table of services is the walk-through's, apart from the age."""
    console.until(
        "kubectl -n ingress-nginx get service",
        demo.service_table_is_right,
        what="the address",
        timeout_s=20,
    )


@pytest.mark.usefixtures("console")
def test_the_page_is_reachable_from_inside_and_outside(lab: FullLab) -> None:
    """HTTP and HTTPS work on the LAN and through the router's forwarding rule."""
    for scheme in ("http", "https"):
        assert GREETING in page(lab, lab.client, f"{scheme}://{FORWARDED_TO}/")
        assert GREETING in page(lab, lab.outside, f"{scheme}://{WAN_ROUTER}/")


@pytest.mark.usefixtures("console")
def test_pods_have_no_more_rights_than_needed(lab: FullLab) -> None:
    """The controller is nobody, a speaker has NET_RAW alone, root file systems are sealed."""
    pods = lab.kubectl_json("-n", "metallb", "get", "pods")["items"]
    names = {pod["metadata"]["name"] for pod in pods}
    assert {name.rsplit("-", 1)[0].split("-")[1] for name in names} == {"controller", "speaker"}
    for pod in pods:
        command = ("-n", "metallb", "exec", pod["metadata"]["name"], "--", "/usr/bin/python3", "-c")
        look = (
            "import json, os; s = dict(l.split(':', 1) for l in open('/proc/1/status'));"
            "print(json.dumps([s['Uid'].split()[0], s['CapEff'].strip(), s['NoNewPrivs'].strip(),"
            "os.access('/usr/bin', os.W_OK)]))"
        )
        uid, capabilities, no_new_privileges, writable = json.loads(lab.kubectl(*command, look))
        speaker = "speaker" in pod["metadata"]["name"]
        assert uid == ("0" if speaker else "65534")
        assert int(capabilities, 16) == (1 << 13 if speaker else 0)
        assert (no_new_privileges, writable) == ("1", False)


def test_a_dual_stack_service_is_reachable_over_both_families(
    lab: FullLab, console: Console
) -> None:
    """With a range of each family, RequireDualStack gives an address of each, and both answer."""
    lab.apply(
        {
            "apiVersion": "metallb.io/v1beta1",
            "kind": "IPAddressPool",
            "metadata": {"name": "main-pool", "namespace": "metallb"},
            "spec": {
                "addresses": [
                    "192.168.111.11-192.168.111.11",
                    "192.168.111.20-192.168.111.25",
                    "fd00:111::20-fd00:111::25",
                ]
            },
        }
    )
    console.run("kubectl apply -f dual-stack.yaml")
    addresses = lab.wait_for(
        lambda: _addresses(lab, "web-dual", count=2), timeout_s=20, what="two addresses"
    )
    assert sorted(":" in address for address in addresses) == [False, True]
    for address in addresses:
        host = f"[{address}]" if ":" in address else address
        assert GREETING in page(lab, lab.client, f"http://{host}/")


def test_a_cut_off_node_is_replaced_within_two_seconds(lab: FullLab, console: Console) -> None:
    """The page is back through the router's rule at most 2 s after the answering node's cut."""
    walk = demo.Demo(lab.site, console, chartrepo.URL)
    walk.resilience()


@pytest.mark.usefixtures("console")
@pytest.mark.parametrize("name", ["roll", "reboot"])
def test_the_address_survives_updates_and_reboots(lab: FullLab, name: str) -> None:
    """After a rolling update of the DaemonSet, and after a reboot, the first node answers again.

    What it costs meanwhile is what `make bench` and the upgrade under load are about.
    """
    lab.wait_for(lambda: len(ready_nodes(lab.api.get("/api/v1/nodes"))) == NODE_COUNT)
    with Stage(lab, [FORWARDED_TO], Settings(quiet_s=1.0), has_echo=False) as trial:
        (seen,) = trial.run(SCENARIOS[name], 1)
        assert seen.after == (trial.mac(trial.first),)
        assert seen.wire_gap_s < SANE_S
    lab.wait_for(lambda: len(ready_nodes(lab.api.get("/api/v1/nodes"))) == NODE_COUNT, timeout_s=60)


def test_an_upgrade_leaves_the_webhooks_trusted(lab: FullLab, console: Console) -> None:
    """What the controller injected stays, and a wrong pool is refused right after it."""
    # The test before drained a node; the controller may still be on its way to another one.
    console.run("kubectl -n metallb rollout status deployment/metallb-controller --timeout 60s")
    before = _bundles(lab)
    assert all(before)
    console.run(
        "helm upgrade metallb mercurylb/mercurylb --namespace metallb --reuse-values "
        "--set crds.validationFailurePolicy=Ignore",
        timeout_s=60,
    )
    hooks = lab.kubectl_json("get", "validatingwebhookconfigurations", HOOKS)["webhooks"]
    assert {hook["failurePolicy"] for hook in hooks} == {"Ignore"}
    assert _bundles(lab) == before
    wrong = "{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: wrong, "
    wrong += "namespace: metallb}, spec: {addresses: [192.168.111.300/32]}}"
    said = lab.kubectl("apply", "-f", "-", stdin=wrong, check=False)
    assert "IPAddressPool metallb/wrong: spec.addresses[0]" in said


def test_helm_removes_what_it_installed(lab: FullLab, console: Console) -> None:
    """After an uninstall no pod of the release is left."""
    console.run("helm uninstall metallb --namespace metallb --wait --timeout 60s", timeout_s=90)
    lab.wait_for(
        lambda: not lab.kubectl_json("-n", "metallb", "get", "pods")["items"],
        timeout_s=40,
        what="no pods",
    )


def test_a_lab_leaves_nothing_behind(lab: FullLab) -> None:
    """Taking the lab down ends every process in it and removes its namespaces and groups."""
    prefix = lab.site.plan.prefix
    lab.down()
    assert (
        prefix
        not in subprocess.run(
            ["ip", "netns", "list"], capture_output=True, text=True, check=True
        ).stdout
    )
    assert not lab.site.dir.exists()


def _bundles(lab: FullLab) -> list[str]:
    """Give the authority in each of the objects that name one."""
    hooks = lab.kubectl_json("get", "validatingwebhookconfigurations", HOOKS)["webhooks"]
    definition = lab.kubectl_json("get", "customresourcedefinition", "bgppeers.metallb.io")
    configs = [hook["clientConfig"] for hook in hooks]
    configs.append(definition["spec"]["conversion"]["webhook"]["clientConfig"])
    return [config.get("caBundle", "") for config in configs]


def _addresses(lab: FullLab, service: str, *, count: int) -> list[str]:
    status = lab.kubectl_json("get", "service", service)["status"].get("loadBalancer", {})
    found = [ingress["ip"] for ingress in status.get("ingress", [])]
    return found if len(found) == count else []
