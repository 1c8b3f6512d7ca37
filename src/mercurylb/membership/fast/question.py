"""An open question: is a silent node dead? What speaks for it and against, and the judgement.

======================  =====================================================================
what is known           verdict
======================  =====================================================================
its kernel refuses      GONE after `gone_s`: nobody listens on its port
its kernel answers      none until `ill_s`, then ILL: the process may only be starved
nothing answers         SILENT after `verdict_s`, once the other observers have answered (or
                        `report_wait_s` is over) and chance is ruled out (`patience.weigh`)
kernel out of reach     the same after `no_link_s`: nothing can be told from silence alone
somebody else hears it  none; the silence is counted anew from when it was heard there
======================  =====================================================================
"""

from __future__ import annotations

import msgspec

from mercurylb.membership.fast.patience import FastTiming, weigh
from mercurylb.membership.member import DownReason

REFUSALS_MIN = 2


class Evidence(msgspec.Struct, frozen=True):
    """What is known about a silent node."""

    silence_s: float
    """Since the latest sign of its process, without the time that we ourselves stood still."""
    kernel_age_s: float
    """Since its kernel answered a probe of anybody."""
    refusal_count: int
    """How often its kernel said, since the latest sign, that nobody listens."""
    can_probe: bool
    """Its kernel has been answering probes."""
    loss: float
    unanswered_count: int
    """Pings without an answer, each with a probe of the kernel if that can be probed."""
    has_all_reports: bool
    """Every other observer has said what it knows."""
    told: DownReason | None = None
    """What somebody told us about it, whom nobody bears witness; then the silence is that since."""


def judge(evidence: Evidence, timing: FastTiming) -> DownReason | None:
    """Return why a node is dead, or None as long as it need not be."""
    silence_s = evidence.silence_s
    if evidence.refusal_count >= REFUSALS_MIN and silence_s >= timing.gone_s:
        return DownReason.GONE
    kernel_lives = evidence.kernel_age_s < timing.fresh_s
    if silence_s >= timing.ill_s:
        return DownReason.ILL if kernel_lives else DownReason.SILENT
    if evidence.unanswered_count < timing.unanswered_min:
        return None
    if evidence.told is not None:
        is_denied = kernel_lives and evidence.told is DownReason.SILENT
        return None if silence_s < timing.told_s or is_denied else evidence.told
    is_silent = not kernel_lives and _is_patience_over(evidence, timing)
    return DownReason.SILENT if is_silent and _is_beyond_chance(evidence, timing) else None


def _is_patience_over(evidence: Evidence, timing: FastTiming) -> bool:
    if not evidence.can_probe:
        return evidence.silence_s >= timing.no_link_s
    patience_s = timing.verdict_s if evidence.has_all_reports else timing.report_wait_s
    return evidence.silence_s >= patience_s


def _is_beyond_chance(evidence: Evidence, timing: FastTiming) -> bool:
    weight = weigh(
        max(evidence.loss, timing.loss_min),
        beat_count=int(evidence.silence_s / timing.interval_s),
        ping_count=evidence.unanswered_count,
        probe_count=evidence.unanswered_count if evidence.can_probe else 0,
    )
    return weight >= timing.doubt


class Question:
    """A question under way."""

    __slots__ = ("asked_at", "began_at", "due_at", "reporters", "told", "witnesses")

    def __init__(self, now: float, *, told: DownReason | None = None) -> None:
        self.began_at = now
        self.due_at = now
        self.asked_at: list[float] = []
        self.reporters: set[str] = set()
        self.witnesses: set[str] = set()
        """Other observers that have not heard it either."""
        self.told = told

    def unanswered_count(self, sign_at: float, now: float, timing: FastTiming) -> int:
        """Return how many pings should have been answered by now."""
        until = now - timing.answer_s
        return sum(1 for at in self.asked_at if sign_at <= at <= until)
