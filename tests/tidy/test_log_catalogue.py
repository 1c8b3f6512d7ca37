"""One event in the log is one constant name, and docs/events.md lists them all, with their keys."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "alloc|announcer|bfd|bgp|config|controller|daemon|frr|kube|layer2|log|membership|metrics"
    "|shadow|speaker|webhook"
)
CONSTANT = re.compile(rf"(?<!import )\"((?:{ROOMS})\.(?!conf\")[a-z0-9_]+)\"")
EVENT = re.compile(rf"(?:{ROOMS})\.[a-z0-9_]+")
ROW = re.compile(r"^\| `([a-z0-9_]+\.[a-z0-9_]+)` \| ([a-z, ]+) \|", re.MULTILINE)
KEY = re.compile(r"`([a-z0-9_]+)`")
LEVELS = {"debug": "debug", "info": "info", "warning": "warn", "error": "error"}
UNSEEN = {"exc_info"}
"""What becomes `error` and `traceback`."""


def document() -> tuple[str, str]:
    """Give the catalogue: events, and keys."""
    events, _, keys = (ROOT / "docs" / "events.md").read_text().partition("## Keys")
    return events, keys


def rows() -> dict[str, set[str]]:
    """Give the levels of each event in the catalogue."""
    return {name: set(levels.split(", ")) for name, levels in ROW.findall(document()[0])}


def events_in_code() -> set[str]:
    """Return every constant of the package that has the form of an event's name."""
    return {
        name for path in (ROOT / "src").rglob("*.py") for name in CONSTANT.findall(path.read_text())
    }


@cache
def calls() -> tuple[ast.Call, ...]:
    """Give every call in the package whose first argument is the name of an event."""
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found += [node] if EVENT.fullmatch(first.value) else []
    return tuple(found)


def level_of(call: ast.Call) -> str:
    """Give the level that a call names; nothing if it is known only when it runs."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    if name in LEVELS:
        return LEVELS[name]
    if name != "Tell":
        return ""
    given = [item.value for item in call.keywords if item.arg == "level"]
    if not given:
        return "info"
    return str(given[0].value) if isinstance(given[0], ast.Constant) else ""


def keys_of(call: ast.Call) -> Iterator[str]:
    """Yield the keys that stand in a call."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if name in LEVELS:
        yield from (item.arg for item in call.keywords if item.arg)
    for argument in call.args[1:]:
        if isinstance(argument, ast.Dict):
            names = (key.value for key in argument.keys if isinstance(key, ast.Constant))
            yield from (str(name) for name in names)


def test_the_catalogue_and_the_code_name_the_same_events() -> None:
    """An operator finds every event of the log in the catalogue, and nothing that never comes."""
    assert events_in_code() == set(rows())


def test_events_have_the_levels_of_the_catalogue() -> None:
    """Who looks at warnings only sees what is called a warning."""
    listed = rows()
    said: dict[str, set[str]] = defaultdict(set)
    for call in calls():
        first = call.args[0]
        assert isinstance(first, ast.Constant)
        said[str(first.value)] |= {level_of(call)} - {""}
    wrong = {name: levels for name, levels in said.items() if not levels <= listed.get(name, set())}
    assert wrong == {}


def test_keys_are_those_of_the_catalogue() -> None:
    """One word for one thing: a key that is new has to be explained."""
    used = {key for call in calls() for key in keys_of(call)} - UNSEEN
    firsts = [line.split("|")[1] for line in document()[1].splitlines() if line.startswith("| `")]
    listed = set(KEY.findall("".join(firsts)))
    assert used - listed == set()
