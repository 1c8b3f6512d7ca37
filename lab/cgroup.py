"""One control group per node, so that every kubelet sees its own as the root.

Works with controllers mounted one by one (version 1, where the version-2 hierarchy may be mounted
beside them as ``unified``) and with the single hierarchy of version 2. Groups are named
``mercurylb-<lab>/<node>``.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
_V2_CONTROLLERS: Final = ("cpu", "cpuset", "memory", "pids", "io")
_CPUSET_FILES: Final = ("cpuset.cpus", "cpuset.mems")


def is_v2(root: Path = ROOT) -> bool:
    """Tell whether the machine has the single hierarchy of version 2."""
    return (root / "cgroup.controllers").exists()


def hierarchies(root: Path = ROOT) -> list[Path]:
    """List the mounted hierarchies: just the root for version 2, one folder each for version 1."""
    if is_v2(root):
        return [root]
    return sorted(p for p in root.iterdir() if p.is_dir() and (p / "cgroup.procs").exists())


def group_name(lab: str, node: str = "") -> str:
    """Return the path of a lab's or a node's group below each hierarchy."""
    return f"mercurylb-{lab}/{node}" if node else f"mercurylb-{lab}"


def create(lab: str, node: str, root: Path = ROOT) -> None:
    """Make the node's group in every hierarchy; existing ones are fine."""
    for hierarchy in hierarchies(root):
        parent, group = hierarchy / group_name(lab), hierarchy / group_name(lab, node)
        if is_v2(root):
            _delegate(hierarchy)
        for folder in (parent, group):
            folder.mkdir(exist_ok=True)
            _inherit_cpuset(folder)
        if is_v2(root):
            _delegate(parent)


def enter(lab: str, node: str, root: Path = ROOT) -> None:
    """Move the calling process into the node's group in every hierarchy."""
    for hierarchy in hierarchies(root):
        (hierarchy / group_name(lab, node) / "cgroup.procs").write_text(str(os.getpid()))


def settle(root: Path = ROOT) -> None:
    """Make room for pods in the group that is the root of the calling process's namespace.

    Version 2 lets a group either hold processes or hand controllers to its children, so the
    process moves into a leaf of its own first.
    """
    if is_v2(root):
        leaf = root / "init"
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
        _delegate(root)


def clear(lab: str, root: Path = ROOT, *, timeout_s: float = 5.0) -> None:
    """End every process in the groups of a lab and remove the groups; none is fine."""
    deadline = time.monotonic() + timeout_s
    for hierarchy in hierarchies(root):
        top = hierarchy / group_name(lab)
        if not top.exists():
            continue
        folders = sorted((p for p in top.rglob("*") if p.is_dir()), reverse=True)
        for folder in [*folders, top]:
            _remove_one(folder, deadline)


def _remove_one(folder: Path, deadline: float) -> None:
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            _kill_inhabitants(folder)
            time.sleep(0.02)
        else:
            return


def _kill_inhabitants(folder: Path) -> None:
    for pid in (folder / "cgroup.procs").read_text().split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def _inherit_cpuset(folder: Path) -> None:
    """Fill in the processors and memory nodes, without which version 1 lets no process enter."""
    for name in _CPUSET_FILES:
        mine, above = folder / name, folder.parent / name
        if mine.exists() and above.exists() and not mine.read_text().strip():
            mine.write_text(above.read_text())


def _delegate(group: Path) -> None:
    available = (group / "cgroup.controllers").read_text().split()
    for controller in _V2_CONTROLLERS:
        if controller in available:
            (group / "cgroup.subtree_control").write_text(f"+{controller}")
