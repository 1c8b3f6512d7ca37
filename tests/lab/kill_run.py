"""Rounds in which the controller is killed again and again while `kill_stream` changes the cluster.

Only the moments of the kills are as exact as a clock. Two watches record whatever the API server
wrote; `kill_judge` reads that afterwards.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lab import controlplane
from lab.errors import ApiError
from tests.lab.kill_judge import Change, Judge, judge_end
from tests.lab.kill_stream import NAMESPACES, POOLS_PATH, Operation, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.light import LightLab
    from lab.process import Process

KILLS_PER_ROUND: Final = 4
_QUIET_S: Final = 0.5
_LOG_LINES_SHOWN: Final = 40

Json = dict[str, Any]


class Recorder:
    """Writes down every change of services and pools from now on."""

    def __init__(self, lab: LightLab) -> None:
        self.changes: list[Change] = []
        self.error = ""
        self._lab = lab
        self._is_closed = False
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self._threads: list[threading.Thread] = []
        for path, kind in (("/api/v1/services", "service"), (POOLS_PATH, "pool")):
            begun = lab.api.get(path)
            assert kind == "service" or not begun["items"], "pools of others are in the way"
            version = begun["metadata"]["resourceVersion"]
            response = self._open(path, kind, version)
            words = (path, kind, version, response)
            thread = threading.Thread(target=self._follow, args=words, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _open(self, path: str, kind: str, version: str) -> http.client.HTTPResponse:
        connection = controlplane.client(self._lab.site)._connect()
        assert connection.sock is not None
        connection.sock.settimeout(None)
        query = f"watch=true&resourceVersion={version}&timeoutSeconds=3600"
        connection.request("GET", f"{path}?{query}")
        self._connections[kind] = connection
        return connection.getresponse()

    def _follow(
        self, path: str, kind: str, version: str, response: http.client.HTTPResponse
    ) -> None:
        """Read one watch after the other: the server ends those of whoever reads too slowly."""
        while not self._is_closed and not self.error:
            try:
                while line := response.readline():
                    version = self._take(json.loads(line), kind) or version
                self._connections[kind].close()
                if not self._is_closed:
                    response = self._open(path, kind, version)
            except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
                self.error = self.error or f"{type(error).__name__}: {error}"

    def _take(self, line: Json, kind: str) -> str:
        """Write a change down; give its revision."""
        if line["type"] not in ("ADDED", "MODIFIED", "DELETED"):
            self.error = str(line)
            return ""
        item = line["object"]
        metadata = item["metadata"]
        revision: str = metadata["resourceVersion"]
        if kind == "service" and metadata["namespace"] not in NAMESPACES:
            return revision
        key = metadata["name"] if kind == "pool" else f"{metadata['namespace']}/{metadata['name']}"
        metadata.pop("managedFields", None)
        gone = line["type"] == "DELETED"
        at = time.monotonic()
        self.changes.append(Change(int(revision), at, kind, key, None if gone else item))
        return revision

    def last(self) -> int:
        """Give how much was recorded, to see whether the cluster is at rest."""
        return len(self.changes)

    def close(self) -> str:
        """End the watches; give what was wrong with them."""
        error, self._is_closed = self.error, True
        for connection in self._connections.values():
            with suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5.0)
        for connection in self._connections.values():
            connection.close()
        return error


@dataclass
class RoundReport:
    """What came of one round."""

    seed: int
    operations: int = 0
    refused: int = 0
    kills: int = 0
    changes: int = 0
    stirred_s: float = 0.0
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Give one line, and the findings."""
        head = (
            f"seed {self.seed}: {self.operations} operations ({self.refused} refused),"
            f" {self.kills} kills, {self.changes} changes, {self.counts},"
            f" {self.stirred_s:.1f} s and {self.seconds - self.stirred_s:.1f} s to settle"
        )
        return "\n".join([head, *self.findings])


class Round:
    """One round: a stream, kills, a settled end, and the verdict."""

    def __init__(
        self,
        lab: LightLab,
        *,
        seed: int,
        operations: int,
        controllers: Sequence[Process],
        leader: Callable[[], Process] | None = None,
    ) -> None:
        self.lab = lab
        self.dice = random.Random(-1 - seed)
        """For the kills; the stream has dice of its own, which no clock can disturb."""
        self.report = RoundReport(seed)
        self._operations = operations
        self._controllers = controllers
        self._leader = leader or (lambda: controllers[0])
        self._stream = Stream(random.Random(seed), f"s{seed}")
        self._notes: list[tuple[float, str]] = []
        self._down: dict[str, int] = {}
        """Index of the operation before which a killed controller starts again, by its name."""

    def run(self) -> RoundReport:
        """Carry everything out."""
        begin = time.monotonic()
        recorder = Recorder(self.lab)
        try:
            self._stir(recorder)
            self.report.stirred_s = time.monotonic() - begin
            self._settle(recorder)
            self._look(recorder, "at the end")
            for operation in self._stream.end():
                self._do(operation)
            self._settle(recorder)
            world = self._look(recorder, "after all services are gone")
            if any(world.holders.values()):
                self.report.findings.append("somebody is left")
        finally:
            for name in list(self._stream.pools):
                self.lab.api.delete(f"{POOLS_PATH}/{name}")
            error = recorder.close()
        if error:
            self.report.findings.append(f"the record is incomplete: {error}")
        judge = Judge(notes=self._notes)
        judge.take(recorder.changes)
        self.report.findings += map(str, judge.findings)
        if self.report.findings:
            self.report.findings += map(_last_words, self._controllers)
        self.report.counts = dict(judge.counts)
        self.report.changes = len(recorder.changes)
        self.report.seconds = time.monotonic() - begin
        return self.report

    def _stir(self, recorder: Recorder) -> None:
        dice = self.dice
        for operation in self._stream.begin():
            self._do(operation)
        every = max(1, self._operations // 250)
        count = KILLS_PER_ROUND * every
        moments = set(dice.sample(range(20, self._operations), count))
        for index in range(self._operations):
            self._start_those_due(index)
            self._do(self._stream.next())
            if index in moments:
                self._kill(index)
            elif dice.random() < 0.01:
                self._catch_up(recorder)
        self._start_those_due(self._operations + 1_000)

    def _kill(self, index: int) -> None:
        """Kill at a random moment within what the last operations set off."""
        dice = self.dice
        victim = self._leader() if dice.random() < 0.8 else dice.choice(self._controllers)
        time.sleep(dice.random() * dice.choice((0.005, 0.02, 0.1)))
        self._end(victim)
        self._down[victim.name] = index + dice.choice((1, 1, 5, 20))

    def _start_those_due(self, index: int) -> None:
        for controller in self._controllers:
            if self._down.get(controller.name, index + 1) > index:
                continue
            del self._down[controller.name]
            self._begin(controller)
            if self.dice.random() < 0.3:
                # It dies once more while it takes over what it finds.
                time.sleep(0.2 + self.dice.random() * 0.6)
                self._end(controller)
                self._begin(controller)
            if self.dice.random() < 0.4:
                self._await_first_pass(controller)

    def _await_first_pass(self, controller: Process, timeout_s: float = 3.0) -> None:
        """Let it begin to act before the next operation, sometimes."""
        end, said = time.monotonic() + timeout_s, b""
        with controller.log_path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            while time.monotonic() < end and b"config.loaded" not in said:
                time.sleep(0.03)
                said += log.read()

    def _begin(self, controller: Process) -> None:
        controller.start()
        self._notes.append((time.monotonic(), f"{controller.name} started"))

    def _end(self, controller: Process) -> None:
        if controller.is_alive():
            controller.kill()
            self.report.kills += 1
            self._notes.append((time.monotonic(), f"{controller.name} killed"))

    def _catch_up(self, recorder: Recorder, timeout_s: float = 1.0) -> None:
        """Let the controller finish what it has, sometimes."""
        end = time.monotonic() + timeout_s
        last, since = recorder.last(), time.monotonic()
        while time.monotonic() < end and time.monotonic() - since < 0.15:
            time.sleep(0.02)
            if recorder.last() != last:
                last, since = recorder.last(), time.monotonic()

    def _do(self, operation: Operation) -> None:
        self.report.operations += 1
        try:
            self.lab.api.request(operation.method, operation.path, operation.body)
        except ApiError as refused:
            # Some wishes are no valid service, as 'Local' of what is a ClusterIP by then.
            if refused.status not in (404, 409, 422):
                raise
            self.report.refused += 1

    def _settle(self, recorder: Recorder, timeout_s: float = 30.0) -> None:
        """Wait until nothing changes any more, and what is there is right, or for long enough."""
        end, problems = time.monotonic() + timeout_s, ["nothing looked at yet"]
        while time.monotonic() < end and problems:
            self._await_rest(recorder, end)
            problems = self._problems(recorder)

    def _await_rest(self, recorder: Recorder, end: float) -> None:
        last, since = recorder.last(), time.monotonic()
        while time.monotonic() < end and time.monotonic() - since < _QUIET_S:
            time.sleep(0.05)
            if recorder.last() != last:
                last, since = recorder.last(), time.monotonic()

    def _problems(self, recorder: Recorder) -> list[str]:
        return judge_end(*_final(recorder))

    def _look(self, recorder: Recorder, when: str) -> Any:
        world, statuses = _final(recorder)
        self.report.findings += [f"{when}: {text}" for text in judge_end(world, statuses)]
        return world


def _last_words(controller: Process) -> str:
    lines = controller.log().splitlines()[-_LOG_LINES_SHOWN:]
    return "\n    ".join([f"{controller.name}'s last words:", *lines])


def _final(recorder: Recorder) -> tuple[Any, dict[str, Json]]:
    judge = Judge()
    changes = sorted(recorder.changes, key=lambda change: change.revision)
    statuses: dict[str, Json] = {}
    for change in changes:
        judge.world.apply(change)
        if change.kind == "pool":
            statuses.pop(change.key, None)
            if change.object is not None:
                statuses[change.key] = change.object.get("status", {})
    return judge.world, statuses
