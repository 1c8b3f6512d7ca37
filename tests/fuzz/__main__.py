"""The command: fuzz all targets or some, or repeat a crash."""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from lab import paths
from lab.build import cache
from lab.errors import LabError
from tests.fuzz.targets import TARGETS

ATHERIS = "atheris==3.0.0"
AT_ONCE = 2
LINES_SHOWN = 30
START_PATIENCE_S = 120
"""What a worker may take beyond its time, for starting and for its last input."""


def main() -> int:
    """Do what the command line says; the status is the number of targets with a find, or 1."""
    options = parse(sys.argv[1:])
    if options.replay:
        return replay(Path(options.replay))
    names = options.targets or list(TARGETS)
    library = atheris_folder()
    way = "atheris" if library is not None else "hypothesis"
    print(f"fuzz: {len(names)} targets, {options.seconds} s each, by {way}", flush=True)  # noqa: T201
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda name: fuzz(name, options.seconds, library), names))
    print(f"fuzz: {sum(found)} of {len(names)} targets had a find")  # noqa: T201
    return min(sum(found), 1)


def parse(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long each target is fuzzed")
    parser.add_argument("--replay", metavar="FILE", help="run the bytes of a found crash once")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    options = parser.parse_args(words)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}")
    return options


def fuzz(name: str, seconds: int, library: Path | None) -> bool:
    """Fuzz one target; print a line, and where a find is; return whether there is one."""
    crashes = paths.cache_root() / "fuzz" / "crashes" / name
    crashes.mkdir(parents=True, exist_ok=True)
    before = set(crashes.iterdir())
    way = "hypothesis" if library is None else "atheris"
    corpus = paths.cache_root() / "fuzz" / "corpus" / name
    argv = [sys.executable, "-m", "tests.fuzz.worker", way, name]
    argv += [str(seconds), str(corpus), str(crashes)]
    folders = [
        str(paths.REPOSITORY),
        str(paths.REPOSITORY / "src"),
        *([str(library)] if library else []),
    ]
    try:
        done = subprocess.run(
            argv,
            cwd=paths.REPOSITORY,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + START_PATIENCE_S,
            check=False,
        )
        output, status = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired as late:
        output, status = f"it did not end in time: {late}", 1
    new = sorted(set(crashes.iterdir()) - before)
    runs = re.search(r"number_of_executed_units: (\d+)", output)
    coverage = re.findall(r"\bcov: (\d+)", output)
    print(  # noqa: T201
        f"fuzz: {name}: {'FOUND' if status else 'clean'}, {runs[1] if runs else '?'} runs"
        + (f", coverage {coverage[-1]}" if coverage else ""),
        flush=True,
    )
    if status:
        print(explanation(output), flush=True)  # noqa: T201
    for file in new:
        print(f"fuzz: repeat with: python -m tests.fuzz --replay {file}", flush=True)  # noqa: T201
    return status != 0


def explanation(output: str) -> str:
    """Return the traceback in a worker's output, or else its end."""
    lines = output.splitlines()
    starts = [number for number, line in enumerate(lines) if "Uncaught Python exception" in line]
    shown = lines[starts[0] :] if starts else lines[-LINES_SHOWN:]
    return "\n".join(shown[:LINES_SHOWN])


def replay(file: Path) -> int:
    """Run the target that the file's folder names on its bytes."""
    received = file.read_bytes()
    print(f"fuzz: {file.parent.name}: {received!r}", flush=True)  # noqa: T201
    TARGETS[file.parent.name].run(received)
    print("fuzz: nothing came out")  # noqa: T201
    return 0


def atheris_folder() -> Path | None:
    """Return where atheris is, fetched for this interpreter; None when it has none."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = paths.cache_root() / "fuzz" / f"atheris-{version}"
    try:
        return cache.build_once(folder, "fetching the fuzzer (atheris from PyPI)", _fetch)
    except LabError as error:
        print(f"fuzz: no atheris here: {error}", flush=True)  # noqa: T201
        return None


def _fetch(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    argv = [*pip, "--disable-pip-version-check", "--target", str(folder), ATHERIS]
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(argv, cwd=scratch, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise LabError(lines[-1] if lines else f"pip ended with {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
