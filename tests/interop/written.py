"""Whether we would have written what the original library wrote."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from mercurylb.membership.swim import message, packet
from mercurylb.membership.swim.message import Type
from mercurylb.membership.swim.packet import PacketCodec

if TYPE_CHECKING:
    from mercurylb.membership.swim.message import Message


def check_written(
    codec: PacketCodec, payload: bytes, *, is_compressed: bool | None = None
) -> tuple[Message, ...]:
    """Check that we would write a datagram of the library byte for byte; return its messages.

    The label is checked; encryption is taken off, as its nonce is random. The library may compress
    although we do not.
    """
    label = packet.label_header(codec.label)
    assert payload.startswith(label)
    payload = payload[len(label) :]
    if codec.seal is not None:
        payload = packet.unseal(codec.seal, payload, codec.label)
    is_compressed = codec.is_compressed if is_compressed is None else is_compressed
    clear = PacketCodec(None, random.Random(), is_compressed=is_compressed)
    found = clear.decode(payload)
    assert not clear.skipped
    has_crc = payload[0] == Type.HAS_CRC
    assert clear.encode([message.encode(one) for one in found], has_crc=has_crc) == payload
    return found
