"""The controller against a real API server: who gets which address, and what is said about it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from lab import binaries
from lab.errors import ApiError
from tests.lab.scene import BOTH, HOME, service_path

if TYPE_CHECKING:
    from tests.lab.scene import Scene

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


@pytest.mark.rule("controller-6.5.source", "controller-6.5.allocated")
def test_a_service_gets_an_ipv4_address(scene: Scene) -> None:
    """Status, annotation and event tell the address and its pool."""
    pool = scene.pool()
    key = scene.service()
    scene.wait_addresses(key, [scene.ip4()])
    annotations = scene.get(key)["metadata"]["annotations"]
    assert annotations["metallb.io/ip-allocated-from-pool"] == pool
    scene.wait_event(key, "IPAllocated", about=scene.ip4())


def test_a_service_gets_an_ipv6_address(scene: Scene) -> None:
    """A service of family IPv6 gets an address from the pool's IPv6 range."""
    scene.pool(f"{scene.ip4()}/32", f"{scene.ip6()}/128")
    key = scene.service(ipFamilies=["IPv6"])
    scene.wait_addresses(key, [scene.ip6()])


def test_a_dual_stack_service_is_reached_over_both_families(scene: Scene, web: str) -> None:
    """The client on the LAN fetches the page over IPv4 and IPv6."""
    scene.pool(f"{scene.ip4()}/32", f"{scene.ip6()}/128")
    scene.advertise()
    key = scene.service(selector={"app": web}, **BOTH)
    scene.wait_addresses(key, [scene.ip4(), scene.ip6()])
    for host in (scene.ip4(), f"[{scene.ip6()}]"):
        answer = scene.lab.wait_for(lambda host=host: scene.lab.client.http_get(f"http://{host}/"))
        assert answer.json()["pod"].startswith(web)


@pytest.mark.parametrize("by", ["annotation", "field"])
def test_a_requested_address_is_given(scene: Scene, by: str) -> None:
    """Whoever asks for a free address of a pool gets that one, however it is asked for."""
    scene.pool(f"{scene.ip4()}-{scene.ip4(7)}")
    wanted = scene.ip4(5)
    if by == "annotation":
        key = scene.service(annotations={"metallb.io/loadBalancerIPs": wanted})
    else:
        key = scene.service(loadBalancerIP=wanted)
    scene.wait_addresses(key, [wanted])


def test_a_requested_pool_is_used(scene: Scene) -> None:
    """A pool that gives nothing by itself gives to who asks for it."""
    scene.pool()
    other = scene.pool(f"{scene.ip4(1)}/32", name=f"{scene.name}-other", autoAssign=False)
    key = scene.service(annotations={"metallb.io/address-pool": other})
    scene.wait_addresses(key, [scene.ip4(1)])


def test_services_with_one_sharing_key_share_an_address(scene: Scene) -> None:
    """Different ports share; the third service has a used port and is told so."""
    scene.pool()
    share = {"metallb.io/allow-shared-ip": "together"}
    first = scene.service("a", annotations=share)
    scene.wait_addresses(first, [scene.ip4()])
    second = scene.service("b", annotations=share, port=81)
    scene.wait_addresses(second, [scene.ip4()])
    asks = share | {"metallb.io/loadBalancerIPs": scene.ip4()}
    third = scene.service("c", annotations=asks, port=80)
    event = scene.wait_event(third, "AllocationFailed")
    assert "80" in event["message"]
    assert first in event["message"]
    assert scene.addresses(third) == []


def test_a_pool_may_be_pinned_to_namespaces(scene: Scene) -> None:
    """Only services of the named namespace get its addresses."""
    home = scene.namespace("in")
    scene.pool(serviceAllocation={"namespaces": [home]})
    outsider = scene.service("a")
    insider = scene.service("a", namespace=home)
    scene.wait_addresses(insider, [scene.ip4()])
    scene.wait_event(outsider, "AllocationFailed")
    assert scene.addresses(outsider) == []


@pytest.mark.rule("api-2.service-selectors")
def test_a_pool_may_be_pinned_to_service_labels(scene: Scene) -> None:
    """Only services with the label get its addresses."""
    selector = {"matchLabels": {"tier": scene.name}}
    scene.pool(serviceAllocation={"serviceSelectors": [selector]})
    outsider = scene.service("a")
    insider = scene.service("b", labels={"tier": scene.name})
    scene.wait_addresses(insider, [scene.ip4()])
    scene.wait_event(outsider, "AllocationFailed")
    assert scene.addresses(outsider) == []


def test_the_lower_priority_number_is_used_first(scene: Scene) -> None:
    """Of two pinned pools the one with the smaller number gives first, then the other."""
    pin = {"namespaces": ["default"]}
    scene.pool(f"{scene.ip4()}/32", name=f"{scene.name}-a", serviceAllocation=pin | {"priority": 9})
    scene.pool(
        f"{scene.ip4(1)}/32", name=f"{scene.name}-b", serviceAllocation=pin | {"priority": 1}
    )
    first = scene.service("a")
    scene.wait_addresses(first, [scene.ip4(1)])
    second = scene.service("b")
    scene.wait_addresses(second, [scene.ip4()])


@pytest.mark.parametrize("how", ["deletion", "type change"])
def test_a_freed_address_goes_to_who_waits(scene: Scene, how: str) -> None:
    """A service that waits gets the address once its holder is gone or wants none."""
    scene.pool()
    holder = scene.service("a")
    scene.wait_addresses(holder, [scene.ip4()])
    waiting = scene.service("b")
    scene.wait_event(waiting, "AllocationFailed")
    if how == "deletion":
        scene.delete(holder)
    else:
        scene.patch(holder, {"spec": {"type": "ClusterIP"}})
    scene.wait_addresses(waiting, [scene.ip4()])
    if how == "type change":
        scene.until(lambda: scene.addresses(holder) == [])
        annotations = scene.get(holder)["metadata"].get("annotations", {})
        assert "metallb.io/ip-allocated-from-pool" not in annotations


def test_a_pending_service_is_told_why_and_a_new_range_helps(scene: Scene) -> None:
    """The event names the full pool; adding a range gives the address at once."""
    pool = scene.pool()
    scene.wait_addresses(scene.service("a"), [scene.ip4()])
    waiting = scene.service("b")
    event = scene.wait_event(waiting, "AllocationFailed")
    assert event["type"] == "Warning"
    assert event["message"].startswith(f'Failed to allocate IP for "{waiting}": ')
    assert "no available IPs" in event["message"]
    scene.set_pool(pool, f"{scene.ip4()}/32", f"{scene.ip4(3)}/32")
    scene.wait_addresses(waiting, [scene.ip4(3)])


def test_a_restart_swaps_no_address(scene: Scene) -> None:
    """Services keep what they have, in whatever order they are seen, and one that waits waits."""
    scene.pool(f"{scene.ip4()}-{scene.ip4(4)}")
    keys = [scene.service(f"s{number}") for number in range(5)]
    before = {key: scene.wait_addresses(key) for key in keys}
    controller = scene.lab.controller
    controller.kill()
    scene.delete(keys[1])
    late = scene.service("late")
    early = scene.service("a-first", annotations={"metallb.io/loadBalancerIPs": before[keys[3]][0]})
    controller.start()
    scene.wait_addresses(late, before[keys[1]])
    scene.wait_event(early, "AllocationFailed")
    kept = [key for key in keys if key != keys[1]]
    assert {key: scene.addresses(key) for key in kept} == {key: before[key] for key in kept}


@pytest.mark.rule("api-8.1.writer")
def test_a_pool_counts_its_addresses(scene: Scene) -> None:
    """IPAddressPool.status says how many are given and free, by family."""
    pool = scene.pool(f"{scene.ip4()}-{scene.ip4(3)}", f"{scene.ip6()}-{scene.ip6(1)}")
    key = scene.service(**BOTH)
    scene.wait_addresses(key)
    told = {"assignedIPv4": 1, "assignedIPv6": 1, "availableIPv4": 3, "availableIPv6": 1}
    scene.until(lambda: scene.pool_status(pool) == told)
    scene.delete(key)
    freed = {"assignedIPv4": 0, "assignedIPv6": 0, "availableIPv4": 4, "availableIPv6": 2}
    scene.until(lambda: scene.pool_status(pool) == freed)


@pytest.mark.rule("api-8.4.controller-object", "api-8.4.speaker-object", "api-8.4.start")
def test_the_configuration_state_is_valid(scene: Scene) -> None:
    """A configuration that was accepted is called Valid, by the controller and each speaker."""
    scene.pool()
    for name in ("controller", "speaker-n1", "speaker-n2", "speaker-n3"):
        scene.until(lambda name=name: scene.state(name).get("result") == "Valid", name)


@pytest.mark.rule("controller-3.metrics")
def test_metrics_want_an_allowed_token(scene: Scene) -> None:
    """Nobody: 401; somebody without the right: 403; an allowed service account: the figures."""
    pool = scene.pool()
    scene.wait_addresses(scene.service())
    allowed, stranger = f"{scene.name}-reader", f"{scene.name}-stranger"
    for name in (allowed, stranger):
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        scene.create("/api/v1/namespaces/default/serviceaccounts", account)
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    version = "rbac.authorization.k8s.io/v1"
    rule = {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}
    role = {"kind": "ClusterRole", "metadata": {"name": allowed}, "rules": [rule]}
    scene.create(f"{rbac}/clusterroles", {"apiVersion": version, **role})
    binding = {
        "apiVersion": version,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": allowed},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": allowed,
        },
        "subjects": [{"kind": "ServiceAccount", "name": allowed, "namespace": "default"}],
    }
    scene.create(f"{rbac}/clusterrolebindings", binding)
    cp = scene.lab.control_plane
    url = f"https://{cp.ipv4}:9120/metrics"
    assert scene.lab.wait_for(lambda: cp.http_get(url)).status == 401
    assert cp.http_get(url, headers=_bearer(scene, stranger)).status == 403
    headers = _bearer(scene, allowed)
    answer = scene.lab.wait_for(lambda: _if_ok(cp.http_get(url, headers=headers)))
    assert f'metallb_allocator_addresses_in_use_total{{pool="{pool}"}} 1' in answer.text
    speaker = f"https://{scene.lab.nodes['n1'].ipv4}:9120/metrics"
    node = scene.lab.nodes["n1"]
    assert scene.lab.wait_for(lambda: node.http_get(speaker)).status == 401
    assert node.http_get(speaker, headers=headers).status == 200


def _bearer(scene: Scene, account: str) -> dict[str, str]:
    token = scene.lab.kubectl("create", "token", account).strip()
    return {"Authorization": f"Bearer {token}"}


def _if_ok(answer: Any) -> Any:
    return answer if answer.status == 200 else None


@pytest.mark.rule("controller-3.probes", "controller-3.ready")
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_told(scene: Scene, path: str) -> None:
    """The controller and a speaker say that they are well; a speaker says so on its node only."""
    lab = scene.lab
    cp, node = lab.control_plane, lab.nodes["n2"]
    assert lab.wait_for(lambda: _if_ok(cp.http_get(f"http://{cp.ipv4}:17472{path}"))).text == "ok"
    assert lab.wait_for(lambda: _if_ok(node.http_get(f"http://127.0.0.1:17472{path}")))
    with pytest.raises(OSError, match="refused"):
        lab.client.http_get(f"http://{node.ipv4}:17472{path}")


def test_a_service_of_another_class_is_left_alone(scene: Scene) -> None:
    """With no class given, only services without a class get addresses."""
    scene.pool(f"{scene.ip4()}-{scene.ip4(1)}")
    other = scene.service("other", loadBalancerClass="example.com/other")
    own = scene.service("own")
    scene.wait_addresses(own, [scene.ip4()])
    assert scene.addresses(other) == []
    assert scene.events(other) == []


@pytest.mark.rule(
    "controller-8.created", "controller-8.owner", "controller-8.kept", "controller-8.lookup"
)
@pytest.mark.rule("api-10.secret-memberlist")
def test_the_membership_secret_is_made_when_missing(scene: Scene) -> None:
    """A start creates it with 128 random bits and leaves it alone when it is there."""
    lab = scene.lab
    path = f"/api/v1/namespaces/{HOME}/secrets/metallb-memberlist"
    lab.api.delete(path)
    lab.controller.restart()
    made = lab.wait_for(lambda: _found(scene, path))
    assert len(made["data"]["secretkey"]) == 32
    assert made["metadata"]["ownerReferences"][0]["kind"] == "Deployment"
    lab.controller.restart()
    scene.pool()
    scene.wait_addresses(scene.service())
    assert _found(scene, path) == made


def _found(scene: Scene, path: str) -> Any:
    try:
        return scene.lab.api.get(path)
    except ApiError:
        return None


@pytest.mark.parametrize("program", ["mercurylb-controller", "mercurylb-speaker"])
@pytest.mark.parametrize(
    ("word", "code", "told"),
    [
        ("--help", 0, "--lb-class"),
        ("--no-such-flag", 2, "no-such-flag"),
        ("--port=http", 2, "port"),
        ("--log-level=loud", 1, "failed to initialize logging: "),
    ],
)
def test_flags_end_with_the_originals_codes(program: str, word: str, code: int, told: str) -> None:
    """Help ends with 0, a mistake with 2, and says which flag it is about."""
    argv = [binaries.own(program), word]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == code
    assert told in done.stdout + done.stderr


def test_a_status_changed_by_hand_is_put_right(scene: Scene) -> None:
    """Somebody who writes another address into the status does not move the service."""
    scene.pool(f"{scene.ip4()}-{scene.ip4(3)}")
    key = scene.service()
    scene.wait_addresses(key, [scene.ip4()])
    wrong = {"status": {"loadBalancer": {"ingress": [{"ip": scene.ip4(3)}]}}}
    scene.lab.api.merge(f"{service_path(key)}/status", wrong)
    scene.wait_addresses(key, [scene.ip4()])
