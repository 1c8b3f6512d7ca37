"""Makes a failing script short: leaves out what it fails without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lab import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.compare.play import Played, Player
    from lab.compare.script import Step

PLAYS_MAX: Final = 120


async def shrink(player: Player, failed: Played) -> Played:
    """Leave out chunks of steps, large ones first, as long as something still differs."""
    best = failed
    steps: Sequence[Step] = failed.steps[: failed.played]
    size, plays = max(len(steps) // 2, 1), 0
    while size and plays < PLAYS_MAX:
        at = 0
        while at < len(steps) and plays < PLAYS_MAX:
            shorter = [*steps[:at], *steps[at + size :]]
            plays += 1
            again = await player.play(shorter) if shorter else None
            if again is not None and again.differences:
                best, steps = again, shorter[: again.played]
                progress.say(f"compare: {len(steps)} steps still differ")
            else:
                at += size
        size //= 2
    return best
