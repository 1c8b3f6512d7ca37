"""Build the programs of frr-k8s, which speaks BGP for speakers that leave it to others.

Everything comes from Go's module proxy. The newest version there may be behind the one that the
chart names; the lab's image bears the chart's tag all the same.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from lab import paths, versions
from lab.build import archive, cache, go

SOURCE: Final = Path(__file__).parent / "go" / "frrk8s"
MODULE: Final = "github.com/metallb/frr-k8s"
PROGRAMS: Final = {
    "frr-k8s-controller": "frr-k8s",
    "metrics": "frr-metrics",
    "status": "frr-status",
    "statuscleaner": "statuscleaner",
}
"""Their folder in the module, and the name that its image gives them."""
RELOADER: Final = "frr-reloader.sh"


def ensure_frrk8s() -> Path:
    """Return the folder with the programs and the reloader, building them when they are missing."""
    digest = archive.tree_digest([SOURCE])[: cache.KEY_LENGTH]
    folder = paths.cache_root() / "bin" / f"frrk8s-v{versions.FRRK8S}-{digest}"
    return cache.build_once(folder, f"building frr-k8s v{versions.FRRK8S}", _build)


def _build(folder: Path) -> None:
    source = folder / ".source"
    shutil.copytree(SOURCE, source)
    go.download_modules(source)
    packages = [f"{MODULE}/cmd/{name}" for name in PROGRAMS]
    built = folder / ".built"
    built.mkdir()
    what = f"building frr-k8s v{versions.FRRK8S} (some minutes when nothing is cached)"
    go.build_program(source, built, ldflags="-s -w", what=what, packages=packages)
    for name, target in PROGRAMS.items():
        (built / name).rename(folder / target)
    script = go.module_dir(source, MODULE) / "cmd" / "reloader" / RELOADER
    shutil.copyfile(script, folder / RELOADER)
    (folder / RELOADER).chmod(0o755)
    shutil.rmtree(source)
    built.rmdir()
