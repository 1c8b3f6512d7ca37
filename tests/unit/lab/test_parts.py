"""Telling the halves of a speaker apart."""

from __future__ import annotations

import signal

import pytest

from lab import parts
from lab.errors import ProcessError
from lab.parts import Parts


@pytest.mark.parametrize(
    ("parents", "wanted"),
    [
        ({10: 1}, Parts(10, ())),
        ({10: 1, 11: 10}, Parts(10, (11,))),
        ({11: 10, 10: 1, 12: 10}, Parts(10, (11, 12))),
        # A container's first process may be older than its announcer.
        ({30: 7, 29: 30}, Parts(30, (29,))),
        ({}, None),
    ],
)
def test_the_announcer_is_the_first(parents: dict[int, int], wanted: Parts | None) -> None:
    """It is the one that none of the others forked; whatever it forked is the brain."""
    assert parts.split(parents) == wanted


def test_a_part_that_is_not_there_is_told() -> None:
    """A speaker of one process has no brain to be killed, and no third part."""
    with pytest.raises(ProcessError, match="no brain of its own"):
        parts.send(Parts(1, ()), "brain", signal.SIGCONT)
    with pytest.raises(ProcessError, match="announcer and brain"):
        Parts(1, ()).of("head")
