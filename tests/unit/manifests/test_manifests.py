"""What the plain manifests say: MetalLB's objects, and the settings that differ from Helm's."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lab import images
from scripts.manifests import CONFIG, MANIFESTS, NAMESPACE

Object = dict[str, Any]
Objects = dict[tuple[str, str], Object]

KINDS = (
    *("bfdprofiles", "bgpadvertisements", "bgppeers", "communities", "configurationstates"),
    *("ipaddresspools", "l2advertisements", "servicebgpstatuses", "servicel2statuses"),
)
NATIVE = {
    ("ClusterRole", "metallb-system:controller"),
    ("ClusterRole", "metallb-system:speaker"),
    ("ClusterRoleBinding", "metallb-system:controller"),
    ("ClusterRoleBinding", "metallb-system:speaker"),
    ("ConfigMap", "metallb-excludel2"),
    ("DaemonSet", "speaker"),
    ("Deployment", "controller"),
    ("Namespace", NAMESPACE),
    ("Role", "controller"),
    ("Role", "pod-lister"),
    ("RoleBinding", "controller"),
    ("RoleBinding", "pod-lister"),
    ("Secret", "metallb-webhook-cert"),
    ("Service", "metallb-webhook-service"),
    ("ServiceAccount", "controller"),
    ("ServiceAccount", "speaker"),
    ("ValidatingWebhookConfiguration", "metallb-webhook-configuration"),
    ("CustomResourceDefinition", "bgpsessions.mercurylb.io"),
    *(("CustomResourceDefinition", f"{kind}.metallb.io") for kind in KINDS),
}
FRR_K8S = {
    ("ClusterRole", "frr-k8s-daemon-role"),
    ("ClusterRoleBinding", "frr-k8s-daemon-rolebinding"),
    ("ConfigMap", "frr-k8s-frr-startup"),
    ("DaemonSet", "frr-k8s-daemon"),
    ("Deployment", "frr-k8s-statuscleaner"),
    ("Role", "frr-k8s-daemon-role"),
    ("Role", "frr-k8s-nodestate-cleaner-role"),
    ("RoleBinding", "frr-k8s-daemon-rolebinding"),
    ("RoleBinding", "frr-k8s-nodestate-cleaner-rolebinding"),
    ("Secret", "frr-k8s-webhook-server-cert"),
    ("Service", "frr-k8s-webhook-service"),
    ("ServiceAccount", "frr-k8s-daemon"),
    ("ValidatingWebhookConfiguration", "frr-k8s-validating-webhook-configuration"),
    ("CustomResourceDefinition", "bgpsessionstates.frrk8s.metallb.io"),
    ("CustomResourceDefinition", "frrconfigurations.frrk8s.metallb.io"),
    ("CustomResourceDefinition", "frrk8sconfigurations.frrk8s.metallb.io"),
    ("CustomResourceDefinition", "frrnodestates.frrk8s.metallb.io"),
}
MONITORS = {
    ("Role", "prometheus-k8s"),
    ("RoleBinding", "prometheus-k8s"),
    ("Service", "controller-monitor-service"),
    ("Service", "speaker-monitor-service"),
    ("ServiceMonitor", "controller-monitor"),
    ("ServiceMonitor", "speaker-monitor"),
}
FRR_K8S_MONITORS = {
    ("Service", "frr-k8s-metrics-service"),
    ("ServiceMonitor", "frr-k8s-metrics-monitor"),
}
SPEAKER = {"app": "metallb", "component": "speaker"}
CONTROLLER = {"app": "metallb", "component": "controller"}


def load(name: str) -> Objects:
    """Read the objects of a manifest by kind and name."""
    text = (CONFIG / "manifests" / name).read_text()
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text)}


def pod(objects: Objects, kind: str, name: str) -> Object:
    """Return the specification of a workload's pod."""
    spec: Object = objects[kind, name]["spec"]["template"]["spec"]
    return spec


def environ(container: Object) -> dict[str, str]:
    """Return the environment of a container that is set to fixed values."""
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


@pytest.fixture
def native() -> Objects:
    """Read the manifest for native BGP."""
    return load("metallb-native.yaml")


@pytest.mark.rule("manifests-4.files", "manifests-4.objects", "manifests-4.prometheus")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("metallb-native.yaml", NATIVE),
        ("metallb-frr.yaml", NATIVE | {("ConfigMap", "frr-startup")}),
        ("metallb-frr-k8s.yaml", NATIVE | FRR_K8S),
        ("metallb-native-prometheus.yaml", NATIVE | MONITORS),
        ("metallb-frr-prometheus.yaml", NATIVE | MONITORS | {("ConfigMap", "frr-startup")}),
        ("metallb-frr-k8s-prometheus.yaml", NATIVE | FRR_K8S | MONITORS | FRR_K8S_MONITORS),
    ],
)
def test_objects_are_those_of_metallb(name: str, expected: set[tuple[str, str]]) -> None:
    """Whoever looks for an object of MetalLB's manifest finds it under the same name."""
    assert set(load(name)) == expected
    assert name in MANIFESTS


@pytest.mark.parametrize("name", sorted(MANIFESTS))
def test_everything_is_in_the_namespace(name: str) -> None:
    """Nothing lands in the namespace that happens to be the user's own."""
    clusterwide = ("Cluster", "Custom", "Validating", "Namespace")
    for (kind, _), item in load(name).items():
        if not kind.startswith(clusterwide):
            assert item["metadata"]["namespace"] == NAMESPACE


@pytest.mark.parametrize("name", sorted(MANIFESTS))
def test_definitions_and_webhooks_ask_in_the_namespace(name: str) -> None:
    """The API server is sent to Services that are there."""
    objects = load(name)
    for (kind, _), item in objects.items():
        configs = [hook["clientConfig"] for hook in item.get("webhooks", [])]
        if kind == "CustomResourceDefinition" and "conversion" in item["spec"]:
            configs.append(item["spec"]["conversion"]["webhook"]["clientConfig"])
        for config in configs:
            assert config["service"]["namespace"] == NAMESPACE
            assert ("Service", config["service"]["name"]) in objects


@pytest.mark.rule("manifests-4.labels", "manifests-4.webhook-selector")
def test_labels_and_selectors(native: Objects) -> None:
    """Immutable selectors are those of MetalLB, so its objects can be taken over."""
    for kind, name, labels in (
        ("Deployment", "controller", CONTROLLER),
        ("DaemonSet", "speaker", SPEAKER),
    ):
        item = native[kind, name]
        assert item["metadata"]["labels"] == labels
        assert item["spec"]["selector"]["matchLabels"] == labels
        assert item["spec"]["template"]["metadata"]["labels"] == labels
    service = native["Service", "metallb-webhook-service"]
    assert service["spec"]["selector"] == {"component": "controller"}
    hooks = native["ValidatingWebhookConfiguration", "metallb-webhook-configuration"]["webhooks"]
    assert hooks[0]["name"] == "bgppeersvalidationwebhook.metallb.io"


@pytest.mark.rule("manifests-4.memberlist", "manifests-4.args", "manifests-4.backend")
def test_settings_that_differ_from_the_chart(native: Objects) -> None:
    """What MetalLB's manifests say otherwise than its chart, ours say otherwise than ours."""
    speaker = pod(native, "DaemonSet", "speaker")["containers"][0]
    controller = pod(native, "Deployment", "controller")["containers"][0]
    assert speaker["args"] == controller["args"] == ["--port=9120", "--log-level=info"]
    assert environ(speaker) == {
        "METALLB_ML_LABELS": "app=metallb,component=speaker",
        "METALLB_ML_SECRET_KEY_PATH": "/etc/ml_secret_key",
    }
    assert environ(controller) == {
        "METALLB_ML_SECRET_NAME": "memberlist",
        "METALLB_DEPLOYMENT": "controller",
    }
    volumes = {one["name"]: one for one in pod(native, "DaemonSet", "speaker")["volumes"]}
    assert volumes["memberlist"]["secret"]["secretName"] == "memberlist"


@pytest.mark.rule(
    "manifests-4.scrape-annotations", "manifests-4.history", "manifests-4.excluded-interfaces"
)
def test_pods_are_found_by_prometheus(native: Objects) -> None:
    """Annotations are always there; three old controllers are kept; mounts are read-only."""
    for kind, name in (("Deployment", "controller"), ("DaemonSet", "speaker")):
        annotations = native[kind, name]["spec"]["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == "9120"
        assert annotations["prometheus.io/scrape"] == "true"
        assert annotations["prometheus.io/scheme"] == "https"
    assert native["Deployment", "controller"]["spec"]["revisionHistoryLimit"] == 3
    mounts = pod(native, "DaemonSet", "speaker")["containers"][0]["volumeMounts"]
    (excluded,) = [one for one in mounts if one["name"] == "metallb-excludel2"]
    assert (excluded["mountPath"], excluded["readOnly"]) == ("/etc/metallb", True)


@pytest.mark.rule("manifests-4.prometheus")
def test_monitors(native: Objects) -> None:
    """They ask over HTTPS with a token, twice a minute, and Prometheus may find the pods."""
    assert not {kind for kind, _ in native} & {"ServiceMonitor"}
    objects = load("metallb-frr-k8s-prometheus.yaml")
    for name in ("controller", "speaker"):
        (end,) = objects["ServiceMonitor", f"{name}-monitor"]["spec"]["endpoints"]
        assert (end["scheme"], end["interval"]) == ("https", "30s")
        service = objects["Service", f"{name}-monitor-service"]["spec"]
        assert (service["clusterIP"], service["selector"]) == ("None", {"component": name})
    (subject,) = objects["RoleBinding", "prometheus-k8s"]["subjects"]
    assert (subject["name"], subject["namespace"]) == ("prometheus-k8s", "monitoring")
    ends = objects["ServiceMonitor", "frr-k8s-metrics-monitor"]["spec"]["endpoints"]
    renamed = {one["regex"]: one["replacement"] for one in ends[1]["metricRelabelings"]}
    assert renamed == {
        "frrk8s_bgp_(.*)": "metallb_bgp_$1",
        "frrk8s_bfd_(.*)": "metallb_bfd_$1",
    }


@pytest.mark.rule("manifests-4.frr-volumes", "manifests-4.backend", "manifests-4.frr")
def test_frr_beside_the_speaker() -> None:
    """Speaker, FRR and reloader share what they have to."""
    objects = load("metallb-frr.yaml")
    spec = pod(objects, "DaemonSet", "speaker")
    assert spec["shareProcessNamespace"] is True
    volumes = {one["name"] for one in spec["volumes"]}
    assert volumes >= {"frr-sockets", "frr-startup", "frr-conf", "reloader"}
    assert volumes >= {"frr-tmp", "frr-lib", "frr-log"}
    assert [one["name"] for one in spec["containers"]] == [
        *("speaker", "frr", "reloader", "frr-metrics")
    ]
    told = environ(spec["containers"][0])
    assert told["METALLB_BGP_TYPE"] == "frr"
    assert told["FRR_CONFIG_FILE"] == "/etc/frr_reloader/frr.conf"
    assert told["FRR_RELOADER_PID_FILE"] == "/etc/frr_reloader/reloader.pid"
    assert (
        environ(pod(objects, "Deployment", "controller")["containers"][0])["METALLB_BGP_TYPE"]
        == "frr"
    )


@pytest.mark.rule("manifests-4.frr-k8s", "manifests-4.frr-k8s-external", "manifests-4.backend")
def test_frr_k8s_is_told_what_to_do() -> None:
    """Speakers may write FRRConfigurations, and know in which namespace to."""
    objects = load("metallb-frr-k8s.yaml")
    speaker = pod(objects, "DaemonSet", "speaker")["containers"][0]
    assert environ(speaker)["METALLB_BGP_TYPE"] == "frr-k8s"
    assert "FRRK8S_NAMESPACE" not in environ(speaker)
    rules = objects["ClusterRole", "metallb-system:speaker"]["rules"]
    assert [one for one in rules if "frrconfigurations" in one["resources"]]
    apart = yaml.safe_load((CONFIG / "frr-k8s-external/speaker.yaml").read_text())
    container = apart["spec"]["template"]["spec"]["containers"][0]
    assert environ(container)["METALLB_BGP_TYPE"] == "frr-k8s"
    assert environ(container)["FRRK8S_NAMESPACE"] == "frr-k8s-system"
    assert container["args"] == ["--port=9120", "--log-level=info"]
    daemon = objects["DaemonSet", "frr-k8s-daemon"]["spec"]
    assert daemon["selector"]["matchLabels"] == {"control-plane": "frr-k8s"}
    cleaner = objects["Deployment", "frr-k8s-statuscleaner"]["spec"]
    assert cleaner["selector"]["matchLabels"] == {"control-plane": "statuscleaner"}
    hook = objects["Service", "frr-k8s-webhook-service"]["spec"]["selector"]
    assert hook.items() <= cleaner["template"]["metadata"]["labels"].items()


def test_the_image_is_this_version() -> None:
    """A manifest of this tree runs this tree."""
    for name in MANIFESTS:
        for (kind, set_name), item in load(name).items():
            if kind in {"Deployment", "DaemonSet"} and "frr-k8s" not in set_name:
                image = item["spec"]["template"]["spec"]["containers"][0]["image"]
                assert image == f"mercurylb/mercurylb:{images.our_version()}"
