"""Questions about silent nodes, from the first doubt to the verdict.

Whoever is watched and has been silent for `question_s` is asked directly, his kernel is probed, and
the others who watch him are asked when they heard him last. What they heard counts like what we
heard. `question.judge` decides.

Our own stalls: silence is judged only `settle_s` after one, when what came in meanwhile is read,
and its time is taken off the silence (`extension_max_s` at most).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.fast.codec import NEVER, Flag, Status
from mercurylb.membership.fast.effect import FastEffect, Found
from mercurylb.membership.fast.notice import Sentence
from mercurylb.membership.fast.patience import FastTiming, Stalls
from mercurylb.membership.fast.question import Evidence, Question, judge
from mercurylb.membership.member import DownReason, ProbeKernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.membership.fast.codec import Report
    from mercurylb.membership.fast.contact import Contact
    from mercurylb.membership.fast.notice import Notices
    from mercurylb.membership.fast.roster import Roster
    from mercurylb.membership.fast.voice import Voice

QUERY_EVERY = 2
"""The other observers are asked at every second ping."""


class Inquiry:
    """Open, ask and decide questions."""

    def __init__(
        self,
        voice: Voice,
        roster: Roster,
        notices: Notices,
        *,
        timing: FastTiming,
        tell: Callable[[float, str], None],
    ) -> None:
        self._voice = voice
        self._roster = roster
        self._notices = notices
        self._timing = timing
        self._tell = tell
        self._besides: dict[str, Contact] = {}
        """Those we have a question about without watching them."""
        self.stalls = Stalls()
        self.is_deaf = False
        """We cannot hear anybody, so silence says nothing."""

    @property
    def can_accuse(self) -> bool:
        """Return whether our judgement is worth anything."""
        return self._voice.is_up and not self.is_deaf

    def next_deadline(self) -> float | None:
        """Return when somebody has been silent for too long, or is to be asked again."""
        if not self.can_accuse:
            return None
        earliest: float | None = None
        for contact in self._suspicious():
            question = contact.question
            at = contact.sign_at + self._timing.question_s if question is None else question.due_at
            if earliest is None or at < earliest:
                earliest = at
        return None if earliest is None else max(earliest, self._settled_at)

    def open(
        self, contact: Contact, now: float, *, told: DownReason | None = None
    ) -> list[FastEffect]:
        """Ask about a live node now, whether we watch it or not."""
        if contact.question is not None or not self.can_accuse:
            return []
        if not contact.is_watched:
            contact.sign_at = max(contact.sign_at, now)
            self._besides[contact.node] = contact
        contact.question = Question(now, told=None if contact.is_watched else told)
        return self.pursue(now)

    def close(self, contact: Contact) -> None:
        """Drop the question: it is answered."""
        contact.question = None
        self._besides.pop(contact.node, None)

    def close_all(self, now: float) -> None:
        """Drop all questions and count every silence from now."""
        for contact in self._roster:
            self.close(contact)
            contact.sign_at = max(contact.sign_at, now)

    def pursue(self, now: float) -> list[FastEffect]:
        """Do what is due."""
        if not self.can_accuse or now < self._settled_at:
            return []
        effects: list[FastEffect] = []
        for contact in self._suspicious():
            question = contact.question
            if question is None:
                if now < contact.sign_at + self._timing.question_s:
                    continue
                question = contact.question = Question(now)
            if now < question.due_at:
                continue
            reason = judge(self.evidence(contact, question, now), self._timing)
            if reason is None:
                effects += self._ask(contact, question, now)
            else:
                effects += self._decide(contact, question, reason, now)
        return effects

    def evidence(self, contact: Contact, question: Question, now: float) -> Evidence:
        """Return what is known about a silent node."""
        timing = self._timing
        lost_s = min(self.stalls.lost_since(contact.sign_at), timing.extension_max_s)
        return Evidence(
            silence_s=now - contact.sign_at - lost_s,
            kernel_age_s=now - contact.kernel_at,
            refusal_count=contact.refusals,
            can_probe=now - contact.kernel_at < timing.kernel_memory_s,
            loss=contact.loss.share,
            unanswered_count=question.unanswered_count(contact.sign_at, now, timing),
            has_all_reports=question.reporters.issuperset(self._roster.observers(contact.node)),
            told=question.told,
        )

    def on_report(self, reporter: Contact, report: Report, now: float) -> None:
        """Take in what another observer knows; it counts like what we know ourselves."""
        accused = self._roster.get(report.accused)
        if accused is None or accused is reporter or accused.question is None:
            return
        if reporter.status is not Status.ALIVE:
            return
        question = accused.question
        question.reporters.add(reporter.node)
        if report.kernel_age_ms != NEVER:
            accused.kernel_at = max(accused.kernel_at, now - report.kernel_age_ms / 1000)
        if report.heard_age_ms != NEVER:
            if report.heard_age_ms >= self._timing.fresh_s * 1000:
                question.witnesses.add(reporter.node)
            accused.take_sign(now - report.heard_age_ms / 1000)
        if report.refused_age_ms != NEVER and now - report.refused_age_ms / 1000 > accused.sign_at:
            accused.refusals += 1
        is_fresh = NEVER < report.heard_age_ms < self._timing.fresh_s * 1000
        if is_fresh and not accused.refusals:
            self.close(accused)

    def validate(self) -> None:
        """Assert the invariants."""
        for contact in self._roster:
            assert contact.question is None or contact.status is Status.ALIVE, contact.node
        for contact in self._besides.values():
            assert contact.question is not None, contact.node

    def _suspicious(self) -> list[Contact]:
        besides = (contact for contact in self._besides.values() if not contact.is_watched)
        return [*self._roster.watched, *besides]

    @property
    def _settled_at(self) -> float:
        return self.stalls.latest_at + self._timing.settle_s

    def _ask(self, contact: Contact, question: Question, now: float) -> list[FastEffect]:
        """Ask the node and its kernel, and now and then those who watch it too."""
        is_query_due = len(question.asked_at) % QUERY_EVERY == 0
        question.asked_at.append(now)
        question.due_at = now + self._timing.question_interval_s
        contact.kernel_probed_at = now
        effects: list[FastEffect] = [
            self._voice.beat(contact, Flag.ASKS),
            ProbeKernel(contact.address),
        ]
        if is_query_due:
            for name in self._roster.observers(contact.node):
                observer = self._roster.get(name)
                if observer is not None:
                    effects.append(self._voice.query(observer, contact.node))
        return effects

    def _decide(
        self, contact: Contact, question: Question, reason: DownReason, now: float
    ) -> list[FastEffect]:
        silent_s = now - contact.sign_at
        self._tell(now, f"{contact.node} is dead: {reason.value}, silent for {silent_s:.3f} s")
        contact.silent_s = silent_s if question.told is None else None
        self.close(contact)
        contact.sign_at, contact.refusals = now, 0  # In case the verdict is not accepted.
        is_told = question.told is not None
        found = Found(contact.node, contact.incarnation, reason, is_told=is_told)
        if is_told:
            return [found]
        sentence = Sentence(contact.node, contact.incarnation, reason, len(question.witnesses))
        self._notices.add(sentence, self._roster.alive(), now)
        return [found]
