"""A real Prometheus scrapes controller, speakers and the exporter beside a real FRR.

One lab and one script: what is asked of it stands in tables (`prometheus_rows`), each line with
name, type, labels and value of a series (spec: metrics-and-install §1.2). That of frr-k8s, which
needs real pods, is asked in test_manifests.
"""

from __future__ import annotations

import json
import os
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from lab import Lab
from lab.build.apt import ROUTER_PACKAGES, ensure_packages
from lab.pki import Authority
from tests.lab.bgp_scene import BgpScene
from tests.lab.frr_pod import FrrPod, connect
from tests.lab.prometheus_lab import Prometheus, asked, expressions, make_token
from tests.lab.prometheus_rows import (
    CONTROLLER,
    SIDECAR,
    SPEAKER,
    bgp_rows,
    config_rows,
    layer2_rows,
    own_rows,
    pool_rows,
    sidecar_rows,
)
from tests.lab.prometheus_stage import (
    CHART,
    FRR_CONF,
    NAME,
    Stage,
    grant,
    play,
    rendered,
    start_exporter,
)
from tests.lab.scene import HOME

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root: it makes namespaces"),
]

POOLS: Final = f"/apis/metallb.io/v1beta1/namespaces/{HOME}/ipaddresspools"
WEBHOOKS: Final = (
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    "/metallb-webhook-configuration"
)


@pytest.fixture(scope="module")
def frr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrrPod]:
    """Start FRR as beside a speaker, with a BGP and a BFD session to another one."""
    ensure_packages(ROUTER_PACKAGES)
    text = FRR_CONF.format(
        name="node", asn=64512, own="192.0.2.1", other="192.0.2.2", other_asn=64600,
        more=" address-family ipv4 unicast\n  network 198.51.100.1/32\n exit-address-family",
    )  # fmt: skip
    other = FRR_CONF.format(
        name="router", asn=64600, own="192.0.2.2", other="192.0.2.1", other_asn=64512,
        more=" neighbor 192.0.2.1 passive",
    )  # fmt: skip
    folders = [tmp_path_factory.mktemp(name) for name in ("node", "router")]
    with (
        FrrPod(folders[0], config=text) as pod,
        FrrPod(folders[1], config=other, is_listening=True) as router,
    ):
        connect(pod, router)
        yield pod


@pytest.fixture(scope="module")
def stage(frr: FrrPod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Bring up two nodes with certificates for their metrics, a router, and Prometheus."""
    folder = tmp_path_factory.mktemp("prometheus")
    certificates = folder / "certificates"
    certificates.mkdir()
    authority = Authority(folder / "authority")
    flags = (f"--metrics-cert-dir={certificates}",)
    made = Stage(None, None, None, certificates, authority, "", {})  # type: ignore[arg-type] (below)
    made.renew_certificate()
    with Lab.light(
        name="metrics",
        nodes=2,
        controller_args=("--webhook-mode=enabled", *flags),
        speaker_args=flags,
    ) as lab:
        made.lab, made.scene, made.token = lab, BgpScene(lab), grant(lab)
        prometheus = made.prometheus = Prometheus(lab, folder, token=made.token)
        trusted = {"ca_file": str(authority.ca_file), "server_name": NAME}
        prometheus.add(CONTROLLER, [f"{lab.control_plane.ipv4}:9120"], **trusted)
        prometheus.add(SPEAKER, [f"{host.ipv4}:9120" for host in lab.nodes.values()], **trusted)
        prometheus.add(SIDECAR, [f"{lab.nodes['n1'].ipv4}:9121"], insecure_skip_verify=True)
        (rule,) = [
            item
            for item in rendered("prometheus.prometheusRule.enabled=true")
            if item["kind"] == "PrometheusRule"
        ]
        prometheus.rules = rule["spec"]["groups"]
        start_exporter(lab, frr)
        prometheus.start()
        play(made)
        yield made
        made.scene.close()


@pytest.mark.rule("metrics-1.2.updates", "metrics-1.2.update-errors", "metrics-1.2.loaded")
@pytest.mark.rule("metrics-1.2.stale", "metrics-1.2.pools", "metrics-1.2.announced")
@pytest.mark.rule("metrics-1.2.layer2", "metrics-1.2.bgp", "metrics-1.2.sidecar-bgp")
@pytest.mark.rule("metrics-1.2.sidecar-bfd", "metrics-1.1.https", "metrics-1.2.process")
def test_every_series_of_the_table(stage: Stage) -> None:
    """Prometheus finds each one with its type, exactly its labels, and its value."""
    scene, prometheus = stage.scene, stage.prometheus
    prometheus.until("sum(up)", 4)
    rows = config_rows() + pool_rows(f"{scene.name}-near", f"{scene.name}-far")
    rows += layer2_rows(stage) + bgp_rows(stage) + sidecar_rows() + own_rows(stage)
    prometheus.await_rows(rows)
    assert prometheus.query("metallb_allocator_services_allocated_total") == []
    assigned = prometheus.value("mercurylb_allocator_assignment_seconds_count")
    assert assigned is not None
    assert assigned >= 5


@pytest.mark.rule("metrics-1.1.token", "metrics-1.1.tls")
def test_who_may_not_read_them(stage: Stage) -> None:
    """Nothing without a token, or with a wrong one, or with one of somebody without the right."""
    stranger = make_token(stage.lab, "default", "default")
    client, lab = stage.lab.client, stage.lab
    for at in (f"{lab.control_plane.ipv4}:9120", f"{lab.nodes['n1'].ipv4}:9120",
               f"{lab.nodes['n1'].ipv4}:9121"):  # fmt: skip
        url = f"https://{at}/metrics"
        told = [asked(client, url, token) for token in ("", "wrong", stranger, stage.token)]
        assert told == [401, 401, 403, 200]
        old = ssl.create_default_context()
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        address, _, port = at.partition(":")
        with client.connect(address, int(port)) as plain, pytest.raises(OSError, match=r"."):
            old.wrap_socket(plain, server_hostname=NAME)


@pytest.mark.rule("metrics-1.1.certificate")
def test_another_certificate_is_served_without_a_restart(stage: Stage) -> None:
    """Prometheus, which looks at it, goes on."""
    host = stage.lab.nodes["n1"]

    def served() -> str:
        with stage.lab.client.inside():
            return ssl.get_server_certificate((host.ipv4, 9120), timeout=10).strip()

    before, after = served(), stage.renew_certificate().strip()
    assert before != after
    stage.lab.wait_for(lambda: served() == after, timeout_s=60, what="the new certificate")
    stage.prometheus.until(f'up{{instance="{host.ipv4}:9120"}}', 1)


@pytest.mark.rule("metrics-1.1.port-0", "metrics-1.1.health")
def test_port_0_switches_them_off(stage: Stage) -> None:
    """The speaker works and answers its probes, and nobody listens on 9120."""
    lab, host = stage.lab, stage.lab.nodes["n2"]
    speaker = lab.speaker("n2")
    spec = speaker.record.spec
    speaker.stop()
    mute = lab.site.processes.start(replace(spec, argv=(*spec.argv, "--port=0")))
    lab.await_speaker("n2")
    with pytest.raises(ConnectionRefusedError):
        host.connect("127.0.0.1", 9120)
    with pytest.raises(ConnectionRefusedError):
        lab.client.connect(host.ipv4, 17472)
    assert host.http_get("http://127.0.0.1:17472/healthz").text == "ok"
    assert lab.client.http_get(f"http://{lab.control_plane.ipv4}:17472/healthz").text == "ok"
    mute.stop()
    lab.site.processes.start(spec)
    lab.await_speaker("n2")
    stage.prometheus.until("sum(up)", 4)


@pytest.mark.rule("metrics-1.2.stale-again", "metrics-1.3.stale")
def test_a_wrong_configuration_is_seen(stage: Stage) -> None:
    """Both programs say that they run on an old one, the alert waits; and all is well again."""
    prometheus, api = stage.prometheus, stage.lab.api
    api.delete(WEBHOOKS)
    stage.scene.pool(f"{stage.scene.ip4()}/32", name="overlaps")
    prometheus.until("sum(metallb_k8s_client_config_stale_bool)", 3)
    prometheus.until("min(mercurylb_config_problems) > 0 and on() vector(1)", 1)
    prometheus.until("min(metallb_k8s_client_config_loaded_bool)", 1)
    prometheus.until('count(ALERTS{alertname="MetalLBStaleConfig"})', 3)
    api.delete(f"{POOLS}/overlaps")
    prometheus.until("sum(metallb_k8s_client_config_stale_bool)", 0)


def test_a_death_is_measured(stage: Stage) -> None:
    """Who finds a speaker dead says how long it had been silent, and that it is missed."""
    prometheus, lab = stage.prometheus, stage.lab
    at = f'instance="{lab.nodes["n1"].ipv4}:9120"'
    count = f"mercurylb_membership_detection_seconds_count{{{at}}}"
    before = prometheus.value(count)
    assert before is not None
    lab.speaker("n2").kill()
    prometheus.until(count, before + 1)
    prometheus.until(f'mercurylb_membership_members{{{at},state="down"}}', 1)
    prometheus.until(f"mercurylb_speaker_live_members{{{at}}}", 1)
    lab.speaker("n2").start()
    lab.await_speaker("n2")
    prometheus.until("min(mercurylb_speaker_live_members)", 2)
    stage.scene.wait_sessions()


def test_the_rules_are_taken(stage: Stage) -> None:
    """Prometheus evaluates every alert of the chart without an error."""
    (group,) = stage.prometheus.ask("rules")["groups"]
    assert len(group["rules"]) >= 15
    stage.lab.wait_for(
        lambda: (
            {rule["health"] for rule in stage.prometheus.ask("rules")["groups"][0]["rules"]}
            == {"ok"}
        ),
        timeout_s=60,
        what="every rule is well",
    )


@pytest.mark.parametrize("name", ["overview", "layer2", "bgp"])
def test_dashboards_show_something(stage: Stage, name: str) -> None:
    """Every query of every panel has an answer."""
    board = json.loads((CHART / "files" / "dashboards" / f"{name}.json").read_text())
    asked = expressions(board)
    assert len(asked) > 8

    def empty() -> list[tuple[str, str]]:
        return [item for item in asked if not stage.prometheus.query(item[1])]

    stage.lab.wait_for(lambda: not empty(), timeout_s=120, what=f"{empty()} show something")


@pytest.mark.rule("metrics-1.2.removed")
def test_series_go_with_what_they_are_about(stage: Stage) -> None:
    """Those of a service, of a session, and of a pool."""
    scene, prometheus = stage.scene, stage.prometheus
    for key in stage.services.values():
        scene.delete(key)
    prometheus.until("count(metallb_speaker_announced)", None)
    prometheus.until("sum(metallb_allocator_addresses_in_use_total)", 0)
    scene.close()
    for family in ("metallb_bgp_session_up", "metallb_bgp_pending_prefixes_total"):
        prometheus.until(f'count({family}{{job="{SPEAKER}"}})', None)
    prometheus.until("count(metallb_allocator_addresses_total)", None)
