"""Build the one program that is every Kubernetes component of the lab.

The sources are a small ``main.go`` with its module files, kept beside this module. The program
looks at the name it is called by, so a folder of symbolic links gives ``kubectl``, ``kubelet`` and
the others. A cold build takes some ten minutes on two cores; after that Go's cache makes it a
matter of seconds.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from lab import paths, versions
from lab.build import archive, cache, go

COMPONENTS: Final = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
)
SOURCE: Final = Path(__file__).parent / "go" / "kube"
_VERSION_PACKAGES: Final = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


def ensure_kube() -> Path:
    """Return the folder with one program per component, building it when it is missing."""
    return cache.build_once(target(), f"building Kubernetes v{versions.KUBERNETES}", _build)


def target() -> Path:
    """Return where the programs of this version and these sources belong."""
    digest = archive.tree_digest([SOURCE])[: cache.KEY_LENGTH]
    return paths.cache_root() / "bin" / f"kube-v{versions.KUBERNETES}-{digest}"


def ldflags(version: str) -> str:
    """Return the linker flags that stamp the version, without which charts refuse the cluster."""
    major, minor, _ = version.split(".")
    stamp = {
        "gitVersion": f"v{version}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "lab",
    }
    words = [f"-X {package}.{k}={v}" for package in _VERSION_PACKAGES for k, v in stamp.items()]
    return " ".join(["-s", "-w", *words])


def _build(folder: Path) -> None:
    source = folder / ".source"
    shutil.copytree(SOURCE, source)
    go.download_modules(source)
    what = f"building Kubernetes v{versions.KUBERNETES} (some ten minutes when nothing is cached)"
    go.build_program(source, folder / "kube", ldflags=ldflags(versions.KUBERNETES), what=what)
    shutil.rmtree(source)
    for component in COMPONENTS:
        (folder / component).symlink_to("kube")
