"""What a move from the installed load balancer to ours would change: facts in, findings out.

Pure, like the checks of `verify`. The installed one is known by its Deployment, its DaemonSet and
their pods; the configuration and the services are judged by the functions that would decide.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from mercurylb.cli.gathering import CONTROLLER, SPEAKER, component_of
from mercurylb.cli.move_deviation import check_deviations
from mercurylb.cli.verify_finding import fine, problem, skipped, warning
from mercurylb.cli.verify_workload import environment, flag_value, images, key_of, pod_spec
from mercurylb.config.compilation import compile_config
from mercurylb.config.problem import clip
from mercurylb.plan.layer2 import plan_layer2
from mercurylb.plan.move import plan_order
from mercurylb.plan.request import listed
from mercurylb.plan.service import is_ours
from mercurylb.plan.shadow import Aspect, compare_services
from mercurylb.telemetry.daemon_flags import DAEMON_FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mercurylb.cli.verify_finding import Finding
    from mercurylb.config.model import Config
    from mercurylb.plan.snapshot import Snapshot

Json = dict[str, Any]
Version = tuple[int, ...]

NAMED_MAX: Final = 10
"""Findings of one kind that are told one by one."""
FLAGS: Final = frozenset(flag.name for flag in DAEMON_FLAGS) | {
    *("ml-secret-name", "deployment", "leader-elect", "webhook-mode", "webhook-secret"),
    *("webhook-http2", "disable-cert-rotation", "cert-dir", "cert-service-name"),
    *("node-name", "host", "ignore-exclude-lb", "ml-bindaddr", "ml-bindport", "ml-labels"),
    *("ml-secret-key-path", "ml-wan-config", "gratuitous-arp-interval", "bgp-listen-port"),
    *("bgp-debounce-timeout", "frrk8s-namespace", "frrk8s-secret-passthrough"),
}
"""Every flag that one of our programs knows."""
PROGRAMS: Final = (CONTROLLER, SPEAKER)
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
_RESOURCES: Final = (0, 13, 0)
"""From this version on the configuration is objects."""
_METRICS: Final = (0, 16, 0)
"""From this version on ports, metrics and values are those that we have."""
_KEY: Final = (0, 16, 2)
"""From this version on the membership's key is derived as we do it."""
_BACKEND: Final = "METALLB_BGP_TYPE"
_DEFAULT: Final = "frrk8s.enabled=true"
"""Of MetalLB's chart, so a release that has it need not have set it; others stay in its values."""
_VALUES: Final = {"frr-k8s": _DEFAULT, "frr": "speaker.frr.enabled=true"}
_FRRK8S_FLAG: Final = "frrk8s-namespace"
_FRRK8S_VARIABLE: Final = "FRRK8S_NAMESPACE"
_GITOPS: Final = ("argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/")


def judge_move(snapshot: Snapshot, workloads: Sequence[Json]) -> tuple[Finding, ...]:
    """Make every check; `workloads` are objects of any kind, as they were read."""
    home = snapshot.settings.namespace
    mine = [
        each
        for each in workloads
        if component_of(each) and each.get("metadata", {}).get("namespace") == home
    ]
    config, problems = compile_config(snapshot.resources())
    found = [
        *_check_product(mine, home),
        *_check_version(mine),
        *_check_way(mine, snapshot),
        *_check_flags(mine),
        *_check_backend(mine, snapshot),
        *_check_configuration(snapshot, [str(each) for each in (*snapshot.unreadable, *problems)]),
    ]
    if config is None:
        found.append(skipped("services", "the configuration has to be accepted first"))
        found.append(skipped("owners", "the configuration has to be accepted first"))
    else:
        found += _check_services(snapshot, config)
        found += _check_owners(snapshot, config)
    found += check_deviations(snapshot, mine)
    return tuple(found)


def _check_product(mine: Sequence[Json], home: str) -> Iterator[Finding]:
    check = "product"
    for component in PROGRAMS:
        found = [each for each in _sets(mine) if component_of(each) == component]
        if not found:
            text = f"no {component} is installed in namespace {home}"
            yield warning(check, text, "name the namespace of the one installed: --namespace")
        for each in found:
            name = f"{key_of(each)} runs {listed(images(each)[:2])}"
            if _is_ours(each):
                yield warning(check, f"{name}: that is MercuryLB already", "nothing for this one")
            else:
                yield fine(check, name)


def _check_version(mine: Sequence[Json]) -> Iterator[Finding]:
    check = "version"
    versions = {_version(each) for each in _sets(mine) if not _is_ours(each)}
    if not versions:
        yield skipped(check, "nothing is installed")
        return
    if None in versions:
        text = "the version is not told by image tag or label"
        yield warning(check, text, "see that it is 0.16.2 or later, or read what follows for 0.16")
        return
    oldest = min(version for version in versions if version)
    name = ".".join(map(str, oldest))
    if oldest < _RESOURCES:
        text = f"{name} is configured by a ConfigMap"
        yield problem(check, text, "turn it into objects: mercurylb migrate configmap")
    elif oldest < _METRICS:
        text = f"{name} has other ports, metrics and chart values than 0.16, which are ours"
        advice = "upgrade it to 0.16.2 first, or go through docs/migrate.md, Older versions"
        yield warning(check, text, advice)
    else:
        yield fine(check, f"{name}: values, flags, ports and metrics are those of ours")
    if oldest < _KEY and _has_key(mine):
        text = (
            f"speakers of {name} derive the membership's key in another way: they and ours do not"
            " hear each other, and both answer while both run"
        )
        advice = "upgrade it to 0.16.2 before moving node by node, or replace all speakers at once"
        yield problem(check, text, advice)


def _check_way(mine: Sequence[Json], snapshot: Snapshot) -> Iterator[Finding]:
    check, home = "installed-by", snapshot.settings.namespace
    sets = [each for each in _sets(mine) if not _is_ours(each)]
    if not sets:
        yield skipped(check, "nothing is installed")
        return
    metadata = sets[0].get("metadata", {})
    labels = metadata.get("labels") or {}
    values, is_external = _values(mine, snapshot), bool(_frrk8s_home(mine))
    if labels.get("app.kubernetes.io/managed-by") == "Helm":
        release = labels.get("app.kubernetes.io/instance", "RELEASE")
        command = f"helm upgrade {release} mercurylb/mercurylb -n {home} --reset-then-reuse-values"
        if values == _DEFAULT and snapshot.resources().bgp_peers:
            command += f" --set {values}"
        yield fine(check, f"Helm, release {release}: in place by `{command}`")
    elif "app" in labels:
        variant = snapshot.settings.backend + ("-external" if is_external else "")
        text = f"manifests: in place by `kubectl apply -k config/{variant}`"
        yield fine(check, f"{text}; their pods lack the labels that a second release looks for")
    else:
        text = "neither Helm's labels nor those of the manifests"
        yield warning(check, text, "compare names and selectors before anything is applied")
    keepers = {key for key in (*labels, *(metadata.get("annotations") or {})) if _keeps(key)}
    if keepers:
        text = f"{listed(sorted(keepers))}: something keeps these objects as they are written"
        yield warning(check, text, "make the change where they are written")


def _check_flags(mine: Sequence[Json]) -> Iterator[Finding]:
    check, unknown = "flags", set()
    for each in mine:
        for container in pod_spec(each).get("containers") or ():
            if container.get("name") not in PROGRAMS:
                continue
            words = (*(container.get("command") or ()), *(container.get("args") or ()))
            names = {str(word).lstrip("-").partition("=")[0] for word in words if word[:1] == "-"}
            unknown |= {f"--{name}" for name in names - FLAGS}
    if unknown:
        text = f"{listed(sorted(unknown))}: our programs do not know that and would not start"
        yield problem(check, text, "leave it out; mercurylb-speaker --help lists what there is")
    else:
        yield fine(check, "every flag is known to our programs")


def _check_backend(mine: Sequence[Json], snapshot: Snapshot) -> Iterator[Finding]:
    check, backend = "bgp", snapshot.settings.backend
    peers = len(snapshot.resources().bgp_peers)
    if backend not in _VALUES:
        yield fine(check, f"native, {_count(peers, 'BGPPeer')}: as our chart's default")
        return
    value = _values(mine, snapshot)
    if not peers:
        text = f"{backend} is installed and there is no BGPPeer; our chart's default is native"
        yield warning(check, text, _kept_or_lost(value))
        return
    text = (
        f"{backend} with {_count(peers, 'BGPPeer')}; our chart's default is native, and another"
        " backend ends every session once"
    )
    if _frrk8s_home(mine):
        text = f"{text}; frr-k8s is an installation of its own, which stays as it is"
    yield warning(
        check, text, f"keep it by {value} and move to native later, or choose a calm hour"
    )


def _values(mine: Sequence[Json], snapshot: Snapshot) -> str:
    """Give the values of our chart that keep the backend; none for what is our default."""
    home = _frrk8s_home(mine)
    if snapshot.settings.backend == "frr-k8s" and home:
        return f"frrk8s.external=true,frrk8s.namespace={home}"
    return _VALUES.get(snapshot.settings.backend, "")


def _frrk8s_home(mine: Sequence[Json]) -> str:
    """Give the namespace of a frr-k8s that is installed by itself; others are told of none."""
    for each in mine:
        if component_of(each) == SPEAKER:
            found = flag_value(each, _FRRK8S_FLAG) or environment(each).get(_FRRK8S_VARIABLE, "")
            if found:
                return found
    return ""


def _kept_or_lost(value: str) -> str:
    if value == _DEFAULT:
        return f"no session is lost; frr-k8s goes away with the upgrade unless kept by {value}"
    return f"nothing is lost; to keep it set {value}"


def _check_configuration(snapshot: Snapshot, problems: Sequence[str]) -> Iterator[Finding]:
    check = "configuration"
    home = snapshot.settings.namespace
    invalid = [
        state.metadata.name
        for state in snapshot.configuration_states
        if state.metadata.namespace == home and state.status and state.status.result == "Invalid"
    ]
    for text in problems[:NAMED_MAX]:
        advice = "correct it before the move: ours keeps the last good configuration, and has none"
        yield problem(check, clip(text, 300), advice)
    if len(problems) > NAMED_MAX:
        text = f"and {len(problems) - NAMED_MAX} more"
        yield problem(check, text, "mercurylb validate lists them all")
    if not problems and invalid:
        text = f"{listed(invalid)}: refused by the one installed, and accepted by ours"
        yield warning(check, text, "what is in force there is older than what is written")
    elif not problems:
        yield fine(check, "accepted by ours as it is")


def _check_services(snapshot: Snapshot, config: Config) -> Iterator[Finding]:
    check = "services"
    found = compare_services(snapshot.services, config.pools, lb_class=snapshot.settings.lb_class)
    moved = [each for each in found if each.aspect is Aspect.ADDRESSES]
    for each in moved[:NAMED_MAX]:
        text = f"{each.subject} has {each.theirs} and would have {each.ours}. {each.reason}"
        yield problem(check, text.strip(), f"mercurylb explain {each.subject} says why")
    if len(moved) > NAMED_MAX:
        text = f"and {len(moved) - NAMED_MAX} more would have other addresses"
        yield problem(check, text, "mercurylb plan lists them all")
    if not moved:
        count = sum(bool(each.ingress) for each in snapshot.services)
        yield fine(check, f"{_count(count, 'service')} with addresses, and every one keeps them")
    rewritten = len(found) - len(moved)
    if rewritten:
        told = _count(rewritten, "status", "statuses")
        text = f"{told} would be written anew, with the same addresses"
        yield warning(check, text, "nothing: clients do not notice")


def _check_owners(snapshot: Snapshot, config: Config) -> Iterator[Finding]:
    check = "owners"
    rankings = _rankings(snapshot, config)
    shown: dict[str, set[str]] = {}
    for status in snapshot.l2_statuses:
        if status.service_key and status.node:
            shown.setdefault(status.service_key, set()).add(status.node)
    other = [key for key, nodes in sorted(shown.items()) if {*rankings.get(key, ())[:1]} != nodes]
    for key in other[:NAMED_MAX]:
        wanted = next(iter(rankings.get(key, ())), "nobody")
        text = f"{key} is announced by {listed(sorted(shown[key]))}, ours would choose {wanted}"
        yield warning(check, text, "clients come over when the speakers are replaced")
    if len(other) > NAMED_MAX:
        text = f"and {len(other) - NAMED_MAX} more"
        yield warning(check, text, "see mercurylb explain SERVICE")
    if shown and not other:
        yield fine(check, f"{_count(len(shown), 'service')} by layer 2 stay with their nodes")
    nodes = {pod.node for pod in snapshot.speakers if pod.node}
    if not rankings or not nodes:
        yield skipped("order", "nothing is announced by layer 2")
        return
    order = plan_order(rankings, nodes)
    text = (
        f"move the speakers in this order: {', '.join(order.nodes)} (and back the other way round)"
    )
    if order.exposed:
        rest = f"; {_count(len(order.exposed), 'service')} cannot be spared: {order.exposed[0]} …"
        advice = (
            "for those a connection that is being opened in the moment of the move may be reset"
        )
        yield warning("order", text + rest, advice)
    else:
        yield fine("order", text)


def _rankings(snapshot: Snapshot, config: Config) -> dict[str, tuple[str, ...]]:
    """Give the candidates of each service, best first, with the speakers that run now."""
    speakers = {pod.node for pod in snapshot.speakers if pod.node}
    nodes = {node.metadata.name: node for node in snapshot.nodes}
    found = {}
    for service in snapshot.services:
        key = service.metadata.key
        if not is_ours(service, snapshot.settings.lb_class):
            continue
        decision = plan_layer2(
            service,
            config=config,
            nodes=nodes,
            endpoint_slices=[each for each in snapshot.endpoint_slices if each.service_key == key],
            speakers=speakers,
            node="",
            ignore_exclude_lb=snapshot.settings.ignore_exclude_lb,
        )
        if decision.ranking:
            found[key] = decision.ranking
    return found


def _sets(mine: Sequence[Json]) -> list[Json]:
    return [each for each in mine if each.get("kind") in ("Deployment", "DaemonSet")]


def _is_ours(raw: Json) -> bool:
    return any("mercurylb" in image for image in images(raw))


def _keeps(key: str) -> bool:
    return key.startswith(_GITOPS)


def _has_key(mine: Sequence[Json]) -> bool:
    return any("METALLB_ML_SECRET_KEY_PATH" in environment(each) for each in mine)


def _version(raw: Json) -> Version | None:
    """Read the version from the image's tag, or from the label."""
    labels = (raw.get("metadata") or {}).get("labels") or {}
    names = [
        str(each.get("image", "")).partition("@")[0].rpartition(":")[2]
        for each in pod_spec(raw).get("containers") or ()
        if each.get("name") in PROGRAMS
    ]
    for name in (*names, str(labels.get("app.kubernetes.io/version", ""))):
        found = _VERSION.match(name)
        if found:
            return tuple(map(int, found.groups()))
    return None


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number or 'no'} {noun if number == 1 else plural or f'{noun}s'}"
