"""Durations as the API writes them: Go's `1h2m3.5s`, kept as whole nanoseconds.

Units: ns, us (also with the micro sign or the Greek letter), ms, s, m, h. The magnitude is bounded
by a signed 64-bit count of nanoseconds, about 292 years.
"""

from __future__ import annotations

import re
from typing import Final

from mercurylb.errors import ParseError
from mercurylb.values.address import quoted

SECOND_NS: Final = 1_000_000_000

_UNITS_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3_600 * SECOND_NS,
}
_TERM: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_MAX_NS: Final = (1 << 63) - 1
_TEXT_MAX: Final = 128
"""Nobody writes a longer one; keeps hostile digits from becoming giant numbers."""


def parse_duration(text: str) -> int:
    """Read a duration and give nanoseconds, rounded towards zero; raises `ParseError`."""
    sign, unsigned = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if unsigned == "0":
        return 0
    total = position = 0
    while position < len(unsigned) <= _TEXT_MAX:
        term = _TERM.match(unsigned, position)
        if term is None or not (term[1] or term[2]):
            break
        fraction = term[2] or ""
        scale = 10 ** len(fraction)
        total += int((term[1] + fraction) or "0") * _UNITS_NS[term[3]] // scale
        position = term.end()
    if not unsigned or position != len(unsigned) or total > _MAX_NS:
        raise ParseError(f"invalid duration {quoted(text)}")
    return sign * total


def format_duration(nanoseconds: int) -> str:
    """Give the text Go gives: `1m30s`, `500ms`, `0s`."""
    magnitude = abs(nanoseconds)
    if magnitude < SECOND_NS:
        text = _format_below_second(magnitude)
    else:
        minutes, rest = divmod(magnitude, 60 * SECOND_NS)
        hours, minutes = divmod(minutes, 60)
        text = f"{_decimal(rest, SECOND_NS)}s"
        if hours:
            text = f"{hours}h{minutes}m{text}"
        elif minutes:
            text = f"{minutes}m{text}"
    return f"-{text}" if nanoseconds < 0 else text


def _format_below_second(nanoseconds: int) -> str:
    if not nanoseconds:
        return "0s"
    for unit in ("ms", "\u00b5s", "ns"):
        if nanoseconds >= _UNITS_NS[unit]:
            break
    return f"{_decimal(nanoseconds, _UNITS_NS[unit])}{unit}"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}"
