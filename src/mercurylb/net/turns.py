"""Fair turns for work that anybody outside can cause at will.

At most one piece of such work is done between two looks of the event loop at its descriptors and
timers, so that a peer that sends without end, or sixteen of them, costs everything else no more
than one piece. The first one after a quiet moment is done at once.
"""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Turns:
    """Runs on the loop it is made on; who asks twice before its turn is called twice."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: collections.deque[Callable[[], None]] = collections.deque()
        self._is_busy = False

    def take(self, piece: Callable[[], None]) -> None:
        """Do a piece of work now if nobody else had this turn, else as soon as it is due."""
        if self._is_busy:
            self._waiting.append(piece)
            return
        self._is_busy = True
        self._loop.call_soon(self._next)
        piece()

    def later(self, piece: Callable[[], None]) -> None:
        """Do a piece of work in a turn to come, never from within the call."""
        self._waiting.append(piece)
        if not self._is_busy:
            self._is_busy = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        if not self._waiting:
            self._is_busy = False
            return
        self._loop.call_soon(self._next)
        self._waiting.popleft()()
