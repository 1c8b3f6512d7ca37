"""The two ways to have FRR speak BGP in place of the speaker."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mercurylb.frr_metrics.settings import FLAGS

FRR = {"speaker": {"frr": {"enabled": True}}}
EXTERNAL = {"frrk8s": {"external": True, "namespace": "frr-k8s-system"}}
INSTALLED = {"frrk8s": {"enabled": True}}
FRR_K8S = {
    ("ClusterRole", "metallb-frr-k8s-controller"),
    ("ClusterRoleBinding", "metallb-frr-k8s-controller"),
    ("DaemonSet", "metallb-frr-k8s"),
    ("Deployment", "metallb-frr-k8s-statuscleaner"),
    ("Secret", "frr-k8s-webhook-server-cert"),
    ("Service", "frr-k8s-webhook-service"),
    ("ServiceAccount", "metallb-frr-k8s-controller"),
    ("ValidatingWebhookConfiguration", "frr-k8s-validating-webhook-configuration"),
}
"""Objects of frr-k8s that others may look for; its files and namespaced roles are its own."""


def environ(container: dict[str, Any]) -> dict[str, str]:
    """Give the variables of a container that have a value of their own."""
    return {item["name"]: item["value"] for item in container["env"] if "value" in item}


def named(containers: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Give containers by name."""
    return {item["name"]: item for item in containers}


def paths(container: dict[str, Any]) -> dict[str, str]:
    """Give where a container sees which volume."""
    return {item["mountPath"]: item["name"] for item in container["volumeMounts"]}


@pytest.mark.parametrize(
    ("values", "backend"),
    [({}, None), (FRR, "frr"), (EXTERNAL, "frr-k8s"), (INSTALLED, "frr-k8s")],
    ids=str,
)
def test_both_programs_are_told_of_the_backend(
    render: Any, values: dict[str, Any], backend: str | None
) -> None:
    """The controller judges BGPPeers by what the speakers can do."""
    objects = render(values)
    for component in ("controller", "speaker"):
        assert environ(objects.container(component)).get("METALLB_BGP_TYPE") == backend


@pytest.mark.rule("bgp-frr-A8.pod")
@pytest.mark.rule("install-3.3.frr", "install-5.ready")
def test_frr_runs_beside_the_speaker(render: Any) -> None:
    """Its containers and what they share are those that MetalLB's pod has."""
    pod = render(FRR).pod("speaker")
    assert pod["shareProcessNamespace"] is True
    assert list(named(pod["initContainers"])) == ["cp-frr-files", "cp-reloader"]
    containers = named(pod["containers"])
    assert list(containers) == ["speaker", "frr", "reloader", "frr-metrics"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in (*pod["initContainers"], *pod["containers"]):
        assert set(paths(container).values()) <= volumes
    assert environ(containers["speaker"]).items() >= {
        ("FRR_CONFIG_FILE", "/etc/frr_reloader/frr.conf"),
        ("FRR_RELOADER_PID_FILE", "/etc/frr_reloader/reloader.pid"),
    }
    for name in ("speaker", "reloader"):
        assert paths(containers[name])["/etc/frr_reloader"] == "reloader"
    for name in ("frr", "reloader", "frr-metrics"):
        assert paths(containers[name])["/var/run/frr"] == "frr-sockets"
    for name in ("frr", "reloader"):
        assert containers[name]["image"] == "frrouting/frr:10.5.3"
        assert paths(containers[name])["/etc/frr"] == "frr-conf"
    copied = named(pod["initContainers"])["cp-reloader"]["command"][-1]
    assert containers["reloader"]["command"] == [copied]
    assert copied.startswith("/etc/frr_reloader/")


@pytest.mark.rule("bgp-frr-A8.pod")
@pytest.mark.rule("install-3.3.startup-probe")
def test_frr_is_probed_and_restarted(render: Any) -> None:
    """By what its exporter says of the daemons, over the port that it has."""
    values = {"speaker": {"frr": {"enabled": True, "metricsPort": 9200}}}
    containers = named(render(values).pod("speaker")["containers"])
    for probe in ("livenessProbe", "startupProbe"):
        asked = containers["frr"][probe]["httpGet"]
        assert asked == {"path": "/livez", "port": 9200, "scheme": "HTTPS"}
    exporter = containers["frr-metrics"]
    assert exporter["ports"] == [{"name": "frrmetricshttps", "containerPort": 9200}]
    assert "--metrics-port=9200" in exporter["args"]


@pytest.mark.rule("bgp-frr-A5.no-listener", "bgp-frr-A8.startup")
def test_frr_starts_without_listening_for_bgp(render: Any) -> None:
    """Only bgpd and bfdd run, and one file holds the configuration of all daemons."""
    files = render(FRR)["ConfigMap", "metallb-frr-startup"]["data"]
    assert sorted(files) == ["daemons", "frr.conf", "vtysh.conf"]
    lines = files["daemons"].splitlines()
    assert {"bgpd=yes", "bfdd=yes", "vtysh_enable=yes", "ospfd=no"} <= set(lines)
    assert 'bgpd_options="-A 127.0.0.1 -p 0 --limit-fds 100000"' in lines
    assert files["vtysh.conf"] == "service integrated-vtysh-config\n"
    assert ("ConfigMap", "metallb-frr-startup") not in render()


@pytest.mark.rule("install-3.3.frr-values", "install-3.3.startup-probe")
def test_values_reach_the_containers(render: Any) -> None:
    """Images, resources, paths and TLS."""
    limits = {"limits": {"cpu": "1"}}
    values = {
        "tls": {"minVersion": "VersionTLS12", "speakerMetricsTLSSecret": "certs"},
        "prometheus": {"scrapeAnnotations": True},
        "speaker": {
            "frr": {
                "enabled": True,
                "image": {"repository": "r/frr", "tag": 11, "pullPolicy": "Always"},
                "tiniPath": "/t",
                "dockerStartPath": "/d",
                "securityContext": {"privileged": True},
                "resources": limits,
            },
            "reloader": {"resources": limits},
            "frrMetrics": {"resources": limits},
            "initContainers": {
                "cpFrrFiles": {"resources": limits},
                "cpReloader": {"resources": limits},
            },
            "startupProbe": {"enabled": False},
            "livenessProbe": {"enabled": False},
        },
    }
    objects = render(values)
    pod = objects.pod("speaker")
    every = named([*pod["initContainers"], *pod["containers"]])
    frr = every["frr"]
    assert frr["command"][-1] == "/t -- /d"
    assert frr["image"] == every["reloader"]["image"] == "r/frr:11"
    assert frr["imagePullPolicy"] == "Always"
    assert frr["securityContext"]["privileged"] is True
    assert "livenessProbe" not in frr
    assert "startupProbe" not in frr
    for name in ("frr", "reloader", "frr-metrics", "cp-frr-files", "cp-reloader"):
        assert every[name]["resources"] == limits
    told = every["frr-metrics"]["args"]
    assert "--tls-min-version=VersionTLS12" in told
    assert "--tls-cert-file=/etc/metrics/tls.crt" in told
    flags = {flag.name for flag in FLAGS}
    assert {re.split("=", word)[0].removeprefix("--") for word in told} <= flags
    template = objects["DaemonSet", "metallb-speaker"]["spec"]["template"]
    assert template["metadata"]["annotations"] == {"prometheus.io/scrape": "true"}


@pytest.mark.rule("bgp-frr-B3.rights")
def test_a_speaker_may_write_what_frr_k8s_reads(render: Any) -> None:
    """It is told where frr-k8s is, and may do what it does there."""
    secrets = {"frrk8s": {**EXTERNAL["frrk8s"], "secretPassthrough": True}}
    told = render(EXTERNAL).container("speaker")["args"]
    assert "--frrk8s-namespace=frr-k8s-system" in told
    assert "--frrk8s-secret-passthrough" not in told
    assert "--frrk8s-secret-passthrough" in render(secrets).container("speaker")["args"]
    rules = render(EXTERNAL)["ClusterRole", "metallb:speaker"]["rules"]
    rights = {rule["resources"][0]: set(rule["verbs"]) for rule in rules}
    assert rights["frrconfigurations"] == {"create", "list", "update", "watch"}
    assert rights["bgpsessionstates"] == {"list", "watch"}
    without = render()["ClusterRole", "metallb:speaker"]["rules"]
    assert not any("frrk8s.metallb.io" in rule["apiGroups"] for rule in without)


@pytest.mark.rule("install-3.2.frr-k8s", "install-3.3.frrk8s")
def test_frr_k8s_can_be_installed_with_the_release(render: Any) -> None:
    """Under the names that MetalLB's release gives it, and only when it is asked for."""
    objects = render(INSTALLED)
    added = set(objects) - set(render())
    own = {"ConfigMap", "Role", "RoleBinding", "CustomResourceDefinition"}
    assert {key for key in added if key[0] not in own} == FRR_K8S
    assert "--frrk8s-namespace" not in " ".join(objects.container("speaker")["args"])
    rules = objects["ClusterRole", "metallb:speaker"]["rules"]
    assert any("frrconfigurations" in rule["resources"] for rule in rules)


@pytest.mark.rule("install-5.ready")
def test_five_containers_run_in_the_pod_of_frr_k8s(render: Any) -> None:
    """As many as the column READY shows."""
    objects = render(INSTALLED)
    pod = objects["DaemonSet", "metallb-frr-k8s"]["spec"]["template"]["spec"]
    assert len(pod["containers"]) == 5
    assert len(objects.pod("speaker")["containers"]) == 1
    assert len(objects.pod("controller")["containers"]) == 1


def test_values_of_frr_k8s_reach_it(render: Any) -> None:
    """Below frr-k8s, and the registry of all images."""
    values = {
        **INSTALLED,
        "global": {"imageRegistry": "mirror.example"},
        "frr-k8s": {"frrk8s": {"logLevel": "debug"}},
    }
    pod = render(values)["DaemonSet", "metallb-frr-k8s"]["spec"]["template"]["spec"]
    assert "--log-level=debug" in str(pod["containers"])
    images = {c["image"] for c in [*pod["containers"], *pod["initContainers"]]}
    assert not [image for image in images if not image.startswith("mirror.example/")]
