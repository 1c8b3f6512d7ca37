"""Who answers on the wire, for people, and as plain values for programs."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.plan.hearing import Heard, Report

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


def to_builtins(report: Report) -> dict[str, Any]:
    """Give everything, for programs."""
    return {**msgspec.to_builtins(report), "isFine": report.is_fine}


def to_lines(report: Report, *, now: float) -> Iterator[tuple[str, str]]:
    """Give the lines, each with the colour of what it says; `now` is seconds since the epoch."""
    yield ("good" if report.is_fine else "error"), f"Answer: {report.sentence}."
    if report.advice:
        yield "hint", f"To do: {report.advice}."
    yield "", ""
    yield "", f"Address  {report.address}"
    for each in report.answers:
        yield "", f"Heard    {_heard(each)}"
    for service in report.services:
        yield "", f"Service  {service}"
    for rank, node in enumerate(report.ranking, start=1):
        is_next = ", is to answer" if node in report.expected else ""
        yield "", f"Node     {rank}. {node}{is_next}{_missed(report, node)}"
    for said in report.said:
        age = age_of(said.since, now)
        written = f", written {age} ago" if age else ""
        yield "", f"Says     {said.node} that it announces {said.service} by layer2{written}"
    for dispute in report.disputes:
        who = f"node {dispute.node}" if dispute.node else "a stranger"
        age = age_of(dispute.since, now)
        since = f"for {age}" if age else f"since {dispute.since}"
        where = f"on its interface {dispute.interface} {since}"
        yield "warning", f"Conflict seen by the speaker {where}: {who} ({dispute.mac})"
    if report.unlearnt:
        names = ", ".join(report.unlearnt)
        yield "warning", f"Note     did not tell their MAC addresses on this wire: {names}"


def _heard(answer: Heard) -> str:
    who = f"node {answer.node} " if answer.node else ""
    times = "once" if answer.count == 1 else f"{answer.count} times"
    latency = f", after {answer.latency_ms:.1f} ms" if answer.latency_ms is not None else ""
    return (
        f"{who}{answer.mac} on {answer.interface}, {times}{latency}, last {answer.age_s:.1f} s ago"
    )


def _missed(report: Report, node: str) -> str:
    words = report.missed.get(node)
    if not words:
        return ""
    speaker, word = next(iter(words.items()))
    more = f" and {len(words) - 1} more" if len(words) > 1 else ""
    return f", {word} (says {speaker}{more})"


def age_of(since: str, now: float) -> str:
    """Give how long ago a time was, in one unit; empty if it is no time."""
    try:
        then = dt.datetime.fromisoformat(since).timestamp()
    except ValueError:
        return ""
    return span_of(now - then)


def span_of(seconds: float) -> str:
    """Give a span of time in one unit."""
    seconds = max(0, int(seconds))
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
