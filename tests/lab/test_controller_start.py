"""How a controller starts, in which modes, and with what it ends (spec: controller §2 and §3)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from lab.errors import ApiError
from tests.lab.replicas import has_said, lines, small_lab
from tests.lab.scene import HOME, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.light import LightLab
    from lab.process import Process

pytestmark = [pytest.mark.lab, pytest.mark.timeout(90)]
STATE = f"/apis/metallb.io/v1beta1/namespaces/{HOME}/configurationstates/controller"


@pytest.fixture(scope="module")
def start_lab() -> Iterator[LightLab]:
    """Bring up a lab with one controller."""
    if os.geteuid() != 0:
        pytest.skip("a lab needs root: it makes network namespaces")
    with small_lab(f"start{os.getpid()}") as lab:
        yield lab


@pytest.fixture
def scene(start_lab: LightLab) -> Iterator[Scene]:
    """Give a test its own names on the shared lab."""
    if not start_lab.controller.is_alive():
        start_lab.controller.start()
    made = Scene(start_lab)
    yield made
    made.close()


def ended(process: Process, code: int) -> str:
    """Wait until a program has ended with a code; give what it said."""
    assert process.wait(20.0), process.log()
    assert process.exit_status == code, process.log()
    said = process.log()
    process.discard()
    return said


@pytest.mark.parametrize(
    ("args", "environ", "told"),
    [
        pytest.param(
            (),
            {"METALLB_POD_NAME": "nobody"},
            "nobody",
            id="own pod does not exist",
            marks=pytest.mark.rule("controller-2.own-pod"),
        ),
        pytest.param(
            (),
            {"METALLB_POD_NAME": ""},
            "METALLB_POD_NAME",
            id="own pod is not named",
            marks=pytest.mark.rule("controller-2.own-pod"),
        ),
        pytest.param(
            (),
            {"METALLB_NAMESPACE": ""},
            "METALLB_NAMESPACE",
            id="namespace is not known",
            marks=pytest.mark.rule("controller-2.namespace"),
        ),
        pytest.param(
            ("--tls-min-version=SSLv3",),
            {},
            "SSLv3",
            id="TLS version",
            marks=pytest.mark.rule("controller-2.tls"),
        ),
        pytest.param(
            ("--tls-curve-preferences=X25519",),
            {},
            "X25519",
            id="TLS curve by name",
            marks=pytest.mark.rule("controller-2.tls"),
        ),
        pytest.param(
            (),
            {"METALLB_ML_SECRET_NAME": "metallb-memberlist", "METALLB_DEPLOYMENT": "nothing"},
            "nothing",
            id="secret cannot be made",
            marks=pytest.mark.rule("controller-2.secret"),
        ),
        pytest.param(
            ("--webhook-mode=often",),
            {},
            "webhook-mode",
            id="webhook mode",
            marks=pytest.mark.rule("controller-2.webhook-mode"),
        ),
    ],
)
def test_a_start_that_fails_ends_with_one(
    scene: Scene, args: tuple[str, ...], environ: dict[str, str], told: str
) -> None:
    """It says what is missing, and the kubelet starts it again."""
    if "METALLB_ML_SECRET_NAME" in environ:
        scene.lab.api.delete(f"/api/v1/namespaces/{HOME}/secrets/metallb-memberlist")
    process = scene.lab.add_controller(2, *args, **environ)
    assert told in ended(process, 1)


@pytest.mark.rule("controller-2.version", "controller-2.stop")
def test_the_first_line_tells_the_version_and_a_signal_ends_with_zero(scene: Scene) -> None:
    """What a log begins and ends with."""
    process = scene.lab.add_controller(3)
    scene.until(lambda: has_said(process, "kube.lease_awaited"))
    process.stop()
    said = ended(process, 0)
    assert '"controller.starting"' in said.splitlines()[0]
    assert '"version"' in said.splitlines()[0]


@pytest.mark.rule("controller-9.frr")
def test_the_frr_backend_is_called_deprecated(scene: Scene) -> None:
    """One warning at the start."""
    process = scene.lab.add_controller(4, METALLB_BGP_TYPE="frr")
    scene.until(lambda: has_said(process, "controller.backend_deprecated"))
    process.stop()
    process.discard()


@pytest.mark.rule("controller-1.watches")
def test_a_pool_of_another_namespace_is_none(scene: Scene) -> None:
    """Pools count in the own namespace only, services and namespaces everywhere."""
    scene.create(
        "/apis/metallb.io/v1beta1/namespaces/default/ipaddresspools",
        {
            "apiVersion": "metallb.io/v1beta1",
            "kind": "IPAddressPool",
            "metadata": {"name": f"{scene.name}-astray"},
            "spec": {"addresses": ["10.203.0.0/24"]},
        },
    )
    home = scene.namespace("far")
    key = scene.service("a", namespace=home)
    scene.pool("10.204.0.1/32")
    scene.wait_addresses(key, ["10.204.0.1"])
    other = scene.service("b", namespace=home)
    scene.wait_event(other, "AllocationFailed")
    assert scene.addresses(other) == []


@pytest.mark.rule("controller-7.namespace")
def test_a_relabelled_namespace_is_noticed(scene: Scene) -> None:
    """A pool for labelled namespaces serves those that get the label, until they lose it."""
    scene.namespace("always", {"tier": scene.name})
    scene.pool(
        "10.205.0.1/32",
        serviceAllocation={"namespaceSelectors": [{"matchLabels": {"tier": scene.name}}]},
    )
    home = scene.namespace("home")
    key = scene.service("a", namespace=home)
    scene.wait_event(key, "AllocationFailed")
    scene.lab.api.merge(
        f"/api/v1/namespaces/{home}", {"metadata": {"labels": {"tier": scene.name}}}
    )
    scene.wait_addresses(key, ["10.205.0.1"])
    scene.lab.api.merge(f"/api/v1/namespaces/{home}", {"metadata": {"labels": {"tier": None}}})
    scene.wait_addresses(key, [])


def state(scene: Scene) -> Any:
    """Give the controller's ConfigurationState, if it is there."""
    try:
        return scene.lab.api.get(STATE)
    except ApiError:
        return None


def test_a_deleted_state_comes_back_as_it_was(scene: Scene) -> None:
    """An Invalid verdict is told again, with label, owner and time of the last change."""
    bad = scene.pool("10.206.0.0/24", name=f"{scene.name}-bad")
    scene.set_pool(bad, "10.206.0.0/99")
    scene.until(lambda: scene.state().get("result") == "Invalid")
    before = state(scene)
    scene.lab.api.delete(STATE)
    scene.until(lambda: state(scene) and scene.state().get("result") == "Invalid")
    after = state(scene)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    owners = after["metadata"]["ownerReferences"]
    assert [owner["kind"] for owner in owners] == ["Pod"]
    assert after["status"]["errorSummary"] == before["status"]["errorSummary"]
    scene.set_pool(bad, "10.206.0.0/24")
    scene.until(lambda: scene.state().get("result") == "Valid")


def test_a_restart_writes_nothing_that_is_true_already(scene: Scene) -> None:
    """State, pool and service keep their versions when the controller starts again."""
    pool = scene.pool("10.207.0.1/32")
    key = scene.service()
    scene.wait_addresses(key)
    counted = {"assignedIPv4": 1, "assignedIPv6": 0, "availableIPv4": 0, "availableIPv6": 0}
    scene.until(lambda: scene.pool_status(pool) == counted)
    scene.until(lambda: scene.state().get("result") == "Valid")
    path = f"/apis/metallb.io/v1beta1/namespaces/{HOME}/ipaddresspools/{pool}"

    def versions() -> list[str]:
        found = [state(scene), scene.get(key), scene.lab.api.get(path)]
        return [each["metadata"]["resourceVersion"] for each in found]

    before = versions()
    controller = scene.lab.controller
    count = len(lines(controller, "config.loaded"))
    controller.restart()
    scene.until(lambda: len(lines(controller, "config.loaded")) > count)
    later = scene.service("later")
    scene.wait_event(later, "AllocationFailed")
    assert versions() == before


@pytest.mark.rule("controller-3.onlywebhook", "controller-1.reconcilers")
def test_who_only_serves_webhooks_touches_no_service(scene: Scene) -> None:
    """Without the other controller nobody gets an address, and the state is kept all the same."""
    lab = scene.lab
    lab.controller.stop()
    scene.pool("10.208.0.1/32")
    key = scene.service()
    lab.api.delete(STATE)
    process = lab.add_controller(
        5, "--webhook-mode=onlywebhook", "--disable-cert-rotation", "--cert-dir=/nowhere"
    )
    scene.until(lambda: state(scene) is not None, "the state is made", 15.0)
    scene.until(lambda: scene.state().get("result") == "Unknown")
    assert scene.addresses(key) == []
    assert scene.events(key) == []
    lab.controller.start()
    scene.wait_addresses(key, ["10.208.0.1"])
    scene.until(lambda: scene.state().get("result") == "Valid")
    process.stop()
    process.discard()


@pytest.mark.rule("controller-3.disabled")
def test_without_webhooks_nobody_listens(scene: Scene) -> None:
    """Mode disabled: neither validation nor conversion is served."""
    cp = scene.lab.control_plane
    with pytest.raises(OSError, match="refused"):
        cp.http_get(f"https://{cp.ipv4}:9443/convert")
