"""What the reloader says of its last attempt: `<unix seconds> <success|failure>` in one file."""

from __future__ import annotations

from typing import Final

import msgspec

from mercurylb.errors import ParseError
from mercurylb.values.address import quoted

SUCCESS: Final = "success"
FAILURE: Final = "failure"
_FIELDS: Final = 2


class ReloadStatus(msgspec.Struct, frozen=True):
    """How one attempt to reload FRR's configuration ended."""

    timestamp: str
    """Two attempts with the same one are the same attempt."""
    result: str

    @property
    def has_failed(self) -> bool:
        """Tell whether FRR goes on with an older configuration."""
        return self.result == FAILURE


def parse_reload_status(text: str) -> ReloadStatus:
    """Read the file's text; raises `ParseError`."""
    fields = text.split()
    if len(fields) != _FIELDS:
        raise ParseError(f"invalid reload status {quoted(text)}: a time and a result are expected")
    return ReloadStatus(*fields)


def format_reload_status(status: ReloadStatus) -> str:
    """Give the file's text."""
    return f"{status.timestamp} {status.result}"


def parse_pid(text: str) -> int:
    """Read the reloader's PID file: digits and nothing else; raises `ParseError`."""
    if not (text.isascii() and text.isdigit() and int(text[:10]) > 0):
        raise ParseError(f"invalid process ID {quoted(text)}")
    return int(text[:10])
