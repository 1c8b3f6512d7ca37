"""What happened with a peer lately, for an operator who asks."""

from __future__ import annotations

import collections

STORY_MAX = 64
TEXT_MAX = 400
"""Letters of one entry; a peer's own words are in some."""


class Story:
    """The latest things that happened; one that repeats is counted instead."""

    def __init__(self) -> None:
        self._entries: collections.deque[tuple[float, str]] = collections.deque(maxlen=STORY_MAX)
        self._repeated = 1
        self._latest = ""

    def note(self, text: str, now: float) -> None:
        """Add what happened."""
        text = text[:TEXT_MAX]
        if text != self._latest:
            self._latest, self._repeated = text, 1
            self._entries.append((now, text))
            return
        self._repeated += 1
        self._entries[-1] = (now, f"{text} ({self._repeated} times)")

    def entries(self) -> tuple[tuple[float, str], ...]:
        """Give times and words, the latest last."""
        return tuple(self._entries)
