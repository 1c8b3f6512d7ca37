"""Shadow mode's voice: what would be done differently, told once in the log and counted.

A program says where its facts come from and what a look at them finds.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Protocol

from mercurylb.plan.shadow import Ledger
from mercurylb.telemetry import logs as log
from mercurylb.telemetry.daemon import start_servers, stop_on_signal
from mercurylb.telemetry.metrics import Registry, add_process_metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from mercurylb.plan.shadow import Difference
    from mercurylb.telemetry.daemon import ServerSettings
    from mercurylb.telemetry.server import Authorize

LOOK_S: Final = 1.0
"""Between two looks at the least; as long as a difference waits to be told, also at the most."""
TEXT_MAX: Final = 400


class Bell(Protocol):
    """Rings when a fact has changed."""

    async def wait(self) -> None:
        """Wait for the next ring."""


class Facts(Protocol):
    """The caches of a program."""

    @property
    def has_synced(self) -> bool:
        """Tell whether everything was seen once."""

    @property
    def wakeup(self) -> Bell:
        """The bell of all of them."""

    def start(self, group: asyncio.TaskGroup) -> None:
        """Fill them, as tasks of the group."""

    async def wait_synced(self) -> None:
        """Wait until everything was seen once."""


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


async def tell_until_stopped(
    settings: ServerSettings,
    facts: Facts,
    look: Callable[[], Iterable[Difference]],
    *,
    authorize: Authorize,
    on_filled: Callable[[], None],
    **whose: str,
) -> None:
    """Look, tell, and wait for the next change; `whose` are the keys of the first log line."""
    registry = Registry()
    add_process_metrics(registry)
    teller = ShadowTeller(registry)
    async with asyncio.TaskGroup() as group:
        group.create_task(stop_on_signal())
        start_servers(
            group,
            settings,
            registry,
            authorize=authorize,
            ready={"caches": lambda: "" if facts.has_synced else "not filled yet"},
        )
        facts.start(group)
        log.info("shadow.started", **whose)
        await facts.wait_synced()
        on_filled()
        while True:
            teller.step(look())
            await teller.pause(facts.wakeup.wait)


def _keys(difference: Difference) -> dict[str, str]:
    return {
        "subject": difference.subject,
        "aspect": difference.aspect.value,
        "ours": difference.ours[:TEXT_MAX],
        "theirs": difference.theirs[:TEXT_MAX],
        "reason": difference.reason[:TEXT_MAX],
    }
