"""The webhooks as a real API server asks them."""

from __future__ import annotations

import datetime as dt
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest

from lab import webhooks
from lab.errors import ApiError
from lab.process import read_stat
from mercurylb.webhook import forge
from mercurylb.webhook.bundle import encode_bundle
from mercurylb.webhook.rotation import CA_CERT, DAY_S, TLS_CERT, Question
from tests.lab.scene import HOME
from tests.lab.webhook_scene import (
    DEFINITION,
    DNS_NAME,
    HOOKS,
    KINDS,
    PEER,
    Asking,
    Desk,
    Json,
    another_controller,
    authorities,
    body,
    contents,
    inject,
    path,
    request,
    send,
    set_secret,
    shown,
    trusted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.conftest import WebhookLab
    from tests.lab.scene import Scene

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]


@pytest.fixture
def desk(webhook_lab: WebhookLab) -> Iterator[Desk]:
    """Give a desk at the shared lab with webhooks."""
    made = Desk(webhook_lab.lab)
    yield made
    made.clear()


# --- admission --------------------------------------------------------------------------------


@pytest.mark.rule("config-11.webhooks", "config-11.1.text")
def test_kubectl_apply_of_a_wrong_pool_names_every_field(desk: Desk) -> None:
    """Each mistake with its object, field path and reason; nothing is stored."""
    wrong = body("IPAddressPool", "wrong", addresses=["10.0.0.0/33", "10.0.0.9-10.0.0.1", "x"])
    wrong["metadata"]["namespace"] = HOME
    manifest = json.dumps(wrong)
    said = desk.lab.kubectl("apply", "-f", "-", stdin=manifest, check=False)
    assert 'admission webhook "ipaddresspoolvalidationwebhook.metallb.io" denied' in said
    for index in range(3):
        assert f"IPAddressPool {HOME}/wrong: spec.addresses[{index}]: " in said
    assert desk.api.get(path("IPAddressPool"))["items"] == []


@pytest.mark.rule("config-11.1.text")
def test_thousands_of_mistakes_are_told_in_bounds(desk: Desk) -> None:
    """The answer stays readable and says how much more there is."""
    said = desk.refused(
        lambda: desk.create("IPAddressPool", "huge", addresses=["x"] * 9000 + ["10.0.0.0/32"])
    )
    assert len(said) < 20_000
    assert "more problems" in said


@pytest.mark.rule("config-11.2.cases")
@pytest.mark.parametrize("second", ["10.1.0.128/25", "10.1.0.250-10.1.1.7"], ids=["cidr", "range"])
def test_row_overlapping_pools(desk: Desk, second: str) -> None:
    """By prefix or range, at creation or by an update."""
    desk.create("IPAddressPool", "a", addresses=["10.1.0.0/24"])
    said = desk.refused(lambda: desk.create("IPAddressPool", "b", addresses=[second]))
    assert "overlaps with already defined CIDR" in said
    assert f"IPAddressPool {HOME}/" in said
    desk.create("IPAddressPool", "b", addresses=["10.2.0.0/24"])
    said = desk.refused(lambda: desk.update("IPAddressPool", "b", addresses=[second]))
    assert "overlaps with already defined CIDR" in said
    desk.update("IPAddressPool", "b", addresses=["10.3.0.0/24"])


@pytest.mark.rule("config-11.2.cases")
def test_row_aggregation_length(desk: Desk) -> None:
    """An advertisement of length 26 over a pool of length 28."""
    desk.create("IPAddressPool", "a", addresses=["10.1.0.0/28"])
    said = desk.refused(
        lambda: desk.create("BGPAdvertisement", "a", aggregationLength=26, ipAddressPools=["a"])
    )
    assert "spec.aggregationLength" in said
    desk.create("BGPAdvertisement", "a", aggregationLength=30, ipAddressPools=["a"])


@pytest.mark.rule("config-11.2.cases")
def test_row_peer_address(desk: Desk) -> None:
    """A peer whose address is none."""
    said = desk.refused(lambda: desk.create("BGPPeer", "p", **PEER | {"peerAddress": "1.2.3.400"}))
    assert f"BGPPeer {HOME}/p: spec.peerAddress" in said


@pytest.mark.rule("config-11.2.cases")
@pytest.mark.parametrize("value", ["99999999:1", "lar:123:9999:123"])
def test_row_community_values(desk: Desk, value: str) -> None:
    """At creation and by an update."""
    wrong = [{"name": "c", "value": value}]
    said = desk.refused(lambda: desk.create("Community", "c", communities=wrong))
    assert "spec.communities[0].value" in said
    desk.create("Community", "c", communities=[{"name": "c", "value": "1:2"}])
    desk.refused(lambda: desk.update("Community", "c", communities=wrong))


@pytest.mark.rule("config-11.2.cases")
def test_row_community_aliases(desk: Desk) -> None:
    """One alias twice, in one object or in two."""
    one = {"name": "c", "value": "1:2"}
    desk.refused(lambda: desk.create("Community", "c", communities=[one, one]))
    desk.create("Community", "c", communities=[one])
    desk.refused(lambda: desk.create("Community", "d", communities=[one]))


SPECS: Final[dict[str, Json]] = {
    "IPAddressPool": {"addresses": ["10.9.0.0/28"]},
    "L2Advertisement": {},
    "BGPAdvertisement": {},
    "BGPPeer": PEER,
    "BFDProfile": {},
    "Community": {"communities": []},
}


@pytest.mark.rule("config-11.2.cases", "config-11.1.namespace")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.rule("api-1.foreign-namespace")
def test_row_other_namespaces(desk: Desk, kind: str) -> None:
    """Every kind belongs into the one namespace, where the same object is taken."""
    where = path(kind, namespace="default")
    said = desk.refused(lambda: desk.api.post(where, body(kind, "a", **SPECS[kind])))
    assert f"resource must be created in {HOME} namespace" in said
    desk.create(kind, "a", **SPECS[kind])


@pytest.mark.rule("config-11.2.cases")
def test_row_advertisements_that_disagree(desk: Desk) -> None:
    """Two preferences for one route, unless they are for different nodes."""
    desk.create("IPAddressPool", "a", addresses=["10.1.0.0/28"])
    selector = {"nodeSelectors": [{"matchLabels": {"kubernetes.io/hostname": "n1"}}]}
    other = {"nodeSelectors": [{"matchLabels": {"kubernetes.io/hostname": "n2"}}]}
    desk.create("BGPAdvertisement", "p", localPref=1, **selector)
    said = desk.refused(lambda: desk.create("BGPAdvertisement", "q", localPref=2))
    assert "invalid local preference 2" in said
    desk.refused(lambda: desk.create("BGPAdvertisement", "q", localPref=2, **selector))
    desk.create("BGPAdvertisement", "q", localPref=2, **other)


@pytest.mark.rule("config-11.1.bfd-delete", "config-11.1.delete")
def test_a_profile_in_use_stays(desk: Desk) -> None:
    """It is freed by the peer's end; other kinds go at any time."""
    desk.create("BFDProfile", "fast")
    desk.create("BGPPeer", "p", **PEER, bfdProfile="fast")
    said = desk.refused(lambda: desk.api.delete(path("BFDProfile", "fast")))
    assert "failed to delete BFDProfile fast, used by BGPPeer p" in said
    desk.api.delete(path("BGPPeer", "p"))
    desk.api.delete(path("BFDProfile", "fast"))


@pytest.mark.rule("config-11.1.disable-mp")
def test_a_useless_field_is_warned_of(desk: Desk) -> None:
    """The warning reaches who applies it."""
    peer = body("BGPPeer", "mp", **PEER, disableMP=True)
    peer["metadata"]["namespace"] = HOME
    said = desk.lab.kubectl(
        "apply", "-f", "-", "--warnings-as-errors", stdin=json.dumps(peer), check=False
    )
    assert "disable mp is deprecated" in said
    desk.api.delete(path("BGPPeer", "mp"))


@pytest.mark.rule("config-11.2.strip")
def test_the_order_of_creation_is_free(desk: Desk) -> None:
    """What is referred to may come later; what could never be right may not."""
    desk.create("BGPPeer", "p", **PEER, bfdProfile="later", passwordSecret={"name": "later"})
    desk.create("BGPAdvertisement", "a", communities=["later"])
    said = desk.refused(lambda: desk.create("BGPAdvertisement", "b", communities=["1:2:3"]))
    assert "spec.communities[0]" in said


# --- conversion -------------------------------------------------------------------------------


@pytest.mark.rule("api-3.3.webhook")
def test_a_peer_is_read_in_either_version(desk: Desk) -> None:
    """Written as v1beta1, read as v1beta2 and back, one by one and as a list."""
    selector = {"matchLabels": {"a": "b"}}
    desk.create(
        "BGPPeer", "old", version="v1beta1", **PEER, holdTime="3m", nodeSelectors=[selector]
    )
    desk.create("BGPPeer", "new", **PEER, localASN=7, passwordSecret={"name": "s"})
    new = desk.api.get(path("BGPPeer", "old"))
    assert new["apiVersion"] == "metallb.io/v1beta2"
    assert new["spec"]["holdTime"] == "3m"
    assert new["spec"]["keepaliveTime"] == "0s"
    assert new["spec"]["nodeSelectors"] == [selector]
    listed = desk.api.get(path("BGPPeer", version="v1beta1"))["items"]
    specs = {item["metadata"]["name"]: item["spec"] for item in listed}
    assert specs["old"]["holdTime"] == "3m"
    assert "localASN" not in specs["new"]
    assert "passwordSecret" not in specs["new"]


@pytest.mark.rule("config-11.equivalent")
def test_a_peer_of_the_old_version_is_validated_as_the_new_one(desk: Desk) -> None:
    """The webhook is of v1beta2, and the API server converts before it asks."""
    wrong = PEER | {"peerAddress": "nowhere"}
    said = desk.refused(lambda: desk.create("BGPPeer", "old", version="v1beta1", **wrong))
    assert "spec.peerAddress" in said


# --- certificates -----------------------------------------------------------------------------


@pytest.mark.rule("config-11.3.secret", "config-11.3.injection")
def test_the_secret_is_filled_and_the_authority_injected(desk: Desk) -> None:
    """All seven fields hold the one authority, under the original's field owner."""
    lab = desk.lab
    ((authority,), *others) = trusted(lab)
    assert others == [{authority}] * 6
    for target in (HOOKS, DEFINITION):
        managers = {entry["manager"] for entry in lab.api.get(target)["metadata"]["managedFields"]}
        assert "MetalLB" in managers


@pytest.mark.rule("config-11.3.no-window", "config-11.3.expired")
@pytest.mark.parametrize("how", ["emptied", "expired"])
def test_a_lost_certificate_is_replaced_while_everybody_is_answered(desk: Desk, how: str) -> None:
    """Nobody is refused while another authority takes over."""
    lab = desk.lab
    before, seen = contents(lab), shown(lab)
    long_ago = time.time() - 4000 * DAY_S
    expired = forge.answer(Question({}, DNS_NAME, long_ago)).contents
    with Asking(lab) as asking:
        set_secret(lab, None if how == "emptied" else expired)
        lab.wait_for(lambda: contents(lab).get(CA_CERT) not in {None, before[CA_CERT]})
        lab.wait_for(lambda: shown(lab) != seen, timeout_s=30)
        lab.wait_for(lambda start=asking.count: asking.count > start + 10)
    assert asking.failures == []
    assert asking.count > 20
    _assert_current(shown(lab))


def _assert_current(pem: str) -> None:
    from cryptography import x509  # noqa: PLC0415

    certificate = x509.load_pem_x509_certificate(pem.encode())
    left = certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)
    assert left > dt.timedelta(days=364)


@pytest.mark.rule("config-11.3.injection")
@pytest.mark.parametrize("text", ["", "foreign"])
def test_a_corrupted_bundle_is_mended(desk: Desk, text: str) -> None:
    """Taken out, or replaced by a stranger's authority."""
    lab = desk.lab
    ours = authorities(lab)
    stranger = forge.answer(Question({}, DNS_NAME, time.time())).material.authorities
    bundle = encode_bundle(stranger) if text else ""
    hooks = lab.api.get(HOOKS)["webhooks"]
    for hook in hooks:
        hook["clientConfig"]["caBundle"] = bundle
    lab.api.merge(HOOKS, {"webhooks": hooks})
    config = {"clientConfig": {"caBundle": bundle or None}}
    lab.api.merge(DEFINITION, {"spec": {"conversion": {"webhook": config}}})
    lab.wait_for(lambda: all(ours <= found for found in trusted(lab)))
    webhooks.await_answered(lab.api, HOME, timeout_s=10)


@pytest.mark.rule("config-11.3.mode")
def test_only_webhooks(desk: Desk) -> None:
    """Wrong objects are refused, services are left alone, the ConfigurationState is kept."""
    lab = desk.lab
    with another_controller(lab, "--webhook-mode=onlywebhook"):
        desk.create("IPAddressPool", "a", addresses=["192.168.111.200/32"])
        desk.refused(lambda: desk.create("IPAddressPool", "b", addresses=["192.168.111.200/32"]))
        services = "/api/v1/namespaces/default/services"
        made = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "left-alone"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
        }
        lab.api.post(services, made)
        # A pool's counters would be written before any service is looked at.
        time.sleep(1.0)
        assert not lab.api.get(f"{services}/left-alone")["status"]["loadBalancer"]
        assert "status" not in lab.api.get(path("IPAddressPool", "a"))
    given = lab.wait_for(
        lambda: lab.api.get(f"{services}/left-alone")["status"]["loadBalancer"].get("ingress")
    )
    assert given[0]["ip"] == "192.168.111.200"
    lab.api.delete(f"{services}/left-alone")


@pytest.mark.rule("config-11.3.disabled-rotation")
def test_certificates_of_ones_own(desk: Desk, tmp_path: Path) -> None:
    """With rotation off, files are served and reloaded, and nobody touches secret or bundles."""
    lab = desk.lab
    made = forge.answer(Question({}, DNS_NAME, time.time()))
    _write_files(tmp_path, made.contents)
    before, was_trusted = contents(lab), authorities(lab)
    inject(lab, (*made.material.authorities, *was_trusted))
    args = ("--webhook-mode=enabled", "--disable-cert-rotation", f"--cert-dir={tmp_path}")
    with another_controller(lab, *args):
        first = shown(lab)
        assert first.strip() in made.contents[TLS_CERT].decode()
        inject(lab, made.material.authorities)
        later = forge.answer(Question(made.contents, DNS_NAME, time.time() + 300 * DAY_S))
        _write_files(tmp_path, later.contents)
        lab.wait_for(lambda: shown(lab) != first)
        assert contents(lab) == before
        assert trusted(lab) == [set(made.material.authorities)] * 7
    lab.wait_for(lambda: all(was_trusted <= found for found in trusted(lab)))


def _write_files(folder: Path, made: dict[str, bytes]) -> None:
    for key in ("tls.crt", "tls.key"):
        (folder / key).write_bytes(made[key])


# --- bad days ---------------------------------------------------------------------------------


def test_hostile_bodies_harm_nobody(desk: Desk) -> None:
    """Garbage, half bodies, 100 MB and a crowd: refused, and the API server is answered as ever."""
    lab = desk.lab
    process = lab.controller
    pid = process.pid
    resident = _resident_mib(pid)
    assert b" 400 " in send(lab, request(b"{"))
    assert b" 400 " in send(lab, request(b"[" * 100_000))
    assert b" 415 " in send(lab, request(b"{}", kind="text/plain"))
    assert b" 413 " in send(lab, request(b"{", length=100 * 1024 * 1024))
    send(lab, request(b"{" * (100 * 1024 * 1024)))
    send(lab, request(b"{", length=100), then_silent=True)
    send(lab, b"\x00" * 1000)
    with Asking(lab) as asking, ThreadPoolExecutor(16) as pool:
        many = [pool.submit(send, lab, request(b"{" * 500_000)) for _ in range(64)]
        assert all(b" 400 " in each.result() or b" 503 " in each.result() for each in many)
        lab.wait_for(lambda start=asking.count: asking.count > start + 3)
    assert asking.failures == []
    assert process.pid == pid
    assert process.is_alive()
    assert _resident_mib(pid) < resident + 60


def _resident_mib(pid: int) -> float:
    stat = read_stat(pid)
    assert stat is not None
    return stat.rss_bytes / (1 << 20)


def test_without_controller_the_policy_decides(desk: Desk) -> None:
    """Fail: nothing is stored that nobody looked at; a moment after its return all is well."""
    lab = desk.lab
    lab.controller.stop()
    try:
        with pytest.raises(ApiError) as caught:
            desk.create("Community", "c", communities=[])
        assert "failed calling webhook" in str(caught.value)
    finally:
        lab.controller.start()
    webhooks.await_answered(lab.api, HOME)
    desk.create("Community", "c", communities=[])


@pytest.mark.rule("config-11.3.mode")
def test_without_webhooks_the_last_good_configuration_stays(scene: Scene) -> None:
    """A wrong pool is stored; services keep their addresses, and ConfigurationState says why."""
    scene.pool(f"{scene.ip4()}/32")
    key = scene.service()
    scene.wait_addresses(key, [scene.ip4()])
    wrong = scene.pool("192.168.111.300/32", name=f"{scene.name}-wrong")
    scene.until(lambda: scene.state().get("result") == "Invalid")
    assert f"IPAddressPool {HOME}/{wrong}: spec.addresses[0]" in scene.state()["errorSummary"]
    assert scene.addresses(key) == [scene.ip4()]
