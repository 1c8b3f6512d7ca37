"""`mercurylb verify` against a real API server: what is broken is told until it is mended.

A lab without kubelets has no DaemonSet and a Deployment without replicas; the pods count there.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from lab import binaries, netns
from tests.lab.scene import HOME

if TYPE_CHECKING:
    from lab.light import LightLab
    from tests.lab.conftest import WebhookLab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

Json = dict[str, Any]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
POOLS = f"/apis/metallb.io/v1beta1/namespaces/{HOME}/ipaddresspools"


def verify(lab: LightLab, *arguments: str, code: int = 0) -> list[Json]:
    """Run the command and give its findings."""
    environment = {**os.environ, "KUBECONFIG": str(lab.site.kubeconfig())}
    argv = [binaries.own("mercurylb"), "verify", "-n", HOME, "-o", "json", *arguments]
    done = subprocess.run(
        [*netns.enter_argv(lab.site.namespace("cp")), *argv],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    assert done.returncode == code, done.stdout + done.stderr
    findings: list[Json] = json.loads(done.stdout)["findings"]
    return findings


def problems(findings: list[Json]) -> list[tuple[str, str]]:
    """Give what does not work: check and sentence."""
    return [(each["check"], each["message"]) for each in findings if each["verdict"] == "problem"]


def test_what_is_broken_is_told_until_it_is_mended(webhook_lab: WebhookLab) -> None:
    """Sound; then an older definition, no webhooks, a wrong pool; then sound again."""
    lab = webhook_lab.lab
    sound = verify(lab, "--wait", "60")
    verdicts = {each["check"]: each["verdict"] for each in sound}
    wanted = ("namespace", "definitions", "controller", "speakers", "webhooks", "configuration")
    assert {check: verdicts[check] for check in wanted} == dict.fromkeys(wanted, "ok")
    assert not lab.api.get(POOLS)["items"], "the dry run left a pool behind"

    advertisements = f"{DEFINITIONS}/l2advertisements.metallb.io"
    hooks = f"{HOOKS}/metallb-webhook-configuration"
    current, webhooks = lab.api.get(advertisements)["spec"]["versions"], lab.api.get(hooks)
    older = copy.deepcopy(current)
    schema = older[0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"]["interfaces"]
    lab.api.merge(advertisements, {"spec": {"versions": older}})
    lab.api.delete(hooks)
    bad = {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {"name": "bad"},
        "spec": {"addresses": ["nonsense"]},
    }
    lab.api.post(POOLS, bad)
    try:
        lab.wait_for(lambda: _is_rejected(lab), what="rejected", timeout_s=30.0)
        broken = problems(verify(lab, code=1))
    finally:
        lab.api.delete(f"{POOLS}/bad")
        lab.api.merge(advertisements, {"spec": {"versions": current}})
        metadata = {"name": webhooks["metadata"]["name"]}
        lab.api.post(HOOKS, {**webhooks, "metadata": metadata})
    told = dict(broken)
    assert "spec.interfaces" in told["definitions"]
    assert "nothing is validated" in told["webhooks"]
    assert "bad" in told["configuration"]
    assert not problems(verify(lab, "--wait", "60"))


def _is_rejected(lab: LightLab) -> bool:
    path = f"/apis/metallb.io/v1beta1/namespaces/{HOME}/configurationstates"
    return any(
        each.get("status", {}).get("result") == "Invalid" for each in lab.api.get(path)["items"]
    )
