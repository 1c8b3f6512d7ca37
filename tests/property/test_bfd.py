"""Whatever arrives as BFD."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from mercurylb.bfd.auth import Authentication, AuthenticationType
from mercurylb.bfd.effect import Arrival, BfdKey
from mercurylb.bfd.packet import Packet, State, decode, encode
from mercurylb.bfd.settings import BfdSettings
from mercurylb.bfd.table import BfdTable
from mercurylb.errors import WireError

U32 = st.integers(0, 2**32 - 1)
KEY = BfdKey("192.0.2.1", interface="eth0")
packets = st.builds(
    Packet,
    state=st.sampled_from(State),
    multiplier=st.integers(1, 255),
    my_discriminator=st.integers(1, 2**32 - 1),
    your_discriminator=st.integers(1, 2**32 - 1),
    desired_min_tx_us=U32,
    required_min_rx_us=U32,
    required_min_echo_rx_us=U32,
    diagnostic=st.integers(0, 31),
    is_poll=st.booleans(),
    is_final=st.booleans(),
    is_independent=st.booleans(),
    is_demand=st.booleans(),
    authentication=st.just(b"") | st.binary(min_size=2, max_size=40),
)
authentications = st.none() | st.builds(
    Authentication,
    type=st.sampled_from(AuthenticationType),
    key_id=st.integers(0, 255),
    key=st.binary(min_size=1, max_size=16),
)


@given(packets)
def test_what_is_encoded_decodes_to_the_same(packet: Packet) -> None:
    """Encoding and decoding are each other's inverse."""
    assert decode(encode(packet)) == packet


@given(st.binary(max_size=80))
def test_any_octets_decode_or_are_refused_with_a_reason(octets: bytes) -> None:
    """Nothing but our own error is raised, and it always has a word to count by."""
    reason = "decoded"
    try:
        decode(octets)
    except WireError as error:
        reason = error.reason
    assert reason


@given(
    authentications,
    st.booleans(),
    st.lists(
        st.tuples(
            st.floats(0.0, 2.0),
            packets.map(encode) | st.binary(max_size=60),
            st.booleans(),
        ),
        max_size=30,
    ),
)
def test_whatever_is_said_the_session_stays_sound(
    authentication: Authentication | None,
    is_passive: bool,  # noqa: FBT001
    said: list[tuple[float, bytes, bool]],
) -> None:
    """Any conversation keeps the invariants, and each packet is answered by two at the most."""
    table = BfdTable(random.Random(1))
    settings = BfdSettings(50, 50, is_passive=is_passive, authentication=authentication)
    table.on_wanted({KEY: settings}, 0.0)
    detail = table.detail(KEY, 0.0)
    assert detail is not None
    ours = detail.discriminator.to_bytes(4, "big")
    now = 0.0
    for wait_s, octets, is_to_us in said:
        until = now + wait_s
        while (at := table.next_deadline()) is not None and at <= until:
            now = max(now, at)
            table.on_deadline(now)
            table.validate()
        now = until
        spoken = octets[:8] + ours + octets[12:] if is_to_us else octets
        effects = table.on_packet(Arrival("192.0.2.1", spoken, 255, "", "eth0"), now)
        assert len(effects) <= 3
        table.validate()
