"""What may differ between our controller and MetalLB 0.16's, each difference with its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.compare import view
from lab.compare.play import Verdict

if TYPE_CHECKING:
    from lab.compare.play import Before
    from lab.compare.view import Picture


def judge(one: Picture, other: Picture, _before: Before) -> Verdict:
    """Judge that only what is written down here may differ."""
    return Verdict(view.differences(one, other))
