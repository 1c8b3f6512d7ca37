"""The programs of another load balancer, as far as a move needs them (`go/foreign`): built once."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from lab import paths
from lab.build import archive, cache, go
from tests.interop.gossip import SOURCE

if TYPE_CHECKING:
    from pathlib import Path


def ensure_foreign() -> Path:
    """Return the program; it is a speaker where it is told a node's name, else a controller."""
    digest = archive.tree_digest([SOURCE])[: cache.KEY_LENGTH]
    folder = paths.cache_root() / "bin" / f"foreign-{digest}"
    cache.build_once(folder, "building the foreign programs", _build)
    cache.drop_older(folder, "foreign-*", keep=1)
    return folder / "foreign"


def _build(folder: Path) -> None:
    # Go may touch go.mod; the tree stays as it is.
    source = folder / ".source"
    shutil.copytree(SOURCE, source)
    go.download_modules(source)
    go.build_program(
        source,
        folder / "foreign",
        ldflags="-s -w",
        what="foreign programs",
        packages=("./foreign",),
    )
    shutil.rmtree(source)
