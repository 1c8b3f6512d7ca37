"""What others say of third nodes: a question whether we heard one, the verdict that one is dead."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mercurylb.membership.fast.codec import NEVER, Query, Status, Verdict
from mercurylb.membership.fast.effect import Accused, FastEffect, Found
from mercurylb.membership.member import DownReason

if TYPE_CHECKING:
    import collections
    from collections.abc import Callable

    from mercurylb.membership.fast.contact import Contact
    from mercurylb.membership.fast.inquiry import Inquiry
    from mercurylb.membership.fast.patience import FastTiming
    from mercurylb.membership.fast.roster import Roster
    from mercurylb.membership.fast.voice import Voice

_REASONS = {reason.value: reason for reason in (DownReason.SILENT, DownReason.GONE, DownReason.ILL)}


class Hearsay:
    """Bear witness, and weigh what others have found."""

    def __init__(  # noqa: PLR0913 (what it weighs with, and whom it tells)
        self,
        voice: Voice,
        roster: Roster,
        inquiry: Inquiry,
        *,
        timing: FastTiming,
        refused: collections.Counter[str],
        tell: Callable[[float, str], None],
    ) -> None:
        self._voice = voice
        self._roster = roster
        self._inquiry = inquiry
        self._timing = timing
        self._refused = refused
        self._tell = tell

    def on_query(self, contact: Contact, query: Query, now: float) -> list[FastEffect]:
        """Answer what we know of a node that somebody else has not heard."""
        accused = self._roster.get(query.accused)
        if contact.status is not Status.ALIVE or accused is contact:
            return []
        heard_ms = kernel_ms = refused_ms = NEVER
        if accused is not None:
            heard_ms = _age_ms(accused.heard_at, now)
            if not accused.is_watched and heard_ms >= self._timing.fresh_s * 1000:
                heard_ms = NEVER  # Who does not watch is no witness of silence.
            kernel_ms = _age_ms(accused.kernel_at, now)
            if accused.refusals:
                refused_ms = _age_ms(accused.refused_at, now)
        return [
            self._voice.report(
                contact,
                query.accused,
                heard_ms=heard_ms,
                kernel_ms=kernel_ms,
                refused_ms=refused_ms,
            )
        ]

    def on_verdict(self, contact: Contact, verdict: Verdict, now: float) -> list[FastEffect]:
        """Believe it of a member, unless we know better or nobody bears him witness."""
        if contact.status is not Status.ALIVE:
            self._refused["verdictOfNoMember"] += 1
            return []
        receipt = self._voice.receipt(contact, verdict)
        if verdict.accused == self._voice.node:
            is_old = verdict.accused_incarnation < self._voice.incarnation
            if is_old or not self._voice.is_up:
                return [receipt]
            return [Accused(verdict.accused_incarnation, contact.node), receipt]
        accused = self._roster.get(verdict.accused)
        reason = _REASONS.get(verdict.reason)
        if reason is None or accused is None or not self._is_believable(accused, verdict, now):
            return [receipt]
        if self._timing.is_strict and self._is_weak(contact, verdict):
            return self._inquiry.open(accused, now, told=reason)
        self._tell(now, f"{accused.node} is dead: {reason.value}, says {contact.node}")
        return [Found(accused.node, accused.incarnation, reason, is_told=True), receipt]

    def _is_believable(self, accused: Contact, verdict: Verdict, now: float) -> bool:
        is_heard = accused.heard_at is not None and now - accused.heard_at < self._timing.fresh_s
        is_old = accused.incarnation > verdict.accused_incarnation
        is_own = accused.node == verdict.sender
        return accused.status is Status.ALIVE and not (is_old or is_heard or is_own)

    def _is_weak(self, contact: Contact, verdict: Verdict) -> bool:
        """Return whether others could bear witness to a verdict, and nobody does."""
        others = [name for name in self._roster.observers(verdict.accused) if name != contact.node]
        return verdict.witness_count == 0 and verdict.reason != "gone" and bool(others)


def _age_ms(at: float | None, now: float) -> int:
    return NEVER if at is None or at == -math.inf else max(0, round((now - at) * 1000))
