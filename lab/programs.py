"""The pair under test in the light profile: a controller and one speaker per node, as processes.

Any pair that takes MetalLB 0.16's flags and environment will do.  Each has its own identity with
the rights our chart gives it (or the administrator's, when told), its own Pod object, and the files
a kubelet would mount.

The controller runs on host ``cp`` unless told otherwise, so that cutting a node off never takes it
away; in that case its Pod object names the first node, as a pod must.  Speakers run on their nodes.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from lab import controlplane, netns, paths, webhooks
from lab.errors import LabError
from lab.objects import PodPlan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lab.apiclient import ApiClient
    from lab.pods import Pods
    from lab.process import Process
    from lab.site import Site

CHART: Final = paths.REPOSITORY / "charts" / "mercurylb"
RELEASE: Final = "metallb"
SECRET: Final = "metallb-memberlist"
DEPLOYMENT: Final = "metallb-controller"
CONTROLLER_POD: Final = "metallb-controller-0"
HEALTH_PORT: Final = 17472
_RBAC_TEMPLATES: Final = ("service-accounts", "controller-rbac", "speaker-rbac")
_SPEAKER_LABELS: Final = "app.kubernetes.io/name=metallb,app.kubernetes.io/component=speaker"


@dataclass(frozen=True, slots=True)
class Options:
    """Which programs run, and how."""

    controller: str = ""
    speaker: str = ""
    namespace: str = "metallb"
    controller_host: str = "cp"
    controller_args: tuple[str, ...] = ()
    speaker_args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    limited_rights: bool = True
    speakers: Mapping[str, str] = field(default_factory=dict)
    """Programs of single nodes, instead of ``speaker``."""
    has_secret: bool = True
    """Speakers are told a secret for their membership."""


class Programs:
    """The pair under test of one light lab."""

    def __init__(self, site: Site, api: ApiClient, pods: Pods, options: Options) -> None:
        self._site = site
        self._api = api
        self._pods = pods
        self._options = options

    @property
    def webhook_mode(self) -> str:
        """In which mode the controller serves webhooks."""
        return webhooks.mode_of(self._options.controller_args)

    def prepare(self) -> None:
        """Create what a chart would: namespace, rights, webhooks, secret, Deployment."""
        namespace = self._options.namespace
        self._api.create("/api/v1/namespaces", _namespace(namespace))
        templates = _RBAC_TEMPLATES if self._options.limited_rights else ()
        if self._options.controller and self.webhook_mode != webhooks.DISABLED:
            templates = (*templates, webhooks.TEMPLATE)
        for document in rendered(namespace, templates, webhook_mode=self.webhook_mode):
            apply(self._api, document, namespace)
        self._create_secret()
        self._api.create(f"/apis/apps/v1/namespaces/{namespace}/deployments", _deployment())

    def start_controller(self) -> Process:
        """Register the controller's pod and start it."""
        if not self._options.controller:
            raise LabError("no controller program was named")
        _, address, node = self._controller_place()
        self._register(CONTROLLER_POD, "controller", node, address, host_network=False)
        return self.run_controller(self._options.controller)

    def run_controller(self, program: str) -> Process:
        """Start a program as the controller, whose pod is registered."""
        env = self._environment("controller", CONTROLLER_POD)
        env |= {"METALLB_ML_SECRET_NAME": SECRET, "METALLB_DEPLOYMENT": DEPLOYMENT}
        argv = [program, *self._options.controller_args]
        return self._site.start("controller", self._controller_place()[0], argv, env=env)

    def start_replica(self, number: int, *words: str, environ: Mapping[str, str]) -> Process:
        """Start one more controller beside the first, as the pod of that number.

        It has no secret to make for the membership unless `environ` says so; an empty text in
        there takes a variable away.
        """
        host, address, node = self._controller_place()
        name = CONTROLLER_POD.removesuffix("0") + str(number)
        pods = f"/api/v1/namespaces/{self._options.namespace}/pods"
        if not any(pod["metadata"]["name"] == name for pod in self._api.get(pods)["items"]):
            self._register(name, "controller", node, address, host_network=False)
        env = {**self._environment("controller", name), **environ}
        argv = [self._options.controller, *self._options.controller_args]
        argv += [f"--health-probe-port={HEALTH_PORT + number}", *words]
        env = {key: text for key, text in env.items() if text}
        return self._site.start(f"controller-{number}", host, argv, env=env)

    def start_speaker(self, node_name: str) -> Process:
        """Register a node's speaker pod and start it."""
        node = self._site.plan.node(node_name)
        name = f"metallb-speaker-{node.name}"
        program = self._options.speakers.get(node.name, self._options.speaker)
        self._register(name, "speaker", node.name, node.ipv4, host_network=True)
        return self.run_speaker(node_name, program)

    def run_speaker(self, node_name: str, program: str) -> Process:
        """Start a program as the speaker of a node whose pod is registered."""
        if not program:
            raise LabError("no speaker program was named")
        node = self._site.plan.node(node_name)
        name = f"metallb-speaker-{node.name}"
        env = self._environment("speaker", name)
        env |= {
            "METALLB_NODE_NAME": node.name,
            "METALLB_HOST": node.ipv4,
            "METALLB_ML_BIND_ADDR": node.ipv4,
            "METALLB_ML_BIND_PORT": "7946",
            "METALLB_ML_LABELS": _SPEAKER_LABELS,
        }
        if self._options.has_secret:
            env["METALLB_ML_SECRET_KEY_PATH"] = str(self._site.folder("memberlist"))
        argv = [program, *self._options.speaker_args]
        return self._site.start(f"speaker-{node.name}", node.name, argv, env=env)

    def _controller_place(self) -> tuple[str, str, str]:
        """Return host, pod address and node of the controller."""
        wanted = self._options.controller_host
        if wanted == "cp":
            return "cp", self._site.plan.control_plane.ipv4, self._site.plan.nodes[0].name
        placed = self._pods.place("controller", self._site.plan.node(wanted))
        return placed.host, placed.ipv4, wanted

    def _register(
        self, name: str, component: str, node: str, address: str, *, host_network: bool
    ) -> None:
        limited = self._options.limited_rights
        self._pods.register(
            PodPlan(
                name=name,
                namespace=self._options.namespace,
                node=node,
                host_ip=self._site.plan.node(node).ipv4,
                ips=(address,),
                labels=_labels(component),
                host_network=host_network,
                service_account=f"{RELEASE}-{component}" if limited else "default",
            )
        )

    def _environment(self, component: str, pod: str) -> dict[str, str]:
        namespace = self._options.namespace
        config = self._site.kubeconfig("admin")
        if self._options.limited_rights:
            user = f"system:serviceaccount:{namespace}:{RELEASE}-{component}"
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
            config = controlplane.add_identity(self._site, component, user, groups)
        return {
            **self._options.env,
            "KUBECONFIG": str(config),
            "METALLB_NAMESPACE": namespace,
            "METALLB_POD_NAME": pod,
        }

    def _create_secret(self) -> None:
        key = base64.b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        (self._site.folder("memberlist") / "secretkey").write_text(key)
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET},
            "stringData": {"secretkey": key},
        }
        self._api.create(f"/api/v1/namespaces/{self._options.namespace}/secrets", body)


def rendered(
    namespace: str, templates: Sequence[str], *, webhook_mode: str, chart: Path = CHART
) -> list[dict[str, Any]]:
    """Return the objects that some of our chart's templates make."""
    from lab.build.helm import ensure_helm  # noqa: PLC0415  (the builder is needed only here)

    if not templates:
        return []
    argv = [str(ensure_helm()), "template", RELEASE, str(chart), "--namespace", namespace]
    argv += ["--set", f"controller.webhookMode={webhook_mode}"]
    for template in templates:
        argv += ["--show-only", f"templates/{template}.yaml"]
    return load_yaml(netns.command(argv).stdout)


def load_yaml(text: str) -> list[dict[str, Any]]:
    """Parse the documents of a manifest."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [document for document in yaml.load_all(text, loader) if document]


def apply(api: ApiClient, document: Mapping[str, Any], namespace: str) -> None:
    """Create one of the few kinds of objects that a lab makes by itself."""
    plural, is_namespaced = _KINDS[document["kind"]]
    version = document["apiVersion"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    scope = document["metadata"].get("namespace", namespace)
    api.create(
        f"{base}/namespaces/{scope}/{plural}" if is_namespaced else f"{base}/{plural}", document
    )


_KINDS: Final[dict[str, tuple[str, bool]]] = {
    "ServiceAccount": ("serviceaccounts", True),
    "ClusterRole": ("clusterroles", False),
    "ClusterRoleBinding": ("clusterrolebindings", False),
    "Role": ("roles", True),
    "RoleBinding": ("rolebindings", True),
    "CustomResourceDefinition": ("customresourcedefinitions", False),
    "ValidatingWebhookConfiguration": ("validatingwebhookconfigurations", False),
    "Secret": ("secrets", True),
    "Service": ("services", True),
}


def _namespace(name: str) -> dict[str, Any]:
    labels = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _labels(component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "metallb",
        "app.kubernetes.io/instance": RELEASE,
        "app.kubernetes.io/component": component,
    }


def _deployment() -> dict[str, Any]:
    labels = _labels("controller")
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": DEPLOYMENT, "labels": labels},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "controller", "image": "localhost/lab:process"}]},
            },
        },
    }
