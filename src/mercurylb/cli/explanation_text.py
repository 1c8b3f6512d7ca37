"""An explanation for people, and as plain values for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from mercurylb.plan.bgp_decision import AdvertisementReason, PeerReason
from mercurylb.plan.preview_routes import describe
from mercurylb.plan.request import listed
from mercurylb.plan.unannounced import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.plan.explanation import Explanation
    from mercurylb.plan.unannounced_bgp import NodeBgp


PROBLEMS_MAX: Final = 10
"""Of the configuration; JSON has them all."""
PEER_WORDS: Final = {
    PeerReason.OTHER_NODES: "it has no session with this node, by its nodeSelectors",
    PeerReason.NOT_NAMED: "the advertisement names other peers",
    PeerReason.OTHER_FAMILY: "its session carries the other family only",
    PeerReason.UNKNOWN: "there is no such BGPPeer",
}
ADVERTISEMENT_WORDS: Final = {
    AdvertisementReason.OTHER_NODES: "it is for other nodes",
    AdvertisementReason.OTHER_SERVICES: "it is for other services",
    AdvertisementReason.CONFLICT: "it contradicts another one",
    AdvertisementReason.TOO_MANY_COMMUNITIES: "it has too many communities",
}


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
    yield from _bgp(explanation)
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


def _bgp(explanation: Explanation) -> Iterator[tuple[str, str]]:
    """Tell what nodes do by BGP, those that do the same in one line."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for each in explanation.bgp:
        alike.setdefault(tuple(_bgp_of_node(each)), []).append(each.node)
    for lines, nodes in alike.items():
        for line in lines:
            yield "", f"BGP      {listed(nodes)}: {line}"


def _bgp_of_node(each: NodeBgp) -> Iterator[str]:
    decision = each.decision
    if not each.has_speaker:
        yield "no speaker runs there"
        return
    if decision.reason is not None:
        leaving = ", routes are being withdrawn" if decision.is_leaving else ""
        yield f"does not announce it: {decision.detail} ({decision.reason.value}){leaving}"
        return
    for route in decision.routes:
        told = describe(route.local_pref, route.as_path_prepend, route.communities)
        how = [*([told] if told else ()), f"by {route.advertisement}"]
        yield f"{route.prefix} to {listed(route.peers) or 'no peer'} ({', '.join(how)})"
        for verdict in route.unsent:
            yield f"{route.prefix} not to {verdict.peer}: {PEER_WORDS[verdict.reason]}"
    for refused in decision.verdicts:
        if refused.reason is not None:
            yield f"not by {refused.advertisement}: {ADVERTISEMENT_WORDS[refused.reason]}"


def _nodes(explanation: Explanation) -> Iterator[tuple[str, str]]:
    layer2 = explanation.layer2
    if layer2 is None or not layer2.addresses:
        return
    if explanation.bgp and not layer2.ranking:
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
