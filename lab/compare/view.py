"""The comparable picture of a universe: names and texts, no times, ids or cluster addresses.

Pure.  A picture is a flat mapping from what it is about to a text, so that two of them are compared
and their difference is read line by line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lab.compare.script import Json

Picture = dict[str, str]
Translate = "Callable[[str], str]"

ADDRESSES: Final = "addresses"
POOL: Final = "pool"
_CLUSTER4: Final = re.compile(r"\b10\.(9[6-9]|10[0-9]|11[01])\.[0-9]+\.[0-9]+\b")
_CLUSTER6: Final = re.compile(r"\bfd00:96::[0-9a-f]+\b")
_PREFIXES: Final = ("metallb.io", "metallb.universe.tf")
_COUNTERS: Final = ("assignedIPv4", "assignedIPv6", "availableIPv4", "availableIPv6")


def draw_service(service: Json) -> Picture:
    """Draw what a controller wrote into a service."""
    status = service["status"]["loadBalancer"]
    ingress = status.get("ingress", [])
    annotations = service["metadata"].get("annotations", {})
    found = {
        "type": service["spec"]["type"],
        ADDRESSES: " ".join(entry.get("ip", f"={entry.get('hostname')}") for entry in ingress),
    }
    for prefix in _PREFIXES:
        key = f"{prefix}/ip-allocated-from-pool"
        if key in annotations:
            found[POOL if prefix == _PREFIXES[0] else key] = annotations[key]
    for condition in service["status"].get("conditions", []):
        words = [condition.get(key, "") for key in ("status", "reason", "message")]
        found[f"condition {condition['type']}"] = " | ".join(words)
    return found


def draw_pool(pool: Json) -> Picture:
    """Draw the counters of a pool."""
    status = pool.get("status", {})
    return {"counters": " ".join(f"{key}={status.get(key, '-')}" for key in _COUNTERS)}


def draw_state(state: Json) -> Picture:
    """Draw a ConfigurationState."""
    status = state.get("status", {})
    found = {"result": status.get("result", ""), "errorSummary": status.get("errorSummary", "")}
    for condition in status.get("conditions", []):
        words = [condition.get(key, "") for key in ("status", "reason", "message")]
        found[f"condition {condition['type']}"] = " | ".join(words)
    return found


def draw_events(events: Iterable[Json]) -> Picture:
    """Draw events as the set of what was said; how often it was said depends on the moment."""
    said = {(e.get("type", ""), e.get("reason", ""), e.get("message", "")) for e in events}
    return {f"event {' | '.join(words)}": "said" for words in said}


def combine(parts: Mapping[str, Picture], translate: Callable[[str], str]) -> Picture:
    """Put the pictures of several objects into one, in a script's words."""
    found: Picture = {}
    for about, part in parts.items():
        for key, text in part.items():
            found[tidy(translate(f"{about}: {key}"))] = tidy(translate(text))
    return found


def tidy(text: str) -> str:
    """Take the cluster's own addresses out of a text: the twins' differ."""
    return _CLUSTER6.sub("<clusterIPv6>", _CLUSTER4.sub("<clusterIPv4>", text))


def differences(one: Picture, other: Picture) -> list[str]:
    """Say line by line where two pictures differ."""
    lines: list[str] = []
    for about in sorted(one.keys() | other.keys()):
        ours, theirs = one.get(about), other.get(about)
        if ours != theirs:
            lines.append(about)
            lines.append(f"    a: {'(nothing)' if ours is None else ours or '(empty)'}")
            lines.append(f"    b: {'(nothing)' if theirs is None else theirs or '(empty)'}")
    return lines
