"""Fixtures that render the chart with the real Helm."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from lab.build.helm import ensure_helm

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "mercurylb"
CRDS = ROOT / "config" / "crd"

Object = dict[str, Any]


class Rendered(dict[tuple[str, str], Object]):
    """The objects of a release by kind and name."""

    def pod(self, component: str, fullname: str = "metallb") -> Object:
        """Return the pod template's specification of a component."""
        kind = "Deployment" if component == "controller" else "DaemonSet"
        spec: Object = self[kind, f"{fullname}-{component}"]["spec"]["template"]["spec"]
        return spec

    def container(self, component: str, fullname: str = "metallb") -> Object:
        """Return the first container of a component."""
        first: Object = self.pod(component, fullname)["containers"][0]
        return first


class Render(Protocol):
    """Render the chart with values given as a mapping."""

    def __call__(
        self,
        values: Object | None = None,
        *,
        release: str = "metallb",
        crds: bool = False,
        tests: bool = False,
    ) -> Rendered:
        """Return the objects, without the definitions and Helm's tests unless asked for."""


class Notes(Protocol):
    """Render the chart's notes with values given as a mapping."""

    def __call__(self, values: Object | None = None, *, release: str = "metallb") -> str:
        """Return the text."""


class HelmError(Exception):
    """Helm refused; the message is what it said."""


@pytest.fixture(scope="session")
def helm() -> Path:
    """Return the Helm program."""
    return ensure_helm()


@pytest.fixture
def render(helm: Path) -> Render:
    """Return a function that renders the chart; what was rendered already is not rendered again."""

    def run(
        values: Object | None = None,
        *,
        release: str = "metallb",
        crds: bool = False,
        tests: bool = False,
    ) -> Rendered:
        flags = [] if crds else ["--set", "crds.enabled=false"]
        flags += [] if tests else ["--skip-tests"]
        output = template(helm, CHART, release, *flags, values=yaml.safe_dump(values or {}))
        objects = [o for o in yaml.load_all(output, Loader=yaml.CSafeLoader) if o]
        rendered = Rendered({(o["kind"], o["metadata"]["name"]): o for o in objects})
        assert len(rendered) == len(objects)
        return rendered

    return run


@functools.cache
def template(helm: Path, chart: Path, release: str, *flags: str, values: str = "") -> str:
    """Have Helm render a chart into the namespace metallb."""
    argv = [str(helm), "template", release, str(chart), "-n", "metallb", "-f", "-", *flags]
    done = subprocess.run(argv, input=values, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HelmError(done.stderr)
    return done.stdout


@pytest.fixture
def notes(helm: Path, tmp_path: Path) -> Notes:
    """Return a function that renders what Helm says after an installation.

    Helm itself only does so with a cluster at hand, so a copy of the chart has them in an object.
    """
    copy = tmp_path / "chart"
    shutil.copytree(CHART, copy)
    folder = copy / "templates"
    (copy / "files" / "notes.txt").write_text((folder / "NOTES.txt").read_text())
    (folder / "notes.yaml").write_text('notes: {{ tpl (.Files.Get "files/notes.txt") . | toJson }}')

    def run(
        values: Object | None = None, *, release: str = "metallb", is_upgrade: bool = False
    ) -> str:
        only = ("--show-only", "templates/notes.yaml", *(["--is-upgrade"] if is_upgrade else []))
        output = template(helm, copy, release, *only, values=yaml.safe_dump(values or {}))
        text: str = yaml.safe_load(output)["notes"]
        return text

    return run


@pytest.fixture(scope="session")
def definitions() -> dict[str, Object]:
    """Return the custom resource definitions by kind."""
    loaded = [yaml.load(path.read_text(), Loader=yaml.CSafeLoader) for path in CRDS.glob("*.yaml")]
    return {crd["spec"]["names"]["kind"]: crd for crd in loaded}


@pytest.fixture(scope="session")
def chart() -> Path:
    """Return the folder of the chart."""
    return CHART
