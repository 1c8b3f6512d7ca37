"""How the machine's words leave it: as effects, in the order in which they were said.

* `say`: one message to an address, and as much news as fits along with it.
* `tell`: messages to a member as they are. This is how gossip goes out.
* `tell_all`: one message to every live member at once, so that nobody has to wait for gossip. Only
  for what happens seldom; after too much of it the news is left to gossip.

The checksum goes to members who are known to understand it. An address is a member's only if the
member is named like it, as in memberlist; so what is said to an address has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.member import Exchange, SendDatagram
from mercurylb.membership.swim.broadcast import retransmit_limit
from mercurylb.membership.swim.effect import PROTOCOL_CRC, Refused, SwimEffect, SwimMember
from mercurylb.membership.swim.message import encode
from mercurylb.membership.swim.packet import COMPOUND_OVERHEAD, PART_OVERHEAD, PARTS_MAX
from mercurylb.membership.swim.stream import encode_stream

if TYPE_CHECKING:
    import collections
    from collections.abc import Iterable

    from mercurylb.membership.swim.broadcast import BroadcastQueue
    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.message import Message
    from mercurylb.membership.swim.packet import PacketCodec
    from mercurylb.membership.swim.table import Table

URGENT_BURST = 32
URGENT_PER_S = 16


class Outbox:
    """The effects of the input at hand, and the means to make them."""

    def __init__(
        self,
        codec: PacketCodec,
        *,
        config: SwimConfig,
        table: Table,
        broadcasts: BroadcastQueue,
        refused: collections.Counter[str],
    ) -> None:
        self._codec = codec
        self._config = config
        self._table = table
        self._broadcasts = broadcasts
        self._refused = refused
        self._effects: list[SwimEffect] = []
        self._last_exchange = 0
        self._urgent_left = float(URGENT_BURST)
        self._urgent_at = 0.0

    def add(self, effect: SwimEffect) -> None:
        """Add an effect."""
        self._effects.append(effect)

    def take(self) -> list[SwimEffect]:
        """Return what has gathered, and begin anew."""
        effects, self._effects = self._effects, []
        return effects

    def say(self, address: str, port: int, message: Message) -> None:
        """Send one message, and news with it."""
        said = encode(message)
        parts = [said, *self._news(self._room() - len(said), PARTS_MAX - 1)]
        namesake = self._table.members.get(address)
        has_crc = namesake is not None and namesake.understands(PROTOCOL_CRC)
        self._send(address, port, self._codec.encode(parts, has_crc=has_crc))

    def tell(self, member: SwimMember, messages: Iterable[Message]) -> None:
        """Send messages in one datagram, without news."""
        parts = [encode(message) for message in messages]
        has_crc = member.understands(PROTOCOL_CRC)
        self._send(member.address, member.port, self._codec.encode(parts, has_crc=has_crc))

    def greet(self, addresses: Iterable[tuple[str, int]], message: Message) -> None:
        """Send one message to addresses of which nothing need be known."""
        payload = self._codec.encode([encode(message)])
        for address, port in addresses:
            self._send(address, port, payload)

    def tell_all(self, members: Iterable[SwimMember], message: Message, now: float) -> None:
        """Send one message to many members at once, or to none of them."""
        if not self._is_urgency_left(now):
            self._refused[Refused.URGENT] += 1
            return
        parts = [encode(message)]
        payloads: dict[bool, bytes] = {}
        for member in members:
            has_crc = member.understands(PROTOCOL_CRC)
            if has_crc not in payloads:
                payloads[has_crc] = self._codec.encode(parts, has_crc=has_crc)
            self._send(member.address, member.port, payloads[has_crc])

    def gossip(self, member: SwimMember) -> bool:
        """Send a member as much news as fits; return whether there was any."""
        news = self._news(self._room(), None)
        has_crc = member.understands(PROTOCOL_CRC)
        for start in range(0, len(news), PARTS_MAX):
            payload = self._codec.encode(news[start : start + PARTS_MAX], has_crc=has_crc)
            self._send(member.address, member.port, payload)
        return bool(news)

    def request(self, message: Message) -> bytes:
        """Return the request of a connection; several may take the same."""
        return encode_stream(message, self._codec)

    def exchange(self, address: str, port: int, request: bytes, timeout_s: float) -> int:
        """Open a connection for a request; return the id that its reply will come with."""
        self._last_exchange += 1
        self.add(Exchange(self._last_exchange, address, port, request, timeout_s))
        return self._last_exchange

    def reply(self, message: Message) -> bytes:
        """Return the reply of a connection."""
        return encode_stream(message, self._codec, is_reply=True)

    def _send(self, address: str, port: int, payload: bytes) -> None:
        self._effects.append(SendDatagram(address, payload, port))

    def _room(self) -> int:
        return self._config.udp_buffer_size - COMPOUND_OVERHEAD - self._codec.overhead

    def _news(self, room: int, count_max: int | None) -> list[bytes]:
        if not self._broadcasts:
            return []
        return self._broadcasts.take(
            room,
            overhead=PART_OVERHEAD,
            limit=retransmit_limit(self._config.retransmit_mult, len(self._table)),
            count_max=len(self._broadcasts) if count_max is None else count_max,
        )

    def _is_urgency_left(self, now: float) -> bool:
        earned = (now - self._urgent_at) * URGENT_PER_S
        self._urgent_left = min(URGENT_BURST, self._urgent_left + max(0.0, earned))
        self._urgent_at = now
        if self._urgent_left < 1:
            return False
        self._urgent_left -= 1
        return True
