"""The reloader's two files."""

from __future__ import annotations

import pytest

from mercurylb.errors import ParseError
from mercurylb.frr.reload_status import (
    ReloadStatus,
    format_reload_status,
    parse_pid,
    parse_reload_status,
)


@pytest.mark.rule("bgp-frr-A8.status")
def test_a_status_is_a_time_and_a_result() -> None:
    """It can be read back; only `failure` is one."""
    for result in ("success", "failure", "other"):
        status = ReloadStatus("1700000000", result)
        assert format_reload_status(status) == f"1700000000 {result}"
        assert parse_reload_status(format_reload_status(status)) == status
        assert status.has_failed is (result == "failure")
    assert parse_reload_status(" 17  success\n") == ReloadStatus("17", "success")


@pytest.mark.rule("bgp-frr-A8.status-fields")
@pytest.mark.parametrize("text", ["", "success", "1 2 3", "\n"])
def test_anything_else_is_no_status(text: str) -> None:
    """Two fields, no less and no more."""
    with pytest.raises(ParseError, match="invalid reload status"):
        parse_reload_status(text)


@pytest.mark.rule("bgp-frr-A8.pid")
def test_a_process_id_is_digits_alone() -> None:
    """Not even a line end is taken, and never a number that would mean a group."""
    assert parse_pid("123") == 123
    for text in ("", "0", "-1", "123\n", " 123", "12x", "１２"):  # noqa: RUF001 (no ASCII digits)
        with pytest.raises(ParseError):
            parse_pid(text)
