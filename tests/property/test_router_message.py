"""Router discovery under arbitrary bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mercurylb.errors import WireError
from mercurylb.net.router_message import Advertisement, decode, encode_advertisement


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b"\x86\x00\0\0" + tail))
def test_any_bytes_are_a_message_or_our_own_error(octets: bytes) -> None:
    """Nobody on the link can make the decoder raise anything else."""
    try:
        decode(octets)
    except WireError as error:
        assert error.protocol == "router discovery"  # noqa: PT017 (both outcomes are right)


@given(st.integers(0, 65535), st.binary(max_size=8))
def test_what_is_encoded_decodes(lifetime_s: int, mac: bytes) -> None:
    """Our own advertisements are valid, whatever the link's address looks like."""
    assert decode(encode_advertisement(lifetime_s, mac)) == Advertisement(lifetime_s)
