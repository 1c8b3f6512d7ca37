"""What the programs may and may not, in real containers, and what they keep to themselves."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from lab import container, netns, paths, policy
from lab.build import helm
from lab.container import Container
from lab.objects import PodPlan
from lab.programs import SECRET
from lab.status import who_answers
from tests.lab.bgp_scene import OPTIONS, BgpScene
from tests.lab.prometheus_stage import grant
from tests.lab.scene import HOME
from tests.lab.test_commands import mercurylb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.light import LightLab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

CHART: Final = paths.REPOSITORY / "charts" / "mercurylb"
NODE: Final = "n1"
POOL: Final = "metallb.io/address-pool"


def chart(*settings: str) -> list[dict[str, Any]]:
    """Render the chart for a release called metallb."""
    words = [word for setting in settings for word in ("--set", setting)]
    argv = [str(helm.ensure_helm()), "template", "metallb", str(CHART), "--namespace", HOME, *words]
    return [it for it in yaml.safe_load_all(netns.command(argv).stdout) if it]


def pod_of(documents: list[dict[str, Any]], kind: str, component: str) -> dict[str, Any]:
    """Return the pod template's spec of a workload."""
    (found,) = [
        it["spec"]["template"]["spec"]
        for it in documents
        if it["kind"] == kind and it["metadata"]["name"] == f"metallb-{component}"
    ]
    return dict(found)


class Stage:
    """A node of the shared lab whose speaker is a container of our image."""

    def __init__(self, lab: LightLab) -> None:
        self.lab = lab
        self._env = dict(lab.speaker(NODE).record.spec.env or {})
        self._begin = 0

    def start(self, *capabilities: str, args: tuple[str, ...] = ()) -> None:
        """Run the speaker as the chart does, with these capabilities and no others."""
        own = {name: value for name, value in self._env.items() if name.startswith("METALLB_")}
        secret = own["METALLB_ML_SECRET_KEY_PATH"]
        made = Container(
            args=("/usr/bin/mercurylb-speaker", "--log-level=debug", *args),
            env=own,
            capabilities=capabilities,
            account="metallb-speaker",
            mounts={secret: secret},
        )
        launcher = container.prepare(self.lab, f"speaker-{NODE}", made)
        self._begin = len(self.lab.speaker(NODE).log())
        self.lab.replace_speaker(NODE, str(launcher))

    def events(self) -> list[dict[str, Any]]:
        """Return what the container's programs have logged, without what was before them."""
        whole = self.lab.speaker(NODE).log()
        lines = [
            json.loads(line)
            for line in whole[self._begin :].splitlines()
            if line.startswith("{") and line.endswith("}")
        ]
        begins = [n for n, line in enumerate(lines) if line["event"] == container.STARTED]
        return lines[begins[0] :] if begins else []

    def await_event(self, name: str) -> dict[str, Any]:
        """Wait for a log line and return it."""
        found = self.lab.wait_for(lambda: self.named(name), timeout_s=90, what=f"{name}")
        return found[0]

    def named(self, name: str) -> list[dict[str, Any]]:
        """Return all log lines of one event."""
        return [line for line in self.events() if line["event"] == name]


@pytest.fixture
def stage(light_lab: LightLab) -> Iterator[Stage]:
    """Give the shared lab, and its own speaker back to its node after the test."""
    spec = light_lab.speaker(NODE).record.spec
    program = spec.argv[0]
    yield Stage(light_lab)
    light_lab.faults.heal()
    light_lab.replace_speaker(NODE, program)
    light_lab.await_speaker(NODE)


def granted() -> tuple[str, ...]:
    """Return the capabilities that the chart gives the speaker by default."""
    pod = pod_of(chart(), "DaemonSet", "speaker")
    (speaker,) = [it for it in pod["containers"] if it["name"] == "speaker"]
    return tuple(speaker["securityContext"]["capabilities"]["add"])


def await_session(scene: BgpScene) -> None:
    """Wait until the container has a session with the router, whatever else it cannot do."""
    scene.until(lambda: NODE in scene.router.established(), f"a session with {NODE}", 60)


@pytest.fixture
def routed(light_lab: LightLab) -> Iterator[BgpScene]:
    """Let the lab's router speak BGP; the scene's objects go at its end."""
    light_lab.bgp.start(OPTIONS)
    made = BgpScene(light_lab)
    yield made
    made.close()
    light_lab.bgp.stop()


def test_the_chart_s_capabilities_are_enough(stage: Stage, routed: BgpScene, web: str) -> None:
    """With what the chart gives, in a container of the image, layer 2 and BGP work."""
    stage.start(*granted())
    stage.await_event("speaker.caches_filled")
    stage.lab.await_speaker(NODE)
    routed.peer()
    routed.stage(selector={"app": web})
    await_session(routed)
    routed.advertise(nodeSelectors=[{"matchLabels": {"kubernetes.io/hostname": NODE}}])
    pool = routed.pool(f"{routed.ip4()}/32", name=f"{routed.name}-near")
    key = routed.service("near", selector={"app": web}, annotations={POOL: pool})
    routed.wait_addresses(key, [routed.ip4()])
    routed.until(lambda: who_answers(stage.lab.site, routed.ip4()) == [NODE], "it answers", 60)
    assert [it for it in stage.events() if it.get("level") == "error"] == []


@pytest.mark.parametrize("dropped", ["NET_RAW"])
def test_without_packet_sockets_bgp_goes_on(stage: Stage, routed: BgpScene, dropped: str) -> None:
    """A speaker without NET_RAW says so in one line, with what to do, and has its BGP sessions."""
    stage.start(*(set(granted()) - {dropped}))
    told = stage.await_event("layer2.impossible")
    assert dropped in told["todo"]
    routed.peer()
    await_session(routed)
    assert len(stage.named("layer2.impossible")) == 1
    assert "layer2.interface_failed" not in {it["event"] for it in stage.events()}
    stage.lab.await_speaker(NODE)


def test_without_low_ports_it_calls(stage: Stage, routed: BgpScene) -> None:
    """A speaker that may not listen on port 179 says so in one line and calls its peers."""
    stage.start(*granted(), args=("--bgp-listen-port=179",))
    routed.peer()
    told = stage.await_event("bgp.listen_failed")
    assert "179" in told["error"]
    assert "NET_BIND_SERVICE" in told["error"]
    await_session(routed)
    assert len(stage.named("bgp.listen_failed")) == 1


def test_real_time_is_asked_for_and_not_needed(stage: Stage) -> None:
    """What the kernel grants is said at the start: more with SYS_NICE, the usual without."""
    stage.start(*granted())
    assert stage.await_event("announcer.started")["scheduling"] == "normal"
    stage.await_event("speaker.caches_filled")
    stage.start(*granted(), "SYS_NICE")
    assert stage.await_event("announcer.started")["scheduling"] != "normal"


@pytest.mark.rule("install-3.3.networkpolicies")
@pytest.mark.usefixtures("web")
def test_network_policies_let_pass_what_is_needed_only(light_lab: LightLab) -> None:
    """Behind the chart's policies a controller works, and is reached by nothing else."""
    lab = light_lab
    documents = chart("networkpolicies.enabled=true", "networkpolicies.defaultDeny=true")
    policies = [it for it in documents if it["kind"] == "NetworkPolicy"]
    (template,) = [it["spec"]["template"] for it in documents if it["kind"] == "Deployment"]
    (pod,) = template["spec"]["containers"]
    ports = {it["name"]: it["containerPort"] for it in pod["ports"]}
    labels = template["metadata"]["labels"]
    node = lab.site.plan.node(NODE)
    name = "policed"
    place = lab.pods.place(name, node)
    try:
        rules = policy.ruleset(policies, labels, ports, [node.pod_gateway4, node.pod_gateway6])
        host = lab.host(place.host)
        host.run([netns.tool("nft"), "-f", "-"], stdin=rules)
        made = Container(
            args=("/usr/bin/mercurylb-controller", "--webhook-mode=disabled", "--log-level=all"),
            env={"METALLB_POD_NAME": name, "METALLB_ML_SECRET_NAME": SECRET},
            user=65534,
            account="metallb-controller",
        )
        lab.pods.register(
            PodPlan(
                name=name,
                namespace=HOME,
                node=NODE,
                host_ip=node.ipv4,
                ips=(place.ipv4, place.ipv6),
                labels={"app": name},
                service_account="metallb-controller",
            )
        )
        launcher = container.prepare(lab, name, made)
        process = host.start(f"pod-{name}", [str(launcher)])
        lab.wait_for(
            lambda: "controller.caches_filled" in process.log(), timeout_s=90, what="its caches"
        )
        for port in (9120, 17472):
            lab.wait_for(
                lambda port=port: answers(lab, NODE, place.ipv4, port),  # type: ignore[misc]
                timeout_s=60,
                what=f"port {port} is open",
            )
        pages = {
            (source, port): answers(lab, source, place.ipv4, port)
            for source in ("cp", "n2", NODE)
            for port in (9120, 9443, 17472)
        }
        reached = {key for key, does in pages.items() if does}
        # 9443 is open and nobody listens: webhooks are off here. A node's own probes pass.
        assert reached == {("cp", 9120), ("n2", 9120), (NODE, 9120), (NODE, 17472)}
        assert answers(lab, place.host, lab.site.plan.control_plane.ipv4, 6443)
        near = next(it for it in lab.pods.all() if it.host == "pod-web-n2")
        assert answers(lab, "cp", near.ipv4, 8080)
        assert not answers(lab, place.host, near.ipv4, 8080)
        other = policy.ruleset(policies, {"app": "any"}, {}, [])
        host.run([netns.tool("nft"), "delete", "table", "inet", policy.TABLE])
        host.run([netns.tool("nft"), "-f", "-"], stdin=other)
        assert not answers(lab, place.host, lab.site.plan.control_plane.ipv4, 6443)
        assert not answers(lab, "cp", place.ipv4, 9120)
    finally:
        if found := lab.site.processes.get(f"pod-{name}"):
            found.stop()
        lab.pods.remove(name, namespace=HOME)


def answers(lab: LightLab, source: str, address: str, port: int) -> bool:
    """Tell whether a TCP connection from a host comes about."""
    try:
        lab.host(source).connect(address, port, timeout_s=1.5).close()
    except (TimeoutError, OSError):
        return False
    return True


def test_secrets_are_never_told(stage: Stage, routed: BgpScene) -> None:
    """At the highest level of logging no secret is in a log, a metric or an object of ours."""
    inline, stored, wrong = "Inline-7f31", "Stored-9c02", "Wrong-55ad"
    stage.lab.bgp.stop()
    stage.lab.bgp.start(replace(OPTIONS, password=inline))
    stage.start(*granted(), args=("--log-level=all",))
    stage.await_event("speaker.caches_filled")
    routed.peer(password=inline)
    routed.secret(f"{routed.name}-secret", stored)
    reference = {"name": f"{routed.name}-secret"}
    routed.peer(f"{routed.name}-0", peerAddress="192.168.111.8", passwordSecret=reference)
    routed.peer(f"{routed.name}-1", peerAddress="192.168.111.9", password=wrong)
    await_session(routed)
    routed.set_secret(f"{routed.name}-secret", f"{stored}!")
    path = f"/api/v1/namespaces/{HOME}/secrets/{SECRET}"
    key = base64.b64decode(stage.lab.api.get(path)["data"]["secretkey"]).decode()
    scene_secrets = [inline, stored, wrong, key]
    account = stage.lab.site.folder("containers", f"speaker-{NODE}") / "account/token"
    hidden = [*scene_secrets, account.read_text()]
    hidden += [base64.b64encode(it.encode()).decode() for it in scene_secrets]
    hidden += [it.encode().hex() for it in scene_secrets]
    logs = "".join(file.read_text() for file in stage.lab.site.folder("logs").glob("*speaker*"))
    logs += "".join(file.read_text() for file in stage.lab.site.folder("logs").glob("controller*"))
    assert "caches_filled" in logs
    for kind in ("v1beta1/servicebgpstatuses", "v1beta1/configurationstates"):
        group, plural = kind.split("/")
        found = stage.lab.api.get(f"/apis/metallb.io/{group}/namespaces/{HOME}/{plural}")
        logs += json.dumps(found)
    logs += json.dumps(routed.session_states())
    logs += json.dumps(stage.lab.api.get(f"/api/v1/namespaces/{HOME}/events"))
    assert [it for it in hidden if it in logs] == []
    # Names of peers and the session are in what follows, so it was looked at in time.
    reader = grant(stage.lab)
    metrics = [scraped(stage.lab, it, reader) for it in (NODE, "cp")]
    assert f'metallb_bgp_session_up{{peer="{stage.lab.router.ipv4}:179"}} 1' in metrics[0]
    assert "metallb_k8s_client_config_loaded_bool 1" in metrics[1]
    assert [it for it in [*hidden, reader] if it in "".join(metrics)] == []
    saved = mercurylb(routed, "snapshot", "-o", "-", "--namespace", HOME).stdout
    assert f'"name": "{routed.name}-secret"' in saved
    assert f'"name": "{SECRET}"' not in saved
    assert [it for it in hidden if it in saved] == []


def scraped(lab: LightLab, host: str, token: str) -> str:
    """Read the metrics of a program as Prometheus does."""
    url = f"https://{lab.host(host).ipv4}:9120/metrics"
    told = lab.client.http_get(url, headers={"Authorization": f"Bearer {token}"}, timeout_s=20)
    assert told.status == 200
    return told.text
