"""The layers of our own image, each built once per content: interpreter, dependencies, code.

What they contain is said in `lab.build.rootfs`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING

from lab import paths
from lab.build import archive, cache, rootfs
from lab.build.rootfs import RECIPE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def base_layer() -> archive.Layer:
    """Return the layer with the interpreter and the libraries it needs."""
    return _layer("python-base", ["base", *rootfs.PYTHON_PACKAGES], rootfs.fill_base)


def dependency_layer() -> archive.Layer:
    """Return the layer with the locked third-party packages."""
    key = ["dependencies", archive.file_digest(rootfs.LOCK)]
    return _layer("dependencies", key, lambda root: rootfs.fill_dependencies(root, _base_root()))


def code_layer() -> archive.Layer:
    """Return the layer with our own code and the programs."""
    return _layer(
        "mercurylb-code",
        ["code", source_digest()],
        lambda root: rootfs.fill_code(root, _base_root()),
    )


def source_digest() -> str:
    """Return one digest of all our own code."""
    return archive.tree_digest([rootfs.SOURCE], suffixes=(".py", ".typed"))


def libc_tree() -> Path:
    """Return a tree with the C library and the few libraries that test images share."""
    folder = _cached("tree-libc", ["libc", *rootfs.LIBC_PACKAGES])

    def fill(root: Path) -> None:
        debs = root / ".debs"
        rootfs.unpack(rootfs.LIBC_PACKAGES, root, debs)
        shutil.rmtree(debs)
        rootfs.drop(root)

    return cache.build_once(folder, "unpacking the C library", fill)


def _layer(name: str, key: Sequence[str], fill: Callable[[Path], None]) -> archive.Layer:
    folder = _cached(name, key)

    def build(scratch: Path) -> None:
        root = scratch / "root"
        root.mkdir()
        fill(root)
        layer = archive.pack_layer(root, scratch / "layer.tar")
        (scratch / "digest").write_text(layer.digest)
        if name != "python-base":
            shutil.rmtree(root)
        cache.drop_older(folder, f"{name}-*", keep=5)

    cache.build_once(folder, f"building image layer {name}", build)
    return archive.Layer(folder / "layer.tar", (folder / "digest").read_text())


def _cached(name: str, key: Sequence[str]) -> Path:
    text = "\n".join([*key, str(RECIPE), os.uname().machine])
    digest = hashlib.sha256(text.encode()).hexdigest()
    return paths.cache_root() / "images" / f"{name}-{digest[: cache.KEY_LENGTH]}"


def _base_root() -> Path:
    return base_layer().tar.parent / "root"
