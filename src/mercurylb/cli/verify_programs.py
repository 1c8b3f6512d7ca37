"""Checks of the programs: that they run, what they say of the configuration and of each other.

Pure: evidence in, findings out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from mercurylb.api.bgp_session import BGPSession
from mercurylb.api.configuration_state import (
    CONTROLLER_NAME,
    SPEAKER_NAME_PREFIX,
    ConfigurationState,
)
from mercurylb.api.service_l2_status import ServiceL2Status
from mercurylb.cli.gathering import CONTROLLER, SPEAKER, component_of
from mercurylb.cli.verify_finding import fine, problem, skipped, warning
from mercurylb.cli.verify_workload import is_ready, key_of, why_not_ready
from mercurylb.plan.request import listed
from mercurylb.plan.testimony import is_missed, missed_by, read_disputes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.cli.verify_evidence import Evidence, Look
    from mercurylb.cli.verify_finding import Finding

Json = dict[str, Any]

_KEY: Final = "secretkey"
_VERSION: Final = "app.kubernetes.io/version"
_TOLD_MAX: Final = 3
_ESTABLISHED: Final = "Established"


def check_controller(evidence: Evidence) -> Iterator[Finding]:
    """Check that a controller is Ready."""
    yield from _check_pods(evidence, CONTROLLER, "Deployment", "availableReplicas")


def check_speakers(evidence: Evidence) -> Iterator[Finding]:
    """Check that a speaker is Ready on each node that is to have one."""
    yield from _check_pods(evidence, SPEAKER, "DaemonSet", "numberReady")


def _check_pods(
    evidence: Evidence, component: str, kind: str, ready_field: str
) -> Iterator[Finding]:
    check = "controller" if component == CONTROLLER else "speakers"
    pods = [each for each in evidence.pods.items if component_of(each) == component]
    sets = [
        each
        for each in evidence.workloads.items
        if component_of(each) == component
        and each["metadata"].get("namespace") == evidence.namespace
    ]
    refusal = evidence.workloads.refusal or evidence.pods.refusal
    if not sets and not pods:
        if refusal:
            yield skipped(check, refusal)
        else:
            text = f"there is no {component} in namespace {evidence.namespace}"
            yield problem(check, text, "install it there, or name the right one: --namespace")
        return
    wanted, ready = len(pods), sum(map(is_ready, pods))
    if any(map(_wanted, sets)):
        wanted = sum(map(_wanted, sets))
        ready = sum(int((each.get("status") or {}).get(ready_field) or 0) for each in sets)
    told = [why_not_ready(each) for each in pods if not is_ready(each)][:_TOLD_MAX]
    names = listed([key_of(each) for each in sets]) if sets else kind.lower()
    is_enough = ready >= 1 if component == CONTROLLER else ready >= wanted
    if not is_enough:
        text = f"{ready} of {wanted} are ready ({names})" + (f"; {'; '.join(told)}" if told else "")
        yield problem(check, text, _advice(component, pods))
    elif wanted == 0:
        text = f"{names} wants no pod at all"
        yield problem(check, text, "compare its nodeSelector and tolerations with the nodes")
    else:
        yield fine(check, f"{ready} of {wanted} ready")


def _wanted(workload: Json) -> int:
    status = workload.get("status") or {}
    if workload["kind"] == "DaemonSet":
        return int(status.get("desiredNumberScheduled") or 0)
    replicas = (workload.get("spec") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)


def _advice(component: str, pods: list[Json]) -> str:
    if not pods:
        return "look at its events: kubectl describe; pod security or a quota may keep it out"
    name = pods[0]["metadata"]["name"]
    namespace = pods[0]["metadata"].get("namespace")
    return f"kubectl -n {namespace} logs {name} --previous, and kubectl describe the {component}"


def check_secret(evidence: Evidence) -> Iterator[Finding]:
    """Check the common key of the speakers."""
    check, look, name = "memberlist", evidence.secret, evidence.secret_name
    if not name:
        yield skipped(check, "the speakers name no secret for their membership")
    elif look.refusal:
        yield skipped(check, look.refusal)
    elif look.first is None:
        text = f"Secret {name} is missing: speakers cannot start"
        advice = "the controller makes it at its start; see its log, and METALLB_ML_SECRET_NAME"
        yield problem(check, text, advice)
    elif not (look.first.get("data") or {}).get(_KEY):
        text = f"Secret {name} has no value {_KEY}"
        advice = f"kubectl -n {evidence.namespace} delete secret {name}, restart the controller"
        yield problem(check, text, advice)
    else:
        yield fine(check, f"Secret {name} is there")


def check_versions(evidence: Evidence) -> Iterator[Finding]:
    """Compare the versions of controller and speakers."""
    versions = {
        key_of(each): str(label)
        for each in evidence.workloads.items
        if each["metadata"].get("namespace") == evidence.namespace
        and (label := (each["metadata"].get("labels") or {}).get(_VERSION))
    }
    if len(set(versions.values())) > 1:
        text = listed([f"{key} is {version}" for key, version in versions.items()])
        yield warning("versions", text, "upgrade both; one release apart is fine meanwhile")
    elif versions:
        yield fine("versions", f"all are {next(iter(versions.values()))}")


def check_configuration(evidence: Evidence) -> Iterator[Finding]:
    """Repeat what the programs say of the configuration."""
    check, look = "configuration", evidence.states
    if look.refusal:
        yield skipped(check, look.refusal)
        return
    states = _read(look, ConfigurationState)
    if not any(each.metadata.name == CONTROLLER_NAME for each in states):
        text = "the controller has not said yet what it thinks of the configuration"
        yield warning(check, text, "see the controller's log if this lasts")
    invalid: dict[str, list[str]] = {}
    for each in states:
        if each.status is not None and each.status.result == "Invalid":
            words = each.status.error_summary.splitlines() or ["no reason given"]
            invalid.setdefault(words[0], []).append(each.metadata.name)
    for words, names in invalid.items():
        who = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        text = f"rejected by {who}: {words}"
        yield problem(check, text, "correct the object; until then the last good one is in force")
    if not invalid and states:
        yield fine(check, f"accepted by {len(states)} programs")


def check_members(evidence: Evidence) -> Iterator[Finding]:
    """Repeat which speakers the others miss."""
    if evidence.states.refusal:
        return
    states = _read(evidence.states, ConfigurationState)
    missed = {node: by for node, by in missed_by(states).items() if is_missed(node, states)}
    for node, by in missed.items():
        who, word = next(iter(by.items()))
        text = f"most speakers miss the one of {node} ({who} says: {word})"
        advice = f"see the speaker's log on {node}; TCP and UDP 7946 have to be open between nodes"
        yield problem("members", text, advice)
    speakers = [each for each in states if each.metadata.name.startswith(SPEAKER_NAME_PREFIX)]
    if speakers and not missed:
        yield fine("members", f"no speaker of {len(speakers)} is missed by the others")


def check_owners(evidence: Evidence) -> Iterator[Finding]:
    """Repeat who else claims the addresses that our nodes announce."""
    check, look = "owners", evidence.l2_statuses
    if look.refusal:
        yield skipped(check, look.refusal)
        return
    statuses = _read(look, ServiceL2Status)
    disputed = [(each, dispute) for each in statuses for dispute in read_disputes(each)]
    for status, dispute in disputed[:_TOLD_MAX]:
        who = f"node {dispute.node}" if dispute.node else f"a stranger with MAC {dispute.mac}"
        text = f"{dispute.address} of {status.service_key} is claimed by {who} as well"
        advice = f"mercurylb who {dispute.address}, on a machine of that network"
        yield problem(check, text, advice)
    if not disputed:
        yield fine(check, f"nobody else claims an address of {len(statuses)} announced")


def check_sessions(evidence: Evidence) -> Iterator[Finding]:
    """Repeat which BGP sessions are down."""
    check, look = "bgp", evidence.sessions
    if look.refusal:
        yield skipped(check, look.refusal)
        return
    statuses = [each.status for each in _read(look, BGPSession) if each.status is not None]
    down = [each for each in statuses if each.state != _ESTABLISHED]
    for each in down[:_TOLD_MAX]:
        why = f": {each.reason}" if each.reason else ""
        text = f"{each.peer} on {each.node} is {each.state or 'down'}{why}"
        yield warning(check, text, f"mercurylb bgp session, on {each.node}")
    if len(down) > _TOLD_MAX:
        text = f"{len(down)} of {len(statuses)} sessions are down"
        yield warning(check, text, "kubectl get bgpsessions -A")
    if statuses and not down:
        yield fine(check, f"{len(statuses)} of {len(statuses)} sessions are up")


def _read(look: Look, kind: type[Any]) -> list[Any]:
    """Read what can be read; others are told by the API server's own checks."""
    found = []
    for item in look.items:
        try:
            found.append(msgspec.convert(item, kind))
        except msgspec.ValidationError:
            continue
    return found
