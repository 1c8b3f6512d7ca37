"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe() -> dict[str, str]:
    """Return the machine's facts, without anything that names it."""
    return {
        "cores": str(os.cpu_count()),
        "CPU": _first("/proc/cpuinfo", "model name") or platform.machine(),
        "memory": f"{int(_first('/proc/meminfo', 'MemTotal').split()[0]) // (1 << 20)} GiB",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def _first(file: str, key: str) -> str:
    for line in Path(file).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
