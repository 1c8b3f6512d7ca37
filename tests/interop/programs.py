"""The Go programs beside these tests (`go/`), each built once for its sources.

`gossip` is the original membership library driven by commands; `foreign` is what a move needs of
another load balancer's programs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from lab import paths
from lab.build import archive, cache, go

SOURCE = Path(__file__).resolve().parent / "go"


def ensure_gossip() -> Path:
    """Return the program that holds members of the original library."""
    return _ensure("gossip", ".")


def ensure_foreign() -> Path:
    """Return the program; it is a speaker where it is told a node's name, else a controller."""
    return _ensure("foreign", "./foreign")


def _ensure(name: str, package: str) -> Path:
    digest = archive.tree_digest([SOURCE])[: cache.KEY_LENGTH]
    folder = paths.cache_root() / "bin" / f"{name}-{digest}"

    def build(scratch: Path) -> None:
        source = scratch / ".source"  # Go may touch go.mod; the tree stays as it is.
        shutil.copytree(SOURCE, source)
        go.download_modules(source)
        go.build_program(
            source, scratch / name, ldflags="-s -w", what=f"{name} program", packages=(package,)
        )
        shutil.rmtree(source)

    cache.build_once(folder, f"building the {name} program", build)
    cache.drop_older(folder, f"{name}-*", keep=1)
    return folder / name
