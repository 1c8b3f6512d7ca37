"""A real Prometheus scrapes controller, speakers and the exporter beside a real FRR.

One lab and one script: what is asked of it stands in tables, each line with name, type, labels and
value of a series (spec: metrics-and-install §1.2).
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from lab import Lab, binaries
from lab.build.apt import ROUTER_PACKAGES, ensure_packages
from lab.build.helm import ensure_helm
from lab.pki import Authority
from lab.programs import apply, load_yaml
from lab.router import RouterOptions
from tests.lab.bgp_scene import NODE_ASN, ROUTER_ASN, BgpScene
from tests.lab.frr_pod import FrrPod, connect
from tests.lab.prometheus_lab import Prometheus, Row, at_least, expressions, row
from tests.lab.scene import HOME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.host import Host
    from lab.light import LightLab
    from lab.process import Process

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root: it makes namespaces"),
]

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "charts" / "mercurylb"
NAME: Final = "metrics.test"
CONTROLLER, SPEAKER, SIDECAR = "metallb-controller", "metallb-speaker", "metallb-frr"
POOLS: Final = f"/apis/metallb.io/v1beta1/namespaces/{HOME}/ipaddresspools"
WEBHOOKS: Final = (
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    "/metallb-webhook-configuration"
)
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


def make_token(lab: LightLab, account: str, namespace: str = HOME) -> str:
    """Have the API server give a token of an account."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token: str = lab.api.post(path, body)["status"]["token"]
    return token


def grant(lab: LightLab) -> str:
    """Create the account that the chart makes for Prometheus; give its token."""
    values = ("prometheus.podMonitor.enabled=true", "prometheus.serviceAccount=p")
    wanted = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding"}
    for document in rendered(*values, "prometheus.namespace=monitoring"):
        is_reader = document["metadata"]["name"].endswith("-metrics-reader")
        if is_reader and document["kind"] in wanted:
            apply(lab.api, document, HOME)
    return make_token(lab, "metallb-metrics-reader")


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


def config_rows() -> list[Row]:
    """Say what both programs have in common while all is well."""
    return [
        line
        for job in (CONTROLLER, SPEAKER)
        for line in (
            row("metallb_k8s_client_updates_total", "counter", job, at_least(2)),
            row("metallb_k8s_client_update_errors_total", "counter", job, 0),
            row("metallb_k8s_client_config_loaded_bool", "gauge", job, 1),
            row("metallb_k8s_client_config_stale_bool", "gauge", job, 0),
            row("mercurylb_config_problems", "gauge", job, 0),
            row("mercurylb_api_writes_total", "counter", job, at_least(1), result="done"),
            row("mercurylb_api_watch_total", "counter", job, at_least(1), event="list"),
            row("process_resident_memory_bytes", "gauge", job, at_least(1e6)),
        )
    ]


def pool_rows(near: str, far: str) -> list[Row]:
    """Say how full the pools are: of the near one, two services share an address."""
    figures = {
        "addresses_total": (6, 1),
        "ipv4_addresses_total": (4, 1),
        "ipv6_addresses_total": (2, 0),
        "addresses_in_use_total": (3, 1),
        "ipv4_addresses_in_use_total": (2, 1),
        "ipv6_addresses_in_use_total": (1, 0),
    }
    return [
        row(f"metallb_allocator_{name}", "gauge", CONTROLLER, value, pool=pool)
        for name, values in figures.items()
        for pool, value in zip((near, far), values, strict=True)
    ]


def layer2_rows(stage: Stage) -> list[Row]:
    """Say what a speaker tells of the addresses that it announces on layer 2."""
    scene, rows = stage.scene, list[Row]()
    for name in ("dual", "one", "two"):
        key = stage.services[name]
        at, owner = owner_of(stage, name)
        for ip in scene.addresses(key):
            labels = {"service": key, "protocol": "layer2", "node": owner, "ip": ip}
            rows.append(
                row("metallb_speaker_announced", "gauge", SPEAKER, 1, instance=at, **labels)
            )
            rows.append(
                row(
                    "metallb_layer2_gratuitous_sent", "counter", SPEAKER, at_least(1),
                    instance=at, ip=ip,
                )
            )  # fmt: skip
    at, _ = owner_of(stage, "dual")
    for ip in addresses(stage, "dual"):
        for what in ("requests_received", "responses_sent"):
            name = f"metallb_layer2_{what}"
            rows.append(row(name, "counter", SPEAKER, at_least(1), instance=at, ip=ip))
    return rows


def owner_of(stage: Stage, name: str) -> tuple[str, str]:
    """Give the speaker that announces a service, and its node: the first address decides."""
    first = stage.scene.addresses(stage.services[name])[0]
    owner = stage.scene.ranking(first, tuple(stage.lab.nodes))[0]
    return f"{stage.lab.nodes[owner].ipv4}:9120", owner


def bgp_rows(stage: Stage) -> list[Row]:
    """Say what the native backend tells of its sessions, on every node."""
    peer, ip = f"{stage.lab.router.ipv4}:179", stage.lab.router.ipv4
    gauges = {"session_up": 1, "announced_prefixes_total": 1, "pending_prefixes_total": 1}
    rows = [
        row(f"metallb_bgp_{name}", "gauge", SPEAKER, value, instance=f"{host.ipv4}:9120", peer=peer)
        for name, value in gauges.items()
        for host in stage.lab.nodes.values()
    ]
    counters = {"updates_total": 1, "opens_sent": 1, "opens_received": 1, "keepalives_sent": 1}
    counters |= {"keepalives_received": 1, "total_sent": 3, "total_received": 2}
    counters |= {"updates_total_received": 0, "notifications_sent": 0, "route_refresh_sent": 0}
    rows += [
        row(f"metallb_bgp_{name}", "counter", SPEAKER, at_least(least), peer=peer)
        for name, least in counters.items()
    ]
    for node, host in stage.lab.nodes.items():
        labels = {"service": stage.services["far"], "protocol": "bgp", "node": node}
        labels["ip"] = stage.scene.far4
        at = f"{host.ipv4}:9120"
        rows.append(row("metallb_speaker_announced", "gauge", SPEAKER, 1, instance=at, **labels))
    return rows + bfd_rows(SPEAKER, peer=ip)


def bfd_rows(job: str, **labels: str) -> list[Row]:
    """Say what is told of a BFD session; the empty VRF of the native mode is as no label."""
    least = {"control_packet_input": 1, "control_packet_output": 1, "session_up_events": 1}
    least |= {"echo_packet_input": 0, "echo_packet_output": 0, "session_down_events": 0}
    least["zebra_notifications"] = 0
    up = row("metallb_bfd_session_up", "gauge", job, 1, **labels)
    return [
        up,
        *(
            row(f"metallb_bfd_{name}", "counter", job, at_least(value), **labels)
            for name, value in least.items()
        ),
    ]


def sidecar_rows() -> list[Row]:
    """Say what the exporter tells of FRR."""
    labels = {"peer": "192.0.2.2:179", "vrf": "default"}
    gauges = {"session_up": 1, "announced_prefixes_total": 1}
    counters = {"opens_sent": 1, "opens_received": 1, "notifications_sent": 0, "updates_total": 1}
    counters |= {"updates_total_received": 1, "keepalives_sent": 1, "keepalives_received": 1}
    counters |= {"route_refresh_sent": 0, "total_sent": 3, "total_received": 3}
    rows = [row(f"metallb_bgp_{name}", "gauge", SIDECAR, v, **labels) for name, v in gauges.items()]
    rows += [
        row(f"metallb_bgp_{name}", "counter", SIDECAR, at_least(least), **labels)
        for name, least in counters.items()
    ]
    return rows + bfd_rows(SIDECAR, peer="192.0.2.2", vrf="default")


def own_rows(stage: Stage) -> list[Row]:
    """Say what only MercuryLB tells."""
    count = "mercurylb_allocator_assignment_seconds_count"
    rows = [
        row("mercurylb_controller_leader", "gauge", CONTROLLER, 1),
        row("mercurylb_allocator_services_pending", "gauge", CONTROLLER, 0),
        row("mercurylb_speaker_live_members", "gauge", SPEAKER, 2),
        row("mercurylb_membership_members", "gauge", SPEAKER, 1, state="up"),
        row("mercurylb_layer2_conflicts", "gauge", SPEAKER, 0, kind="stranger"),
        row("mercurylb_announcer_loop_lag_seconds", "gauge", SPEAKER, at_least(0)),
    ]
    assert stage.prometheus.kind(count.removesuffix("_count")) == "histogram"
    for node, other in (("n1", "n2"), ("n2", "n1")):
        at = f"{stage.lab.nodes[node].ipv4}:9120"
        silence = "mercurylb_membership_silence_seconds"
        rows.append(row(silence, "gauge", SPEAKER, lambda v: v < 60, instance=at, peer_node=other))
    return rows


def asked(host: Host, url: str, token: str) -> int:
    """Ask for metrics by hand, and give the status."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return host.http_get(url, headers=headers, timeout_s=10).status


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
