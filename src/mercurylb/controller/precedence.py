"""Addresses before events: what is told about a service waits while statuses are being written.

The API server is what limits a start with many services. An event written meanwhile takes from it
what an address could have had. No event waits for longer than `PATIENCE_S`: writes may be stuck,
and then the events are what an operator needs.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mercurylb.kube.operation import Operation
    from mercurylb.kube.writer import Performer, Writer

PATIENCE_S = 1.0


class AfterWrites:
    """Performs operations once a writer is idle, or after a while."""

    def __init__(
        self, performer: Performer, writer: Writer, *, patience_s: float = PATIENCE_S
    ) -> None:
        self._performer = performer
        self._writer = writer
        self._wait_s = patience_s

    async def perform(self, operation: Operation, *, patience_s: float | None = None) -> bytes:
        """Carry out an operation and give the answer's body."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._wait_s):
                await self._writer.idle()
        return await self._performer.perform(operation, patience_s=patience_s)
