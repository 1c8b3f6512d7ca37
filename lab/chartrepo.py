"""A chart repository inside the lab, so that ``helm repo add`` and ``helm install`` are real.

The chart in the tree is packaged, indexed and served over HTTP by a host of its own on the LAN.
"""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import yaml

from lab import netns, paths, topology
from lab.errors import CommandError, WaitTimeout
from lab.progress import say
from lab.topology import HostPlan

if TYPE_CHECKING:
    from pathlib import Path

    from lab.site import Site

CHART: Final = paths.REPOSITORY / "charts" / "mercurylb"
HOST: Final = HostPlan("charts", 2)
PORT: Final = 8080
URL: Final = f"http://{HOST.ipv4}:{PORT}/"
_START_TIMEOUT_S: Final = 10.0


def image_names(helm: Path, chart: Path) -> list[str]:
    """List the images that the chart runs with its default values, in full form, sorted."""
    if not (chart / "Chart.yaml").exists():
        say(f"there is no chart in {chart}; our image keeps its own name")
        return []
    try:
        text = netns.command([str(helm), "template", "metallb", str(chart)]).stdout
    except CommandError as error:
        say(f"the chart does not render, our image keeps its own name: {error}")
        return []
    found: set[str] = set()
    for document in yaml.safe_load_all(text):
        found |= _images_in(document)
    return sorted(full_image_name(name) for name in found)


def full_image_name(name: str) -> str:
    """Spell an image name out as a container runtime does: registry, path, tag."""
    first, _, _ = name.partition("/")
    if "/" not in name:
        name = f"docker.io/library/{name}"
    elif not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}"
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def serve(site: Site, helm: Path, chart: Path = CHART) -> str:
    """Package and serve the chart; return the repository's URL."""
    folder = site.folder("charts")
    netns.command([str(helm), "package", str(chart), "--destination", str(folder)])
    netns.command([str(helm), "repo", "index", str(folder), "--url", URL])
    if not netns.exists(site.plan.namespace(HOST.name)):
        topology.attach(site.plan, HOST)
    process = site.start(
        "chartrepo",
        HOST.name,
        [
            *(sys.executable, "-m", "http.server", str(PORT)),
            *("--bind", HOST.ipv4, "--directory", str(folder)),
        ],
    )
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not _answers(site):
        if not process.is_alive() or time.monotonic() > deadline:
            raise WaitTimeout(f"the chart repository did not start: {process.log()[-500:]}")
        time.sleep(0.05)
    return URL


def _answers(site: Site) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with netns.inside(site.namespace(HOST.name)):
        try:
            with opener.open(f"{URL}index.yaml", timeout=1.0) as reply:
                return bool(reply.status == HTTPStatus.OK)
        except (urllib.error.URLError, OSError):
            return False


def _images_in(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {str(c["image"]) for c in value.get("containers") or [] if "image" in c}
        own |= {str(c["image"]) for c in value.get("initContainers") or [] if "image" in c}
        return own.union(*(_images_in(child) for child in value.values()))
    if isinstance(value, list):
        return set().union(*(_images_in(child) for child in value))
    return set()
