"""Bytes from anywhere raise nothing but our own error."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.errors import WireError
from mercurylb.membership import heartbeat_codec
from tests.property.test_net import spoiled

BEAT = heartbeat_codec.encode(
    heartbeat_codec.Heartbeat("node", 1, 2, is_ready=True, is_leaving=False), b""
)

DECODERS = [
    ("heartbeat", lambda data: heartbeat_codec.decode(data, b""), BEAT),
    ("signed heartbeat", lambda data: heartbeat_codec.decode(data, b"k" * 32), BEAT + bytes(32)),
]


@pytest.mark.parametrize(
    ("decode", "good"), [d[1:] for d in DECODERS], ids=[d[0] for d in DECODERS]
)
@given(data=st.data())
def test_decoders_raise_only_wire_errors(decode: object, good: bytes, data: st.DataObject) -> None:
    """Whatever comes in, it decodes or it is a WireError."""
    with contextlib.suppress(WireError):
        decode(data.draw(spoiled(good)))


@given(
    heartbeat=st.builds(
        heartbeat_codec.Heartbeat,
        node=st.text(min_size=1, max_size=60),
        incarnation=st.integers(0, 2**64 - 1),
        sequence=st.integers(0, 2**64 - 1),
        is_ready=st.booleans(),
        is_leaving=st.booleans(),
        echo_incarnation=st.integers(0, 2**64 - 1),
        echo_sequence=st.integers(0, 2**64 - 1),
    ),
    key=st.sampled_from([b"", b"k" * 32]),
)
def test_heartbeat_round_trip(heartbeat: heartbeat_codec.Heartbeat, key: bytes) -> None:
    """Every heartbeat decodes to itself, signed or not."""
    assert heartbeat_codec.decode(heartbeat_codec.encode(heartbeat, key), key) == heartbeat
