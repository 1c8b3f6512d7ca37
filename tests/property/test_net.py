"""Bytes from the kernel and the other process, and filters: nothing but our own error."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.errors import WireError
from mercurylb.net import bpf, netlink
from mercurylb.net.channel import FrameSplitter

LINK = netlink.dump_request(netlink.GET_LINK, 1)


@st.composite
def spoiled(draw: st.DrawFn, good: bytes) -> bytes:
    """Draw bytes that are nearly right, or not at all."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    data = bytearray(good)
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))]) + draw(st.binary(max_size=20))


@pytest.mark.parametrize(
    ("decode", "good"),
    [(netlink.decode, LINK), (FrameSplitter(1000).feed, b"\x00\x00\x00\x01a")],
    ids=["netlink", "channel"],
)
@given(data=st.data())
def test_decoders_raise_only_wire_errors(decode: object, good: bytes, data: st.DataObject) -> None:
    """Whatever comes in, it decodes or it is a WireError."""
    with contextlib.suppress(WireError):
        decode(data.draw(spoiled(good)))


@given(words=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=300))
def test_ranges_cover_every_word(words: list[int]) -> None:
    """However many ranges are merged, all words stay covered, in order and without overlap."""
    ranges = bpf.ranges_of(words, 20)
    assert len(ranges) <= 20
    assert all(low <= high for low, high in ranges)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(ranges))
    assert all(any(low <= word <= high for low, high in ranges) for word in words)
