"""Turn observers' lines into figures.  Pure: lines in, values out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of time during which one MAC kept answering."""

    mac: str
    begin: float
    end: float
    answers: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of time without success, from the last success before to the first after.

    A stretch that lasts until the end of the observation has ``open`` set.
    """

    begin: float
    end: float
    open: bool = False

    @property
    def length_s(self) -> float:
        """How long it lasted."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class OwnerReport:
    """Who answered for an address, and when nobody or more than one did."""

    intervals: tuple[Interval, ...]
    gaps: tuple[Gap, ...]
    two_owners_s: float
    asked: int
    answered: int

    @property
    def owners(self) -> tuple[str, ...]:
        """The owners in the order of their first answer."""
        return tuple(dict.fromkeys(interval.mac for interval in self.intervals))

    @property
    def longest_gap_s(self) -> float:
        """The longest time without an answer."""
        return max((gap.length_s for gap in self.gaps), default=0.0)


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """How a service did under probes."""

    tried: int
    succeeded: int
    gaps: tuple[Gap, ...]
    latency_p50_ms: float
    latency_max_ms: float
    by_pod: Mapping[str, int]
    errors: Mapping[str, int]

    @property
    def longest_gap_s(self) -> float:
        """The longest time without a success."""
        return max((gap.length_s for gap in self.gaps), default=0.0)


def owners(lines: Sequence[Line], *, quiet_s: float = 0.05) -> OwnerReport:
    """Report who answered; silence longer than ``quiet_s`` is a gap and ends an interval."""
    asked = [line["t"] for line in lines if line["kind"] == "asked"]
    answers = [(line["t"], line["mac"]) for line in lines if line["kind"] == "answer"]
    intervals: list[Interval] = []
    for mac in dict.fromkeys(mac for _, mac in answers):
        times = [t for t, whose in answers if whose == mac]
        intervals += _stretches(mac, times, quiet_s)
    intervals.sort(key=lambda interval: interval.begin)
    return OwnerReport(
        intervals=tuple(intervals),
        gaps=tuple(_gaps([t for t, _ in answers], asked, quiet_s)),
        two_owners_s=_overlap(intervals),
        asked=len(asked),
        answered=len(answers),
    )


def probes(lines: Sequence[Line], *, quiet_s: float = 0.1) -> ProbeReport:
    """Report tries; a time longer than ``quiet_s`` between two successes is a gap."""
    good = [line for line in lines if line["ok"]]
    latencies = sorted((line["end"] - line["t"]) * 1000 for line in good)
    return ProbeReport(
        tried=len(lines),
        succeeded=len(good),
        gaps=tuple(_gaps([line["end"] for line in good], [line["t"] for line in lines], quiet_s)),
        latency_p50_ms=latencies[len(latencies) // 2] if latencies else 0.0,
        latency_max_ms=latencies[-1] if latencies else 0.0,
        by_pod=_count(line.get("who", "") for line in good),
        errors=_count(
            str(line.get("error") or line.get("status", "")) for line in lines if not line["ok"]
        ),
    )


def _stretches(mac: str, times: Sequence[float], quiet_s: float) -> list[Interval]:
    found: list[Interval] = []
    begin = previous = times[0]
    count = 0
    for t in times:
        if t - previous > quiet_s:
            found.append(Interval(mac, begin, previous, count))
            begin, count = t, 0
        previous, count = t, count + 1
    return [*found, Interval(mac, begin, previous, count)]


def _gaps(successes: Sequence[float], tries: Sequence[float], quiet_s: float) -> list[Gap]:
    """Return the stretches without success between the first and the last try."""
    if not tries:
        return []
    ordered = sorted(successes)
    edges = [min(tries), *ordered]
    found = [Gap(a, b) for a, b in itertools.pairwise(edges) if b - a > quiet_s]
    last = max(tries)
    if last - edges[-1] > quiet_s:
        found.append(Gap(edges[-1], last, open=True))
    return found


def _overlap(intervals: Sequence[Interval]) -> float:
    """Return the time during which more than one MAC answered."""
    edges = [(interval.begin, 1) for interval in intervals]
    edges += [(interval.end, -1) for interval in intervals]
    total, depth, since = 0.0, 0, 0.0
    for t, step in sorted(edges):
        if depth > 1:
            total += t - since
        depth, since = depth + step, t
    return total


def _count(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return counts
