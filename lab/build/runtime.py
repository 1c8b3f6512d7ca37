"""The layers of our own image, each built once per content: interpreter, dependencies, code.

What they contain is said in `lab.build.rootfs`.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from lab.build import archive, cache, layers, rootfs
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
    folder = layers.image_folder("tree-libc", _inputs(["libc", *rootfs.LIBC_PACKAGES]))

    def fill(root: Path) -> None:
        debs = root / ".debs"
        rootfs.unpack(rootfs.LIBC_PACKAGES, root, debs)
        shutil.rmtree(debs)
        rootfs.drop(root)

    return cache.build_once(folder, "unpacking the C library", fill)


def _layer(name: str, key: Sequence[str], fill: Callable[[Path], None]) -> archive.Layer:
    return layers.build_layer(name, _inputs(key), fill, keeps_root=name == "python-base")


def _inputs(key: Sequence[str]) -> list[str]:
    return [*key, str(RECIPE), os.uname().machine]


def _base_root() -> Path:
    return base_layer().tar.parent / "root"
