"""Metrics as Prometheus reads them: families of numbers, rendered in the text format 0.0.4.

The names are those of the original, to the letter. Some of its counters lack the suffix `_total`,
which is why the families are ours: the usual client library appends it. It also is one import
less.

Numbers that somebody else already counts are not counted twice: `Registry.on_scrape` takes a
function that copies them in when somebody asks. Everything runs on one event loop, without locks.
"""

from __future__ import annotations

import bisect
import itertools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mercurylb import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

F = TypeVar("F", "Family", "Histogram")


class Family:
    """All series of one name; a series is found by its label values, in the order of `labels`."""

    def __init__(self, kind: str, name: str, help_text: str, labels: tuple[str, ...]) -> None:
        self.kind = kind
        self.name = name
        self.labels = labels
        self._help = help_text
        self._series: dict[tuple[str, ...], float] = {}
        if not labels:
            self._series[()] = 0.0

    def set(self, value: float, *labels: str) -> None:
        """Make a series have a value."""
        self._series[self._checked(labels)] = value

    def add(self, amount: float, *labels: str) -> None:
        """Let a series grow; it begins at nothing."""
        key = self._checked(labels)
        self._series[key] = self._series.get(key, 0.0) + amount

    def value(self, *labels: str) -> float | None:
        """Give the value of a series, if there is one."""
        return self._series.get(labels)

    def remove(self, *labels: str) -> None:
        """Forget a series."""
        self._series.pop(labels, None)

    def replace(self, series: Mapping[tuple[str, ...], float]) -> None:
        """Make these all the series there are."""
        self._series = {self._checked(labels): value for labels, value in series.items()}

    def render(self) -> str:
        """Give the lines of this family; none when it has no series."""
        if not self._series:
            return ""
        lines = [f"# HELP {self.name} {_help_text(self._help)}", f"# TYPE {self.name} {self.kind}"]
        for labels, value in sorted(self._series.items()):
            lines.append(f"{self.name}{self._label_text(labels)} {_number(value)}")
        return "\n".join(lines) + "\n"

    def _checked(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(labels) != len(self.labels):
            raise AssertionError(f"{self.name} has the labels {self.labels}, not {labels}")
        return labels

    def _label_text(self, values: tuple[str, ...]) -> str:
        pairs = zip(self.labels, values, strict=True)
        text = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
        return f"{{{text}}}" if text else ""


class Histogram:
    """How long something took, each time: so many within each bound, and all together."""

    kind = "histogram"
    labels: tuple[str, ...] = ()

    def __init__(self, name: str, help_text: str, bounds: tuple[float, ...]) -> None:
        self.name = name
        self.bounds = bounds
        self._help = help_text
        self._counts: tuple[int, ...] = (0,) * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Take one more."""
        index = bisect.bisect_left(self.bounds, value)
        counts = list(self._counts)
        counts[index] += 1
        self.replace(counts, self._sum + value)

    def replace(self, counts: Sequence[int], total: float) -> None:
        """Make this all there is: how many up to each bound and above the last, and their sum."""
        if len(counts) != len(self.bounds) + 1:
            raise AssertionError(f"{self.name} has the bounds {self.bounds}, not {counts}")
        self._counts, self._sum = tuple(counts), total

    def render(self) -> str:
        """Give the lines, each bucket with all that is below it."""
        lines = [f"# HELP {self.name} {_help_text(self._help)}", f"# TYPE {self.name} {self.kind}"]
        texts = (*(_number(bound) for bound in self.bounds), "+Inf")
        for text, count in zip(texts, itertools.accumulate(self._counts), strict=True):
            lines.append(f'{self.name}_bucket{{le="{text}"}} {count}')
        lines += [f"{self.name}_sum {_number(self._sum)}", f"{self.name}_count {sum(self._counts)}"]
        return "\n".join(lines) + "\n"


class Registry:
    """Everything a program exposes."""

    def __init__(self) -> None:
        self._families: dict[str, Family | Histogram] = {}
        self._refreshers: list[Callable[[], None]] = []

    def gauge(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Family:
        """Add a family whose values go up and down."""
        return self._added(Family("gauge", name, help_text, labels))

    def counter(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Family:
        """Add a family whose values only grow."""
        return self._added(Family("counter", name, help_text, labels))

    def histogram(self, name: str, help_text: str, bounds: tuple[float, ...]) -> Histogram:
        """Add a family that says how long something takes."""
        return self._added(Histogram(name, help_text, bounds))

    def on_scrape(self, refresh: Callable[[], None]) -> None:
        """Have this called before each rendering."""
        self._refreshers.append(refresh)

    def render(self) -> bytes:
        """Give everything in the text format, sorted by name."""
        for refresh in self._refreshers:
            refresh()
        texts = [family.render() for _, family in sorted(self._families.items())]
        return "".join(texts).encode()

    def _added(self, family: F) -> F:
        if family.name in self._families:
            raise AssertionError(f"{family.name} is registered twice")
        self._families[family.name] = family
        return family


def add_process_metrics(registry: Registry, *, proc: Path = Path("/proc/self")) -> None:
    """Add the usual `process_*` families, read from the kernel at each scrape, and our version."""
    build = registry.gauge("mercurylb_build_info", "1, with the program's version.", ("version",))
    build.set(1, __version__)
    cpu = registry.counter("process_cpu_seconds_total", "User and system CPU time in seconds.")
    resident = registry.gauge("process_resident_memory_bytes", "Resident memory in bytes.")
    virtual = registry.gauge("process_virtual_memory_bytes", "Virtual memory in bytes.")
    files = registry.gauge("process_open_fds", "Open file descriptors.")
    started = registry.gauge("process_start_time_seconds", "Start since the epoch in seconds.")
    started.set(time.time())

    def refresh() -> None:
        pages = (proc / "statm").read_text().split()
        page_bytes = os.sysconf("SC_PAGE_SIZE")
        virtual.set(int(pages[0]) * page_bytes)
        resident.set(int(pages[1]) * page_bytes)
        cpu.set(time.process_time())
        files.set(len(list((proc / "fd").iterdir())))

    registry.on_scrape(refresh)


def _help_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    is_whole = isinstance(value, int) or value.is_integer()
    return str(int(value)) if is_whole else repr(value)
