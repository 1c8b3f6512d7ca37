"""Find the programs the lab runs: the Kubernetes programs, our own ones, the interpreter."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from lab import paths
from lab.errors import LabError


@cache
def kube_dir() -> Path:
    """Return the folder with etcd, kube-apiserver, …, kubectl; build them when missing."""
    from lab.build.kube import ensure_kube  # noqa: PLC0415  (needed only here)

    return ensure_kube()


def kube(program: str) -> str:
    """Return the full path of one Kubernetes program."""
    found = kube_dir() / program
    if not found.exists():
        raise LabError(f"{found} is missing; remove its folder and start again to rebuild it")
    return str(found)


def own(program: str) -> str:
    """Return the full path of one of MercuryLB's programs beside this interpreter."""
    found = Path(sys.executable).parent / program
    if not found.exists():
        raise LabError(
            f"{found} is missing; install the project into this interpreter's environment"
        )
    return str(found)


def helper_argv(module: str, *words: str) -> list[str]:
    """Return the command line of one of the lab's own helper modules."""
    return [sys.executable, "-m", module, *words]


def helper_env() -> dict[str, str]:
    """Return what a helper needs in its environment to find this package."""
    return {"PYTHONPATH": str(paths.REPOSITORY), "PYTHONUNBUFFERED": "1"}
