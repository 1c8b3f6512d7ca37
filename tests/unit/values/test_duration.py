"""Go durations."""

from __future__ import annotations

import pytest

from mercurylb.errors import ParseError
from mercurylb.values.duration import SECOND_NS, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "nanoseconds", "canonical"),
    [
        ("0", 0, "0s"),
        ("90s", 90 * SECOND_NS, "1m30s"),
        ("1m30s", 90 * SECOND_NS, "1m30s"),
        ("500ms", SECOND_NS // 2, "500ms"),
        ("1.5s", 3 * SECOND_NS // 2, "1.5s"),
        (".5s", SECOND_NS // 2, "500ms"),
        ("1.s", SECOND_NS, "1s"),
        ("-1h", -3600 * SECOND_NS, "-1h0m0s"),
        ("+2h45m0.000000001s", (2 * 3600 + 45 * 60) * SECOND_NS + 1, "2h45m0.000000001s"),
        ("1us", 1_000, "1µs"),
        ("1µs", 1_000, "1µs"),
        ("1\u03bcs", 1_000, "1µs"),
        ("1.0000005ms", 1_000_000, "1ms"),
        ("9ns", 9, "9ns"),
    ],
)
def test_reads_and_writes(text: str, nanoseconds: int, canonical: str) -> None:
    """Durations are read as Go reads them and written as Go writes them."""
    assert parse_duration(text) == nanoseconds
    assert format_duration(nanoseconds) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "+",
        "1",
        "s",
        ".s",
        "1x",
        "1s ",
        "1 s",
        "--1s",
        "1e3s",
        "1d",
        "9999999999h",
        "9" * 999 + "s",
    ],
)
def test_refuses(text: str) -> None:
    """Missing units, unknown units and what does not fit 64 bits are refused."""
    with pytest.raises(ParseError, match="invalid duration"):
        parse_duration(text)
