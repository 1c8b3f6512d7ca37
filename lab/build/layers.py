"""Build the layer of an image once for each set of inputs, and keep it in the cache."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, Final

from lab import paths
from lab.build import archive, cache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

KEPT: Final = 5
"""Older layers of a name that stay in the cache."""


def image_folder(name: str, inputs: Sequence[str]) -> Path:
    """Return the folder in the cache for what `inputs` say about the part `name` of an image."""
    digest = hashlib.sha256("\n".join(inputs).encode()).hexdigest()
    return paths.cache_root() / "images" / f"{name}-{digest[: cache.KEY_LENGTH]}"


def build_layer(
    name: str,
    inputs: Sequence[str],
    fill: Callable[[Path], None],
    *,
    keeps_root: bool = False,
) -> archive.Layer:
    """Return the layer, having `fill` fill a folder when nothing was built from `inputs` yet.

    With `keeps_root` that folder stays beside the layer, as ``root``.
    """
    folder = image_folder(name, inputs)

    def build(scratch: Path) -> None:
        root = scratch / "root"
        root.mkdir()
        fill(root)
        layer = archive.pack_layer(root, scratch / "layer.tar")
        (scratch / "digest").write_text(layer.digest)
        if not keeps_root:
            shutil.rmtree(root)
        cache.drop_older(folder, f"{name}-*", keep=KEPT)

    cache.build_once(folder, f"building image layer {name}", build)
    return archive.Layer(folder / "layer.tar", (folder / "digest").read_text())
