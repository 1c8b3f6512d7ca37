"""`mercurylb verify`: whatever can be wrong is named, with what to do; nothing else is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mercurylb.cli.verify_evidence import FRR_DEFINITION, Evidence, Look, Trial
from mercurylb.cli.verify_finding import Verdict, has_problem, to_builtins, to_lines
from mercurylb.cli.verify_judgement import judge
from mercurylb.cli.verify_workload import secret_name
from tests.unit.cli.installation import (
    HOME,
    controller,
    definitions,
    pod,
    sound,
    speakers,
    state,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

Json = dict[str, Any]
BAD, MILD, SKIPPED = Verdict.PROBLEM, Verdict.WARNING, Verdict.SKIPPED


def changed(**parts: Any) -> Evidence:
    """Give the sound installation with something else in it."""
    return msgspec.structs.replace(sound(), **parts)


def with_definition(name: str, change: Callable[[Json], object] | None) -> Evidence:
    """Give the sound installation with another definition, or without it."""
    found = definitions()
    if change is None:
        found[name] = Look()
    else:
        raw = found[name].items[0]
        change(raw)
        found[name] = Look((raw,))
    return changed(definitions=found)


def fields(raw: Json, version: int = 0) -> Json:
    """Give the fields of a kind's spec in its definition."""
    schema = raw["spec"]["versions"][version]["schema"]["openAPIV3Schema"]
    found: Json = schema["properties"]["spec"]["properties"]
    return found


def webhook_client(raw: Json) -> Json:
    """Give whom the API server asks for conversions."""
    found: Json = raw["spec"]["conversion"]["webhook"]["clientConfig"]
    return found


def waiting(reason: str, message: str = "") -> Json:
    """Give the status of a pod whose container does not run."""
    container = {
        "name": "speaker",
        "state": {"waiting": {"reason": reason, "message": message}},
        "lastState": {"terminated": {"exitCode": 1}},
    }
    return {"phase": "Running", "containerStatuses": [container]}


IPVS = "kind: KubeProxyConfiguration\nmode: ipvs\nipvs:\n  strictARP: false\n"
POOLS, PEERS = "ipaddresspools.metallb.io", "bgppeers.metallb.io"
DISPUTE = [
    {"since": "now", "address": "192.0.2.9", "interface": "eth0", "mac": "02:00:00:00:00:09"}
]
MISSES = {"mercurylb.io/absent-members": '{"n3": "left"}'}

FAULTS: list[tuple[str, Evidence, str, Verdict, list[str]]] = [
    ("kind", with_definition(POOLS, None), "definitions", BAD, [POOLS, "missing"]),
    (
        "own kind",
        with_definition("bgpsessions.mercurylb.io", None),
        "definitions",
        MILD,
        ["bgpsessions.mercurylb.io", "missing"],
    ),
    (
        "older",
        with_definition("l2advertisements.metallb.io", lambda raw: fields(raw).pop("interfaces")),
        "definitions",
        BAD,
        ["l2advertisements.metallb.io v1beta1", "older", "spec.interfaces"],
    ),
    (
        "newer",
        with_definition(POOLS, lambda raw: fields(raw).update(quota={"type": "string"})),
        "definitions",
        MILD,
        ["newer", "spec.quota"],
    ),
    (
        "version",
        with_definition(PEERS, lambda raw: raw["spec"]["versions"].pop()),
        "definitions",
        BAD,
        [PEERS, "does not serve v1beta2"],
    ),
    (
        "conversion elsewhere",
        with_definition(
            PEERS, lambda raw: webhook_client(raw)["service"].update(namespace="other")
        ),
        "definitions",
        BAD,
        ["namespace other"],
    ),
    (
        "conversion without authority",
        with_definition(PEERS, lambda raw: webhook_client(raw).pop("caBundle")),
        "definitions",
        BAD,
        ["caBundle"],
    ),
    (
        "both products",
        changed(workloads=Look((controller(), speakers(), speakers("other")))),
        "one-product",
        BAD,
        ["DaemonSet other/metallb-speaker", f"DaemonSet {HOME}/metallb-speaker"],
    ),
    (
        "no controller",
        changed(workloads=Look((speakers(),)), pods=Look()),
        "controller",
        BAD,
        ["no controller", HOME],
    ),
    (
        "a speaker that crashes",
        changed(
            workloads=Look((controller(), speakers(ready=2))),
            pods=Look((pod("s-2", "speaker", **waiting("CrashLoopBackOff")),)),
        ),
        "speakers",
        BAD,
        ["2 of 3", "s-2 on n1", "CrashLoopBackOff", "exit code 1"],
    ),
    ("no key", changed(secret=Look()), "memberlist", BAD, ["metallb-memberlist", "missing"]),
    ("bare key", changed(secret=Look(({"data": {}},))), "memberlist", BAD, ["secretkey"]),
    ("no webhooks", changed(webhooks=Look()), "webhooks", BAD, ["nothing is validated"]),
    ("accepted", changed(trial=Trial(201)), "webhooks", BAD, ["would be accepted"]),
    (
        "not reached",
        changed(trial=Trial(500, "failed calling webhook: connection refused")),
        "webhooks",
        BAD,
        ["500", "connection refused"],
    ),
    (
        "no authority",
        changed(webhooks=Look(({"webhooks": [{"name": "w", "clientConfig": {}}]},))),
        "webhooks",
        BAD,
        ["w: no authority"],
    ),
    (
        "rejected",
        changed(states=Look((state("controller", "Invalid", "IPAddressPool x: spec.addresses"),))),
        "configuration",
        BAD,
        ["rejected by controller", "IPAddressPool x"],
    ),
    (
        "not judged",
        changed(states=Look((state("speaker-n1"),))),
        "configuration",
        MILD,
        ["controller"],
    ),
    (
        "missed",
        changed(states=Look(tuple(state(f"speaker-n{n}", **MISSES) for n in (1, 2)))),
        "members",
        BAD,
        ["n3", "left"],
    ),
    (
        "pod security",
        changed(
            home=Look(
                ({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},)
            )
        ),
        "namespace",
        BAD,
        ["restricted"],
    ),
    ("no namespace", changed(home=Look()), "namespace", BAD, [HOME]),
    (
        "IPVS",
        changed(kube_proxy=Look(({"data": {"config.conf": IPVS}},))),
        "kube-proxy",
        BAD,
        ["strictARP"],
    ),
    (
        "disputed",
        changed(
            l2_statuses=Look(
                (
                    {
                        "metadata": {
                            "annotations": {"mercurylb.io/address-conflicts": json.dumps(DISPUTE)}
                        }
                    },
                )
            )
        ),
        "owners",
        BAD,
        ["192.0.2.9", "stranger", "02:00:00:00:00:09"],
    ),
    (
        "no session",
        changed(
            sessions=Look(
                ({"status": {"peer": "tor", "node": "n2", "state": "Idle", "reason": "refused"}},)
            )
        ),
        "bgp",
        MILD,
        ["tor on n2 is Idle", "refused"],
    ),
    (
        "versions",
        changed(
            workloads=Look(
                (
                    controller(),
                    {
                        **speakers(),
                        "metadata": {
                            **speakers()["metadata"],
                            "labels": {
                                **speakers()["metadata"]["labels"],
                                "app.kubernetes.io/version": "v2",
                            },
                        },
                    },
                )
            )
        ),
        "versions",
        MILD,
        ["v1", "v2"],
    ),
]


def test_a_sound_installation_is_fine() -> None:
    """Nothing is said but that all is well."""
    verdicts = {each.check: each.verdict for each in judge(sound())}
    assert set(verdicts.values()) == {Verdict.OK}
    assert {"definitions", "one-product", "controller", "speakers", "webhooks"} <= verdicts.keys()


@pytest.mark.parametrize(
    ("evidence", "check", "verdict", "told"),
    [row[1:] for row in FAULTS],
    ids=[r[0] for r in FAULTS],
)
def test_a_fault_is_named(
    evidence: Evidence, check: str, verdict: Verdict, told: list[str]
) -> None:
    """The check says what is wrong and where, and what to do; it alone fails."""
    findings = judge(evidence)
    wrong = [each for each in findings if each.verdict is not Verdict.OK]
    found = [each for each in wrong if each.check == check and each.verdict is verdict]
    assert found, wrong
    for part in told:
        assert part in found[0].message
    assert found[0].advice
    assert has_problem(findings) is (verdict is BAD)


@pytest.mark.parametrize("field", ["workloads", "home", "secret", "states", "kube_proxy"])
def test_what_may_not_be_read_is_skipped(field: str) -> None:
    """Whoever may not read something gets no verdict about it, and no failure."""
    findings = judge(changed(**{field: Look(refusal="403 Forbidden: no")}))
    told = [each for each in findings if each.verdict is SKIPPED]
    assert told
    assert all("403" in each.message for each in told)
    assert not has_problem(findings)


def idle(workload: Json) -> Json:
    """Give a workload that runs on no node, as what is left of one that was moved from."""
    if workload["kind"] == "Deployment":
        workload["spec"]["replicas"] = 0
        return workload
    return {**workload, "status": {"desiredNumberScheduled": 0}}


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        (speakers("other", "--shadow"), Verdict.OK),
        (speakers("other", "--shadow=true"), Verdict.OK),
        (speakers("other", "--shadow=false"), BAD),
        (speakers("other", "--lb-class=b"), Verdict.OK),
        (speakers("other", "--port=1"), BAD),
        (idle(speakers("other")), Verdict.OK),
        (controller("other"), BAD),
        (idle(controller("other")), Verdict.OK),
    ],
)
def test_two_products_may_share_a_cluster(second: Json, verdict: Verdict) -> None:
    """A shadow, or one with a class of its own or without pods, takes nothing from the other."""
    findings = judge(changed(workloads=Look((controller(), speakers(), second))))
    assert [each.verdict for each in findings if each.check == "one-product"] == [verdict]


def test_frr_k8s_is_missed_only_where_it_is_used() -> None:
    """Speakers that hand BGP to frr-k8s need its definitions."""
    using = speakers()
    using["spec"]["template"]["spec"]["containers"][0]["env"].append(
        {"name": "METALLB_BGP_TYPE", "value": "frr-k8s"}
    )
    workloads = Look((controller(), using))
    found = {each.check: each for each in judge(changed(workloads=workloads))}
    assert found["frr-k8s"].verdict is BAD
    assert FRR_DEFINITION in found["frr-k8s"].message
    there = {**definitions(), FRR_DEFINITION: Look(({},))}
    found = {each.check: each for each in judge(changed(workloads=workloads, definitions=there))}
    assert found["frr-k8s"].verdict is Verdict.OK
    assert "frr-k8s" not in {each.check for each in judge(sound())}


def test_disabled_webhooks_are_not_missed() -> None:
    """A controller that serves none is not asked to refuse anything."""
    workloads = Look((controller(HOME, "--webhook-mode=disabled"), speakers()))
    findings = judge(changed(workloads=workloads, webhooks=Look(), trial=Trial(201)))
    assert [each.verdict for each in findings if each.check == "webhooks"] == [SKIPPED]
    assert not has_problem(findings)


def test_the_secret_is_found_where_it_is_mounted() -> None:
    """The name of the key's secret comes from the speakers' own volume."""
    assert secret_name(speakers()) == "metallb-memberlist"
    assert not secret_name(controller())


def test_text_and_json_say_the_same() -> None:
    """People get a line per finding, programs all of it, both with what to do."""
    findings = judge(changed(secret=Look()))
    text = "\n".join(line for _, line in to_lines(HOME, findings))
    assert "problem  memberlist" in text
    assert "To do: the controller makes it" in text
    assert f"Verified namespace {HOME}: 1 problem, no warnings," in text
    shown = json.loads(json.dumps(to_builtins(HOME, findings)))
    assert shown["isFine"] is False
    assert {each["check"]: each["verdict"] for each in shown["findings"]}["memberlist"] == "problem"


def test_the_command_fails_without_a_cluster(run: Callable[..., Result]) -> None:
    """No cluster to look at is exit code 1 and a sentence; a wrong option is 2."""
    done = run("verify")
    assert done.exit_code == 1
    assert "Error:" in done.stderr
    assert run("verify", "--wait", "never").exit_code == 2
