"""What our image consists of: Python from Debian's packages, locked dependencies, our code.

One recipe for both ways to an image: `lab.build.runtime` packs its three parts into layers, and
the Containerfile runs this module, ``python3 -m lab.build.rootfs TARGET``, in its first stage and
copies what it made into an empty image.

The result has no shell and no package manager, and holds compiled byte code for everything, because
its root file system is read-only in the cluster. Byte code is compiled by the image's own
interpreter, started through its own dynamic loader, so the machine's Python does not matter.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab import paths
from lab.build import apt, archive
from lab.errors import CommandError, LabError
from lab.progress import step

if TYPE_CHECKING:
    from collections.abc import Sequence

PYTHON: Final = "3.11"
RECIPE: Final = 4
"""Raise by one when a rule in this file changes what the parts contain."""

LIBC_PACKAGES: Final = ("libc6", "libcrypt1", "libgcc-s1", "libssl3", "zlib1g")
PYTHON_PACKAGES: Final = (
    *LIBC_PACKAGES,
    "base-files",
    "ca-certificates",
    "libbz2-1.0",
    "libexpat1",
    "libffi8",
    "liblzma5",
    f"libpython{PYTHON}-minimal",
    f"libpython{PYTHON}-stdlib",
    "libstdc++6",
    "libuuid1",
    "netbase",
    f"python{PYTHON}",
    f"python{PYTHON}-minimal",
)
ENTRY_POINTS: Final = {
    "mercurylb": "mercurylb.cli.__main__",
    "mercurylb-controller": "mercurylb.controller.__main__",
    "mercurylb-speaker": "mercurylb.speaker.__main__",
    "mercurylb-frr-reloader": "mercurylb.frr_reloader.program",
    "mercurylb-frr-metrics": "mercurylb.frr_metrics.__main__",
}
ORIGINAL_NAMES: Final = {
    "controller": "mercurylb-controller",
    "speaker": "mercurylb-speaker",
}
"""Where manifests of MetalLB look for the programs, at the root; links lead to ours."""
NOBODY: Final = 65534
INSTALLED: Final = "packages.tsv"
"""Beside the part made of Debian packages: name, version, architecture and SHA-256 of each."""
DEBS: Final = "debs"
"""Beside the same part: the files themselves."""
REPORT: Final = "pip.json"
"""Beside the part made of Python packages: what pip tells of the files that it took."""
LOCK: Final = paths.REPOSITORY / "requirements-image.lock"
SOURCE: Final = paths.REPOSITORY / "src" / "mercurylb"

_STDLIB: Final = Path("usr/lib") / f"python{PYTHON}"
_PACKAGES: Final = Path("usr/lib/python3/dist-packages")
_DROPPED: Final = (
    "usr/share/man",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bash-completion",
    "usr/share/pixmaps",
    "usr/share/applications",
    "usr/lib/*-linux-gnu/gconv",
)
_DROPPED_OF_PYTHON: Final = (
    *("idlelib", "lib2to3", "pydoc_data", "sqlite3", "test", "tkinter", "turtle.py", "unittest"),
    *("curses", "dbm", "ensurepip", "wsgiref", "xmlrpc", f"config-{PYTHON}-*-linux-gnu"),
    *("lib-dynload/_codecs_*", "lib-dynload/_ctypes_test*", "lib-dynload/_curses*"),
    *("lib-dynload/_dbm*", "lib-dynload/_sqlite3*", "lib-dynload/_test*", "lib-dynload/_xx*"),
    *("lib-dynload/audioop*", "lib-dynload/nis*", "lib-dynload/ossaudiodev*"),
    *("lib-dynload/readline*", "lib-dynload/xx*"),
)
"""Parts of the standard library that nothing here imports, or whose library is not there."""
_DROPPED_OF_BASE: Final = (
    "lib/*-linux-gnu/libmvec.so*",
    "usr/lib/*-linux-gnu/libexpatw.so*",
    "usr/share/ca-certificates",
)
_PLATFORMS: Final = ("manylinux2014_{machine}", "manylinux_2_28_{machine}")


def main(argv: Sequence[str] | None = None) -> int:
    """Fill a folder with the whole root file system."""
    parser = argparse.ArgumentParser(prog="python3 -m lab.build.rootfs", description=main.__doc__)
    parser.add_argument("target", type=Path, help="the folder; it is made")
    parser.add_argument("--debs", type=Path, metavar="FOLDER", help="take Debian's files from here")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        parts = [Path(name) / part / "root" for part in ("base", "dependencies", "code")]
        for part in parts:
            part.mkdir(parents=True)
        with step("the interpreter, from Debian's packages"):
            fill_base(parts[0], given.debs)
        with step("the locked dependencies"):
            fill_dependencies(parts[1], parts[0])
        with step("the programs"):
            fill_code(parts[2], parts[0])
        for part in parts:
            shutil.copytree(part, given.target, symlinks=True, dirs_exist_ok=True)
    return 0


def fill_base(root: Path, debs: Path | None = None) -> None:
    """Fill `root` with the interpreter and the libraries it needs."""
    rows = unpack(PYTHON_PACKAGES, root, debs or root.parent / DEBS)
    (root.parent / INSTALLED).write_text("".join(f"{row}\n" for row in rows))
    (root / "usr/bin/python3").symlink_to(f"python{PYTHON}")
    (root / _PACKAGES).mkdir(parents=True, exist_ok=True)
    _write_etc(root)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    drop(root, (*_DROPPED, *_DROPPED_OF_BASE, *(f"{_STDLIB}/{it}" for it in _DROPPED_OF_PYTHON)))
    _drop_documents(root)
    _compile(root, root, _STDLIB)


def fill_dependencies(root: Path, base: Path) -> None:
    """Fill `root` with the locked third-party packages, compiled by the interpreter in `base`."""
    target = root / _PACKAGES
    platforms = [p.format(machine=os.uname().machine) for p in _PLATFORMS]
    argv = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"),
        *("--target", str(target), "--python-version", PYTHON, "--implementation", "cp"),
        *(word for platform in platforms for word in ("--platform", platform)),
        *("--only-binary", ":all:", "--require-hashes", "--root-user-action", "ignore"),
        *("--disable-pip-version-check", "--report", str(root.parent / REPORT), "-r", str(LOCK)),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr or done.stdout)
    for unused in [*target.rglob("*.pyx"), *target.rglob("*.pxd"), *target.rglob("*.c")]:
        unused.unlink()
    _drop_scripts(target)
    _compile(base, root, _PACKAGES)


def fill_code(root: Path, base: Path) -> None:
    """Fill `root` with our own code and the programs, compiled by the interpreter in `base`."""
    package = root / _PACKAGES / "mercurylb"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    programs = root / "usr/bin"
    programs.mkdir(parents=True)
    for name, module in ENTRY_POINTS.items():
        program = programs / name
        program.write_text(
            f"#!/usr/bin/python3 -sP\nimport sys\n\nfrom {module} import main\n\nsys.exit(main())\n"
        )
        program.chmod(0o755)
    for link, name in ORIGINAL_NAMES.items():
        (root / link).symlink_to(f"usr/bin/{name}")
    _compile(base, root, _PACKAGES)
    for path in root.rglob("*"):  # Whatever the umask of who works in this tree.
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent == programs else 0o644)


def unpack(packages: Sequence[str], root: Path, debs: Path) -> list[str]:
    """Unpack `packages`, downloaded into `debs` unless it exists; give a row for each.

    A row has name, version, architecture and the file's SHA-256, separated by tabs.
    """
    if not debs.exists():
        debs.mkdir()
        apt.download_packages(packages, debs)
    rows = {file: apt.identity(file) for file in sorted(debs.glob("*.deb"))}
    wanted = [file for file, row in rows.items() if row.partition("\t")[0] in packages]
    if len(wanted) < len(packages):
        raise LabError(f"{debs} does not hold all of {', '.join(packages)}")
    apt.unpack_packages(wanted, root)
    return [f"{rows[file]}\t{archive.file_digest(file)}" for file in wanted]


def drop(root: Path, patterns: Sequence[str] = (*_DROPPED, "usr/share/doc")) -> None:
    """Remove what `patterns` match below `root`."""
    for path in [path for pattern in patterns for path in root.glob(pattern)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def interpreter(root: Path) -> list[str]:
    """Return the words that start the interpreter of an unpacked image on this machine."""
    loaders = sorted(root.glob("lib*/ld-linux-*.so.*")) or sorted(
        root.glob("lib/*/ld-linux-*.so.*")
    )
    if not loaders:
        raise LabError(f"{root} holds no dynamic loader")
    folders = [str(p) for base in ("lib", "usr/lib") for p in (root / base).glob("*-linux-gnu")]
    return [str(loaders[0]), "--library-path", ":".join(folders), f"{root}/usr/bin/python{PYTHON}"]


def _write_etc(root: Path) -> None:
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


def _drop_documents(root: Path) -> None:
    """Keep of each package's documents the one that its licence wants kept."""
    for path in sorted((root / "usr/share/doc").rglob("*")):
        if not path.is_dir() and path.name != "copyright":
            path.unlink()


def _drop_scripts(target: Path) -> None:
    """Remove the packages' programs, and their digests: their first lines name this machine."""
    shutil.rmtree(target / "bin", ignore_errors=True)
    for record in target.glob("*.dist-info/RECORD"):
        rows = record.read_text().splitlines(keepends=True)
        record.write_text("".join(row for row in rows if "/bin/" not in row.partition(",")[0]))


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


if __name__ == "__main__":
    sys.exit(main())
