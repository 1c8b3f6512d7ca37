"""Where the fields of a document stand in its file."""

from __future__ import annotations

import re
from typing import Any, Final

_STEP: Final = re.compile(r"\[(\d+)\]")


class Lines:
    """The line of each key and each list item of a document."""

    def __init__(self) -> None:
        self._of: dict[int, dict[str | int, int]] = {}
        self._containers: list[object] = []

    def note(self, container: object, key: str | int, line: int) -> None:
        """Remember the line of one entry."""
        entries = self._of.get(id(container))
        if entries is None:
            entries = self._of[id(container)] = {}
            self._containers.append(container)  # Keeps the id taken.
        entries[key] = line

    def find(self, root: object, path: str, *, line: int) -> int:
        """Give the line of a field path, or of the nearest thing around it; `line` is the root's.

        Keys may contain dots: the longest key that the path goes on with is followed.
        """
        container = root
        while path and isinstance(container, dict | list):
            step = _next_step(container, path)
            if step is None:
                break
            key, path = step
            line = self._of.get(id(container), {}).get(key, line)
            container = container[key]
        return line


def _next_step(container: dict[str, Any] | list[Any], path: str) -> tuple[Any, str] | None:
    if isinstance(container, list):
        match = _STEP.match(path)
        if match is None or int(match[1][:9]) >= len(container):
            return None
        return int(match[1][:9]), path[match.end() :]
    path = path.removeprefix(".")
    end = len(path)
    while end > 0:
        if path[:end] in container:
            return path[:end], path[end:]
        end = max(path.rfind(".", 0, end), path.rfind("[", 0, end))
    return None
