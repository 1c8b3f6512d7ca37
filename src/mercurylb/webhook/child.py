"""Ask `forge` in its own process."""

from __future__ import annotations

import asyncio
import sys

import msgspec

from mercurylb.errors import MercuryError
from mercurylb.webhook.rotation import Answer, Question

CHILD_TIMEOUT_S = 60.0
_COMPLAINT_BYTES_MAX = 300


class ForgeError(MercuryError):
    """The child gave no answer; what it said last is in the text."""


async def ask_forge(question: Question) -> Answer:
    """Have a secret's contents looked at, and renewed if they must be; raise ForgeError."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "mercurylb.webhook.forge",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CHILD_TIMEOUT_S):
            said, complaint = await child.communicate(msgspec.json.encode(question))
    except TimeoutError as error:
        raise ForgeError(f"no answer within {CHILD_TIMEOUT_S:.0f} s") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise ForgeError(complaint[-_COMPLAINT_BYTES_MAX:].decode(errors="replace"))
    return msgspec.json.decode(said, type=Answer)
