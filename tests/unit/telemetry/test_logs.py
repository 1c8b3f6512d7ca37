"""Log lines as an operator, and a machine, reads them."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Set up a log at level debug that can be read back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    log.configure(log.Level.DEBUG, stream=out, clock=lambda: 1_700_000_000.25)
    yield out
    log.configure(log.Level.INFO)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Read the lines back."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.rule("controller-3.logs")
@pytest.mark.rule("speaker-9.lines")
def test_a_line(stream: io.StringIO) -> None:
    """One JSON object per line, keys sorted, with time, level, caller and event."""
    log.info("alloc.assigned", msg="it has\nan address", service="a/b", ips=("1.2.3.4",))
    [line] = lines(stream)
    assert line.pop("caller").startswith("test_logs.py:")
    assert line == {
        "event": "alloc.assigned",
        "ips": ["1.2.3.4"],
        "level": "info",
        "msg": "it has\nan address",
        "service": "a/b",
        "ts": "2023-11-14T22:13:20.250Z",
    }
    assert list(json.loads(stream.getvalue())) == sorted(json.loads(stream.getvalue()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("all", ["debug", "info", "warn", "error"]),
        ("debug", ["debug", "info", "warn", "error"]),
        ("info", ["info", "warn", "error"]),
        ("warn", ["warn", "error"]),
        ("error", ["error"]),
        ("none", []),
    ],
)
@pytest.mark.rule("speaker-9.levels")
def test_levels(stream: io.StringIO, text: str, shown: list[str]) -> None:
    """Each level shows itself and what is more important; none is silent, libraries included."""
    level = log.parse_level(text)
    assert level is not None
    log.configure(level, stream=stream)
    for say in (log.debug, log.info, log.warning, log.error):
        say("x.y")
    assert [line["level"] for line in lines(stream)] == shown
    assert log.is_enabled(log.Level.DEBUG) == ("debug" in shown)


@pytest.mark.parametrize("text", ["", "INFO", "warning", "trace"])
def test_unknown_level(text: str) -> None:
    """Only the original's six names are levels."""
    assert log.parse_level(text) is None


@pytest.mark.rule("speaker-9.secrets")
def test_secrets_are_masked(stream: io.StringIO) -> None:
    """What a key calls a secret is not printed, at any depth; names of secrets are."""
    log.info(
        "settings",
        ml_secret_name="memberlist",
        password="p1",
        settings={"bearer_token": "p2", "port": 1, "deep": {"Authorization": "p3"}},
        token="",
    )
    assert "p1" not in stream.getvalue()
    [line] = lines(stream)
    assert line["settings"] == {"bearer_token": "***", "port": 1, "deep": {"Authorization": "***"}}
    assert (line["ml_secret_name"], line["password"], line["token"]) == ("memberlist", "***", "")


def test_any_value_can_be_logged(stream: io.StringIO) -> None:
    """A log line never fails, whatever it is given."""

    class Odd:
        def __str__(self) -> str:
            return "odd"

    log.warning(
        "x.y", odd=Odd(), group={"b", "a"}, error=ValueError("no"), huge=10**400, bad="\ud800"
    )
    [line] = lines(stream)
    assert line["odd"] == "odd"
    assert line["error"] == "no"


def test_traceback_on_request(stream: io.StringIO) -> None:
    """An exception at the edge shows where it came from; otherwise only its text."""
    with pytest.raises(KeyError) as caught:
        {}["lost"]
    log.error("x.y", exc_info=caught.value)
    log.error("x.z", error=caught.value)
    first, second = lines(stream)
    assert "test_logs.py" in first["traceback"]
    assert first["error"] == second["error"] == "'lost'"
    assert "traceback" not in second


def test_libraries_speak_the_same_form(stream: io.StringIO) -> None:
    """What asyncio or aiohttp complain about is a line like any other, from warning on."""
    logging.getLogger("asyncio").warning("slow %s", "thing")
    logging.getLogger("asyncio").info("chatter")
    [line] = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("log.library", "warn", "asyncio")
    assert line["msg"] == "slow thing"


def test_a_closed_log_harms_nobody(stream: io.StringIO) -> None:
    """When nobody reads any more, the program goes on."""
    stream.close()
    log.info("x.y")
