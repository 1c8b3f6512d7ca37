"""Shadow mode beside programs that are in charge: it tells what would differ, and does nothing.

The shadows run in pods without the host's network, as the chart has them, under an identity of
their own that may do everything: what they ask of the API server is audited, and what leaves their
pod is captured. In charge are our own programs, of which one stops and one is told otherwise.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

import pytest

from lab import binaries, controlplane, webhooks
from tests.lab.scene import HOME, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.light import LightLab
    from lab.process import Process
    from tests.lab.conftest import WebhookLab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(240),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

SHADOW: Final = "shadow"
"""Its name as a user."""
NODES: Final = ("n1", "n2")
EXCLUDED: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
PATIENCE_S: Final = 60.0
ASKING: Final = {"get", "list", "watch"}


@pytest.fixture
def scene(webhook_lab: WebhookLab) -> Iterator[Scene]:
    """Give names of the test's own; afterwards those in charge are as before."""
    lab = webhook_lab.lab
    made = Scene(lab)
    yield made
    exclude(lab, is_excluded=False)
    if not lab.controller.is_alive():
        lab.controller.start()
        webhooks.await_answered(lab.api, HOME)
    made.close()


def exclude(lab: LightLab, *, is_excluded: bool) -> None:
    """Have n1 bear the label that keeps load balancers away, or not."""
    labels = {EXCLUDED: "" if is_excluded else None}
    lab.api.merge("/api/v1/nodes/n1", {"metadata": {"labels": labels}})


def start_shadow(lab: LightLab, program: str, *flags: str) -> Process:
    """Run a program of ours as a shadow, in a pod on n1."""
    name = f"{SHADOW}-{program}"
    placed = lab.pods.place(name, lab.site.plan.node("n1"))
    config = controlplane.add_identity(lab.site, SHADOW, SHADOW, ("system:masters",))
    env = {
        "KUBECONFIG": str(config),
        "METALLB_NAMESPACE": HOME,
        "METALLB_NODE_NAME": "n1",
        "METALLB_ML_LABELS": "app.kubernetes.io/name=metallb,app.kubernetes.io/component=speaker",
    }
    argv = [binaries.own(f"mercurylb-{program}"), "--shadow", "--webhook-mode=disabled", *flags]
    if program == "speaker":
        argv.remove("--webhook-mode=disabled")
    return lab.site.start(name, placed.host, argv, env=env)


def remove_shadow(lab: LightLab, program: str) -> None:
    """End a shadow and its pod, which has no object."""
    name = f"{SHADOW}-{program}"
    process = lab.site.processes.get(name)
    if process is not None:
        process.stop()
    lab.site.start(f"pod-{name}", f"pod-{name}", ["true"])
    lab.pods.remove(name)


def told(process: Process, event: str) -> list[dict[str, Any]]:
    """Give the lines of one event."""
    return [line for line in process.lines() if line["event"] == event]


def brief(line: dict[str, Any]) -> tuple[str, str, str, str]:
    """Give what a difference is."""
    return line["subject"], line["aspect"], line["ours"], line["theirs"]


@pytest.fixture
def shadows(webhook_lab: WebhookLab, scene: Scene) -> Iterator[dict[str, Process]]:
    """Run both programs as shadows, once those in charge have settled."""
    lab = webhook_lab.lab
    addresses = [scene.ip4(offset) for offset in range(8)]
    scene.pool(f"{addresses[0]}-{addresses[-1]}")
    scene.advertise()
    scene.web("n1", scene.name)
    for node in NODES:
        ip = next(ip for ip in addresses if scene.ranking(ip, NODES)[0] == node)
        asks = {"metallb.io/loadBalancerIPs": ip}
        key = scene.service(node, selector={"app": scene.name}, annotations=asks)
        scene.until(
            lambda key=key, node=node: [s["node"] for s in scene.l2_status(key)] == [node],  # type: ignore[misc]
            f"{key} is announced by {node}",
            PATIENCE_S,
        )
    started = {}
    try:
        started["controller"] = start_shadow(lab, "controller")
        started["speaker"] = start_shadow(lab, "speaker", "--ignore-exclude-lb")
        for program, process in started.items():
            scene.until(
                lambda program=program, process=process: told(  # type: ignore[misc]
                    process, f"{program}.caches_filled"
                ),
                f"the {program}'s shadow watches",
                PATIENCE_S,
            )
        yield started
    finally:
        for program in started:
            remove_shadow(lab, program)


def test_a_shadow_tells_each_difference_once_and_does_nothing(
    webhook_lab: WebhookLab, scene: Scene, shadows: dict[str, Process]
) -> None:
    """What would be done differently is one line, and one when it is over; nothing else is done."""
    lab = webhook_lab.lab
    controller, speaker = shadows["controller"], shadows["speaker"]
    with lab.observe.capture(host="pod-shadow-speaker") as capture:
        # The shadow's speaker does not heed the label, those in charge do.
        exclude(lab, is_excluded=True)
        lab.controller.stop()
        waiting = scene.service("late", selector={"app": scene.name})
        scene.until(lambda: told(speaker, "shadow.differs"), "the speaker's", PATIENCE_S)
        scene.until(lambda: told(controller, "shadow.differs"), "the controller's", PATIENCE_S)
        first = f"default/{scene.name}-n1"
        assert [brief(line) for line in told(speaker, "shadow.differs")] == [
            (first, "layer2", "n1", "n2")
        ]
        (found,) = told(controller, "shadow.differs")
        assert brief(found)[:2] == (waiting, "addresses")
        assert found["theirs"] == "nothing"
        assert scene.addresses(waiting) == [], "a shadow gives nothing"
        assert scene.who(scene.addresses(first)[0]) == ["n2"], "a shadow answers for nothing"

        lab.controller.start()
        webhooks.await_answered(lab.api, HOME)
        scene.wait_addresses(waiting, timeout_s=PATIENCE_S)
        exclude(lab, is_excluded=False)
        for process in shadows.values():
            scene.until(
                lambda process=process: told(process, "shadow.agrees"),  # type: ignore[misc]
                "it is over",
                PATIENCE_S,
            )
        for process in shadows.values():
            lines = [brief(line) for line in told(process, "shadow.differs")]
            assert len(lines) == len(set(lines)), "each difference is told once"
        frames = capture.lines()
    entries = map(json.loads, webhook_lab.audit_log.read_text().splitlines())
    verbs = {entry["verb"] for entry in entries if entry["user"]["username"] == SHADOW}
    assert verbs
    assert verbs <= ASKING, "a shadow only asks"
    server = lab.site.plan.control_plane.ipv4
    strays = [
        frame
        for frame in frames
        if frame["dir"] == "out"
        and not (frame["kind"] == "tcp" and frame["dst"] == server)
        and not is_kernels(frame)
    ]
    assert any(frame["kind"] == "tcp" for frame in frames), "the capture saw its requests"
    assert strays == [], "a shadow sends nothing but requests to the API server"


def is_kernels(frame: dict[str, Any]) -> bool:
    """Tell whether the pod's kernel sent a frame by itself: for its gateway, or MLD's reports."""
    if frame["kind"] == "arp":
        return not str(frame["target_ip"]).startswith("192.168.111.")
    return frame["kind"] in {"icmp6", "ndp", "ipv6/0"} and "fd00:111::5:" not in json.dumps(frame)
