"""The original library as a program of ours (`go/`), driven by commands.

Each process holds any number of members; what the library logs goes to a file of the test.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
from typing import TYPE_CHECKING, Any

from tests.interop.programs import ensure_gossip

if TYPE_CHECKING:
    from pathlib import Path

LINE_SIZE_MAX = 1 << 24
ANSWER_TIMEOUT_S = 90


class GoError(Exception):
    """The library refused a command."""


class GoProcess:
    """A running program."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[tuple[str, str, str]] = []
        """What the library told: event, the member it told, the member it is about."""
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, log: Path) -> GoProcess:
        """Start one; its log is appended to a file."""
        program = ensure_gossip()
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                program,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=LINE_SIZE_MAX,
            )
        return cls(process)

    async def ask(self, do: str, **fields: object) -> dict[str, Any]:
        """Give a command and return its answer; raise GoError when it failed."""
        number = next(self._ids)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        assert self.process.stdin is not None
        line = json.dumps({"id": number, "do": do, **{k: _plain(v) for k, v in fields.items()}})
        self.process.stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            found = await answer
        if "error" in found:
            raise GoError(found["error"])
        return found

    async def convert(self, do: str, data: bytes) -> bytes:
        """Compress or decompress bytes with Go's own library."""
        return base64.b64decode((await self.ask(do, data=data)).get("data", ""))

    async def kill(self) -> None:
        """End the process as `kill -9` does, all its members at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._reader
        self.process._transport.close()  # type: ignore[attr-defined]

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            said = json.loads(line)
            if "event" in said:
                self.events.append((said["event"], said["member"], said["node"]))
            else:
                self._answers.pop(said["id"]).set_result(said)
        for waiting in self._answers.values():
            waiting.cancel()


def _plain(value: object) -> object:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
