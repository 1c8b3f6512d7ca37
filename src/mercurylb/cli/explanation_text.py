"""An explanation for people, and as plain values for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from mercurylb.plan.unannounced import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.plan.explanation import Explanation


PROBLEMS_MAX: Final = 10
"""Of the configuration; JSON has them all."""


def to_builtins(explanation: Explanation) -> dict[str, Any]:
    """Give everything, for programs."""
    shown: dict[str, Any] = msgspec.to_builtins(explanation)
    shown["cause"]["isHealthy"] = explanation.cause.is_healthy
    if shown["address"] is not None:
        shown["address"].pop("patch", None)
    return shown


def to_lines(explanation: Explanation) -> Iterator[tuple[str, str]]:
    """Give the lines, each with the colour of what it says."""
    cause = explanation.cause
    yield ("good" if cause.is_healthy else "error"), f"Cause: {cause.sentence}."
    if cause.advice:
        yield "hint", f"To do: {cause.advice}."
    yield "", ""
    yield "", f"Service  {explanation.service}"
    if explanation.address is not None:
        yield from _address(explanation)
    yield from _nodes(explanation)
    for announcer in explanation.announcers:
        where = f" ({announcer.detail})" if announcer.detail else ""
        yield "", f"Says     {announcer.node} that it announces it by {announcer.protocol}{where}"
    for each in explanation.disputes:
        who = f"node {each.node}" if each.node else "a stranger"
        what = f"{each.address} is also claimed by {who} ({each.mac})"
        yield "error", f"Conflict {what} on {each.interface} since {each.since}"
    for problem in explanation.problems[:PROBLEMS_MAX]:
        yield "error", f"Problem  {problem}"
    more = len(explanation.problems) - PROBLEMS_MAX
    if more > 0:
        yield "error", f"Problem  and {more} more"
    for note in explanation.notes:
        yield "warning", f"Note     {note}"
    for event in explanation.events:
        yield "", f"Event    {event.when} {event.reason}: {event.message}"


def _address(explanation: Explanation) -> Iterator[tuple[str, str]]:
    decision = explanation.address
    assert decision is not None
    for verdict in decision.verdicts:
        state = "chosen " if verdict.chosen else "refused"
        detail = f": {verdict.detail}" if verdict.detail else ""
        holders = f" ({verdict.holders})" if verdict.holders else ""
        yield "", f"Pool     {state} {verdict.pool}{detail}{holders}"
    has = ", ".join(explanation.has) or "none"
    wanted = ", ".join(decision.addresses)
    rest = f"; decided: {wanted}" if wanted and decision.addresses != explanation.has else ""
    pool = f" of pool {decision.pool}" if decision.pool else ""
    yield "", f"Address  {has}{rest}{pool} ({decision.outcome.value})"


def _nodes(explanation: Explanation) -> Iterator[tuple[str, str]]:
    layer2 = explanation.layer2
    if layer2 is None or not layer2.addresses:
        return
    for verdict in layer2.verdicts:
        if verdict.rank is None:
            reason = WORDS[verdict.reason] if verdict.reason else ""
            yield "", f"Node     -  {verdict.node}: {reason}"
        else:
            score = f", preferred by {verdict.score}" if verdict.score else ""
            is_next = ", announces" if verdict.node == explanation.expected else ""
            yield "", f"Node     {verdict.rank + 1}. {verdict.node}{is_next}{score}"
    if layer2.ranking and explanation.expected:
        names = "all interfaces" if layer2.interfaces is None else ", ".join(layer2.interfaces)
        yield "", f"Where    {names}"
