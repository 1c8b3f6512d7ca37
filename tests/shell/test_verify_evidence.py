"""What `mercurylb verify` asks an API server for, and what it makes of refusals."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from mercurylb.cli.verify_evidence import gather_evidence
from mercurylb.cli.verify_finding import Verdict, has_problem
from mercurylb.cli.verify_judgement import judge
from mercurylb.errors import Unreachable
from mercurylb.kube.client import KubeClient
from tests.shell.test_cluster_fetch import Anybody
from tests.unit.cli.installation import HOME, REFUSED, controller, sound, speakers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Json = dict[str, Any]
APPS = "/apis/apps/v1"
METALLB = f"/apis/metallb.io/v1beta1/namespaces/{HOME}"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


def sound_answers() -> dict[str, Json | int]:
    """Give what the API server of a sound installation says, by path."""
    evidence = sound()
    found: dict[str, Json | int] = {
        f"{APPS}/deployments": _list(controller()),
        f"{APPS}/daemonsets": _list(speakers(), speakers("other", "--shadow")),
        f"/api/v1/namespaces/{HOME}/pods": _list(*evidence.pods.items),
        f"/api/v1/namespaces/{HOME}": evidence.home.items[0],
        f"/api/v1/namespaces/{HOME}/secrets/metallb-memberlist": evidence.secret.items[0],
        "/api/v1/namespaces/kube-system/configmaps/kube-proxy": evidence.kube_proxy.items[0],
        f"{WEBHOOKS}/metallb-webhook-configuration": evidence.webhooks.items[0],
        f"{METALLB}/configurationstates": _list(*evidence.states.items),
        f"{METALLB}/servicel2statuses": _list(),
        f"/apis/mercurylb.io/v1alpha1/namespaces/{HOME}/bgpsessions": _list(),
    }
    for name, look in evidence.definitions.items():
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
        found[path] = look.items[0] if look.items else 404
    return found


def _list(*items: Json) -> Json:
    return {"metadata": {"resourceVersion": "1"}, "items": list(items)}


@asynccontextmanager
async def served(answers: dict[str, Json | int]) -> AsyncIterator[tuple[KubeClient, list[str]]]:
    """Serve answers by path, `*` for those that are not listed; tell what was written."""
    written: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method != "GET":
            written.append(f"{request.method} {request.path_qs}")
            status: Json = {"kind": "Status", "reason": "Forbidden", "message": REFUSED}
            return web.json_response(status, status=403)
        found = answers.get(request.path, answers.get("*", 404))
        if isinstance(found, int):
            told = {"kind": "Status", "reason": "No", "message": "no"}
            return web.json_response(told, status=found)
        return web.json_response(found)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with KubeClient(Anybody(server)) as client:
            yield client, written
    finally:
        await runner.cleanup()


async def test_a_sound_installation_is_found_and_fine() -> None:
    """Its namespace is that of the speakers; nothing is written but the dry run."""
    async with served(sound_answers()) as (client, written):
        evidence = await gather_evidence(client, namespace="")
    assert evidence.namespace == HOME
    assert {each.verdict for each in judge(evidence)} == {Verdict.OK}
    assert written == [f"POST {METALLB}/ipaddresspools?dryRun=All"]


async def test_who_may_read_nothing_is_told_so_and_not_alarmed() -> None:
    """With every right refused all checks but the dry run's are skipped."""
    async with served({"*": 403}) as (client, _):
        findings = judge(await gather_evidence(client, namespace=HOME))
    assert not has_problem(findings)
    verdicts = {each.check: each.verdict for each in findings}
    assert verdicts.pop("webhooks") is Verdict.OK
    assert set(verdicts.values()) == {Verdict.SKIPPED}


async def test_nothing_installed_is_a_problem() -> None:
    """On a cluster that knows nothing of ours, kinds and programs are missed."""
    empty = _list()
    answers: dict[str, Json | int] = {f"{APPS}/deployments": empty, f"{APPS}/daemonsets": empty}
    async with served(answers) as (client, _):
        findings = judge(await gather_evidence(client, namespace=HOME))
    missing = {each.check for each in findings if each.verdict is Verdict.PROBLEM}
    assert {"definitions", "controller", "speakers", "namespace"} <= missing


async def test_a_server_that_is_away_is_no_verdict() -> None:
    """An API server that cannot be reached is an error, not a sick installation."""
    async with KubeClient(Anybody("http://127.0.0.1:9")) as client:
        with pytest.raises(Unreachable):
            await gather_evidence(client, namespace=HOME)
