"""Read an observer's lines as they come, and forget the old ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

KEEP_S = 30.0


class Tail:
    """The lines of one observer since a moment."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._at = 0
        self._lines: list[dict[str, Any]] = []

    def lines(self) -> list[dict[str, Any]]:
        """Return every line that is kept; one that is still being written waits."""
        if not self._file.exists():
            return self._lines
        with self._file.open("rb") as log:
            log.seek(self._at)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._at += len(whole)
        self._lines += [json.loads(line) for line in whole.splitlines() if line[:1] == b"{"]
        return self._lines

    def between(self, begin: float, end: float) -> list[dict[str, Any]]:
        """Return the lines that tell of a stretch of time."""
        return [line for line in self.lines() if begin <= line["t"] <= end]

    def forget(self, before: float) -> None:
        """Drop what is older."""
        self._lines = [line for line in self.lines() if line.get("t", before) >= before]
