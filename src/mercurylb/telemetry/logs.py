"""Structured log lines: one JSON object per line on standard output.

Every line has `ts` (RFC 3339, UTC, milliseconds), `level`, `caller` (file:line), `event` (a
constant name from docs/events.md), `msg` when there is something to say, and key/values; keys are
sorted, as with the original. Import it as `from mercurylb.telemetry import logs as log`.

What libraries say through the standard `logging` (asyncio's unhandled errors, aiohttp) comes out
in the same form as `log.library`, from warning on.

Keys whose name speaks of a secret are masked, whatever their value; bytes are never printed.
"""

from __future__ import annotations

import enum
import io
import logging
import sys
import time
import traceback
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Level(enum.IntEnum):
    """How important a line is; `all` shows everything, `none` nothing."""

    ALL = 0
    DEBUG = 10
    INFO = 20
    WARN = 30
    ERROR = 40
    NONE = 100


LEVELS = tuple(level.name.lower() for level in Level)
MASK = "***"
_SECRET_WORDS = ("password", "secret", "token", "authorization", "private", "credential")
_SECRET_KEYS_ALLOWED = ("_name", "_path", "_namespace")
"""`secret_name` names a secret and is none."""


class Stream(Protocol):
    """Where lines go."""

    def write(self, text: str, /) -> object:
        """Take a line."""

    def flush(self) -> object:
        """Let it go."""


class _State:
    level: Level = Level.INFO
    stream: Stream | None = None
    clock: Callable[[], float] = staticmethod(time.time)


def parse_level(text: str) -> Level | None:
    """Parse the value of `--log-level`; None when there is no such level."""
    return Level[text.upper()] if text in LEVELS else None


def configure(
    level: Level, *, stream: Stream | None = None, clock: Callable[[], float] = time.time
) -> None:
    """Set the level, and where lines go (standard output); adopt the libraries' log."""
    _State.level = level
    _State.stream = stream
    _State.clock = clock
    if stream is None and isinstance(sys.stdout, io.TextIOWrapper):
        # A container's locale may be ASCII; a name that does not fit must not cost the line.
        sys.stdout.reconfigure(errors="backslashreplace")
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler(level=logging.WARNING)]
    root.setLevel(logging.WARNING)


def is_enabled(level: Level) -> bool:
    """Tell whether lines of this level are shown, before an expensive one is made."""
    return level >= _State.level


def debug(event: str, /, **pairs: object) -> None:
    """Say why a decision was taken."""
    if _State.level <= Level.DEBUG:
        _write("debug", event, pairs)


def info(event: str, /, **pairs: object) -> None:
    """Say what an operator would tell a colleague."""
    if _State.level <= Level.INFO:
        _write("info", event, pairs)


def warning(event: str, /, **pairs: object) -> None:
    """Say what is degraded and heals by itself."""
    if _State.level <= Level.WARN:
        _write("warn", event, pairs)


def error(event: str, /, **pairs: object) -> None:
    """Say what needs a person.

    `error=` shows an exception's text; `exc_info=` shows its traceback as well: once, at the edge.
    """
    if _State.level > Level.ERROR:
        return
    raised = pairs.pop("exc_info", None)
    if isinstance(raised, BaseException):
        pairs.setdefault("error", raised)
        pairs["traceback"] = "".join(traceback.format_exception(raised))
    _write("error", event, pairs)


def redacted(pairs: Mapping[str, object]) -> dict[str, object]:
    """Give the same pairs with everything that names a secret masked, at any depth."""
    return {str(key): _shown(str(key), value) for key, value in pairs.items()}


def _shown(key: str, value: object) -> object:
    if isinstance(value, dict):
        return redacted(value)
    if value and _is_secret(key):
        return MASK
    return value


def _is_secret(key: str) -> bool:
    name = key.lower()
    return any(word in name for word in _SECRET_WORDS) and not name.endswith(_SECRET_KEYS_ALLOWED)


def _write(level: str, event: str, pairs: Mapping[str, object]) -> None:
    # Two frames up is who called debug(), info() and so on.
    frame = sys._getframe(2)  # noqa: SLF001 (the documented way to learn the caller cheaply)
    caller = f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"
    _write_line(level, caller, event, pairs)


def _write_line(level: str, caller: str, event: str, pairs: Mapping[str, object]) -> None:
    line = redacted(pairs)
    line |= {"ts": _timestamp(_State.clock()), "level": level, "caller": caller, "event": event}
    stream = _State.stream or sys.stdout
    try:
        stream.write(_encoded(line) + "\n")
        stream.flush()
    except (OSError, ValueError):
        # Nobody reads the log any more; the network still needs its answers.
        return


def _encoded(line: dict[str, object]) -> str:
    try:
        return _ENCODER.encode(line).decode()
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        plain = {_printable(key): _printable(value) for key, value in line.items()}
        return _ENCODER.encode(plain).decode()


def _printable(value: object) -> str:
    """Give a text that any stream can take: lone surrogates stand escaped."""
    try:
        text = str(value)
    except ValueError:
        # A whole number of more than 4300 digits is one of the few things that have no text.
        text = object.__repr__(value)
    return text.encode(errors="backslashreplace").decode()


def _as_text(value: object) -> object:
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    return str(value)


_ENCODER = msgspec.json.Encoder(enc_hook=_as_text, order="sorted")


def _timestamp(now: float) -> str:
    whole = int(now)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{moment}.{int((now - whole) * 1000):03d}Z"


class _LibraryHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        is_error = record.levelno >= logging.ERROR
        if _State.level > (Level.ERROR if is_error else Level.WARN):
            return
        pairs: dict[str, object] = {"logger": record.name}
        if record.exc_info is not None and record.exc_info[1] is not None:
            pairs["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))
        try:
            pairs["msg"] = record.getMessage()
        except (TypeError, ValueError):
            pairs["msg"] = str(record.msg)
        caller = f"{record.filename}:{record.lineno}"
        _write_line("error" if is_error else "warn", caller, "log.library", pairs)
