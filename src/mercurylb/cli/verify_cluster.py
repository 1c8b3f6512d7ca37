"""Checks of what an installation stands on: definitions, webhooks, its namespace, its neighbours.

Pure: evidence in, findings out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import yaml

from mercurylb.api.crd import crd
from mercurylb.api.definition import DEFINITIONS
from mercurylb.cli.gathering import CONTROLLER, SPEAKER, component_of
from mercurylb.cli.verify_evidence import FRR_DEFINITION, WEBHOOKS_NAME
from mercurylb.cli.verify_finding import fine, problem, skipped, warning
from mercurylb.cli.verify_workload import environment, flag_value, has_flag, key_of
from mercurylb.plan.request import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.api.definition import Definition
    from mercurylb.cli.verify_evidence import Evidence, Look
    from mercurylb.cli.verify_finding import Finding

Json = dict[str, Any]

_REPORTING: Final = frozenset(
    ("ConfigurationState", "ServiceL2Status", "ServiceBGPStatus", "BGPSession")
)
"""Kinds in which the programs only tell how things are: without them they work and are silent."""
_FIELDS_MAX: Final = 5
_APPLY: Final = (
    "apply the definitions of this version: helm upgrade, or kubectl apply -k config/crd"
)
_ENFORCE: Final = "pod-security.kubernetes.io/enforce"
_DENIED: Final = "denied the request"
_IPVS: Final = re.compile(r"^\s*mode:\s*\"?ipvs\"?\s*$", re.MULTILINE)


def check_definitions(evidence: Evidence) -> Iterator[Finding]:
    """Compare the definitions with those that this version was made for."""
    check, good = "definitions", 0
    refusals = [look.refusal for look in evidence.definitions.values() if look.refusal]
    if refusals:
        yield skipped(check, refusals[0])
        return
    for definition in DEFINITIONS:
        look = evidence.definitions.get(f"{definition.plural}.{definition.group}")
        if look is None:
            continue
        findings = list(_check_definition(definition, look, evidence))
        good += not findings
        yield from findings
    if good:
        yield fine(check, f"{good} of {len(DEFINITIONS)} kinds are as this version has them")


def _check_definition(definition: Definition, look: Look, evidence: Evidence) -> Iterator[Finding]:
    check, name, found = "definitions", f"{definition.plural}.{definition.group}", look.first
    if found is None:
        tell = warning if definition.kind in _REPORTING else problem
        yield tell(check, f"{name} is missing", _APPLY)
        return
    spec = found.get("spec") or {}
    conditions = (found.get("status") or {}).get("conditions") or ()
    refused = [
        str(each.get("message"))
        for each in conditions
        if each.get("type") in {"Established", "NamesAccepted"} and each.get("status") == "False"
    ]
    if refused:
        yield problem(check, f"{name} is not served: {refused[0]}", _APPLY)
    served = {str(each.get("name")): each for each in spec.get("versions") or ()}
    for version in crd(definition)["spec"]["versions"]:  # type: ignore[index]
        own = served.get(version["name"])
        if own is None or not own.get("served"):
            yield problem(check, f"{name} does not serve {version['name']}", _APPLY)
            continue
        yield from _check_fields(f"{name} {version['name']}", _schema(version), _schema(own))
    if definition.conversion is not None:
        yield from _check_conversion(name, spec, evidence)


def _schema(version: Json) -> Json:
    found: Json = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    return found


def _check_fields(name: str, ours: Json, theirs: Json) -> Iterator[Finding]:
    wanted, found = set(_paths(ours)), set(_paths(theirs))
    if missing := sorted(_tops(wanted - found)):
        text = f"{name} is older than this version: it drops {_some(missing)}"
        yield problem("definitions", text, _APPLY)
    if unknown := sorted(_tops(found - wanted)):
        text = f"{name} is newer than this version, which does not know {_some(unknown)}"
        yield warning("definitions", text, "upgrade MercuryLB, or leave those fields alone")


def _paths(schema: Json, prefix: str = "") -> Iterator[str]:
    """Give the path of every field."""
    for name, below in (schema.get("properties") or {}).items():
        if not prefix and name in {"apiVersion", "kind", "metadata"}:
            continue
        path = f"{prefix}.{name}" if prefix else name
        yield path
        yield from _paths(below, path)
    if isinstance(schema.get("items"), dict):
        yield from _paths(schema["items"], f"{prefix}[]")


def _tops(paths: set[str]) -> set[str]:
    """Leave out what is inside of something else in the set."""
    return {
        path
        for path in paths
        if not any(path.startswith((f"{other}.", f"{other}[")) for other in paths)
    }


def _some(fields: list[str]) -> str:
    rest = len(fields) - _FIELDS_MAX
    return listed(fields[:_FIELDS_MAX]) + (f" and {rest} more" if rest > 0 else "")


def _check_conversion(name: str, spec: Json, evidence: Evidence) -> Iterator[Finding]:
    conversion = spec.get("conversion") or {}
    client = (conversion.get("webhook") or {}).get("clientConfig") or {}
    home = (client.get("service") or {}).get("namespace")
    if not _has_webhooks(evidence):
        return
    if conversion.get("strategy") != "Webhook":
        text = f"{name} converts nothing: objects of v1beta1 are read wrongly"
        yield warning("definitions", text, _APPLY)
    elif home != evidence.namespace:
        text = f"{name} has its versions converted by a service in namespace {home}"
        yield problem("definitions", text, f"{_APPLY}, in namespace {evidence.namespace}")
    elif not client.get("caBundle"):
        text = f"{name} has no authority (caBundle) for its conversion"
        yield problem("definitions", text, "see the controller's log: it injects the authority")


def check_frr_k8s(evidence: Evidence) -> Iterator[Finding]:
    """Check what the backend frr-k8s needs, where it is used."""
    check = "frr-k8s"
    speakers = _of(evidence, SPEAKER)
    if not any(environment(each).get("METALLB_BGP_TYPE") == "frr-k8s" for each in speakers):
        return
    look = evidence.definitions.get(FRR_DEFINITION)
    if look is None or look.refusal:
        yield skipped(check, look.refusal if look else "not looked at")
    elif look.first is None:
        text = f"the speakers hand BGP to frr-k8s, and {FRR_DEFINITION} is missing"
        yield problem(check, text, "install frr-k8s, or set METALLB_BGP_TYPE=native")
    else:
        yield fine(check, f"{FRR_DEFINITION} is there")


def check_webhooks(evidence: Evidence) -> Iterator[Finding]:
    """Have a wrong object refused."""
    check, look, trial = "webhooks", evidence.webhooks, evidence.trial
    if not _has_webhooks(evidence):
        yield skipped(check, "the controller serves none (--webhook-mode=disabled)")
        return
    if look.refusal:
        yield skipped(check, look.refusal)
    elif look.first is None:
        text = f"ValidatingWebhookConfiguration {WEBHOOKS_NAME} is missing: nothing is validated"
        yield problem(check, text, "install it with the chart or the manifests")
        return
    else:
        hooks = look.first.get("webhooks") or ()
        bare = [str(each.get("name")) for each in hooks if not _authority(each)]
        if bare:
            text = f"{listed(bare)}: no authority (caBundle)"
            yield problem(check, text, "see the controller's log: it injects the authority")
    match trial.status:
        case 403 | 401 if _DENIED not in trial.message:
            yield skipped(check, trial.message)
        case 0:
            yield skipped(check, "not tried")
        case 201:
            text = "a pool without a valid range would be accepted: no webhook looks at it"
            yield problem(check, text, f"compare {WEBHOOKS_NAME} with that of the chart")
        case _ if _DENIED in trial.message:
            yield fine(check, "a wrong pool is refused")
        case _:
            text = f"a wrong pool is not judged: {trial.status} {trial.message}"
            yield problem(check, text, "see that the controller is Ready and port 9443 reachable")


def _authority(hook: Json) -> object:
    return (hook.get("clientConfig") or {}).get("caBundle")


def _has_webhooks(evidence: Evidence) -> bool:
    controllers = _of(evidence, CONTROLLER)
    if controllers:
        return all(flag_value(each, "webhook-mode") != "disabled" for each in controllers)
    return evidence.webhooks.first is not None or bool(evidence.webhooks.refusal)


def check_namespace(evidence: Evidence) -> Iterator[Finding]:
    """Check that the namespace lets speakers be as privileged as they have to be."""
    check, look = "namespace", evidence.home
    if look.refusal:
        yield skipped(check, look.refusal)
        return
    if look.first is None:
        text = f"there is no namespace {evidence.namespace}"
        yield problem(check, text, "name the one MercuryLB is in: --namespace")
        return
    level = (look.first["metadata"].get("labels") or {}).get(_ENFORCE, "")
    if level in {"baseline", "restricted"}:
        text = f"{evidence.namespace} enforces pod security {level}, which keeps speakers out"
        advice = f"kubectl label --overwrite namespace {evidence.namespace} {_ENFORCE}=privileged"
        yield problem(check, text, advice)
    else:
        yield fine(check, f"{evidence.namespace} {_words(level)}")


def _words(level: str) -> str:
    return f"allows what speakers need ({level})" if level else "enforces no pod security itself"


def check_one_product(evidence: Evidence) -> Iterator[Finding]:
    """Look for a second load balancer that takes the same services."""
    check, look = "one-product", evidence.workloads
    if look.refusal:
        yield skipped(check, look.refusal)
        return
    active = [each for each in look.items if not has_flag(each, "shadow") and not _is_idle(each)]
    found = False
    for component, noun in ((CONTROLLER, "controllers"), (SPEAKER, "sets of speakers")):
        by_class: dict[str, list[str]] = {}
        for each in active:
            if component_of(each) == component:
                by_class.setdefault(flag_value(each, "lb-class"), []).append(key_of(each))
        for lb_class, keys in sorted(by_class.items()):
            if len(keys) > 1:
                found = True
                about = f" of class {lb_class}" if lb_class else ""
                text = f"{len(keys)} {noun} look after the same services{about}: {listed(keys)}"
                advice = (
                    "remove one, give each a --lb-class of its own, or move over node by node"
                    " (docs/migrate.md)"
                )
                yield problem(check, text, advice)
    shadows = [key_of(each) for each in look.items if has_flag(each, "shadow")]
    if not found:
        told = f"; {listed(shadows)} in shadow" if shadows else ""
        yield fine(check, f"nobody else looks after the same services{told}")


def _is_idle(workload: Json) -> bool:
    """Tell whether it runs nothing: scaled to nought, or wanted on no node."""
    if workload.get("kind") == "Deployment":
        return bool((workload.get("spec") or {}).get("replicas") == 0)
    return bool((workload.get("status") or {}).get("desiredNumberScheduled") == 0)


def check_kube_proxy(evidence: Evidence) -> Iterator[Finding]:
    """Check that kube-proxy leaves ARP for load-balancer addresses alone."""
    check, look = "kube-proxy", evidence.kube_proxy
    if look.refusal:
        yield skipped(check, look.refusal)
        return
    data = (look.first or {}).get("data") or {}
    text = str(data.get("config.conf") or data.get("config") or "")
    if not text:
        yield skipped(check, "there is no ConfigMap kube-system/kube-proxy to read its mode from")
        return
    try:
        config = yaml.safe_load(text)
        mode = config.get("mode")
        is_strict = bool((config.get("ipvs") or {}).get("strictARP"))
    except (yaml.YAMLError, AttributeError):
        mode, is_strict = "ipvs" if _IPVS.search(text) else "", False
    if mode == "ipvs" and not is_strict:
        text = "kube-proxy is in IPVS mode without strictARP: every node answers for every address"
        yield problem(check, text, "set ipvs.strictARP to true in ConfigMap kube-system/kube-proxy")
    else:
        yield fine(check, f"its mode is {mode or 'the default one'}")


def _of(evidence: Evidence, component: str) -> list[Json]:
    return [
        each
        for each in evidence.workloads.items
        if component_of(each) == component
        and each["metadata"].get("namespace") == evidence.namespace
    ]
