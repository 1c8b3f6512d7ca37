"""What many flows through a router lost.  Pure: lines of `lab.observe.probe` in, values out.

The flows take turns, so each of them sends every ``number of flows`` times the rhythm.  An *outage*
of a flow is a row of its datagrams that were lost, from the first one to the next that was not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Loss:
    """The losses of a stretch of time."""

    sent: int
    lost: int
    outage_s: float
    """The longest outage of any flow; one that has no end lasts until the last datagram."""
    flows_hit: int
    """Flows with an outage."""
    answered_by: Mapping[str, int] = field(default_factory=dict)
    """Echoes by the pod that sent them."""


def judge(lines: Iterable[Line], begin: float, end: float) -> Loss:
    """Judge what was sent in a stretch of time."""
    flows: dict[int, list[Line]] = {}
    for line in lines:
        if begin <= line["t"] <= end:
            flows.setdefault(line.get("flow", 0), []).append(line)
    outages = [_outage(sorted(tries, key=lambda line: line["t"])) for tries in flows.values()]
    whole = [line for tries in flows.values() for line in tries]
    by: dict[str, int] = {}
    for line in whole:
        if line["ok"]:
            by[line["who"]] = by.get(line["who"], 0) + 1
    return Loss(
        sent=len(whole),
        lost=sum(not line["ok"] for line in whole),
        outage_s=max(outages, default=0.0),
        flows_hit=sum(outage > 0 for outage in outages),
        answered_by=dict(sorted(by.items())),
    )


def _outage(tries: Iterable[Line]) -> float:
    """Return the longest outage of one flow."""
    longest, since, last = 0.0, None, 0.0
    for line in tries:
        last = line["t"]
        if line["ok"]:
            if since is not None:
                longest = max(longest, last - since)
            since = None
        elif since is None:
            since = last
    return max(longest, last - since) if since is not None else longest
