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

LANES_MAX: Final = 6
_TAGS: Final = "abcdefghijkl"
"""Two for each lane."""
_FIRST_PORT: Final = 17501
_ROUNDS_OF_OTHERS: Final = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """Where scripts are played."""

    live: Live
    universes: tuple[Universe, Universe]
    """The first one's name in scripts is `a`, the other's is `b`."""


def program(path: str) -> Program:
    """Describe a controller by its path; `own` is MercuryLB's."""
    if path == "own":
        return Program(binaries.own("mercurylb-controller"))
    return Program(path, rounds=_ROUNDS_OF_OTHERS, is_own=False)


@contextmanager
def bare_lab(name: str) -> Iterator[LightLab]:
    """Bring up a lab of which only the API server is left running."""
    with Lab.light(
        name,
        1,
        controller="",
        speaker="",
        proxy_mode="none",
        limited_rights=False,
        apiserver_args=("--enable-priority-and-fairness=false",),
    ) as lab:
        for process in ("kube-controller-manager", "kube-scheduler"):
            lab.process(process).kill()
        yield lab


@asynccontextmanager
async def open_stages(
    lab: LightLab, programs: tuple[Program, Program], *, lanes: int, classless: bool
) -> AsyncIterator[list[Stage]]:
    """Furnish two universes for each lane and start their controllers.

    With ``classless`` the second universe's services bear no class, and its controller is told of
    none: another program that keeps the address of a service which lost its class is spared that.
    """
    with netns.inside(lab.site.plan.namespace("cp")):
        url = controlplane.server_url(lab.site)
        async with Live(url, controlplane.pki_dir(lab.site)) as live:
            universes = [
                Universe(tag, programs[n % 2], live, has_class=not (classless and n % 2))
                for n, tag in enumerate(_TAGS[: 2 * lanes])
            ]
            for number, universe in enumerate(universes):
                await universe.furnish()
                _start(lab, universe, number)
            for universe in universes:
                await universe.wait_furnished()
                await universe.probe_pools()
                await universe.settle()
            pairs = zip(universes[::2], universes[1::2], strict=True)
            yield [Stage(live, pair) for pair in pairs]


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
