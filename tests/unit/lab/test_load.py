"""When a flow of new connections counts as steady, and what its report sums up."""

from __future__ import annotations

from typing import Any

import pytest

from lab import load

GOOD = {"ok": 100, "lost": 0, "resent": 0, "waiting_ms": 2.0}


@pytest.mark.parametrize(
    ("change", "is_steady"),
    [
        pytest.param({}, True, id="all is well"),
        pytest.param({"ok": 0}, False, id="nobody is answered"),
        pytest.param({"lost": 1}, False, id="one was lost"),
        pytest.param({"resent": 1}, False, id="a packet was sent again"),
        pytest.param({"waiting_ms": 3000.0}, False, id="one from before waits"),
    ],
)
def test_a_flow_is_steady_when_nobody_waits_and_nobody_is_lost(
    change: dict[str, Any],
    is_steady: bool,  # noqa: FBT001  (a column of the table)
) -> None:
    """Half a second is looked at; requests of the time before must not end in it."""
    assert load._is_steady([GOOD] * 4 + [GOOD | change]) == is_steady
    assert not load._is_steady([GOOD] * 4)
