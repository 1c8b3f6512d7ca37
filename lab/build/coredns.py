"""Build CoreDNS with only the plugins that a cluster's DNS needs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from lab import paths, versions
from lab.build import archive, cache, go

SOURCE: Final = Path(__file__).parent / "go" / "coredns"


def ensure_coredns() -> Path:
    """Return the ``coredns`` program, building it when it is missing."""
    digest = archive.tree_digest([SOURCE])[: cache.KEY_LENGTH]
    folder = paths.cache_root() / "bin" / f"coredns-v{versions.COREDNS}-{digest}"
    return cache.build_once(folder, f"building CoreDNS v{versions.COREDNS}", _build) / "coredns"


def _build(folder: Path) -> None:
    source = folder / ".source"
    shutil.copytree(SOURCE, source)
    go.download_modules(source)
    what = f"building CoreDNS v{versions.COREDNS}"
    go.build_program(source, folder / "coredns", ldflags="-s -w", what=what)
    shutil.rmtree(source)
