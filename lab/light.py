"""The light profile: a real control plane and kube-proxies, no kubelets.

The lab registers Node and Pod objects itself and runs programs as processes in the nodes' network
namespaces.  Nodes stay Ready whatever happens to them, unless ``node_lifecycle`` is asked for: then
a helper on each node renews its lease and the real controller judges it.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lab import (
    binaries,
    controlplane,
    isolation,
    kubeproxy,
    objects,
    paths,
    progress,
    topology,
    versions,
    webhooks,
)
from lab.cluster import Lab
from lab.errors import ApiError, LabError, WaitTimeout
from lab.pods import Placed, Pods, rfc3339
from lab.power import Power
from lab.programs import Options as ProgramOptions
from lab.programs import Programs, apply, load_yaml
from lab.site import Settings, Site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.apiclient import ApiClient
    from lab.host import Host
    from lab.process import Process

CRDS: Final = paths.REPOSITORY / "config" / "crd"
OWN: Final = "own"
OWN_READY: Final = "127.0.0.1:17472/readyz"
OTHERS_READY: Final = "127.0.0.1:7472/metrics"


@dataclass(frozen=True, slots=True)
class LightOptions:
    """How a light lab is made.

    ``controller`` and ``speaker`` are paths of programs; ``own`` means MercuryLB's, nothing means
    that none is started.  ``speakers`` names other ones for single nodes; without ``has_secret``
    the speakers' membership is open.  Webhooks are part of the lab unless ``controller_args``
    switch them off.  An owned lab counts as dead once the process that started it is.
    """

    controller: str = OWN
    speaker: str = OWN
    speakers: Mapping[str, str] = field(default_factory=dict)
    has_secret: bool = True
    controller_args: tuple[str, ...] = ("--webhook-mode=disabled",)
    speaker_args: tuple[str, ...] = ()
    controller_host: str = "cp"
    env: Mapping[str, str] = field(default_factory=dict)
    namespace: str = "metallb"
    limited_rights: bool = True
    crds: str = str(CRDS)
    proxy_mode: str = "nftables"
    node_lifecycle: bool = False
    apiserver_args: tuple[str, ...] = ()
    node_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    owned: bool = True


class LightLab(Lab):
    """A running light lab."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._options = _options(site)
        self.pods = Pods(site, self.api)
        self._programs = Programs(site, self.api, self.pods, _program_options(self._options))
        self.power = Power(site, self.pods)

    @classmethod
    def start(cls, name: str, nodes: int, options: LightOptions) -> LightLab:
        """Bring a light lab up; whatever goes wrong, nothing of it stays."""
        if options.proxy_mode != "none":
            kubeproxy.check_mode(options.proxy_mode)
        binaries.kube_dir()
        settings = Settings(name, "light", nodes, options=asdict(options))
        with Site.begin(settings, owned=options.owned) as site:
            return cls._bring_up(site, options)

    @classmethod
    def _bring_up(cls, site: Site, options: LightOptions) -> LightLab:
        topology.build(site.plan)
        isolation.check(site.plan)
        controlplane.prepare(site)
        control = controlplane.Options(
            node_lifecycle=options.node_lifecycle, apiserver_args=options.apiserver_args
        )
        controlplane.start_server(site, control)
        with closing(controlplane.wait_ready(site)) as api:
            progress.say(f"light lab {site.name}: API server is ready")
            controlplane.start_managers(site, control)
            served = create_crds(
                api,
                Path(options.crds),
                webhook_mode=_webhook_mode(options),
                namespace=options.namespace,
            )
            register_nodes(site, api, options)
            kubeproxy.bind_role(api)
            await_served(api, served)
        if options.proxy_mode != "none":
            for node in site.plan.nodes:
                kubeproxy.start(site, node.name, options.proxy_mode)
        lab = cls(site)
        try:
            lab.start_programs()
        except BaseException:
            lab.api.close()
            raise
        return lab

    def start_programs(self) -> None:
        """Start the pair under test, as far as it was named."""
        self._programs.prepare()
        if self._options.controller:
            self._programs.start_controller()
            if self._programs.webhook_mode != webhooks.DISABLED:
                webhooks.await_answered(self.api, self._options.namespace)
        if self._options.speaker:
            for node in self.site.plan.nodes:
                self._programs.start_speaker(node.name)

    def replace_speaker(self, node: str, program: str) -> Process:
        """Stop a node's speaker gracefully and start another program in its place."""
        self.speaker(node).stop()
        return self._programs.run_speaker(node, _program(program, "mercurylb-speaker"))

    def replace_controller(self, program: str) -> Process:
        """Stop the controller gracefully and start another program in its place."""
        self.controller.stop()
        return self._programs.run_controller(_program(program, "mercurylb-controller"))

    def add_controller(self, number: int, *words: str, **environ: str) -> Process:
        """Start one more of the controller under test, which waits for the first one's lease."""
        return self._programs.start_replica(number, *words, environ=environ)

    def roll_speakers(self, timeout_s: float = 60.0) -> None:
        """Replace every speaker as a rolling update does: one by one, each waiting to be ready."""
        for node in self.nodes:
            speaker = self.speaker(node)
            speaker.stop()
            speaker.start()
            self.await_speaker(node, timeout_s)

    def await_speaker(self, node: str, timeout_s: float = 60.0) -> None:
        """Wait until a node's speaker says that it is ready."""
        host = self.nodes[node]
        self.wait_for(lambda: _is_ready(host), timeout_s=timeout_s, what=f"speaker of {node} ready")

    @property
    def controller(self) -> Process:
        """The controller's process."""
        return self.process("controller")

    def speaker(self, node: str) -> Process:
        """Return a node's speaker process."""
        return self.process(f"speaker-{node}")

    def web(  # noqa: PLR0913  (what a pod is)
        self,
        name: str,
        node: str,
        *,
        labels: Mapping[str, str] | None = None,
        namespace: str = "default",
        port: int = 8080,
        urgent: bool = False,
    ) -> Placed:
        """Run a web and echo server as a pod on a node; its label is ``app: web`` unless told.

        An urgent one runs before ordinary processes: its time is not what a trial is about.
        """
        plan = self.site.plan.node(node)
        chosen = labels or {"app": "web"}
        return self.pods.web(
            name, plan, labels=chosen, namespace=namespace, port=port, urgent=urgent
        )


def _is_ready(host: Host) -> bool:
    """Tell whether a speaker is ready: ours says so, of others it is enough that they answer."""
    for url in (OWN_READY, OTHERS_READY):
        try:
            return host.http_get(f"http://{url}").status == HTTPStatus.OK
        except ConnectionRefusedError:
            continue
    return False


def create_crds(api: ApiClient, folder: Path, *, webhook_mode: str, namespace: str) -> list[str]:
    """Create every CustomResourceDefinition found in a folder; return the paths of their lists."""
    if not folder.is_dir():
        raise LabError(f"{folder} is no folder; give one with the CRDs' YAML files")
    lists = []
    for file in sorted(folder.glob("*.yaml")):
        for document in load_yaml(file.read_text()):
            if document.get("kind") == "CustomResourceDefinition":
                apply(
                    api,
                    webhooks.with_conversion(document, mode=webhook_mode, namespace=namespace),
                    "",
                )
                spec = document["spec"]
                base = f"/apis/{spec['group']}"
                lists += [f"{base}/{v['name']}/{spec['names']['plural']}" for v in spec["versions"]]
    return lists


def await_served(api: ApiClient, lists: Sequence[str], timeout_s: float = 20.0) -> None:
    """Wait until lists of fresh resources are served from the API server's cache.

    A program that starts before would be told to try again later, and figures of its start would
    be figures of the API server.
    """
    deadline = time.monotonic() + timeout_s
    for path in lists:
        while True:
            try:
                api.get(f"{path}?resourceVersion=0&limit=1")
                break
            except ApiError as refused:
                if time.monotonic() > deadline:
                    raise WaitTimeout(f"{path} is not served: {refused}") from refused
                time.sleep(0.02)


def register_nodes(site: Site, api: ApiClient, options: LightOptions) -> None:
    """Create a Ready Node object for each node, and keep it alive when nodes are judged."""
    for node in site.plan.nodes:
        api.create("/api/v1/nodes", objects.node(node, options.node_labels.get(node.name)))
        status = objects.node_status(node, rfc3339(), versions.KUBERNETES)
        api.merge(f"/api/v1/nodes/{node.name}/status", status)
        if options.node_lifecycle:
            words = [node.name, site.plan.control_plane.ipv4, str(controlplane.pki_dir(site))]
            argv = binaries.helper_argv("lab.leases", *words)
            site.start(f"lease-{node.name}", node.name, argv, env=binaries.helper_env())


def _options(site: Site) -> LightOptions:
    known: dict[str, Any] = dict(site.settings.options)
    for key in ("controller_args", "speaker_args", "apiserver_args"):
        known[key] = tuple(known.get(key, ()))
    return LightOptions(**known)


def _webhook_mode(options: LightOptions) -> str:
    """Tell who is asked for conversion: nobody where no controller is."""
    return webhooks.mode_of(options.controller_args) if options.controller else webhooks.DISABLED


def _program_options(options: LightOptions) -> ProgramOptions:
    return ProgramOptions(
        controller=_program(options.controller, "mercurylb-controller"),
        speaker=_program(options.speaker, "mercurylb-speaker"),
        speakers={
            node: _program(path, "mercurylb-speaker") for node, path in options.speakers.items()
        },
        has_secret=options.has_secret,
        namespace=options.namespace,
        controller_host=options.controller_host,
        controller_args=options.controller_args,
        speaker_args=options.speaker_args,
        env=options.env,
        limited_rights=options.limited_rights,
    )


def _program(given: str, own: str) -> str:
    return binaries.own(own) if given == OWN else given
