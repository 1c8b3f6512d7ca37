"""The fast checks, side by side: what `make check` runs, in under 90 seconds on two cores.

Each step's output is shown only when it fails; the closing line says how long each one took.
"""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"

LANES: list[list[tuple[str, list[str]]]] = [
    [
        ("format", [f"{BIN}/ruff", "format", "--check", "--quiet", "."]),
        ("lint", [f"{BIN}/ruff", "check", "--quiet", "."]),
        ("imports", [f"{BIN}/lint-imports"]),
        ("types", [f"{BIN}/mypy"]),
    ],
    [
        (
            "tests",
            [
                f"{BIN}/python",
                "-m",
                "pytest",
                "-q",
                "--no-header",
                "-p",
                "no:cacheprovider",
                "-m",
                "not whole",
                "-n2",
                "--dist=worksteal",
                "tests/tidy",
                "tests/unit",
                "tests/property",
                "tests/sim",
            ],
        ),
    ],
]
"""Two lanes, within a lane one step after the other; the tests share the cores with the first."""


def run(name: str, argv: list[str]) -> tuple[str, float, int, str]:
    """Run one step and return its name, seconds, exit status and output."""
    start = time.monotonic()
    done = subprocess.run(  # noqa: S603 (our own fixed commands)
        argv,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    return name, time.monotonic() - start, done.returncode, done.stdout


def run_lane(lane: list[tuple[str, list[str]]]) -> list[tuple[str, float, int, str]]:
    """Run a lane's steps in order; a failure does not keep the next from telling its own."""
    return [run(name, argv) for name, argv in lane]


def main() -> int:
    """Run both lanes, print what failed, and return the exit status."""
    start = time.monotonic()
    print("check: format, lint, imports, types, tidy, unit, property, simulation …", flush=True)  # noqa: T201
    with concurrent.futures.ThreadPoolExecutor(len(LANES)) as pool:
        results = [step for lane in pool.map(run_lane, LANES) for step in lane]
    failed = [step for step in results if step[2]]
    for name, _, status, output in failed:
        print(f"\n--- {name} failed (exit {status}) ---\n{output}")  # noqa: T201
    for name, _, status, output in results:
        if name == "tests" and not status:
            print(output.strip().splitlines()[-1])  # noqa: T201
    times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds, _, _ in results)
    verdict = "FAILED" if failed else "ok"
    print(f"check: {verdict} in {time.monotonic() - start:.0f} s ({times})")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
