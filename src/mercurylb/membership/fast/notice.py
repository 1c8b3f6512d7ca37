"""What everybody must know at once, repeated to those who have not answered yet.

There are three kinds: that we are alive again, that we leave, and verdicts. Each is repeated every
`notice_interval_s` for `notice_s`; whoever is down by then learns it from SWIM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mercurylb.membership.member import DownReason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.membership.fast.patience import FastTiming

NOTICES_MAX = 64


class Hello(msgspec.Struct, frozen=True):
    """We are alive (again)."""


class Leaving(msgspec.Struct, frozen=True):
    """We go away and want to be replaced."""


class Sentence(msgspec.Struct, frozen=True):
    """A node was found dead."""

    accused: str
    incarnation: int
    reason: DownReason
    witness_count: int


Subject = Hello | Leaving | Sentence


class Notice:
    """One of them under way."""

    __slots__ = ("due_at", "ends_at", "subject", "waiting")

    def __init__(self, subject: Subject, nodes: Iterable[str], now: float, ends_at: float) -> None:
        self.subject = subject
        self.waiting = dict.fromkeys(nodes)
        self.due_at = now
        self.ends_at = ends_at


class Notices:
    """All that are under way, at most `NOTICES_MAX`."""

    def __init__(self, timing: FastTiming) -> None:
        self._timing = timing
        self._notices: dict[Subject, Notice] = {}

    def add(self, subject: Subject, nodes: Iterable[str], now: float) -> None:
        """Begin one, or begin it anew; the oldest makes room."""
        self._notices.pop(subject, None)
        if len(self._notices) >= NOTICES_MAX:
            del self._notices[next(iter(self._notices))]
        self._notices[subject] = Notice(subject, nodes, now, now + self._timing.notice_s)

    def clear(self) -> None:
        """Stop repeating anything."""
        self._notices.clear()

    def on_answer(self, subject: Subject, node: str) -> None:
        """Take note that a node knows."""
        notice = self._notices.get(subject)
        if notice is not None:
            notice.waiting.pop(node, None)
            if not notice.waiting:
                del self._notices[subject]

    def on_receipt(self, accused: str, incarnation: int, node: str) -> None:
        """Take note that a node knows of a verdict."""
        for subject in list(self._notices):
            if isinstance(subject, Sentence) and (subject.accused, subject.incarnation) == (
                accused,
                incarnation,
            ):
                self.on_answer(subject, node)

    def on_gone(self, node: str) -> None:
        """Wait for a node no longer."""
        for subject in list(self._notices):
            self.on_answer(subject, node)

    def waiting(self, subject: Subject) -> tuple[str, ...]:
        """Return who has not answered yet."""
        notice = self._notices.get(subject)
        return () if notice is None else tuple(notice.waiting)

    def next_deadline(self) -> float | None:
        """Return when something is to be repeated."""
        return min((notice.due_at for notice in self._notices.values()), default=None)

    def take_due(self, now: float) -> list[tuple[Subject, tuple[str, ...]]]:
        """Return what is to be said to whom now."""
        due: list[tuple[Subject, tuple[str, ...]]] = []
        for subject, notice in list(self._notices.items()):
            if now < notice.due_at:
                continue
            if now >= notice.ends_at or not notice.waiting:
                del self._notices[subject]
                continue
            notice.due_at = now + self._timing.notice_interval_s
            due.append((subject, tuple(notice.waiting)))
        return due
