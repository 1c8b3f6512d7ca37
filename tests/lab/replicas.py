"""Controllers beside the lab's own, and what two of them leave behind."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from lab import Lab
from tests.lab.scene import HOME, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.light import LightLab
    from lab.process import Process

LEASE: Final = f"/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases/mercurylb-controller"
LEASE_S: Final = 6.0
ARGS: Final = ("--webhook-mode=disabled", "--port=0")


@contextmanager
def small_lab(name: str, *args: str) -> Iterator[LightLab]:
    """Bring up a control plane and a controller, and nothing else."""
    with Lab.light(
        name=name, nodes=1, speaker="", proxy_mode="none", controller_args=(*ARGS, *args)
    ) as lab:
        yield lab


def has_said(process: Process, event: str, since: int = 0) -> bool:
    """Tell whether a program logged an event, after so many characters of its log."""
    return f'"{event}"' in process.log()[since:]


def lines(process: Process, event: str) -> list[dict[str, Any]]:
    """Give all lines of one event."""
    return [json.loads(line) for line in process.log().splitlines() if f'"{event}"' in line]


def holder(lab: LightLab) -> str:
    """Give the pod that holds the lease."""
    spec = lab.api.get(LEASE)["spec"]
    return str(spec.get("holderIdentity", "")).partition("_")[0]


class Ledger:
    """Who was ever seen with which addresses."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.seen: dict[str, tuple[str, ...]] = {}
        self.versions: dict[str, str] = {}

    def look(self) -> dict[str, tuple[str, ...]]:
        """Read all services; nobody may have another address than before, or another's."""
        items = self._scene.lab.api.get("/api/v1/namespaces/default/services")["items"]
        held: dict[str, str] = {}
        found: dict[str, tuple[str, ...]] = {}
        for item in items:
            name = item["metadata"]["name"]
            ingress = item["status"]["loadBalancer"].get("ingress", [])
            addresses = tuple(entry["ip"] for entry in ingress)
            for address in addresses:
                assert address not in held, f"{address} is held by {held[address]} and {name}"
                held[address] = name
            before = self.seen.get(name, ())
            assert not before or addresses == before, f"{name} had {before}, has {addresses}"
            if addresses:
                self.seen[name] = found[name] = addresses
            self.versions[name] = item["metadata"]["resourceVersion"]
        return found

    def forget(self, name: str) -> None:
        """Take that a service was deleted."""
        self.seen.pop(name, None)
