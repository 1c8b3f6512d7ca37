"""What the observers of one round saw, as figures.  Pure: lines in, values out.

A *gap* is the longest time between two successes that follow one another.  Of the wire it counts
only if a question was asked and not answered in it: an observer that stood still proves nothing.
*Two owners* is the time in which two hosts kept answering for one address.  A *false takeover* is a
stretch of answers of a host that had no reason to answer.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Line = Mapping[str, Any]

QUIET_S: Final = 0.05
"""Silence of a host for longer than this ends its stretch of answers, where owners are compared."""
APART_S: Final = 0.3
"""Two stretches of one host that are further apart than this are two takeovers."""
LEAD_S: Final = 0.2
"""A gap may begin this long before the fault: the command that brings it about takes its time."""
LAST_S: Final = 0.3
"""Who answers in this time at the end of a round is the owner after it."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The moments of a round, on the observers' clock."""

    begin: float
    fault: float
    mended: float
    end: float


@dataclass(frozen=True, slots=True)
class Seen:
    """The lines of a round: questions about the address of each family, and the tries to use it."""

    wire: Mapping[str, Sequence[Line]]
    udp: Mapping[str, Sequence[Line]]
    tcp: Mapping[str, Sequence[Line]]
    flood: Sequence[Line] = ()
    caches: Sequence[str] = ()
    """The hosts to which the client's kernel sends, by its neighbour cache, at the round's end."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a round; gaps are those of the family that fared worse."""

    wire_gap_s: float
    """From the fault until it was mended."""
    udp_gap_s: float | None
    tcp_gap_s: float | None
    back_gap_s: float
    """After it was mended."""
    two_owners_s: float
    """From the fault until it was mended."""
    two_owners_after_s: float
    false_takeovers: int
    lost: int | None
    """Of the datagrams sent 1 000 times a second, in the whole round."""
    after: tuple[str, ...]
    """Who answered at the end of the round, for any of the addresses."""
    astray: int
    """Addresses for which the client's kernel still sends to another host than the owner."""


def judge(seen: Seen, marks: Marks, *, first: str, moves: bool) -> Figures:
    """Judge a round in which the address of the host ``first`` moves, or must not."""
    begin, mended, end = marks.fault - LEAD_S, marks.mended, marks.end
    lines = seen.wire.values()
    return Figures(
        wire_gap_s=max(wire_gap(each, begin, mended) for each in lines),
        udp_gap_s=_try_gap(seen.udp, begin, mended),
        tcp_gap_s=_try_gap(seen.tcp, begin, mended),
        back_gap_s=max(wire_gap(each, mended, end) for each in lines),
        two_owners_s=max(two_owners(each, marks.fault, mended) for each in lines),
        two_owners_after_s=max(two_owners(each, mended, end) for each in lines),
        false_takeovers=max(false_takeovers(each, marks, first, moves=moves) for each in lines),
        lost=sum(not line["ok"] for line in seen.flood) if seen.flood else None,
        after=tuple(sorted({mac for each in lines for _, mac in answers(each, end - LAST_S, end)})),
        astray=sum(mac != first for mac in seen.caches),
    )


def answers(lines: Iterable[Line], begin: float, end: float) -> list[tuple[float, str]]:
    """List who answered when."""
    return sorted(
        (line["t"], line["mac"])
        for line in lines
        if line["kind"] == "answer" and begin <= line["t"] <= end
    )


def wire_gap(lines: Sequence[Line], begin: float, end: float) -> float:
    """Return the longest time between two answers that began or ended in a stretch of time.

    The answer before ``begin`` is where the first gap starts, and without a later answer a gap ends
    at ``end``.  One question belongs to the answer that ends a gap; a second one went unanswered.
    """
    times = [t for t, _ in answers(lines, begin, end)]
    asked = sorted(
        line["t"] for line in lines if line["kind"] == "asked" and begin <= line["t"] <= end
    )
    edges = [begin, *times, end]
    found = [
        b - a
        for a, b in itertools.pairwise(edges)
        if b - a > QUIET_S / 5 and bisect_left(asked, b) - bisect_right(asked, a) > 1
    ]
    return max(found, default=0.0)


def stretches(lines: Iterable[Line], quiet_s: float) -> dict[str, list[tuple[float, float]]]:
    """Return, of each host, the stretches of time in which it kept answering."""
    found: dict[str, list[tuple[float, float]]] = {}
    for t, mac in answers(lines, float("-inf"), float("inf")):
        own = found.setdefault(mac, [])
        if own and t - own[-1][1] <= quiet_s:
            own[-1] = (own[-1][0], t)
        else:
            own.append((t, t))
    return found


def two_owners(lines: Iterable[Line], begin: float, end: float) -> float:
    """Return for how long more than one host kept answering between two moments."""
    edges: list[tuple[float, int]] = []
    for spans in stretches(lines, QUIET_S).values():
        for a, b in spans:
            if min(b, end) > max(a, begin):
                edges += [(max(a, begin), 1), (min(b, end), -1)]
    total, depth, since = 0.0, 0, 0.0
    for t, step in sorted(edges):
        if depth > 1:
            total += t - since
        depth, since = depth + step, t
    return total


def false_takeovers(lines: Iterable[Line], marks: Marks, first: str, *, moves: bool) -> int:
    """Count the stretches of answers of other hosts than the first, but for the one due."""
    takeovers = sum(
        marks.begin <= a <= marks.end
        for mac, spans in stretches(lines, APART_S).items()
        if mac != first
        for a, _ in spans
    )
    return max(0, takeovers - int(moves))


def _try_gap(tries: Mapping[str, Sequence[Line]], begin: float, end: float) -> float | None:
    """Return the longest time between two successes; None where nothing was tried."""
    found = []
    for lines in tries.values():
        good = sorted(line["end"] for line in lines if line["ok"])
        inside = [t for t in good if begin <= t <= end]
        edges = [begin, *inside, end]
        found.append(max(b - a for a, b in itertools.pairwise(edges)))
    return max(found, default=None)
