"""How the two pods are started: arguments, environment, probes, privileges, volumes."""

from __future__ import annotations

from typing import Any

import pytest

COMPONENTS = ["controller", "speaker"]
PROGRAMS = [
    ("controller", "/usr/bin/mercurylb-controller"),
    ("speaker", "/usr/bin/mercurylb-speaker"),
]


def field(path: str) -> dict[str, Any]:
    """Return the source of an environment variable taken from the pod."""
    return {"fieldRef": {"fieldPath": path}}


def environment(container: dict[str, Any]) -> dict[str, Any]:
    """Return the container's variables: text, or where it comes from."""
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


def mounts(container: dict[str, Any]) -> dict[str, str]:
    """Return the mounted volumes by path."""
    return {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts") or []}


def volumes(pod: dict[str, Any]) -> dict[str, Any]:
    """Return the pod's volumes by name, without their names."""
    return {
        v["name"]: {k: x for k, x in v.items() if k != "name"} for v in pod.get("volumes") or []
    }


@pytest.mark.parametrize(
    ("component", "values", "args"),
    [
        ("controller", {}, ["--webhook-mode=enabled"]),
        ("controller", {"controller": {"webhookMode": "disabled"}}, ["--webhook-mode=disabled"]),
        ("speaker", {}, []),
        (
            "controller",
            {"loadBalancerClass": "x", "tls": {"minVersion": "VersionTLS12"}},
            ["--lb-class=x", "--webhook-mode=enabled", "--tls-min-version=VersionTLS12"],
        ),
        (
            "speaker",
            {
                "loadBalancerClass": "x",
                "tls": {
                    "cipherSuites": "A,B",
                    "curvePreferences": "29",
                    "minVersion": "VersionTLS12",
                    "speakerMetricsTLSSecret": "s",
                },
                "speaker": {
                    "wanConfig": True,
                    "ignoreExcludeLB": True,
                    "bgpDebounceTimeout": 1,
                    "bgpListenPort": 1790,
                    "gratuitousARPInterval": 30,
                },
            },
            [
                "--lb-class=x",
                "--ml-wan-config=true",
                "--ignore-exclude-lb",
                "--bgp-debounce-timeout=1",
                "--bgp-listen-port=1790",
                "--gratuitous-arp-interval=30",
                "--tls-cipher-suites=A,B",
                "--tls-curve-preferences=29",
                "--tls-min-version=VersionTLS12",
                "--metrics-cert-dir=/etc/metrics",
            ],
        ),
        ("speaker", {"speaker": {"gratuitousARPInterval": 0}}, []),
    ],
)
@pytest.mark.rule("speaker-1.chart")
@pytest.mark.rule(
    "install-3.3.wan-config", "install-3.3.gratuitous", "install-3.4.args", "install-3.5.args"
)
def test_arguments_come_in_the_order_of_metallbs_chart(
    render: Any, component: str, values: dict[str, Any], args: list[str]
) -> None:
    """Each value becomes its flag, and unset values become none."""
    first = ["--port=9120", "--health-probe-port=17472", "--log-level=info"]
    assert render(values).container(component)["args"] == first + args


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.rule("install-3.3.metrics-port", "install-3.3.log-level")
def test_ports_and_log_level_are_taken_from_the_values(render: Any, component: str) -> None:
    """The port that is probed is the port the program listens on."""
    values = {
        "prometheus": {"metricsPort": 9999},
        component: {
            "logLevel": "debug",
            "livenessProbe": {"port": 1111},
            "readinessProbe": {"port": 1111},
        },
    }
    container = render(values).container(component)
    assert container["args"][:3] == ["--port=9999", "--health-probe-port=1111", "--log-level=debug"]
    assert {"name": "metricshttps", "containerPort": 9999} in container["ports"]
    assert container["livenessProbe"]["httpGet"]["port"] == 1111


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.rule("install-7.port-zero")
def test_metrics_port_zero_declares_no_port(render: Any, component: str) -> None:
    """Port 0 means no metrics, and the API server accepts no container port 0."""
    container = render({"prometheus": {"metricsPort": 0}}).container(component)
    assert container["args"][0] == "--port=0"
    assert "metricshttps" not in {port["name"] for port in container.get("ports") or []}


@pytest.mark.parametrize(("component", "program"), PROGRAMS)
@pytest.mark.rule("install-2.images")
def test_one_image_holds_both_programs(render: Any, component: str, program: str) -> None:
    """Each pod names its program, as the image is the same."""
    container = render().container(component)
    assert container["image"] == "mercurylb/mercurylb:0.1.0"
    assert container["command"] == [program]
    assert "imagePullPolicy" not in container


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.rule("install-3.3.command", "install-3.3.image")
def test_image_and_command_can_be_replaced(render: Any, component: str) -> None:
    """A mirror, a tag that looks like a number and a wrapper program are all possible."""
    image = {"repository": "mirror/lb", "tag": 1.5, "pullPolicy": "Never"}
    container = render({component: {"image": image, "command": "/wrap"}}).container(component)
    assert container["image"] == "mirror/lb:1.5"
    assert container["imagePullPolicy"] == "Never"
    assert container["command"] == ["/wrap"]


def test_the_environment_of_the_controller(render: Any) -> None:
    """The controller learns who it is and which secret it must create."""
    assert environment(render().container("controller")) == {
        "METALLB_POD_NAME": field("metadata.name"),
        "METALLB_ML_SECRET_NAME": "metallb-memberlist",
        "METALLB_DEPLOYMENT": "metallb-controller",
    }


@pytest.mark.parametrize(
    "values", [{"speaker": {"enabled": False}}, {"speaker": {"memberlist": {"enabled": False}}}]
)
def test_without_a_member_list_the_controller_creates_no_secret(
    render: Any, values: dict[str, Any]
) -> None:
    """What nobody uses is not created."""
    assert list(environment(render(values).container("controller"))) == ["METALLB_POD_NAME"]


@pytest.mark.rule("speaker-1.chart")
def test_the_environment_of_the_speaker(render: Any) -> None:
    """The speaker learns its node and how to find the other speakers; BGP stays native."""
    assert environment(render().container("speaker")) == {
        "METALLB_NODE_NAME": field("spec.nodeName"),
        "METALLB_HOST": field("status.hostIP"),
        "METALLB_ML_BIND_ADDR": field("status.podIP"),
        "METALLB_ML_LABELS": ("app.kubernetes.io/name=metallb,app.kubernetes.io/component=speaker"),
        "METALLB_ML_BIND_PORT": "7946",
        "METALLB_ML_SECRET_KEY_PATH": "/etc/ml_secret_key",
        "METALLB_POD_NAME": field("metadata.name"),
    }


@pytest.mark.rule("install-3.3.memberlist")
def test_the_member_list_follows_its_values(render: Any) -> None:
    """Port, address, path and secret appear wherever they are used."""
    member_list = {"mlBindPort": 8000, "mlBindAddrOverride": "::", "mlSecretKeyPath": "/k"}
    objects = render({"speaker": {"memberlist": member_list, "secretName": "s"}})
    speaker = objects.container("speaker")
    variables = environment(speaker)
    assert variables["METALLB_ML_BIND_PORT"] == "8000"
    assert variables["METALLB_ML_BIND_ADDR"] == "::"
    assert variables["METALLB_ML_SECRET_KEY_PATH"] == "/k"
    assert mounts(speaker)["/k"] == "memberlist"
    assert speaker["ports"][1:] == [
        {"name": "memberlist-tcp", "containerPort": 8000, "protocol": "TCP"},
        {"name": "memberlist-udp", "containerPort": 8000, "protocol": "UDP"},
    ]
    assert volumes(objects.pod("speaker"))["memberlist"]["secret"]["secretName"] == "s"
    assert environment(objects.container("controller"))["METALLB_ML_SECRET_NAME"] == "s"


@pytest.mark.rule("install-3.3.memberlist-enabled")
def test_without_a_member_list_the_speaker_mounts_no_key(render: Any) -> None:
    """A speaker alone does not wait for a secret that nobody creates."""
    objects = render({"speaker": {"memberlist": {"enabled": False}}})
    assert not [k for k in environment(objects.container("speaker")) if "_ML_" in k]
    assert set(volumes(objects.pod("speaker"))) == {"metallb-excludel2"}
    assert [p["name"] for p in objects.container("speaker")["ports"]] == ["metricshttps"]


@pytest.mark.rule("install-3.5.mounts", "install-3.5.waits")
def test_the_volumes_of_the_speaker(render: Any) -> None:
    """The key, the excluded interfaces and the optional settings, each where it is read."""
    objects = render()
    assert mounts(objects.container("speaker")) == {
        "/etc/ml_secret_key": "memberlist",
        "/etc/metallb": "metallb-excludel2",
        "/etc/metallb/memberlist": "memberlist-config",
    }
    assert volumes(objects.pod("speaker")) == {
        "memberlist": {"secret": {"secretName": "metallb-memberlist", "defaultMode": 0o644}},
        "metallb-excludel2": {"configMap": {"name": "metallb-excludel2", "defaultMode": 0o444}},
        "memberlist-config": {"configMap": {"name": "metallb-memberlist-config", "optional": True}},
    }


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.rule("install-3.3.tls")
def test_a_metrics_certificate_is_mounted_for_its_component_only(
    render: Any, component: str
) -> None:
    """The secret named for one component does not reach the other."""
    objects = render({"tls": {f"{component}MetricsTLSSecret": "own"}})
    for name in COMPONENTS:
        secret = volumes(objects.pod(name)).get("metrics-certs")
        has = name == component
        assert secret == ({"secret": {"secretName": "own"}} if has else None)
        assert ("/etc/metrics" in mounts(objects.container(name))) == has
        assert ("--metrics-cert-dir=/etc/metrics" in objects.container(name)["args"]) == has


@pytest.mark.rule("install-3.3.security-context", "install-3.4.container")
def test_the_controller_runs_without_any_privilege(render: Any) -> None:
    """Nobody, no capability, nothing to write to."""
    objects = render()
    assert objects.pod("controller")["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65534,
        "fsGroup": 65534,
    }
    assert objects.container("controller")["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert "hostNetwork" not in objects.pod("controller")


@pytest.mark.rule("speaker-3.capabilities", "speaker-3.host-network")
@pytest.mark.rule("install-3.5.host-network")
def test_the_speaker_has_raw_sockets_and_nothing_else(render: Any) -> None:
    """Root without any capability but NET_RAW, on the node's network."""
    objects = render()
    pod = objects.pod("speaker")
    assert pod["hostNetwork"] is True
    assert pod["securityContext"] == {"runAsUser": 0}
    assert objects.container("speaker")["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_the_announcer_may_be_given_precedence(render: Any) -> None:
    """One capability more, when it is asked for."""
    container = render({"speaker": {"realTime": True}}).container("speaker")
    assert container["securityContext"]["capabilities"] == {
        "drop": ["ALL"],
        "add": ["NET_RAW", "SYS_NICE"],
    }


@pytest.mark.parametrize(
    ("port", "added"), [(179, ["NET_RAW", "NET_BIND_SERVICE"]), (1790, ["NET_RAW"])]
)
def test_a_low_port_to_listen_on_needs_a_capability(
    render: Any, port: int, added: list[str]
) -> None:
    """BGP's own port is one of those that not everybody may have."""
    container = render({"speaker": {"bgpListenPort": port}}).container("speaker")
    assert container["securityContext"]["capabilities"]["add"] == added


@pytest.mark.rule("install-3.3.security-context")
def test_the_speakers_pod_security_can_be_extended_and_replaced(render: Any) -> None:
    """Given keys win over the default user."""
    given = {"runAsUser": 7, "fsGroup": 8}
    assert (
        render({"speaker": {"securityContext": given}}).pod("speaker")["securityContext"] == given
    )
    assert render({"speaker": {"securityContext": {"fsGroup": 8}}}).pod("speaker")[
        "securityContext"
    ] == {"runAsUser": 0, "fsGroup": 8}


@pytest.mark.parametrize(
    ("component", "host"), [("controller", {}), ("speaker", {"host": "127.0.0.1"})]
)
@pytest.mark.rule("speaker-2.health")
@pytest.mark.rule("install-3.3.probes")
def test_both_probes_ask_the_health_port(render: Any, component: str, host: dict[str, str]) -> None:
    """Liveness and readiness ask different paths of one port, the speaker's on loopback."""
    container = render().container(component)
    timing = {
        "initialDelaySeconds": 10,
        "periodSeconds": 10,
        "timeoutSeconds": 1,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        request = {"path": path, "port": 17472} | host
        assert container[probe] == {"httpGet": request} | timing


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.rule("install-3.3.probes")
def test_probes_can_be_switched_off_and_timed(render: Any, component: str) -> None:
    """Each probe has its own switch and its own times."""
    probes = {
        "livenessProbe": {"enabled": False},
        "readinessProbe": {"periodSeconds": 2, "initialDelaySeconds": 0},
    }
    container = render({component: probes}).container(component)
    assert "livenessProbe" not in container
    assert container["readinessProbe"]["periodSeconds"] == 2
    assert container["readinessProbe"]["initialDelaySeconds"] == 0


@pytest.mark.rule("install-3.4.grace", "install-3.5.grace")
def test_grace_periods(render: Any) -> None:
    """A speaker has time to hand its addresses over, the controller to give its lease back."""
    objects = render()
    assert objects.pod("speaker")["terminationGracePeriodSeconds"] == 10
    assert objects.pod("controller")["terminationGracePeriodSeconds"] == 5
