"""Events on objects, as `kubectl describe` shows them (core/v1).

Recording never blocks, never raises and never holds more than `PENDING_MAX` events that wait; what
does not fit, and what the API server refuses, is counted. The writes go through a writer of their
own with few requests at a time, so that events never stand in the way of status.

An Event lives in the namespace of the object it is about (`default` for cluster-wide objects).
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from mercurylb.kube.correlator import Correlator, Entry, Note, Reference
from mercurylb.kube.operation import Operation, Verb, encode
from mercurylb.kube.report import SILENCE, Log
from mercurylb.kube.resource import Identified, Resource
from mercurylb.kube.writer import Outcome, Performer, Result, Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

NORMAL = "Normal"
WARNING = "Warning"
PENDING_MAX = 1000
_IN_FLIGHT_MAX = 4
_ATTEMPT_MAX = 200
"""About two minutes of an API server that is away, as long as client-go's recorder tries."""
_MESSAGE_CHARACTERS_MAX = 1024
_NAME_PREFIX_MAX = 230
"""Leaves room for the suffix within the 253 characters of an object's name."""

EVENTS = Resource("", "v1", "events", "Event", Identified)


@dataclass(slots=True)
class EventCounts:
    """What happened so far, for metrics and tests."""

    recorded: int = 0
    dropped: int = 0
    """Too many about one object, too many waiting, or not ours to tell any more."""
    failed: int = 0


class EventRecorder:
    """Writes events for one component."""

    def __init__(  # noqa: PLR0913 (its collaborators)
        self,
        client: Performer,
        *,
        component: str,
        host: str = "",
        random: Random,
        log: Log = SILENCE,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.counts = EventCounts()
        self.log = log
        self._component = component
        self._host = host
        self._random = random
        self._clock = clock
        self._wall_clock = wall_clock
        self._correlator = Correlator()
        self._writer = Writer(
            client, random=random, in_flight_max=_IN_FLIGHT_MAX, attempt_max=_ATTEMPT_MAX
        )

    def record(self, about: Reference, type_: str, reason: str, message: str) -> None:
        """Tell something about an object; `type_` is NORMAL or WARNING."""
        self.counts.recorded += 1
        self._submit(Note(about, type_, reason, message[:_MESSAGE_CHARACTERS_MAX]))

    async def run(self) -> None:
        """Write events until cancelled."""
        await self._writer.run()

    def forget_all(self) -> None:
        """Drop what waits, and what was told before: somebody else tells from now on."""
        self._writer.discard_all()
        self._correlator = Correlator()

    async def idle(self) -> None:
        """Wait until nothing waits to be written."""
        await self._writer.idle()

    def _submit(self, note: Note) -> None:
        timestamp = self._wall_clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        entry = self._correlator.on_note(note, self._clock(), timestamp=timestamp)
        if entry is None or self._writer.pending_count >= PENDING_MAX:
            self.counts.dropped += 1
            return
        self._write(note, entry, timestamp)

    def _write(self, note: Note, entry: Entry, timestamp: str) -> None:
        key = "\0".join(note.identity)
        if entry.is_created or (entry.name and self._writer.is_in_flight(key)):
            operation = self._count(note, entry, timestamp)
        else:
            entry.name = entry.name or self._name(note)
            operation = self._creation(note, entry, timestamp)

        def on_outcome(outcome: Outcome) -> None:
            self._on_outcome(note, entry, timestamp, outcome)

        self._writer.submit(key, operation, on_outcome)

    def _on_outcome(self, note: Note, entry: Entry, timestamp: str, outcome: Outcome) -> None:
        is_creation = outcome.operation.verb is Verb.CREATE
        if outcome.result is Result.DONE or (is_creation and outcome.result is Result.CONFLICT):
            # A creation that exists already went through although its answer was lost.
            entry.is_created = True
        elif outcome.result is Result.VANISHED and not is_creation:
            # Events live an hour; the object may be gone while we still count.
            entry.is_created = False
            entry.name = ""
            self._write(note, entry, timestamp)
        elif outcome.result is Result.FENCED:
            # Whoever has the lease looks at the object anew, and tells what there is to tell.
            self.counts.dropped += 1
        elif outcome.result is not Result.SUPERSEDED:
            self.counts.failed += 1
            self._correlator.forget(note)
            self.log.warning(
                "kube.event_lost",
                object=f"{note.about.kind} {note.about.namespace}/{note.about.name}",
                reason=note.reason,
                error=str(outcome.error),
            )

    def _name(self, note: Note) -> str:
        suffix = f"{self._random.getrandbits(64):016x}"
        return f"{note.about.name[:_NAME_PREFIX_MAX]}.{suffix}"

    def _count(self, note: Note, entry: Entry, timestamp: str) -> Operation:
        body = {"count": entry.count, "lastTimestamp": timestamp}
        return Operation(Verb.MERGE, EVENTS, entry.name, _namespace(note), encode(body))

    def _creation(self, note: Note, entry: Entry, timestamp: str) -> Operation:
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": entry.name, "namespace": _namespace(note)},
            "involvedObject": msgspec.to_builtins(note.about),
            "type": note.type,
            "reason": note.reason,
            "message": note.message,
            "source": source,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
            "firstTimestamp": entry.first_at,
            "lastTimestamp": timestamp,
            "count": entry.count,
        }
        namespace = _namespace(note)
        return Operation(Verb.CREATE, EVENTS, namespace=namespace, body=encode(body))


def _namespace(note: Note) -> str:
    return note.about.namespace or "default"
