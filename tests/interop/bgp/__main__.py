"""Run the BGP interop tests and print the table of capability by neighbour: `make interop`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def main() -> int:
    """Run everything in this folder; anything but passed or lacking is a failure."""
    # Most of the time is spent on waiting for other people's timers, so two run side by side.
    options = ["-q", "--no-header", "-r", "fE", "-n", "2", "--dist", "worksteal"]
    return int(pytest.main([*options, str(HERE), *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
