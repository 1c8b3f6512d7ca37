"""`mercurylb migrate check`: what a move would change is told before it, each with what to do."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mercurylb.cli.move import FLAGS
from mercurylb.cli.move_deviation import DEVIATIONS
from mercurylb.controller.settings import FLAGS as CONTROLLER_FLAGS
from mercurylb.speaker.settings import FLAGS as SPEAKER_FLAGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Run = Callable[..., Result]

Json = dict[str, Any]
HOME = "metallb-system"
COMPATIBILITY = Path(__file__).resolve().parents[3] / "docs" / "compatibility.md"


def labels(component: str) -> dict[str, str]:
    """Give the labels of the original's chart."""
    return {
        "app.kubernetes.io/name": "metallb",
        "app.kubernetes.io/instance": "lb",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "Helm",
    }


def workload(kind: str, component: str, *args: str, tag: str = "v0.16.2") -> Json:
    """Give a Deployment or a DaemonSet of the original."""
    container = {
        "name": component,
        "image": f"metallb/{component}:{tag}",
        "args": ["--port=9120", "--log-level=info", *args],
        "env": [{"name": "METALLB_ML_SECRET_KEY_PATH", "value": "/etc/ml_secret_key"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": f"lb-{component}", "namespace": HOME, "labels": labels(component)},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }


def made(kind: str, name: str, spec: Json, **more: Any) -> Json:
    """Give an object of the configuration."""
    metadata = {"name": name, "namespace": HOME}
    version = "metallb.io/v1beta2" if kind == "BGPPeer" else "metallb.io/v1beta1"
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec, **more}


def pod(node: str) -> Json:
    """Give a speaker's pod."""
    metadata = {"name": f"lb-speaker-{node}", "namespace": HOME, "labels": labels("speaker")}
    spec = {"nodeName": node, "containers": []}
    status = {"phase": "Running", "podIP": "10.0.0.1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


def service(ip: str = "192.0.2.1", **annotations: str) -> Json:
    """Give a service with an address."""
    noted = {"metallb.io/ip-allocated-from-pool": "pool", **annotations}
    metadata = {"name": "web", "namespace": "default", "annotations": noted}
    spec = {
        "type": "LoadBalancer",
        "clusterIP": "10.96.0.5",
        "clusterIPs": ["10.96.0.5"],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "ports": [{"port": 80, "protocol": "TCP"}],
    }
    status = {"loadBalancer": {"ingress": [{"ip": ip}]}}
    head = {"apiVersion": "v1", "kind": "Service"}
    return {**head, "metadata": metadata, "spec": spec, "status": status}


def cluster() -> list[Json]:
    """Give a cluster that could be moved as it is."""
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "web-1",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.0.1"], "conditions": {"ready": True}}],
    }
    nodes = [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}} for name in ("n1", "n2")
    ]
    return [
        workload("Deployment", "controller"),
        workload("DaemonSet", "speaker"),
        pod("n1"),
        pod("n2"),
        *nodes,
        made("IPAddressPool", "pool", {"addresses": ["192.0.2.0/28"]}),
        made("L2Advertisement", "all", {}),
        service(),
        endpoints,
    ]


def checked(run: Run, objects: list[Json]) -> tuple[int, dict[str, list[Json]]]:
    """Check a snapshot; give the exit code and the findings by check."""
    text = yaml.safe_dump_all(objects)
    result = run("migrate", "check", "--snapshot", "-", "-o", "json", stdin=text)
    found: dict[str, list[Json]] = {}
    for each in json.loads(result.output)["findings"]:
        found.setdefault(each["check"], []).append(each)
    return result.exit_code, found


def test_a_cluster_that_uses_nothing_special_can_be_moved(run: Run) -> None:
    """Every check is fine, and the order of the nodes and the command are told."""
    code, found = checked(run, cluster())
    assert code == 0
    assert {each["verdict"] for many in found.values() for each in many} == {"ok"}
    assert "helm upgrade lb mercurylb/mercurylb" in found["installed-by"][0]["message"]
    assert "in this order: n" in found["order"][0]["message"]
    result = run("migrate", "check", "--snapshot", "-", stdin=yaml.safe_dump_all(cluster()))
    assert "Compared namespace metallb-system: no problems" in result.output


def replaced(position: int, new: Json) -> list[Json]:
    """Give the cluster with another object in a place."""
    objects = deepcopy(cluster())
    objects[position] = new
    return objects


CONTROLLER, SPEAKER, POOL, ADVERTISEMENT, SERVICE = 0, 1, 6, 7, 8
PEER = made("BGPPeer", "p", {"myASN": 64512, "peerASN": 64512, "peerAddress": "192.0.2.254"})
VALID = {"status": {"result": "Valid"}}
INVALID = {"status": {"result": "Invalid", "errorSummary": "no"}}


def backend(name: str, *args: str) -> Json:
    """Give speakers with a backend."""
    found = workload("DaemonSet", "speaker", *args)
    env = found["spec"]["template"]["spec"]["containers"][0]["env"]
    env.append({"name": "METALLB_BGP_TYPE", "value": name})
    return found


@pytest.mark.parametrize(
    ("objects", "check", "verdict", "words"),
    [
        pytest.param(cluster()[2:], "product", "warning", "no controller", id="nothing installed"),
        pytest.param(
            replaced(SPEAKER, workload("DaemonSet", "speaker", tag="v0.16.1")),
            "version",
            "problem",
            "do not hear each other",
            id="another key",
        ),
        pytest.param(
            replaced(SPEAKER, workload("DaemonSet", "speaker", tag="v0.14.9")),
            "version",
            "warning",
            "other ports, metrics and chart values",
            id="before 0.16",
        ),
        pytest.param(
            replaced(SPEAKER, workload("DaemonSet", "speaker", tag="v0.12.1")),
            "version",
            "problem",
            "ConfigMap",
            id="before the objects",
        ),
        pytest.param(
            replaced(SPEAKER, workload("DaemonSet", "speaker", tag="latest")),
            "version",
            "warning",
            "not told",
            id="no version",
        ),
        pytest.param(
            replaced(CONTROLLER, workload("Deployment", "controller", "--turbo=1")),
            "flags",
            "problem",
            "--turbo",
            id="unknown flag",
        ),
        pytest.param(
            replaced(CONTROLLER, workload("Deployment", "controller", "--webhook-http2=true")),
            "compatibility",
            "warning",
            "HTTP/2 stays off",
            id="flag without an effect",
        ),
        pytest.param(
            [*replaced(SPEAKER, backend("frr-k8s")), PEER],
            "bgp",
            "warning",
            "frr-k8s with 1 BGPPeer",
            id="frr-k8s in use",
        ),
        pytest.param(
            replaced(SPEAKER, backend("frr-k8s")),
            "bgp",
            "warning",
            "no BGPPeer",
            id="frr-k8s for nothing",
        ),
        pytest.param(
            replaced(POOL, made("IPAddressPool", "pool", {"addresses": ["no range"]})),
            "configuration",
            "problem",
            "no range",
            id="refused by ours",
        ),
        pytest.param(
            [*cluster(), made("ConfigurationState", "controller", {}, **INVALID)],
            "configuration",
            "warning",
            "accepted by ours",
            id="refused by theirs",
        ),
        pytest.param(
            replaced(SERVICE, service("198.51.100.1")),
            "services",
            "problem",
            "default/web has 198.51.100.1 and would have 192.0.2.0",
            id="another address",
        ),
        pytest.param(
            replaced(SERVICE, service(**{"metallb.universe.tf/address-pool": "pool"})),
            "compatibility",
            "warning",
            "metallb.universe.tf",
            id="old annotation",
        ),
        pytest.param(
            replaced(ADVERTISEMENT, made("L2Advertisement", "all", {"interfaces": ["eth0"]})),
            "compatibility",
            "warning",
            "names interfaces",
            id="interfaces",
        ),
        pytest.param(
            [*cluster(), made("BFDProfile", "b", {"echoMode": True})],
            "compatibility",
            "warning",
            "echo",
            id="echo",
        ),
        pytest.param(
            [
                *cluster(),
                PEER,
                made("BGPAdvertisement", "a", {"asPathPrepend": 3}),
            ],
            "compatibility",
            "warning",
            "prepends nothing",
            id="prepending inside",
        ),
    ],
)
def test_what_is_told(run: Run, objects: list[Json], check: str, verdict: str, words: str) -> None:
    """Each thing that differs is told under its check, with what to do; problems fail."""
    code, found = checked(run, objects)
    told = [
        each for each in found[check] if each["verdict"] == verdict and words in each["message"]
    ]
    assert told, found[check]
    assert all(each["advice"] for each in told)
    assert code == any(each["verdict"] == "problem" for many in found.values() for each in many)


EXTERNAL = backend("frr-k8s", "--frrk8s-namespace=frr-k8s-system")
BY_VARIABLE = backend("frr-k8s")
BY_VARIABLE["spec"]["template"]["spec"]["containers"][0]["env"].append(
    {"name": "FRRK8S_NAMESPACE", "value": "frr-k8s-system"}
)
KEEPS_EXTERNAL = "frrk8s.external=true,frrk8s.namespace=frr-k8s-system"


@pytest.mark.parametrize(
    ("speakers", "peers", "command", "advice"),
    [
        pytest.param(
            backend("frr-k8s"),
            [PEER],
            "--reset-then-reuse-values --set frrk8s.enabled=true`",
            "keep it by frrk8s.enabled=true",
            id="frr-k8s, the default there",
        ),
        pytest.param(
            backend("frr-k8s"),
            [],
            "--reset-then-reuse-values`",
            "unless kept by frrk8s.enabled=true",
            id="frr-k8s that nobody uses",
        ),
        pytest.param(
            EXTERNAL, [PEER], "--reset-then-reuse-values`", KEEPS_EXTERNAL, id="external by flag"
        ),
        pytest.param(
            BY_VARIABLE, [PEER], "--reset-then-reuse-values`", KEEPS_EXTERNAL, id="by environment"
        ),
        pytest.param(EXTERNAL, [], "--reset-then-reuse-values`", KEEPS_EXTERNAL, id="unused"),
        pytest.param(
            backend("frr"),
            [PEER],
            "--reset-then-reuse-values`",
            "keep it by speaker.frr.enabled=true",
            id="frr, which is in the release's values",
        ),
    ],
)
def test_how_the_backend_is_kept_is_told(
    run: Run, speakers: Json, peers: list[Json], command: str, advice: str
) -> None:
    """The command has the value that is needed; a foreign frr-k8s stays foreign."""
    _, found = checked(run, [*replaced(SPEAKER, speakers), *peers])
    assert command in found["installed-by"][0]["message"]
    (told,) = found["bgp"]
    assert advice in told["advice"]
    if "external" in advice:
        assert "frrk8s.enabled" not in str(found)


@pytest.mark.parametrize(
    ("speakers", "folder"),
    [
        (workload("DaemonSet", "speaker"), "config/native`"),
        (backend("frr"), "config/frr`"),
        (backend("frr-k8s"), "config/frr-k8s`"),
        (EXTERNAL, "config/frr-k8s-external`"),
    ],
    ids=["native", "frr", "frr-k8s", "external"],
)
def test_the_manifests_that_are_like_theirs_are_named(
    run: Run, speakers: Json, folder: str
) -> None:
    """What was installed by manifests is replaced by ours with the same backend."""
    objects = replaced(SPEAKER, deepcopy(speakers))
    for each in objects[:2]:
        component = each["metadata"]["labels"]["app.kubernetes.io/component"]
        each["metadata"]["labels"] = {"app": "metallb", "component": component}
    _, found = checked(run, objects)
    assert f"kubectl apply -k {folder}" in found["installed-by"][0]["message"]


def test_somebody_else_who_announces_is_told(run: Run) -> None:
    """A service that would change its node is named with both nodes."""
    about = {"node": "n9", "serviceName": "web", "serviceNamespace": "default"}
    names = {"service-name": "web", "service-namespace": "default", "node": "n9"}
    status = made("ServiceL2Status", "l2-1", {}, status=about)
    status["metadata"]["labels"] = {f"metallb.io/{key}": text for key, text in names.items()}
    _, found = checked(run, [*cluster(), status])
    assert "announced by n9, ours would choose n" in found["owners"][0]["message"]


def test_the_flags_are_those_of_the_programs() -> None:
    """A flag that a program learns is no unknown one here."""
    assert {flag.name for flag in (*CONTROLLER_FLAGS, *SPEAKER_FLAGS)} == FLAGS


def test_every_deviation_is_a_row_of_the_document() -> None:
    """What is told here can be read up under the same words."""
    rows = {
        line.split("|")[1].strip() for line in COMPATIBILITY.read_text().splitlines() if "|" in line
    }
    assert {each.subject for each in DEVIATIONS} <= rows
