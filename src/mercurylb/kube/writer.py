"""The pipeline of changes towards the API server.

Each operation has a key (the object it is about). Promises:

* At most `in_flight_max` requests at a time, never two of the same key.
* The latest operation of a key wins: one that still waits is superseded, one in flight is followed.
* Unreachable, 429, 5xx, and a missing right are tried again with backoff (and Retry-After) for as
  long as the operation is the latest of its key; everything else is final.
* Every submitted operation has exactly one `Outcome`, told to whoever submitted it.
* Keys go out in the order in which they became ready; nothing starves.

A conflict is an outcome, not an error: the owner plans again from what its store says by then.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from mercurylb.errors import ApiError, Conflict, Denied, Fenced, KubeError, NotFound, Unreachable
from mercurylb.kube.backoff import CAP_S, Backoff
from mercurylb.kube.operation import Operation
from mercurylb.kube.report import SILENCE, Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

IN_FLIGHT_MAX = 32
"""More does not make the API server faster; 32 is where a bare client levels off on two cores."""

DENIED_CAP_S = 60.0
"""There may be as many writes as services, and a missing right is missing for all of them."""


class Result(enum.Enum):
    """How an operation ended."""

    DONE = "done"
    CONFLICT = "conflict"
    """409: somebody else wrote first, or (for a create) it exists already."""
    VANISHED = "vanished"
    """404: the object is gone; after a delete that is as good as done."""
    REFUSED = "refused"
    """The server does not want it, and would not want it the next time either."""
    SUPERSEDED = "superseded"
    """A later operation of the same key, or `discard`, took its place."""
    FENCED = "fenced"
    """Not sent: another process has the lease by now."""
    GIVEN_UP = "given up"
    """Tried `attempt_max` times."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of an operation."""

    key: str
    operation: Operation
    result: Result
    body: bytes = b""
    """The server's answer when DONE."""
    error: KubeError | None = None
    attempt_count: int = 0


class Performer(Protocol):
    """What a writer needs of a client."""

    async def perform(self, operation: Operation, *, patience_s: float | None = None) -> bytes:
        """Carry out an operation and give the answer's body."""


@dataclass(slots=True)
class WriteCounts:
    """What happened so far, for metrics and tests."""

    done: int = 0
    failed: int = 0
    """Ended as CONFLICT, VANISHED, REFUSED or GIVEN_UP."""
    superseded: int = 0
    """Ended as SUPERSEDED or FENCED: not wanted any more."""
    retries: int = 0


@dataclass(slots=True, eq=False)
class _Task:
    key: str
    operation: Operation
    on_outcome: Callable[[Outcome], None] | None
    attempt_count: int = 0
    backoff: Backoff | None = None
    was_denied: bool = False


class Writer:
    """Carries out operations, many keys at a time."""

    def __init__(
        self,
        client: Performer,
        *,
        random: Random,
        log: Log = SILENCE,
        in_flight_max: int = IN_FLIGHT_MAX,
        attempt_max: int | None = None,
    ) -> None:
        self.counts = WriteCounts()
        self._client = client
        self._random = random
        self.log = log
        self._in_flight_max = in_flight_max
        self._attempt_max = attempt_max
        self._ready: deque[str] = deque()
        self._waiting: dict[str, _Task] = {}
        self._in_flight: set[str] = set()
        self._delays: dict[str, asyncio.TimerHandle] = {}
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def pending_count(self) -> int:
        """Give how many keys have an operation that is not finished."""
        return len(self._waiting) + sum(key not in self._waiting for key in self._in_flight)

    def is_busy(self, key: str) -> bool:
        """Tell whether an operation of this key is waiting or in flight."""
        return key in self._waiting or key in self._in_flight

    def is_in_flight(self, key: str) -> bool:
        """Tell whether a request of this key is under way."""
        return key in self._in_flight

    def submit(
        self,
        key: str,
        operation: Operation,
        on_outcome: Callable[[Outcome], None] | None = None,
    ) -> None:
        """Have it carried out, without blocking; a waiting one of the same key is superseded."""
        before = self._waiting.get(key)
        task = _Task(key, operation, on_outcome)
        self._waiting[key] = task
        self._idle.clear()
        if before is None:
            if key not in self._in_flight:
                self._make_ready(key)
            return
        # The place in the queue stays, and so does a delay: the server asked for it.
        task.backoff = before.backoff
        self._end(before, Result.SUPERSEDED)

    def discard(self, key: str) -> None:
        """Drop the waiting operation of a key, if any; one in flight goes on."""
        task = self._waiting.pop(key, None)
        if task is None:
            return
        delay = self._delays.pop(key, None)
        if delay is not None:
            delay.cancel()
        self._end(task, Result.SUPERSEDED)
        self._note_progress()

    def discard_all(self) -> None:
        """Drop every waiting operation; those in flight go on."""
        for key in tuple(self._waiting):
            self.discard(key)

    async def idle(self) -> None:
        """Wait until nothing is waiting or in flight."""
        await self._idle.wait()

    async def run(self) -> None:
        """Carry out operations until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    self._dispatch(group)
        finally:
            for delay in self._delays.values():
                delay.cancel()

    def _dispatch(self, group: asyncio.TaskGroup) -> None:
        while self._ready and len(self._in_flight) < self._in_flight_max:
            key = self._ready.popleft()
            # A key may stand here twice after a discard; one in flight gets its turn when it ends.
            if key in self._in_flight:
                continue
            task = self._waiting.pop(key, None)
            if task is not None:
                self._in_flight.add(key)
                group.create_task(self._carry_out(task))

    async def _carry_out(self, task: _Task) -> None:
        try:
            task.attempt_count += 1
            try:
                body = await self._client.perform(task.operation, patience_s=0.0)
            except KubeError as error:
                self._fail(task, error)
            else:
                self._end(task, Result.DONE, body=body)
        finally:
            self._in_flight.discard(task.key)
            if task.key in self._waiting and task.key not in self._delays:
                self._make_ready(task.key)
            self._note_progress()

    def _fail(self, task: _Task, error: KubeError) -> None:
        if not _is_passing(error):
            self._end(task, _RESULTS.get(type(error), Result.REFUSED), error=error)
            return
        later = self._waiting.get(task.key)
        task.backoff = task.backoff or Backoff(self._random)
        if later is not None:
            later.backoff = task.backoff
            self._end(task, Result.SUPERSEDED, error=error)
        elif self._attempt_max is not None and task.attempt_count >= self._attempt_max:
            self._end(task, Result.GIVEN_UP, error=error)
            return
        else:
            self._waiting[task.key] = task
        self._delay(task, error)

    def _delay(self, task: _Task, error: KubeError) -> None:
        self.counts.retries += 1
        backoff = task.backoff or Backoff(self._random)
        if isinstance(error, Denied) and not task.was_denied:
            # However long the server was away before, this series begins with short waits.
            backoff.reset()
        task.was_denied = isinstance(error, Denied)
        delay_s = backoff.next_delay_s(cap_s=DENIED_CAP_S if task.was_denied else CAP_S)
        if isinstance(error, ApiError) and error.retry_after_s is not None:
            delay_s += error.retry_after_s
        self.log.debug("kube.write_retried", key=task.key, reason=str(error), delay_s=delay_s)
        loop = asyncio.get_running_loop()
        self._delays[task.key] = loop.call_later(delay_s, self._end_delay, task.key)

    def _end_delay(self, key: str) -> None:
        self._delays.pop(key, None)
        self._make_ready(key)

    def _make_ready(self, key: str) -> None:
        self._ready.append(key)
        self._changed.set()

    def _note_progress(self) -> None:
        self._changed.set()
        if not self._waiting and not self._in_flight:
            self._idle.set()

    def _end(
        self, task: _Task, result: Result, *, body: bytes = b"", error: KubeError | None = None
    ) -> None:
        if result is Result.DONE:
            self.counts.done += 1
        elif result in (Result.SUPERSEDED, Result.FENCED):
            self.counts.superseded += 1
        else:
            self.counts.failed += 1
        if task.on_outcome is not None:
            task.on_outcome(
                Outcome(task.key, task.operation, result, body, error, task.attempt_count)
            )


_RESULTS: dict[type[KubeError], Result] = {
    Conflict: Result.CONFLICT,
    NotFound: Result.VANISHED,
    Fenced: Result.FENCED,
}


def _is_passing(error: KubeError) -> bool:
    if isinstance(error, Denied):
        # A server that is just starting does not know yet who may do what.
        return True
    if isinstance(error, ApiError):
        return error.status == 429 or error.status >= 500  # noqa: PLR2004 (HTTP's own numbers)
    return isinstance(error, Unreachable)
