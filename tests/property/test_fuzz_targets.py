"""The fuzzer's targets: each runs, on its seeds and on what is nearly one, so that it is of use."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import spoiled


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_decode(name: str) -> None:
    """A seed goes through the whole decoder: it is what the decoder is made for."""
    assert TARGETS[name].seeds
    for seed in TARGETS[name].seeds:
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60)
@given(data=st.data())
def test_spoiled_seeds_are_refused_or_read(name: str, data: st.DataObject) -> None:
    """Nothing but our own error comes out of any decoder."""
    TARGETS[name].run(data.draw(spoiled(list(TARGETS[name].seeds))))
