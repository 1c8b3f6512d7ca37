"""Build the pause program, the first process of every pod, from the Kubernetes module's source."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from lab import paths, versions
from lab.build import cache, go, kube
from lab.errors import CommandError

if TYPE_CHECKING:
    from pathlib import Path


def ensure_pause() -> Path:
    """Return the static ``pause`` program, compiling it when it is missing."""
    folder = paths.cache_root() / "bin" / f"pause-v{versions.KUBERNETES}"
    return cache.build_once(folder, "building pause", _build) / "pause"


def _build(folder: Path) -> None:
    module = folder / ".source"
    shutil.copytree(kube.SOURCE, module)
    go.download_modules(module)
    source = go.module_dir(module, "k8s.io/kubernetes") / "build" / "pause" / "linux" / "pause.c"
    shutil.rmtree(module)
    argv = [
        "gcc",
        "-Os",
        "-static",
        "-s",
        "-DVERSION=lab",
        "-o",
        str(folder / "pause"),
        str(source),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr)
