"""The two halves of a speaker, told apart by who forked whom: announcer (first) and brain.

In the light profile a speaker is a process of the lab.  In the full one it lives in a container;
then it is looked for among the processes that share the node's network namespace.  A speaker that
is one process, as the original is, is its own announcer and has no brain.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab import netns
from lab.errors import ProcessError
from lab.process import all_stats, read_stat, wait_gone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lab.process import Process, ProcStat

ANNOUNCER: Final = "announcer"
BRAIN: Final = "brain"
NAMES: Final = (ANNOUNCER, BRAIN)
_GONE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The processes of one speaker."""

    announcer: int
    brains: tuple[int, ...]

    def of(self, part: str) -> tuple[int, ...]:
        """Return the process ids of a part."""
        if part not in NAMES:
            raise ProcessError(f"a speaker has no part {part!r}; it has {' and '.join(NAMES)}")
        return (self.announcer,) if part == ANNOUNCER else self.brains


def split(processes: Mapping[int, int]) -> Parts | None:
    """Tell announcer and brain apart, given each process's parent; None without any process."""
    firsts = sorted(pid for pid, parent in processes.items() if parent not in processes)
    if not firsts:
        return None
    return Parts(firsts[0], tuple(sorted(set(processes) - {firsts[0]})))


def of_process(speaker: Process) -> Parts:
    """Return the parts of a speaker of the light profile."""
    return _found(speaker.family(), speaker.name)


def of_node(namespace: str, program: str = "mercurylb-speaker") -> Parts:
    """Return the parts of the speaker that runs in a node's network namespace."""
    wanted = netns.path(namespace).stat().st_ino
    inside = [stat for stat in all_stats() if _inode(stat.pid) == wanted]
    return _found([stat for stat in inside if _runs(stat.pid, program)], namespace)


def send(parts: Parts, part: str, number: int) -> None:
    """Send a signal to a part; for SIGKILL wait until it has taken effect."""
    pids = parts.of(part)
    if not pids:
        raise ProcessError(f"this speaker has no {part} of its own")
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
    if number == signal.SIGKILL:
        for pid in pids:
            wait_gone(pid, _GONE_S)


def _found(stats: Iterable[ProcStat], where: str) -> Parts:
    parts = split({stat.pid: stat.parent for stat in stats if stat.state not in "ZX"})
    if parts is None:
        raise ProcessError(f"{where}: no speaker runs there")
    return parts


def _inode(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0


def _runs(pid: int, program: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return read_stat(pid) is not None and any(
        word.decode(errors="replace").rsplit("/", 1)[-1] == program for word in words[:4]
    )
