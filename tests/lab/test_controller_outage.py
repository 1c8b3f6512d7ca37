"""A real API server that goes away and comes back: what waits is served at once, nothing moves."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from lab.errors import ApiError
from tests.lab.replicas import Ledger, has_said, small_lab
from tests.lab.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.light import LightLab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(150)]
RETURN_S = 2.0
"""What a new service may wait after the return of the API server."""


@pytest.fixture(scope="module")
def outage_lab() -> Iterator[LightLab]:
    """Bring up a lab whose API server is ours to stop."""
    if os.geteuid() != 0:
        pytest.skip("a lab needs root: it makes network namespaces")
    with small_lab(f"away{os.getpid()}") as lab:
        yield lab


@pytest.fixture
def scene(outage_lab: LightLab) -> Iterator[Scene]:
    """Give a test its own names on the shared lab, with a pool for many."""
    made = Scene(outage_lab)
    made.pool("10.200.0.0/16")
    yield made
    server = outage_lab.process("kube-apiserver")
    server.cont()
    if not server.is_alive():
        server.start()
    outage_lab.wait_for(outage_lab.api.is_ready, timeout_s=30)
    made.close()


def stay_away(scene: Scene, seconds: float, *, how: str = "stop") -> None:
    """Take the API server away for a time."""
    server = scene.lab.process("kube-apiserver")
    if how == "stop":
        server.stop()
    else:
        server.kill()
    end = time.monotonic() + seconds
    scene.until(lambda: time.monotonic() >= end, "the outage", seconds + 5)
    server.start()


def first_service(scene: Scene, name: str) -> str:
    """Create a service as soon as the API server takes it."""

    def create() -> str:
        try:
            return scene.service(name)
        except (ApiError, OSError):
            return ""

    return str(scene.lab.wait_for(create, timeout_s=30.0, what="the API server takes a service"))


def told_once(scene: Scene, key: str) -> bool:
    """Tell whether the address was told by one event, once."""
    return [event["count"] for event in scene.events(key, "IPAllocated")] == [1]


def waited_s(scene: Scene, key: str) -> float:
    """Wait for an address and give how long it took from now."""
    begin = time.monotonic()
    scene.wait_addresses(key, timeout_s=10.0)
    return time.monotonic() - begin


@pytest.mark.parametrize(
    ("seconds", "how"),
    [
        pytest.param(31.0, "kill", id="31 s"),
        pytest.param(0.0, "kill", id="killed and started at once"),
        pytest.param(1.0, "stop", id="restarted in good order"),
    ],
)
def test_a_new_service_is_served_at_once_when_the_server_is_back(
    scene: Scene, seconds: float, how: str
) -> None:
    """However long it was away: an address within two seconds, nothing moved, told once."""
    ledger = Ledger(scene)
    keys = [scene.service(f"b{number}") for number in range(10)]
    scene.until(lambda: len(ledger.look()) == len(keys))
    stay_away(scene, seconds, how=how)
    key = first_service(scene, "late")
    assert waited_s(scene, key) < RETURN_S
    assert len(ledger.look()) == len(keys) + 1
    for each in [*keys, key]:
        scene.until(lambda each=each: told_once(scene, each), f"{each} is told once")


def test_many_short_outages_in_a_row(scene: Scene) -> None:
    """Writes that broke off are done again, and none is done twice to anybody's harm."""
    ledger = Ledger(scene)
    waits = []
    keys: list[str] = []
    for round_ in range(3):
        keys += [scene.service(f"r{round_}-{number}") for number in range(15)]
        # Right in the middle of the controller's writes.
        stay_away(scene, 0.5 * round_, how="kill")
        keys.append(first_service(scene, f"late{round_}"))
        waits.append(waited_s(scene, keys[-1]))
        ledger.look()
    scene.until(lambda: len(ledger.look()) == len(keys), "all have one")
    assert max(waits) < RETURN_S
    for key in keys:
        scene.until(lambda key=key: told_once(scene, key), f"{key} is told once")


def test_a_frozen_api_server(scene: Scene) -> None:
    """A server that takes connections and says nothing for 8 s is waited for; then all goes on."""
    ledger = Ledger(scene)
    scene.wait_addresses(scene.service("before"))
    server = scene.lab.process("kube-apiserver")
    server.pause()
    end = time.monotonic() + 8.0
    scene.until(lambda: time.monotonic() >= end, "the freeze", 20.0)
    server.cont()
    key = first_service(scene, "late")
    assert waited_s(scene, key) < RETURN_S
    assert len(ledger.look()) == 2


@pytest.mark.rule("controller-2.no-api")
def test_a_start_without_an_api_server_waits_for_it(scene: Scene) -> None:
    """A controller that starts while the server is away lives, and serves when it is back.

    The kubelet is told meanwhile that it lives and is not ready, so nobody starts it again.
    """
    lab = scene.lab
    kept = scene.service("kept")
    before = scene.wait_addresses(kept)
    lab.controller.kill()
    server = lab.process("kube-apiserver")
    server.kill()
    known = len(lab.controller.log())
    lab.controller.start()
    scene.until(lambda: has_said(lab.controller, "kube.waits_for_api", known))
    host = lab.control_plane
    probes = [host.http_get(f"http://{host.ipv4}:17472/{path}") for path in ("healthz", "readyz")]
    assert [probe.status for probe in probes] == [200, 503]
    server.start()
    key = first_service(scene, "late")
    # It has its pod, its lease and its caches still to get.
    assert waited_s(scene, key) < RETURN_S + 1.0
    assert scene.addresses(kept) == before
    assert lab.controller.is_alive()
