"""Ethernet addresses."""

from __future__ import annotations

import pytest

from mercurylb.errors import ParseError
from mercurylb.values.mac import format_mac, parse_mac


def test_reads_and_writes() -> None:
    """Both cases are read, lower case is written."""
    assert parse_mac("02:00:00:00:aB:Ff") == b"\x02\x00\x00\x00\xab\xff"
    assert format_mac(b"\x02\x00\x00\x00\xab\xff") == "02:00:00:00:ab:ff"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "02:00:00:00:00",
        "02:00:00:00:00:01:02",
        "02-00-00-00-00-01",
        "0g:00:00:00:00:01",
        " 2:00:00:00:00:01",
    ],
)
def test_refuses(text: str) -> None:
    """Anything but six colon-separated pairs is refused."""
    with pytest.raises(ParseError, match="invalid MAC address"):
        parse_mac(text)
