"""Load on a service: new connections at a fixed rate from one host, each of them counted.

``with Load(lab.client, address, rate=1000) as load: …`` then ``load.report``.  The generator is a
process of its own in the host's network namespace (`lab.load_program`); where it is permitted it
runs before ordinary processes, as a machine of its own would.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from lab import binaries, cgroup
from lab.errors import WaitTimeout
from lab.observe.watch import urgent_argv
from lab.process import all_stats

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from lab.host import Host
    from lab.process import Process

RATE: Final = int(os.environ.get("MERCURYLB_LOAD_RATE", "1000"))
FLOWING_TIMEOUT_S: Final = 20.0
WAITING_MAX_MS: Final = 500.0
_COUNTER: Final = itertools.count(1)
_STOP_S: Final = 10.0
_URGENCY: Final = 30
"""Below the generator's and the observers'."""
_STEADY: Final = 5
"""Lines in a row without a loss that show a steady flow: half a second."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the requests of a stretch of time."""

    sent: int
    ok: int
    lost: int
    resent: int
    """Requests of which the kernel had to send a packet again."""
    slowest_ms: float
    longest_gap_ms: float
    late_ms: float
    """How late the generator itself was at most."""
    seconds: float
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.sent / self.seconds if self.seconds else 0.0


def favour(lab_name: str, program: str) -> int:
    """Let a program in a lab's pods run before ordinary processes, where that is permitted.

    Whom the load asks stands for a machine of its own, whose time is not what is measured; a pod
    without a reservation gets next to none on a busy machine.  Returns how many processes it is.
    """
    if not urgent_argv():
        return 0
    inside = f"/{cgroup.group_name(lab_name)}/"
    found = [stat.pid for stat in all_stats() if _is_inside(stat.pid, program, inside)]
    for pid in found:
        if not cgroup.is_v2():
            (cgroup.ROOT / "cpu" / "cgroup.procs").write_text(str(pid))
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(_URGENCY))
    return len(found)


def _is_inside(pid: int, program: str, group: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        return words.startswith(program) and group in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


def summarise(lines: Iterable[Mapping[str, Any]]) -> Report:
    """Sum up the generator's lines."""
    ticks = []
    errors: Counter[str] = Counter()
    for line in lines:
        if "error" in line:
            errors[line["error"]] += 1
        else:
            ticks.append(line)
    return Report(
        sent=sum(tick["sent"] for tick in ticks),
        ok=sum(tick["ok"] for tick in ticks),
        lost=sum(tick["lost"] for tick in ticks),
        resent=sum(tick["resent"] for tick in ticks),
        slowest_ms=max((tick["slowest_ms"] for tick in ticks), default=0.0),
        longest_gap_ms=max((tick["gap_ms"] for tick in ticks), default=0.0),
        late_ms=max((tick["late_ms"] for tick in ticks), default=0.0),
        seconds=ticks[-1]["t"] - ticks[0]["t"] + _length_s(ticks) if ticks else 0.0,
        errors=dict(errors),
    )


class Load:
    """A running generator of new connections; leave the ``with`` block to end it."""

    def __init__(
        self,
        host: Host,
        address: str,
        port: int = 80,
        *,
        rate: float = RATE,
    ) -> None:
        self._host = host
        self._words = [address, str(port), "--rate", str(rate)]
        self._process: Process | None = None
        self._since = 0

    def __enter__(self) -> Self:
        """Start, and wait until every request succeeds: what is reported begins there."""
        name = f"load-{os.getpid()}-{next(_COUNTER)}"
        argv = [*urgent_argv(), *binaries.helper_argv("lab.load_program", *self._words)]
        self._process = self._host.start(name, argv, env=binaries.helper_env())
        try:
            self._await_steady()
        except BaseException:
            self._process.stop(_STOP_S)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Begin no more requests and wait for those under way."""
        if self._process is not None:
            self._process.stop(_STOP_S)

    @property
    def report(self) -> Report:
        """What became of the requests since the flow was steady."""
        return summarise(self.lines())

    def lines(self) -> list[dict[str, Any]]:
        """Return the generator's lines since the flow was steady."""
        return self._all()[self._since :]

    def _all(self) -> list[dict[str, Any]]:
        return self._process.lines() if self._process is not None else []

    def _await_steady(self) -> None:
        """Wait for half a second without a loss; kube-proxy takes its time with new addresses."""
        deadline = time.monotonic() + FLOWING_TIMEOUT_S
        while not _is_steady(seen := self._all()):
            if time.monotonic() > deadline:
                raise WaitTimeout(f"no steady flow: {summarise(seen)}")
            time.sleep(0.05)
        self._since = len(seen)


def _is_steady(lines: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether all is well, and nobody waits who began before it was."""
    last = lines[-_STEADY:]
    return len(last) == _STEADY and all(
        line.get("ok")
        and not line["lost"]
        and not line["resent"]
        and line["waiting_ms"] < WAITING_MAX_MS
        for line in last
    )


def _length_s(ticks: Sequence[Mapping[str, Any]]) -> float:
    """Return how long a line's stretch of time is, on average."""
    return (ticks[-1]["t"] - ticks[0]["t"]) / (len(ticks) - 1) if len(ticks) > 1 else 0.0
