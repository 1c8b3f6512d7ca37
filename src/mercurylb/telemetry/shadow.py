"""Shadow mode's voice: what would be done differently, told once in the log and counted."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from mercurylb.plan.shadow import Ledger
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from mercurylb.plan.shadow import Difference
    from mercurylb.telemetry.metrics import Registry

LOOK_S: Final = 1.0
"""Between two looks at the least; as long as a difference waits to be told, also at the most."""
TEXT_MAX: Final = 400


class ShadowTeller:
    """Looks again and again, and tells what is new."""

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ledger = Ledger()
        self._gauge = registry.gauge(
            "mercurylb_shadow_differences",
            "Things that would be done differently now, in shadow mode.",
        )

    def step(self, differences: Iterable[Difference]) -> None:
        """Take what a look found."""
        new, over = self._ledger.on_look(differences, self._clock())
        for each in new:
            log.warning("shadow.differs", **_keys(each))
        for each in over:
            log.info("shadow.agrees", **_keys(each))
        self._gauge.set(self._ledger.standing)

    async def pause(self, bell: Callable[[], Awaitable[None]]) -> None:
        """Wait for the next look: until the bell rings, or while something waits to be told."""
        await asyncio.sleep(LOOK_S)
        if not self._ledger.is_waiting:
            await bell()


def _keys(difference: Difference) -> dict[str, str]:
    return {
        "subject": difference.subject,
        "aspect": difference.aspect.value,
        "ours": difference.ours[:TEXT_MAX],
        "theirs": difference.theirs[:TEXT_MAX],
        "reason": difference.reason[:TEXT_MAX],
    }
