"""Build the layers of our own image: Python from Debian packages, dependencies, code.

The result has no shell and no package manager, and holds compiled byte code for everything, because
its root file system is read-only in the cluster. Byte code is compiled by the image's own
interpreter, started through its own dynamic loader, so the machine's Python does not matter.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab import paths
from lab.build import apt, archive, cache
from lab.errors import CommandError, LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PYTHON: Final = "3.11"
RECIPE: Final = 1
"""Raise by one when a rule in this file changes what the layers contain."""

LIBC_PACKAGES: Final = ("libc6", "libcrypt1", "libgcc-s1", "libssl3", "zlib1g")
PYTHON_PACKAGES: Final = (
    *LIBC_PACKAGES,
    "base-files",
    "ca-certificates",
    "libbz2-1.0",
    "libcom-err2",
    "libdb5.3",
    "libexpat1",
    "libffi8",
    "libgssapi-krb5-2",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "liblzma5",
    "libncursesw6",
    "libnsl2",
    f"libpython{PYTHON}-minimal",
    f"libpython{PYTHON}-stdlib",
    "libreadline8",
    "libsqlite3-0",
    "libstdc++6",
    "libtinfo6",
    "libtirpc3",
    "libuuid1",
    "netbase",
    f"python{PYTHON}",
    f"python{PYTHON}-minimal",
)
ENTRY_POINTS: Final = {
    "mercurylb-controller": "mercurylb.controller.__main__",
    "mercurylb-speaker": "mercurylb.speaker.__main__",
    "mercurylb-frr-reloader": "mercurylb.frr_reloader.program",
    "mercurylb-frr-metrics": "mercurylb.frr_metrics.__main__",
}
NOBODY: Final = 65534

_STDLIB: Final = Path("usr/lib") / f"python{PYTHON}"
_PACKAGES: Final = Path("usr/lib/python3/dist-packages")
_DROPPED: Final = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bash-completion",
    "usr/share/pixmaps",
    "usr/share/applications",
    f"{_STDLIB}/lib2to3",
    f"{_STDLIB}/pydoc_data",
    f"{_STDLIB}/turtle.py",
    f"{_STDLIB}/config-{PYTHON}-x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/gconv",
)
_PLATFORMS: Final = ("manylinux2014_{machine}", "manylinux_2_28_{machine}")


def base_layer() -> archive.Layer:
    """Return the layer with the interpreter and the libraries it needs."""
    return _layer("python-base", ["base", str(RECIPE), *PYTHON_PACKAGES], _fill_base)


def dependency_layer() -> archive.Layer:
    """Return the layer with the locked third-party packages."""
    lock = paths.REPOSITORY / "requirements-image.lock"
    key = ["dependencies", str(RECIPE), archive.file_digest(lock)]
    return _layer("dependencies", key, _fill_dependencies)


def code_layer() -> archive.Layer:
    """Return the layer with our own code and the programs."""
    source = paths.REPOSITORY / "src" / "mercurylb"
    key = ["code", str(RECIPE), archive.tree_digest([source], suffixes=(".py", ".typed"))]
    return _layer("mercurylb-code", key, _fill_code)


def libc_tree() -> Path:
    """Return a tree with the C library and the few libraries that test images share."""
    folder = _cached("tree-libc", ["libc", str(RECIPE), *LIBC_PACKAGES])

    def fill(root: Path) -> None:
        _unpack(LIBC_PACKAGES, root)
        _drop(root)

    return cache.build_once(folder, "unpacking the C library", fill)


def interpreter(root: Path) -> list[str]:
    """Return the words that start the interpreter of an unpacked image on this machine."""
    loaders = sorted(root.glob("lib*/ld-linux-*.so.*")) or sorted(
        root.glob("lib/*/ld-linux-*.so.*")
    )
    if not loaders:
        raise LabError(f"{root} holds no dynamic loader")
    folders = [str(p) for base in ("lib", "usr/lib") for p in (root / base).glob("*-linux-gnu")]
    return [str(loaders[0]), "--library-path", ":".join(folders), f"{root}/usr/bin/python{PYTHON}"]


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
    digest = hashlib.sha256("\n".join([*key, os.uname().machine]).encode()).hexdigest()
    return paths.cache_root() / "images" / f"{name}-{digest[: cache.KEY_LENGTH]}"


def _base_root() -> Path:
    return base_layer().tar.parent / "root"


def _fill_base(root: Path) -> None:
    _unpack(PYTHON_PACKAGES, root)
    _drop(root)
    (root / "usr/bin/python3").symlink_to(f"python{PYTHON}")
    (root / _PACKAGES).mkdir(parents=True, exist_ok=True)
    etc = root / "etc"
    (etc / "passwd").write_text(
        f"root:x:0:0:root:/root:/usr/sbin/nologin\n"
        f"nobody:x:{NOBODY}:{NOBODY}:nobody:/nonexistent:/usr/sbin/nologin\n"
    )
    (etc / "group").write_text(f"root:x:0:\nnogroup:x:{NOBODY}:\n")
    (etc / "nsswitch.conf").write_text("hosts: files dns\n")
    certificates = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    bundle = etc / "ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_bytes(b"".join(certificate.read_bytes() for certificate in certificates))
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    _compile(root, root, _STDLIB)


def _fill_dependencies(root: Path) -> None:
    target = root / _PACKAGES
    platforms = [p.format(machine=os.uname().machine) for p in _PLATFORMS]
    argv = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"),
        *("--target", str(target), "--python-version", PYTHON, "--implementation", "cp"),
        *(word for platform in platforms for word in ("--platform", platform)),
        *("--only-binary", ":all:", "--require-hashes", "--root-user-action", "ignore"),
        *("-r", str(paths.REPOSITORY / "requirements-image.lock")),
    ]
    _run(argv)
    for unused in [*target.rglob("*.pyx"), *target.rglob("*.pxd"), *target.rglob("*.c")]:
        unused.unlink()
    shutil.rmtree(target / "bin", ignore_errors=True)
    _compile(_base_root(), root, _PACKAGES)


def _fill_code(root: Path) -> None:
    package = root / _PACKAGES / "mercurylb"
    source = paths.REPOSITORY / "src" / "mercurylb"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    programs = root / "usr/bin"
    programs.mkdir(parents=True)
    for name, module in ENTRY_POINTS.items():
        program = programs / name
        program.write_text(
            f"#!/usr/bin/python3 -sP\nimport sys\n\nfrom {module} import main\n\nsys.exit(main())\n"
        )
        program.chmod(0o755)
    _compile(_base_root(), root, _PACKAGES)


def _unpack(packages: Sequence[str], root: Path) -> None:
    debs = root / ".debs"
    debs.mkdir()
    apt.unpack_packages(apt.download_packages(packages, debs), root)
    shutil.rmtree(debs)


def _drop(root: Path) -> None:
    for name in _DROPPED:
        path = root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _compile(interpreter_root: Path, root: Path, folder: Path) -> None:
    """Compile byte code that is never checked against its source, with in-image paths."""
    options = ["-q", "--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", "/"]
    env = {
        "PYTHONHOME": str(interpreter_root / "usr"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "LANG": "C.UTF-8",
    }
    argv = [*interpreter(interpreter_root), "-sP", "-m", "compileall", *options, str(root / folder)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"Python {PYTHON} of the image cannot compile /{folder}:\n{done.stdout}")


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr or done.stdout)
