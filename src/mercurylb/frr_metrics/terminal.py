"""Asking FRR's daemons over their terminal sockets, the way vtysh does.

A question is a line with a zero byte after it; the answer is text, three zero bytes and one byte
that is zero if the daemon understood.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from mercurylb.errors import LinkError

FOLDER: Final = "/var/run/frr"
BGP: Final = "bgpd"
BFD: Final = "bfdd"
DAEMONS: Final = ("bfdd", "bgpd", "staticd", "watchfrr", "zebra")
ANSWER_TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 64 << 20
_END: Final = b"\0\0\0"
_CHUNK_BYTES: Final = 1 << 16


class Terminal:
    """The sockets of one FRR."""

    def __init__(self, folder: str = FOLDER, *, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._folder = Path(folder)
        self._timeout_s = timeout_s

    async def ask(self, daemon: str, question: str) -> str:
        """Give a daemon's answer; raise LinkError when there is none."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._ask(daemon, question)
        except (OSError, TimeoutError) as error:
            message = str(error) or "no answer in time"
            raise LinkError(daemon, f"{question!r}: {message}") from error

    async def is_running(self, daemon: str) -> bool:
        """Tell whether a daemon answers at all."""
        try:
            await self.ask(daemon, "enable")
        except LinkError:
            return False
        return True

    async def _ask(self, daemon: str, question: str) -> str:
        reader, writer = await asyncio.open_unix_connection(self._folder / f"{daemon}.vty")
        try:
            # Some daemons show nothing to who is not enabled.
            for line in ("enable", question):
                writer.write(line.encode() + b"\0")
                answer, code = await _answer(reader)
            if code:
                raise OSError(answer.strip() or f"refused with {code}")
            return answer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader) -> tuple[str, int]:
    received = bytearray()
    while received[-4:-1] != _END:
        chunk = await reader.read(_CHUNK_BYTES)
        if not chunk:
            raise OSError("the daemon hung up")
        received += chunk
        if len(received) > ANSWER_BYTES_MAX:
            raise OSError("the answer does not end")
    return received[:-4].decode(errors="replace"), received[-1]
