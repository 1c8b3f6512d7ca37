"""The one loop that drives a machine: facts in, effects out, a single timer.

A machine never awaits and its effects are cheap, but there can be thousands at once (a gratuitous
round of every address of a dead node). They are performed strictly in order, and in slices, so that
frames and datagrams are looked after in between.
"""

from __future__ import annotations

import asyncio
import collections
import time
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SLICE_S = 0.002
OVERDUE_S = 0.25
"""A timer that is later than this comes before any fact: the process stood still, and what waited
in its sockets must not be taken for news."""
_SLICE_COUNT = 32

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)


class Machine(Protocol[E_co]):
    """What the driver needs of a machine."""

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` wants to be called."""

    def on_deadline(self, now: float) -> Iterable[E_co]:
        """Do what is due."""


class Driver(Generic[E]):
    """Perform the effects of a machine and call it when its deadline comes."""

    def __init__(self, machine: Machine[E], perform: Callable[[E], None]) -> None:
        self._machine = machine
        self._perform = perform
        self._loop = asyncio.get_running_loop()
        self._waiting: collections.deque[E] = collections.deque()
        self._timer: asyncio.TimerHandle | None = None
        self._lag_max_s = 0.0
        self._is_slice_due = False
        self._is_closed = False

    def take(self, effects: Iterable[E]) -> None:
        """Perform what a fact led to, behind what is still waiting, and set the timer anew."""
        self._waiting.extend(effects)
        if not self._is_slice_due:
            self._run_slice()
        self._arm()

    def catch_up(self) -> float:
        """Do what is long overdue, and return the time for the fact that comes next."""
        now = time.monotonic()
        if self._timer is not None and now - self._timer.when() > OVERDUE_S:
            self._timer.cancel()
            self._fire()
        return now

    def take_lag(self) -> float:
        """Return the longest the timer was late since this was asked last."""
        lag_s, self._lag_max_s = self._lag_max_s, 0.0
        return lag_s

    def close(self) -> None:
        """Perform nothing more."""
        self._is_closed = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _run_slice(self) -> None:
        self._is_slice_due = False
        ends_at = time.monotonic() + SLICE_S
        while self._waiting:
            for _ in range(min(_SLICE_COUNT, len(self._waiting))):
                if not self._waiting:  # An effect may have closed us.
                    return
                self._perform(self._waiting.popleft())
            if self._waiting and time.monotonic() >= ends_at:
                self._is_slice_due = True
                self._loop.call_soon(self._run_slice)
                return

    def _arm(self) -> None:
        """Keep a timer that fires no later than the deadline; firing early is harmless."""
        deadline = None if self._is_closed else self._machine.next_deadline()
        if deadline is None:
            return
        if self._timer is not None:
            if not self._timer.cancelled() and self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._fire)

    def _fire(self) -> None:
        now = time.monotonic()
        if self._timer is not None:
            self._lag_max_s = max(self._lag_max_s, now - self._timer.when())
        self._timer = None
        deadline = self._machine.next_deadline()
        if deadline is None or now < deadline:
            self._arm()
        else:
            self.take(self._machine.on_deadline(now))
