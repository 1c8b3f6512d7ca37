"""Long-lived processes: start inside a namespace, remember, find again, end by their own pid.

A process is written down as pid **and** start time, so that a recycled pid is never touched.  Each
one leads a session of its own: a Ctrl-C at the driver's terminal does not reach it, and what it
forked can be found through the session after it died.  The driver may end at any time; another one
picks the processes up from the records.
"""

from __future__ import annotations

import json
import os
import select
import signal
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lab import netns
from lab.errors import ProcessError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_KILL: Final = signal.SIGKILL
_KILL_ROUNDS_MAX: Final = 10
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
BASE_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class ProcStat:
    """What ``/proc/<pid>/stat`` says about one process."""

    pid: int
    state: str
    parent: int
    session: int
    cpu_s: float
    start_ticks: int
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How a process is started, now and again."""

    name: str
    argv: tuple[str, ...]
    netns: str | None = None
    host: str = ""
    env: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A started process: its spec plus the identity the kernel gave it."""

    spec: ProcessSpec
    pid: int
    start_ticks: int


def read_stat(pid: int) -> ProcStat | None:
    """Read a process's figures; None when it does not exist."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return ProcStat(
        pid=pid,
        state=fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
        start_ticks=int(fields[19]),
        rss_bytes=int(fields[21]) * _PAGE_BYTES,
    )


def pss_bytes(pid: int) -> int:
    """Return a process's proportional share of memory; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    lines = (line.split() for line in text.splitlines() if line.startswith("Pss:"))
    return next((int(words[1]) * 1024 for words in lines), 0)


def all_stats() -> list[ProcStat]:
    """Read the figures of every process on the machine."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [stat for pid in pids if (stat := read_stat(pid)) is not None]


def wait_gone(pid: int, timeout_s: float) -> bool:
    """Wait until the process has ended (a zombie counts as ended); tell whether it has."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)


def _await_end(members: Iterable[ProcStat]) -> None:
    for member in members:
        wait_gone(member.pid, 5.0)


class Process:
    """One process of the lab, found through its record."""

    def __init__(self, table: ProcessTable, record: ProcessRecord) -> None:
        self._table = table
        self.record = record
        self.exit_status: int | None = None

    @property
    def name(self) -> str:
        """The name under which the process is known in the lab."""
        return self.record.spec.name

    @property
    def pid(self) -> int:
        """The process id."""
        return self.record.pid

    @property
    def log_path(self) -> Path:
        """The file with the process's output."""
        return self._table.log_path(self.name)

    def log(self) -> str:
        """Return everything the process has printed so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def lines(self) -> list[dict[str, Any]]:
        """Return the JSON lines among it; one that is still being written is left out."""
        text = self.log()
        whole = text[: text.rfind("\n") + 1]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def stat(self) -> ProcStat | None:
        """Return the process's figures, or None when it is not running."""
        self._reap()
        stat = read_stat(self.pid)
        if stat is None or stat.start_ticks != self.record.start_ticks or stat.state in "ZX":
            return None
        return stat

    def is_alive(self) -> bool:
        """Tell whether this very process still runs."""
        return self.stat() is not None

    def family(self) -> list[ProcStat]:
        """List the process and everything that it forked and that stayed in its session."""
        leader = read_stat(self.pid)
        if leader is not None and leader.start_ticks != self.record.start_ticks:
            return []
        return [
            stat
            for stat in all_stats()
            if stat.session == self.pid
            and stat.state not in "ZX"
            and stat.start_ticks >= self.record.start_ticks
        ]

    def signal(self, number: int, *, family: bool = False) -> None:
        """Send a signal to the process, or to its whole family; a dead one is left alone."""
        targets = self.family() if family else [s for s in [self.stat()] if s]
        for target in targets:
            try:
                os.kill(target.pid, number)
            except ProcessLookupError:
                continue

    def kill(self, number: int = _KILL, *, family: bool = True) -> None:
        """Send a signal (SIGKILL unless told) and, for SIGKILL, wait until it has taken effect."""
        if number == signal.SIGKILL and family:
            self._kill_family()
            return
        members = self.family() if family else [s for s in [self.stat()] if s]
        self.signal(number, family=family)
        if number == signal.SIGKILL:
            _await_end(members)
            self._reap()

    def pause(self) -> None:
        """Freeze the whole family (SIGSTOP)."""
        self.signal(signal.SIGSTOP, family=True)

    def cont(self) -> None:
        """Let a frozen family go on (SIGCONT)."""
        self.signal(signal.SIGCONT, family=True)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end of the process; tell whether it came."""
        if not self.is_alive():
            return True
        gone = wait_gone(self.pid, timeout_s)
        self._reap()
        return gone

    def stop(self, timeout_s: float = 10.0) -> None:
        """End gracefully (SIGTERM), then by SIGKILL with all that is left of the family."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT, family=True)
        self.wait(timeout_s)
        if self.family():
            self.kill(family=True)
        self._reap()

    def start(self) -> None:
        """Start the same command again after it ended; the log goes on."""
        if self.is_alive():
            raise ProcessError(f"{self.name} is running already (pid {self.pid})")
        again = self._table.start(self.record.spec)
        self.record = again.record
        self.exit_status = None

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def discard(self) -> None:
        """Forget an ended process and its log."""
        self._table.forget(self.name)
        self.log_path.unlink(missing_ok=True)

    def _kill_family(self) -> None:
        """End the family; what is forked between a look and its signal, the next look finds."""
        for _ in range(_KILL_ROUNDS_MAX):
            members = self.family()
            if not members:
                break
            self.signal(signal.SIGKILL, family=True)
            _await_end(members)
        self._reap()

    def _reap(self) -> None:
        """Collect the exit status when this driver is the parent, so that no zombie stays."""
        if self.exit_status is not None:
            return
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == self.pid:
            self.exit_status = os.waitstatus_to_exitcode(status)


class ProcessTable:
    """The recorded processes of one lab."""

    def __init__(self, state_dir: Path) -> None:
        self._records = state_dir / "processes"
        self._logs = state_dir / "logs"

    def log_path(self, name: str) -> Path:
        """Return the log file of the process called ``name``."""
        return self._logs / f"{name}.log"

    def start(self, spec: ProcessSpec) -> Process:
        """Start a process and write it down; the name must not be in use by a living one."""
        current = self.get(spec.name)
        if current is not None and current.is_alive():
            raise ProcessError(f"{spec.name} is running already (pid {current.pid})")
        self._records.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        pid = self._spawn(spec)
        stat = read_stat(pid)
        if stat is None:
            raise ProcessError(f"{spec.name} vanished at its start; see {self.log_path(spec.name)}")
        record = ProcessRecord(spec=spec, pid=pid, start_ticks=stat.start_ticks)
        self._write(record)
        return Process(self, record)

    def get(self, name: str) -> Process | None:
        """Find a process by its name; None when none was ever started."""
        file = self._records / f"{name}.json"
        try:
            fields = json.loads(file.read_text())
        except FileNotFoundError:
            return None
        spec = fields["spec"]
        spec["argv"] = tuple(spec["argv"])
        return Process(
            self,
            ProcessRecord(
                ProcessSpec(**spec), pid=fields["pid"], start_ticks=fields["start_ticks"]
            ),
        )

    def all(self) -> list[Process]:
        """List every recorded process in the order of their start."""
        if not self._records.is_dir():
            return []
        found = [self.get(file.stem) for file in self._records.glob("*.json")]
        return sorted(
            (process for process in found if process is not None),
            key=lambda process: (process.record.start_ticks, process.pid),
        )

    def forget(self, name: str) -> None:
        """Drop the record of an ended process; its log stays."""
        (self._records / f"{name}.json").unlink(missing_ok=True)

    def update_env(self, name: str, env: Mapping[str, str]) -> None:
        """Change the environment that the next start of the process will see."""
        process = self.get(name)
        if process is None:
            raise ProcessError(f"no process called {name}")
        spec = replace(process.record.spec, env={**(process.record.spec.env or {}), **env})
        self._write(replace(process.record, spec=spec))

    def kill_all(self) -> None:
        """End every process and its family at once, the latest first."""
        processes = list(reversed(self.all()))
        for process in processes:
            process.signal(signal.SIGKILL, family=True)
        for process in processes:
            process.kill(family=True)

    def _spawn(self, spec: ProcessSpec) -> int:
        enter = netns.enter_argv(spec.netns) if spec.netns else []
        argv = [*enter, *spec.argv]
        env = {"PATH": BASE_PATH, "HOME": "/root", "LANG": "C.UTF-8", **(spec.env or {})}
        log = os.open(
            self.log_path(spec.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644
        )
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.posix_spawn(
                argv[0] if "/" in argv[0] else netns.tool(argv[0]),
                argv,
                env,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, null, 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGPIPE),
            )
        except FileNotFoundError as missing:
            raise ProcessError(f"{spec.name}: {argv[0]} does not exist") from missing
        finally:
            os.close(log)
            os.close(null)

    def _write(self, record: ProcessRecord) -> None:
        file = self._records / f"{record.spec.name}.json"
        fresh = file.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            json.dump(asdict(record), out)
        fresh.replace(file)
