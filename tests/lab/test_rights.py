"""The chart's roles against what the programs really ask: nothing too much, nothing missing.

The API server's audit log says what was asked since the lab began. A scenario makes the programs do
everything they ever do; then every verb that a role grants must have been used, and nothing may
have been forbidden.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from lab.programs import DEPLOYMENT, SECRET, rendered
from mercurylb.plan.testimony import CONFLICTS_ANNOTATION
from tests.lab.scene import HOME, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.host import Host
    from lab.light import LightLab
    from tests.lab.conftest import WebhookLab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

CREATED = 201
FORBIDDEN = 403
ROLES = ("controller-rbac", "speaker-rbac")


@dataclass(frozen=True, order=True)
class Use:
    """One kind of request that was made."""

    component: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str


@dataclass(frozen=True, order=True)
class Grant:
    """One verb on one resource that a role grants."""

    component: str
    verb: str
    group: str
    resource: str
    namespace: str
    """Empty means the whole cluster."""
    names: tuple[str, ...]
    """Empty means every name."""

    def covers(self, use: Use) -> bool:
        """Tell whether a request is allowed by this."""
        return (
            (self.component, self.verb, self.group, self.resource)
            == (use.component, use.verb, use.group, use.resource)
            and self.namespace in {"", use.namespace}
            and (not self.names or use.name in self.names)
        )


def read_uses(log: Path) -> tuple[set[Use], set[Use]]:
    """Give what was asked, and what of it was forbidden."""
    asked, forbidden = set(), set()
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        about = entry.get("objectRef")
        if about is None or "resource" not in about:
            continue  # Discovery: the API server allows it to everybody.
        subresource = f"/{about['subresource']}" if "subresource" in about else ""
        use = Use(
            entry["user"]["username"].rpartition("-")[2],
            entry["verb"],
            about.get("apiGroup", ""),
            about["resource"] + subresource,
            about.get("namespace", ""),
            about.get("name", ""),
        )
        asked.add(use)
        code = entry.get("responseStatus", {}).get("code")
        if code == FORBIDDEN:
            forbidden.add(use)
        if code == CREATED and use.verb == "patch":
            asked.add(replace(use, verb="create"))  # Applying what does not exist needs both.
    return asked, forbidden


def granted() -> Iterator[Grant]:
    """Give every verb of the roles that the chart renders for the whole set of features."""
    documents = rendered(HOME, ROLES, webhook_mode="enabled")
    roles = {(doc["kind"], doc["metadata"]["name"]): doc for doc in documents}
    for binding in documents:
        if not binding["kind"].endswith("Binding"):
            continue
        role = roles[binding["roleRef"]["kind"], binding["roleRef"]["name"]]
        (subject,) = binding["subjects"]
        component = subject["name"].rpartition("-")[2]
        namespace = role["metadata"].get("namespace", "")
        for rule in role["rules"]:
            names = tuple(rule.get("resourceNames", ()))
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        yield Grant(component, verb, group, resource, namespace, names)


@pytest.fixture(scope="module")
def played(webhook_lab: WebhookLab) -> WebhookLab:
    """Make the programs do everything they ever do."""
    lab = webhook_lab.lab
    lab.api.delete(f"/api/v1/namespaces/{HOME}/secrets/{SECRET}")
    lab.controller.restart()
    lab.wait_for(lambda: lab.api.get(f"/api/v1/namespaces/{HOME}/secrets/{SECRET}"))
    _give_the_secret_away(lab)
    scene = Scene(lab)
    try:
        _serve_and_withdraw(scene)
        _wait_in_vain(scene)
        _validate(scene)
        _tell_a_peer(scene)
    finally:
        scene.close()
    _scrape(lab, lab.control_plane)
    for node in lab.nodes.values():
        _scrape(lab, node)
    return webhook_lab


def _give_the_secret_away(lab: LightLab) -> None:
    """Have the secret belong to another Deployment, as in a move, until it is ours as well."""
    deployments = f"/apis/apps/v1/namespaces/{HOME}/deployments"
    another = lab.api.get(f"{deployments}/{DEPLOYMENT}")
    another["metadata"] = {"name": "another"}
    another.pop("status", None)
    made = lab.api.post(deployments, another)
    names = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "another"}
    owner = {**names, "uid": made["metadata"]["uid"]}
    path = f"/api/v1/namespaces/{HOME}/secrets/{SECRET}"
    lab.api.merge(path, {"metadata": {"ownerReferences": [owner]}})
    lab.controller.restart()

    def names_of_owners() -> list[str]:
        return [each["name"] for each in lab.api.get(path)["metadata"]["ownerReferences"]]

    lab.wait_for(lambda: names_of_owners() == ["another", DEPLOYMENT], timeout_s=60)
    lab.api.delete(f"{deployments}/another")


def _is_disputed(lab: LightLab, key: str) -> bool:
    """Tell whether a status object of a service says that its address is claimed by others."""
    path = f"/apis/metallb.io/v1beta1/namespaces/{HOME}/servicel2statuses"
    name = key.partition("/")[2]
    return any(
        CONFLICTS_ANNOTATION in item["metadata"].get("annotations", {})
        for item in lab.api.get(path)["items"]
        if item["metadata"]["labels"]["metallb.io/service-name"] == name
    )


def _serve_and_withdraw(scene: Scene) -> None:
    """Let a service get an address and lose and regain its endpoint, then delete it."""
    lab = scene.lab
    lab.wait_for(scene.pool)  # The controller was restarted, its webhooks come back.
    scene.advertise()
    key = scene.service(selector={"app": scene.name})
    pod = scene.web("n1", scene.name)
    scene.wait_addresses(key, [scene.ip4()])
    for _ in range(2):
        scene.wait_endpoints(key)
        scene.until(lambda: scene.l2_status(key), "somebody announces")
        scene.shout(scene.ip4())
        scene.wait_event(key, "addressConflict")
        scene.until(lambda: _is_disputed(lab, key), "the status object tells the conflict")
        lab.pods.set_ready(pod, ready=False)
        scene.until(lambda: not scene.l2_status(key), "nobody announces")
        lab.pods.set_ready(pod, ready=True)
    scene.until(lambda: scene.l2_status(key), "somebody announces")
    scene.until(lambda: _counted(scene, key, "nodeAssigned"), "an event is counted")
    scene.delete(key)
    scene.until(lambda: not scene.l2_status(key), "its status is gone")


def _wait_in_vain(scene: Scene) -> None:
    """Let a service that cannot have an address be looked at again and again."""
    key = scene.service("vain", annotations={"metallb.io/address-pool": "none"})
    for number in range(3):
        scene.patch(key, {"metadata": {"labels": {"look": str(number)}}})
        scene.until(lambda: scene.events(key, "AllocationFailed"), "an event is written")
    scene.until(lambda: _counted(scene, key, "AllocationFailed"), "an event is counted")


def _counted(scene: Scene, key: str, reason: str) -> bool:
    return any(event.get("count", 1) > 1 for event in scene.events(key, reason))


def _validate(scene: Scene) -> None:
    """Have admission read everything that it ever reads."""
    spec = {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1"}
    path = f"/apis/metallb.io/v1beta2/namespaces/{HOME}/bgppeers"
    peer: dict[str, Any] = {
        "apiVersion": "metallb.io/v1beta2",
        "kind": "BGPPeer",
        "metadata": {"name": scene.name},
        "spec": spec,
    }
    scene.create(path, peer)
    community = {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "Community",
        "metadata": {"name": scene.name},
        "spec": {"communities": []},
    }
    scene.create(f"/apis/metallb.io/v1beta1/namespaces/{HOME}/communities", community)


def _tell_a_peer(scene: Scene) -> None:
    """Announce a service to a peer that never answers, then to nobody."""
    lab, home = scene.lab, f"/apis/metallb.io/v1beta1/namespaces/{HOME}"
    head = {"apiVersion": "metallb.io/v1beta1", "kind": "BGPAdvertisement"}
    made = scene.create(f"{home}/bgpadvertisements", {**head, "metadata": {"name": scene.name}})
    key = scene.service("told", selector={"app": scene.name})
    kinds = (
        f"{home}/servicebgpstatuses",
        f"/apis/mercurylb.io/v1alpha1/namespaces/{HOME}/bgpsessions",
    )

    def are_there() -> bool:
        return all(
            item.get("status", {}).get("node")
            for kind in kinds
            for item in lab.api.get(kind)["items"] or [{}]
        )

    scene.until(are_there, "status and session are told", 30)
    name = lab.api.get(kinds[0])["items"][0]["metadata"]["name"]
    lab.api.merge(f"{kinds[0]}/{name}", {"metadata": {"ownerReferences": None}})

    def is_owned() -> bool:
        return "ownerReferences" in lab.api.get(f"{kinds[0]}/{name}")["metadata"]

    scene.until(is_owned, "the status has its owner again")
    lab.api.delete(f"{home}/bgpadvertisements/{made['metadata']['name']}")
    lab.api.delete(f"/apis/metallb.io/v1beta2/namespaces/{HOME}/bgppeers/{scene.name}")
    scene.until(lambda: not any(lab.api.get(kind)["items"] for kind in kinds), "they are gone", 30)
    scene.delete(key)


def _scrape(lab: LightLab, host: Host) -> None:
    """Ask for the metrics with a token that is known and may not read them."""
    path = f"/api/v1/namespaces/{HOME}/serviceaccounts/default/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = lab.api.post(path, request)["status"]["token"]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    asked = urllib.request.Request(
        f"https://{host.ipv4}:9120/metrics", headers={"Authorization": f"Bearer {token}"}
    )
    with host.inside(), pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(asked, timeout=10, context=context)
    assert caught.value.code == FORBIDDEN
    caught.value.close()


@pytest.mark.rule("controller-10.least")
def test_every_verb_that_is_granted_is_used(played: WebhookLab) -> None:
    """A right that nobody uses is taken away."""
    asked, _ = read_uses(played.audit_log)
    unused = sorted(
        grant for grant in set(granted()) if not any(grant.covers(use) for use in asked)
    )
    assert unused == []


@pytest.mark.rule("controller-10.least")
def test_nothing_that_is_used_is_missing(played: WebhookLab) -> None:
    """No request was forbidden, and each is covered by a rule of the chart's own."""
    asked, forbidden = read_uses(played.audit_log)
    assert sorted(forbidden) == []
    rules = set(granted())
    assert sorted(use for use in asked if not any(rule.covers(use) for rule in rules)) == []
