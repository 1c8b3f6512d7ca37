"""What a trial may do to speakers and nodes, on either profile of the lab.

In the light profile the lab starts a speaker again itself; in the full one the kubelet does, and a
rolling update is the DaemonSet's.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Final, Protocol, cast

from lab import parts
from lab.errors import LabError, ProcessError

if TYPE_CHECKING:
    from lab.cluster import Lab
    from lab.full import FullLab
    from lab.light import LightLab
    from lab.parts import Parts

NAMESPACE: Final = "metallb"
DAEMON_SET: Final = "metallb-speaker"
_SPEAKERS: Final = "app.kubernetes.io/component=speaker"
_READY_S: Final = 150.0
"""A node boots its kubelet, containerd and pods in half a minute on a quiet machine."""
BOOT_S: Final = 1.0
"""Between a light node's return to the LAN and the start of its speaker."""


class Control(Protocol):
    """The verbs of a trial that differ between the profiles."""

    def parts(self, node: str) -> Parts:
        """Return the processes of a node's speaker."""

    def kill(self, node: str) -> None:
        """Kill a whole speaker."""

    def stop(self, node: str) -> None:
        """End a speaker as Kubernetes does; return when it is gone."""

    def start(self, node: str) -> None:
        """See to it that a speaker runs and is ready."""

    def roll(self) -> None:
        """Replace all speakers one by one; return when the last one is ready."""

    def power_off(self, node: str) -> None:
        """Pull a node's plug."""

    def power_on(self, node: str) -> None:
        """Plug a node in; return when its speaker is ready."""


class LightControl:
    """Speakers that are processes of the lab."""

    def __init__(self, lab: LightLab) -> None:
        self._lab = lab

    def parts(self, node: str) -> Parts:
        """Return the processes of a node's speaker."""
        return parts.of_process(self._lab.speaker(node))

    def kill(self, node: str) -> None:
        """Kill announcer and brain."""
        self._lab.speaker(node).kill(family=True)

    def stop(self, node: str) -> None:
        """Send SIGTERM and wait."""
        self._lab.speaker(node).stop(15.0)

    def start(self, node: str) -> None:
        """Start the speaker if it does not run, and what is left of it is ended."""
        speaker = self._lab.speaker(node)
        if not speaker.is_alive():
            speaker.kill(family=True)
            speaker.start()
        self._lab.await_speaker(node)

    def roll(self) -> None:
        """Restart each speaker."""
        self._lab.roll_speakers()

    def power_off(self, node: str) -> None:
        """End all that runs on the node."""
        self._lab.power.off(node)

    def power_on(self, node: str) -> None:
        """Start it again, the speaker last."""
        self._lab.power.on(node, without=self._lab.speaker(node).name)
        time.sleep(BOOT_S)
        self.start(node)


class FullControl:
    """Speakers that are pods of a DaemonSet."""

    def __init__(self, lab: FullLab) -> None:
        self._lab = lab

    def parts(self, node: str) -> Parts:
        """Return the processes of a node's speaker."""
        return parts.of_node(self._lab.nodes[node].namespace)

    def kill(self, node: str) -> None:
        """Kill announcer and brain; the kubelet starts the container again."""
        found = self.parts(node)
        parts.send(found, parts.ANNOUNCER, signal.SIGKILL)

    def stop(self, node: str) -> None:
        """Delete the pod; the DaemonSet makes another one."""
        field = f"--field-selector=spec.nodeName={node}"
        words = ("-n", NAMESPACE, "delete", "pod", "-l", _SPEAKERS, field, "--wait")
        self._lab.kubectl(*words, timeout_s=_READY_S)

    def start(self, node: str) -> None:
        """Wait until a ready speaker is there again."""
        self._lab.wait_for(
            lambda: self._is_ready(node), timeout_s=_READY_S, what=f"speaker of {node} ready"
        )

    def roll(self) -> None:
        """Restart the DaemonSet's pods."""
        target = f"daemonset/{DAEMON_SET}"
        self._lab.kubectl("-n", NAMESPACE, "rollout", "restart", target)
        status = ("-n", NAMESPACE, "rollout", "status", target, "--timeout", "120s")
        self._lab.kubectl(*status, timeout_s=150.0)

    def power_off(self, node: str) -> None:
        """Pull the plug; the network stack that lives on is cut off."""
        self._lab.faults.cut(node)
        self._lab.power.power_off(node)

    def power_on(self, node: str) -> None:
        """Boot the node from its disk."""
        self._lab.faults.heal(node)
        self._lab.power.power_on(node)
        self.start(node)

    def _is_ready(self, node: str) -> bool:
        """Tell whether the processes run; the API may still show the state before a power cut."""
        try:
            self.parts(node)
        except (ProcessError, OSError):
            return False
        items = self._lab.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
        return any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for item in items
            if item["spec"].get("nodeName") == node and "-speaker-" in item["metadata"]["name"]
            for condition in item.get("status", {}).get("conditions", ())
        )


def control_of(lab: Lab) -> Control:
    """Return the verbs for a lab."""
    if lab.site.settings.profile == "light":
        return LightControl(cast("LightLab", lab))
    if lab.site.settings.profile == "full":
        return FullControl(cast("FullLab", lab))
    raise LabError(f"profile {lab.site.settings.profile!r} has no speakers")
