"""Brings the lab, both universes and their controllers up.

The lab is a light one with nothing in it but the API server: no proxies, no managers, no speakers.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lab import binaries, controlplane, netns
from lab.cluster import Lab
from lab.compare.live import Live
from lab.compare.universe import Program, Universe
from lab.objects import PodPlan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from lab.light import LightLab

TAGS: Final = ("a", "b")
_FIRST_PORT: Final = 17501
_ROUNDS_OF_OTHERS: Final = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """Where scripts are played."""

    live: Live
    universes: tuple[Universe, Universe]


def program(path: str) -> Program:
    """Describe a controller by its path; `own` is MercuryLB's."""
    if path == "own":
        return Program(binaries.own("mercurylb-controller"))
    return Program(path, rounds=_ROUNDS_OF_OTHERS, is_own=False)


@contextmanager
def bare_lab(name: str) -> Iterator[LightLab]:
    """Bring up a lab of which only the API server is left running."""
    with Lab.light(
        name, 1, controller="", speaker="", proxy_mode="none", limited_rights=False
    ) as lab:
        for process in ("kube-controller-manager", "kube-scheduler"):
            lab.process(process).kill()
        yield lab


@asynccontextmanager
async def open_stage(lab: LightLab, programs: tuple[Program, Program]) -> AsyncIterator[Stage]:
    """Furnish both universes of a lab and start their controllers."""
    with netns.inside(lab.site.plan.namespace("cp")):
        url = controlplane.server_url(lab.site)
        async with Live(url, controlplane.pki_dir(lab.site)) as live:
            # Only one of the two may go without a class. Another program that keeps addresses of
            # services which lost their class is spared that by never having one.
            pair = tuple(
                Universe(tag, given, live, has_class=given.is_own or tag == "a")
                for tag, given in zip(TAGS, programs, strict=True)
            )
            for number, universe in enumerate(pair):
                await universe.furnish()
                _start(lab, universe, number)
            for universe in pair:
                await universe.wait_furnished()
                await universe.probe_pools()
                await universe.settle()
            yield Stage(live, (pair[0], pair[1]))


def _start(lab: LightLab, universe: Universe, number: int) -> None:
    pod = f"controller-{universe.tag}"
    plan = lab.site.plan
    lab.pods.register(
        PodPlan(
            name=pod,
            namespace=universe.home,
            node=plan.nodes[0].name,
            host_ip=plan.nodes[0].ipv4,
            ips=(plan.control_plane.ipv4,),
            host_network=True,
        )
    )
    argv = [
        universe.program.path,
        "--port=0",
        f"--health-probe-port={_FIRST_PORT + number}",
        f"--namespace={universe.home}",
        f"--lb-class={universe.lb_class}",
        "--webhook-mode=disabled",
    ]
    env = {
        "KUBECONFIG": str(lab.site.kubeconfig("admin")),
        "METALLB_NAMESPACE": universe.home,
        "METALLB_POD_NAME": pod,
        "PYTHONHASHSEED": str(1 + 4242 * number),
    }
    if "PYTHONPATH" in os.environ:  # Whoever compares another tree says so by this.
        env["PYTHONPATH"] = os.environ["PYTHONPATH"]
    universe.process = lab.site.start(pod, "cp", argv, env=env)
