"""The judgement about a silent node."""

from __future__ import annotations

import math

import msgspec
import pytest

from mercurylb.membership.fast.patience import FastTiming
from mercurylb.membership.fast.question import Evidence, Question, judge
from mercurylb.membership.member import DownReason

TIMING = FastTiming()
CUT_OFF = Evidence(
    silence_s=0.37,
    kernel_age_s=1.0,
    refusal_count=0,
    can_probe=True,
    loss=0.0,
    unanswered_count=4,
    has_all_reports=True,
)
"""Nothing has answered anybody since the beats ended."""

CASES = [
    ("cut off", {}, DownReason.SILENT),
    ("not for long enough", {"silence_s": 0.35}, None),
    ("hardly asked", {"unanswered_count": 2}, None),
    ("others have not said", {"has_all_reports": False}, None),
    ("others do not answer at all", {"has_all_reports": False, "silence_s": 0.43}, "silent"),
    ("kernel answers", {"kernel_age_s": 0.1, "silence_s": 1.49}, None),
    ("kernel has answered until now", {"kernel_age_s": 0.21}, DownReason.SILENT),
    ("kernel answers, and that for too long", {"kernel_age_s": 0.1, "silence_s": 1.5}, "ill"),
    ("nobody listens", {"silence_s": 0.2, "refusal_count": 2, "kernel_age_s": 0.0}, "gone"),
    ("nobody listens, but it was heard", {"silence_s": 0.19, "refusal_count": 9}, None),
    ("nobody listens, said once", {"silence_s": 0.3, "refusal_count": 1}, None),
    ("no common link", {"can_probe": False, "kernel_age_s": math.inf, "silence_s": 0.99}, None),
    (
        "no common link, for long",
        {"can_probe": False, "kernel_age_s": math.inf, "silence_s": 1.01, "unanswered_count": 24},
        "silent",
    ),
    ("30 % loss", {"loss": 0.3, "silence_s": 0.43, "unanswered_count": 6}, None),
    ("30 % loss, for longer", {"loss": 0.3, "silence_s": 0.58, "unanswered_count": 11}, "silent"),
    ("5 % loss", {"loss": 0.05}, DownReason.SILENT),
    ("told", {"told": DownReason.SILENT, "silence_s": 0.15}, DownReason.SILENT),
    ("told just now", {"told": DownReason.SILENT, "silence_s": 0.14}, None),
    ("told, and its kernel answers", {"told": DownReason.SILENT, "kernel_age_s": 0.05}, None),
    ("told that it is ill", {"told": DownReason.ILL, "kernel_age_s": 0.05}, DownReason.ILL),
]


@pytest.mark.parametrize(("changes", "reason"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_verdict(changes: dict[str, object], reason: DownReason | str | None) -> None:
    """Each row of the table in the module, and each way to miss it."""
    expected = DownReason(reason) if isinstance(reason, str) else reason
    assert judge(msgspec.structs.replace(CUT_OFF, **changes), TIMING) is expected


def test_a_ping_is_unanswered_only_after_a_while() -> None:
    """What was asked before the latest sign, or just now, proves nothing."""
    question = Question(10.0)
    question.asked_at = [10.0, 10.03, 10.06, 10.09]
    assert question.unanswered_count(10.02, 10.10, TIMING) == 2
